//! Storages that are busy, break off or are not there.

use crate::storage::{Storage, Turn};
use crate::{LOCK, NOW, config, hello, key, store, stored};
use bytes::Bytes;
use objects::{ObjectError, Put, Store};
use std::time::Duration;
use tokio::net::TcpListener;

async fn put(storage: &Storage) -> Result<Put, ObjectError> {
    store(storage.address).put(&key(), hello(), LOCK, NOW).await
}

fn put_answer() -> Turn {
    Turn::ok().header("x-amz-version-id", "v1")
}

const PUT: &str = "PUT /locked/log/segment/1";
const HEAD: &str = "HEAD /locked/log/segment/1";
const HEAD_V1: &str = "HEAD /locked/log/segment/1?versionId=v1";

#[tokio::test]
async fn what_passes_is_tried_again() {
    for passing in [
        Turn::error(500, "InternalError"),
        Turn::status(502),
        Turn::error(503, "SlowDown"),
        Turn::status(504),
        Turn::status(429),
        Turn::status(500).body(vec![b'x'; 128 * 1024]),
        Turn::Break,
    ] {
        let storage =
            Storage::start([passing.clone(), put_answer(), passing.clone(), stored()]).await;
        assert!(!put(&storage).await.unwrap().existed, "{passing:?}");
        assert_eq!(storage.trail(), [PUT, PUT, HEAD_V1, HEAD_V1]);
    }
}

#[tokio::test]
async fn what_only_the_body_tells_to_pass_is_tried_again() {
    for passing in [
        Turn::Cut,
        Turn::error(409, "ConditionalRequestConflict"),
        Turn::error(409, "OperationAborted"),
        Turn::error(400, "RequestTimeout"),
    ] {
        let storage = Storage::start([passing, put_answer(), stored()]).await;
        assert!(!put(&storage).await.unwrap().existed);
        assert_eq!(storage.trail(), [PUT, PUT, HEAD_V1]);
    }
}

#[tokio::test]
async fn every_attempt_is_signed_anew() {
    let storage = Storage::start([Turn::status(503), put_answer(), stored()]).await;
    put(&storage).await.unwrap();
    for asked in storage.asked() {
        assert!(asked.header("authorization").starts_with("AWS4-HMAC-SHA256 "));
        assert!(asked.header("x-amz-date").starts_with("20261122T0000"));
    }
}

#[tokio::test]
async fn a_put_whose_answer_was_lost_is_found_by_the_next() {
    let taken = Turn::error(412, "PreconditionFailed");
    let storage = Storage::start([Turn::Break, taken, stored()]).await;
    assert!(put(&storage).await.unwrap().existed);
    assert_eq!(storage.trail(), [PUT, PUT, HEAD]);
}

#[tokio::test]
async fn after_the_last_attempt_what_is_there_tells() {
    let lost = || [Turn::Break, Turn::Break, Turn::Break];
    let storage = Storage::start(lost().into_iter().chain([stored()])).await;
    assert!(put(&storage).await.unwrap().existed);
    assert_eq!(storage.trail(), [PUT, PUT, PUT, HEAD]);

    let other = stored().header("content-length", "6");
    let storage = Storage::start(lost().into_iter().chain([other])).await;
    assert!(matches!(put(&storage).await, Err(ObjectError::Differs { .. })));

    let unlocked = stored().header("x-amz-object-lock-mode", "");
    let storage = Storage::start(lost().into_iter().chain([unlocked])).await;
    assert!(matches!(put(&storage).await, Err(ObjectError::NotLocked { .. })));

    for found in [Turn::status(404), Turn::status(403)] {
        let storage = Storage::start(lost().into_iter().chain([found])).await;
        let error = put(&storage).await.unwrap_err();
        assert!(matches!(error, ObjectError::Unavailable { attempts: 3, .. }), "{error}");
        assert_eq!(storage.trail(), [PUT, PUT, PUT, HEAD]);
    }
}

#[tokio::test]
async fn a_storage_that_refuses_before_it_has_the_bytes_is_understood() {
    let large = Bytes::from(vec![7; 16 * 1024 * 1024]);
    let found = stored()
        .header("content-length", &large.len().to_string())
        .header("x-amz-checksum-sha256", "WDjNIImy2I7i2YnZyYSz/9nKjL32ere/Fcw3HVjexpI=");
    // The refusal may come through, or be overtaken by the reset of the connection every time; either
    // way what is there tells.
    let storage = Storage::start([Turn::Early { status: 412 }, found]).await;
    let put = store(storage.address).put(&key(), large, LOCK, NOW).await.unwrap();
    assert!(put.existed);
    let trail = storage.trail();
    assert_eq!(trail.last().map(String::as_str), Some(HEAD), "{trail:?}");
}

#[tokio::test]
async fn a_storage_that_stays_busy_is_given_up() {
    let busy = || Turn::error(503, "SlowDown");
    let storage = Storage::start([busy(), busy(), busy()]).await;
    let error = store(storage.address).head(&key(), None, NOW).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "look at `segment/1`: storage not available after 3 attempts: status 503"
    );
    assert_eq!(storage.trail(), [HEAD, HEAD, HEAD]);

    let storage = Storage::start([busy(), busy(), busy()]).await;
    let error = store(storage.address).require_lock(NOW).await.unwrap_err().to_string();
    assert!(error.ends_with("after 3 attempts: status 503 (`SlowDown`)"), "{error}");
}

#[tokio::test]
async fn a_storage_that_is_not_there_is_given_up() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = store(address).head(&key(), None, NOW).await.unwrap_err();
    assert!(matches!(error, ObjectError::Unavailable { attempts: 3, .. }), "{error}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_never_answers_is_given_up() {
    let storage = Storage::start([Turn::Silence, Turn::Silence, Turn::Silence]).await;
    let mut config = config(storage.address);
    config.limits.connect_timeout = Duration::from_secs(3_600);
    let store = Store::new(&config).unwrap();
    let error = store.head(&key(), None, NOW).await.unwrap_err().to_string();
    assert!(error.contains("after 3 attempts: no whole answer within 62 s"), "{error}");
}
