//! Putting once, under a lock: what is sent, and what counts as success.

use crate::storage::{Storage, Turn};
use crate::{HELLO_SHA256, LOCK, NOW, config, hello, key, store, stored};
use bytes::Bytes;
use objects::{LockMode, ObjectError, Put, Retention};

async fn put(storage: &Storage) -> Result<Put, ObjectError> {
    store(storage.address).put(&key(), hello(), LOCK, NOW).await
}

fn put_answer() -> Turn {
    Turn::ok().header("x-amz-version-id", "v1")
}

fn taken() -> Turn {
    Turn::error(412, "PreconditionFailed")
}

fn as_wanted(existed: bool) -> Put {
    Put { version_id: "v1".to_owned(), sha256: HELLO_SHA256, retention: LOCK, existed }
}

const PUT: &str = "PUT /locked/log/segment/1";
const HEAD: &str = "HEAD /locked/log/segment/1";
const HEAD_V1: &str = "HEAD /locked/log/segment/1?versionId=v1";
const GET_V1: &str = "GET /locked/log/segment/1?versionId=v1";

#[tokio::test]
async fn a_put_is_conditional_checked_locked_signed_and_seen_to_hold() {
    let storage = Storage::start([put_answer(), stored()]).await;
    assert_eq!(put(&storage).await.unwrap(), as_wanted(false));
    assert_eq!(storage.trail(), [PUT, HEAD_V1]);
    let asked = storage.asked();
    let hex = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    for (name, value) in [
        ("if-none-match", "*"),
        ("x-amz-checksum-sha256", "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-retain-until-date", "2026-12-01T00:00:00Z"),
        ("x-amz-content-sha256", hex),
        ("x-amz-security-token", "TOKENTOKEN"),
        ("content-length", "5"),
    ] {
        assert_eq!(asked[0].header(name), value, "{name}");
    }
    assert_eq!(asked[0].body, hello());
    assert!(asked[0].header("x-amz-date").starts_with("20261122T00000"));
    let authorization = asked[0].header("authorization");
    let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261122/us-east-1/s3/aws4_request, ";
    assert!(authorization.starts_with(scope), "{authorization}");
    let signed = "SignedHeaders=host;if-none-match;x-amz-checksum-sha256;x-amz-content-sha256;\
                  x-amz-date;x-amz-object-lock-mode;x-amz-object-lock-retain-until-date;\
                  x-amz-sdk-checksum-algorithm;x-amz-security-token, ";
    assert!(authorization.contains(signed), "{authorization}");
    assert_eq!(asked[1].header("x-amz-checksum-mode"), "ENABLED");
}

#[tokio::test]
async fn what_is_there_already_is_success_when_it_is_the_same() {
    let longer = "2027-12-01T00:00:00Z";
    for found in [stored(), stored().header("x-amz-object-lock-retain-until-date", longer)] {
        let storage = Storage::start([taken(), found]).await;
        let put = put(&storage).await.unwrap();
        assert!(put.existed && put.version_id == "v1" && put.retention.covers(LOCK));
        assert_eq!(storage.trail(), [PUT, HEAD]);
    }
}

#[tokio::test]
async fn without_a_checksum_what_is_there_is_read_and_compared() {
    let unsummed = || stored().header("x-amz-checksum-sha256", "");
    let storage = Storage::start([taken(), unsummed(), unsummed().body(hello())]).await;
    assert_eq!(put(&storage).await.unwrap(), as_wanted(true));
    assert_eq!(storage.trail(), [PUT, HEAD, GET_V1]);

    let storage = Storage::start([taken(), unsummed(), unsummed().body("hellO")]).await;
    assert!(matches!(put(&storage).await, Err(ObjectError::Differs { .. })));

    let parts = stored().header("x-amz-checksum-sha256", "AAAA-2");
    let storage = Storage::start([taken(), parts.clone(), parts.body("hello")]).await;
    assert_eq!(put(&storage).await.unwrap(), as_wanted(true));
}

#[tokio::test]
async fn other_content_under_the_name_is_told_apart() {
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for found in
        [stored().header("content-length", "6"), stored().header("x-amz-checksum-sha256", zeros)]
    {
        let storage = Storage::start([taken(), found]).await;
        let error = put(&storage).await.unwrap_err();
        assert!(
            matches!(&error, ObjectError::Differs { key, version }
                if key == "segment/1" && version == "v1"),
            "{error}"
        );
        assert_eq!(storage.trail(), [PUT, HEAD]);
    }
}

#[tokio::test]
async fn a_lock_that_is_missing_weak_or_short_is_no_success() {
    let until = "x-amz-object-lock-retain-until-date";
    let mode = "x-amz-object-lock-mode";
    let weak = Retention { mode: LockMode::Governance, ..LOCK };
    let short = Retention { until_unix_s: LOCK.until_unix_s - 1, ..LOCK };
    for (found, lock) in [
        (stored().header(mode, ""), None),
        (stored().header(mode, "GOVERNANCE"), Some(weak)),
        (stored().header(until, "2026-11-30T23:59:59.999Z"), Some(short)),
    ] {
        for first in [put_answer(), taken()] {
            let storage = Storage::start([first, found.clone()]).await;
            let error = put(&storage).await.unwrap_err();
            assert!(
                matches!(&error, ObjectError::NotLocked { found, wanted, .. }
                    if *found == lock && *wanted == LOCK),
                "{error}"
            );
        }
    }
}

#[tokio::test]
async fn a_bucket_without_versions_is_no_place() {
    for answer in [Turn::ok(), Turn::ok().header("x-amz-version-id", "null")] {
        let storage = Storage::start([answer]).await;
        assert!(matches!(put(&storage).await, Err(ObjectError::NotVersioned { .. })));
    }
    let storage = Storage::start([taken(), stored().header("x-amz-version-id", "")]).await;
    assert!(matches!(put(&storage).await, Err(ObjectError::NotVersioned { .. })));
}

#[tokio::test]
async fn a_storage_that_confirms_other_bytes_is_not_believed() {
    let sum = "x-amz-checksum-sha256";
    let zeros = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for turns in [
        vec![put_answer().header(sum, zeros)],
        vec![put_answer(), stored().header(sum, zeros)],
        vec![put_answer(), stored().header("content-length", "4")],
    ] {
        let storage = Storage::start(turns).await;
        assert!(matches!(put(&storage).await, Err(ObjectError::WrongBytes { .. })));
        assert!(!storage.trail().is_empty());
    }
    let storage = Storage::start([put_answer().header(sum, "junk")]).await;
    assert!(matches!(put(&storage).await, Err(ObjectError::Malformed { .. })));
}

#[tokio::test]
async fn a_refusal_is_told_once_and_without_secrets() {
    for (status, code, advice) in [
        (403, "SignatureDoesNotMatch", "check the secret of the access key"),
        (403, "AccessDenied", "rights on the bucket"),
        (404, "NoSuchBucket", "make the bucket, with Object Lock enabled"),
        (400, "InvalidRequest", "has Object Lock enabled"),
        (409, "InvalidBucketState", "(`InvalidBucketState`)"),
        (501, "NotImplemented", "cannot put once"),
    ] {
        let storage = Storage::start([Turn::error(status, code)]).await;
        let error = put(&storage).await.unwrap_err();
        let ObjectError::Refused { status: told, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*told, status);
        let text = format!("{error} {error:?} {:?}", store(storage.address));
        assert!(text.contains(advice), "{text}");
        for secret in ["AKID", "HUNTER2", "TOKENTOKEN"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert_eq!(storage.trail(), [PUT]);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let moved = Turn::error(301, "PermanentRedirect")
        .header("location", "http://127.0.0.1:1/")
        .header("x-amz-bucket-region", "eu-west-1");
    let storage = Storage::start([moved]).await;
    let error = put(&storage).await.unwrap_err().to_string();
    assert!(error.ends_with("the bucket is in region `eu-west-1`"), "{error}");
    assert_eq!(storage.trail(), [PUT]);
}

#[tokio::test]
async fn a_lock_that_is_over_before_it_begins_is_not_sent() {
    let storage = Storage::start([]).await;
    for until_unix_s in [0, NOW, u64::MAX] {
        let lock = Retention { until_unix_s, ..LOCK };
        let put = store(storage.address).put(&key(), hello(), lock, NOW).await;
        assert!(matches!(put, Err(ObjectError::BadRetention { .. })));
    }
    let put = store(storage.address).put(&key(), hello(), LOCK, u64::MAX).await;
    assert!(matches!(put, Err(ObjectError::BadTime { .. })));
    assert!(storage.trail().is_empty());
}

#[tokio::test]
async fn nothing_is_an_object_too() {
    let nothing = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let found = stored().header("content-length", "0").header("x-amz-checksum-sha256", nothing);
    let storage = Storage::start([put_answer(), found]).await;
    let put = store(storage.address).put(&key(), Bytes::new(), LOCK, NOW).await;
    assert_eq!(put.unwrap().version_id, "v1");
    assert_eq!(storage.asked()[0].header("content-length"), "0");
}

#[tokio::test]
async fn without_a_prefix_names_begin_at_the_bucket() {
    let storage = Storage::start([stored()]).await;
    let mut config = config(storage.address);
    config.prefix = String::new();
    let store = objects::Store::new(&config).unwrap();
    store.head(&key(), None, NOW).await.unwrap();
    assert_eq!(storage.trail(), ["HEAD /locked/segment/1"]);
}
