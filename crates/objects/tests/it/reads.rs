//! Reading a recorded version: what is believed of an answer, and what is not.

use crate::storage::{Storage, Turn};
use crate::{HELLO_SHA256, LOCK, NOW, hello, key, store, stored};
use objects::{Object, ObjectError, Stored};

async fn get(storage: &Storage, version: Option<&str>, max: u64) -> Result<Object, ObjectError> {
    store(storage.address).get(&key(), version, max, NOW).await
}

fn object() -> Turn {
    stored().body(hello())
}

#[tokio::test]
async fn a_recorded_version_is_read_with_its_lock() {
    let storage = Storage::start([object().header("x-amz-object-lock-legal-hold", "ON")]).await;
    let object = get(&storage, Some("v1"), 5).await.unwrap();
    let stored = Stored {
        version_id: Some("v1".to_owned()),
        size: 5,
        sha256: Some(HELLO_SHA256),
        retention: Some(LOCK),
        held: true,
    };
    assert_eq!(object, Object { bytes: hello(), sha256: HELLO_SHA256, stored });
    assert_eq!(storage.trail(), ["GET /locked/log/segment/1?versionId=v1"]);
    assert_eq!(storage.asked()[0].header("x-amz-checksum-mode"), "ENABLED");
}

#[tokio::test]
async fn a_head_tells_size_checksum_version_and_lock() {
    let bare = Turn::ok().header("content-length", "7");
    let storage = Storage::start([stored(), bare]).await;
    let store = store(storage.address);
    let full = store.head(&key(), None, NOW).await.unwrap();
    assert_eq!((full.size, full.sha256), (5, Some(HELLO_SHA256)));
    assert_eq!((full.retention, full.held), (Some(LOCK), false));
    let bare = store.head(&key(), None, NOW).await.unwrap();
    let nothing = Stored { version_id: None, size: 7, sha256: None, retention: None, held: false };
    assert_eq!(bare, nothing);
}

#[tokio::test]
async fn version_ids_are_encoded() {
    let storage = Storage::start([object().header("x-amz-version-id", "a+/=&b?")]).await;
    get(&storage, Some("a+/=&b?"), 5).await.unwrap();
    assert_eq!(storage.trail(), ["GET /locked/log/segment/1?versionId=a%2B%2F%3D%26b%3F"]);
}

#[tokio::test]
async fn another_version_than_asked_for_is_not_believed() {
    for (given, named) in [("v2", "v2"), ("", ""), ("null", "")] {
        let storage = Storage::start([object().header("x-amz-version-id", given)]).await;
        let error = get(&storage, Some("v1"), 5).await.unwrap_err();
        assert!(
            matches!(&error, ObjectError::OtherVersion { given, .. } if given == named),
            "{error}"
        );
    }
}

#[tokio::test]
async fn bytes_that_do_not_match_their_checksum_are_not_given_out() {
    let storage = Storage::start([object().body("hellO")]).await;
    let error = get(&storage, None, 5).await.unwrap_err();
    assert!(matches!(error, ObjectError::WrongBytes { .. }), "{error}");
}

#[tokio::test]
async fn more_bytes_than_asked_for_are_not_taken() {
    // Announced, and not.
    for answer in [object(), object().header("content-length", "")] {
        let storage = Storage::start([answer.clone()]).await;
        let error = get(&storage, None, 4).await.unwrap_err();
        assert!(matches!(error, ObjectError::TooLarge { bytes_max: 4, .. }), "{error}");
        let storage = Storage::start([answer]).await;
        assert_eq!(get(&storage, None, 5).await.unwrap().bytes, hello());
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_read_again() {
    let storage = Storage::start([Turn::Cut, object()]).await;
    assert_eq!(get(&storage, None, 5).await.unwrap().bytes, hello());
}

#[tokio::test]
async fn what_is_not_there_is_told_from_what_is_deleted() {
    let marked = |status| Turn::status(status).header("x-amz-delete-marker", "true");
    for (answer, was_deleted) in [
        (Turn::error(404, "NoSuchKey"), false),
        (Turn::error(404, "NoSuchVersion"), false),
        (Turn::status(404), false),
        (marked(404), true),
        (marked(405), true),
    ] {
        let storage = Storage::start([answer.clone(), answer]).await;
        let got = get(&storage, Some("v1"), 5).await.unwrap_err();
        let looked = store(storage.address).head(&key(), Some("v1"), NOW).await.unwrap_err();
        for error in [got, looked] {
            assert!(
                matches!(&error, ObjectError::NotFound { deleted, .. } if *deleted == was_deleted),
                "{error}"
            );
        }
    }
    let storage = Storage::start([Turn::error(404, "NoSuchBucket")]).await;
    assert!(matches!(get(&storage, None, 5).await, Err(ObjectError::Refused { .. })));
}

#[tokio::test]
async fn an_answer_that_is_not_of_s3_is_refused() {
    for answer in [
        object().header("x-amz-checksum-sha256", "junk"),
        object().header("x-amz-object-lock-mode", "SOFT"),
        object().header("x-amz-object-lock-retain-until-date", "soon"),
    ] {
        let storage = Storage::start([answer.clone(), answer]).await;
        assert!(matches!(get(&storage, None, 5).await, Err(ObjectError::Malformed { .. })));
        let looked = store(storage.address).head(&key(), None, NOW).await;
        assert!(matches!(looked, Err(ObjectError::Malformed { .. })));
    }
    for status in [204, 206, 302] {
        let storage = Storage::start([Turn::status(status)]).await;
        assert!(matches!(get(&storage, None, 5).await, Err(ObjectError::Refused { .. })));
    }
}

#[tokio::test]
async fn the_page_of_a_proxy_tells_no_more_than_its_status() {
    let page = vec![b'x'; 128 * 1024];
    let storage = Storage::start([Turn::status(403).body(page)]).await;
    let error = get(&storage, None, 5).await.unwrap_err().to_string();
    let expected = "read of `segment/1`: refused with status 403: check the access key";
    assert!(error.starts_with(expected), "{error}");
}
