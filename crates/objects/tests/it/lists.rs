//! Listing versions page by page, and looking at the lock of the bucket.

use crate::storage::{Storage, Turn};
use crate::{NOW, store};
use objects::{Entry, Kind, ObjectError};

fn page(rest: &str) -> Turn {
    let xmlns = "http://s3.amazonaws.com/doc/2006-03-01/";
    Turn::ok().body(format!("<ListVersionsResult xmlns=\"{xmlns}\">{rest}</ListVersionsResult>"))
}

fn version(key: &str) -> String {
    format!(
        "<Version><Key>{key}</Key><VersionId>v1</VersionId><IsLatest>true</IsLatest>\
         <Size>5</Size></Version>"
    )
}

fn more(key: &str) -> String {
    format!(
        "<IsTruncated>true</IsTruncated><NextKeyMarker>{key}</NextKeyMarker>\
         <NextVersionIdMarker>v1</NextVersionIdMarker>"
    )
}

const LAST: &str = "<IsTruncated>false</IsTruncated>";

#[tokio::test]
async fn pages_follow_one_another() {
    let first = page(&format!("{}{}", more("log/a/1 &amp;"), version("log/a/1 &amp;")));
    let last = page(&format!("{LAST}{}", version("log/a/2")));
    let storage = Storage::start([first, last]).await;
    let store = store(storage.address);
    let first = store.list("a/", None, NOW).await.unwrap();
    let last = store.list("a/", first.next.as_ref(), NOW).await.unwrap();
    let entry = |key: &str| Entry {
        key: key.to_owned(),
        version_id: "v1".to_owned(),
        latest: true,
        kind: Kind::Object { size: 5 },
    };
    assert_eq!((first.entries, last.entries), (vec![entry("a/1 &")], vec![entry("a/2")]));
    assert!(last.next.is_none());
    assert_eq!(
        storage.trail(),
        [
            "GET /locked?versions&prefix=log%2Fa%2F",
            "GET /locked?versions&key-marker=log%2Fa%2F1+%26&version-id-marker=v1\
             &prefix=log%2Fa%2F",
        ]
    );
}

#[tokio::test]
async fn a_list_that_goes_round_or_elsewhere_is_refused() {
    let circle = || page(&more("log/a"));
    let storage = Storage::start([circle(), circle()]).await;
    let store = store(storage.address);
    let first = store.list("", None, NOW).await.unwrap();
    let again = store.list("", first.next.as_ref(), NOW).await;
    assert!(matches!(again, Err(ObjectError::Malformed { .. })));

    for answer in [
        page(&format!("{LAST}{}", version("other/a"))),
        page("<IsTruncated>true</IsTruncated>"),
        Turn::ok().body("<html>log in</html>"),
        Turn::ok(),
    ] {
        let storage = Storage::start([answer]).await;
        let listed = crate::store(storage.address).list("", None, NOW).await;
        assert!(matches!(listed, Err(ObjectError::Malformed { .. })));
    }
    let storage = Storage::start([Turn::ok().body(vec![b' '; 9 * 1024 * 1024])]).await;
    let listed = crate::store(storage.address).list("", None, NOW).await;
    assert!(matches!(listed, Err(ObjectError::TooLarge { .. })));
    let storage = Storage::start([]).await;
    let listed = crate::store(storage.address).list("a b", None, NOW).await;
    assert!(matches!(listed, Err(ObjectError::BadKey(_))));
}

#[tokio::test]
async fn a_bucket_without_object_lock_is_told_with_what_to_do() {
    let lock = |text: &str| {
        let enabled = format!("<ObjectLockEnabled>{text}</ObjectLockEnabled>");
        Turn::ok().body(format!("<ObjectLockConfiguration>{enabled}</ObjectLockConfiguration>"))
    };
    let storage = Storage::start([
        lock("Enabled"),
        lock("Disabled"),
        Turn::error(404, "ObjectLockConfigurationNotFoundError"),
        Turn::error(404, "NoSuchBucket"),
        Turn::ok().body("<html>"),
    ])
    .await;
    let store = store(storage.address);
    store.require_lock(NOW).await.unwrap();
    for _ in 0..2 {
        let error = store.require_lock(NOW).await.unwrap_err();
        assert!(matches!(error, ObjectError::NoObjectLock { .. }));
        assert!(error.to_string().contains("--object-lock-enabled-for-bucket"), "{error}");
    }
    let gone = store.require_lock(NOW).await;
    assert!(matches!(gone, Err(ObjectError::Refused { status: 404, .. })));
    let odd = store.require_lock(NOW).await;
    assert!(matches!(odd, Err(ObjectError::Malformed { .. })));
    assert!(storage.trail().iter().all(|asked| asked == "GET /locked?object-lock"));
}
