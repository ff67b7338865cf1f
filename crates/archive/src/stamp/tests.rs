//! An authority on a real connection, whose answers were made by `openssl ts` and are those of the tests of
//! crate `timestamp`.

use super::{Authorities, Shelf, StampError, Stamper};
use crate::client::Client;
use crate::sample::Kept;
use ::http::{HeaderValue, Request, Response, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use note::Hash;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

const NOTE: &[u8] = include_bytes!("../../tests/golden/stamp/checkpoint.txt");
const STAMP: &[u8] = include_bytes!("../../tests/golden/stamp/rsa.tsr");
const OTHER: &[u8] = include_bytes!("../../tests/golden/stamp/ecdsa.tsr");
const REJECTED: &[u8] = include_bytes!("../../tests/golden/stamp/rejected.tsr");
const ROOT: &str = include_str!("../../tests/golden/stamp/rsa-root.pem");
const NONCE: u64 = 0x6299_92FE_19C9_CF53;
const REPLY: &str = "application/timestamp-reply";

/// A shelf on files.
#[derive(Debug)]
struct Files {
    directory: PathBuf,
    full: AtomicBool,
}

impl Shelf for Files {
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let path = self.directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap())?;
        std::fs::write(path, bytes)
    }
}

struct Rig {
    temporary: TempDir,
    shelf: Arc<Files>,
    kept: Arc<Kept>,
}

impl Rig {
    fn new() -> Self {
        let temporary = tempfile::tempdir().unwrap();
        std::fs::write(temporary.path().join("checkpoint"), NOTE).unwrap();
        let directory = temporary.path().to_owned();
        let shelf = Arc::new(Files { directory, full: AtomicBool::new(false) });
        Self { temporary, shelf, kept: Arc::new(Kept::default()) }
    }

    fn stamper(&self, urls: Vec<Url>) -> Stamper {
        let roots = timestamp::roots_from_pem(ROOT).unwrap();
        let client = Client::new(Duration::from_secs(5)).unwrap();
        let authorities = Authorities { urls, roots };
        let (shelf, kept) = (self.shelf.clone(), self.kept.clone());
        Stamper::new(self.temporary.path(), authorities, client, shelf, kept)
    }

    fn files(&self) -> Vec<String> {
        let listed = std::fs::read_dir(self.temporary.path().join("timestamps"));
        let names = listed.into_iter().flatten().map(|file| file.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// An authority that gives this answer to every query; the queries are kept.
async fn authority(
    status: u16,
    media_type: &'static str,
    body: &'static [u8],
) -> (Url, Arc<Mutex<Vec<Bytes>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/tsa", listener.local_addr().unwrap())).unwrap();
    let queries = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&queries);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let seen = Arc::clone(&seen);
            let service = service_fn(move |request: Request<Incoming>| {
                let seen = Arc::clone(&seen);
                async move {
                    assert_eq!(
                        request.headers()[header::CONTENT_TYPE],
                        "application/timestamp-query"
                    );
                    let query = request.into_body().collect().await.unwrap().to_bytes();
                    seen.lock().unwrap().push(query);
                    let mut response = Response::new(Full::new(Bytes::from_static(body)));
                    *response.status_mut() = StatusCode::from_u16(status).unwrap();
                    let media_type = HeaderValue::from_static(media_type);
                    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
                    Ok::<_, Infallible>(response)
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    (url, queries)
}

#[tokio::test]
async fn a_checkpoint_is_stamped_once() {
    let rig = Rig::new();
    let (url, queries) = authority(200, REPLY, STAMP).await;
    let stamper = rig.stamper(vec![url.clone()]);
    let stamped = stamper.stamp(NONCE).await.unwrap().unwrap();
    assert_eq!((stamped.size, stamped.sha256, &stamped.url), (256, Hash::of(NOTE), &url));
    let query = timestamp::Request::new(*Hash::of(NOTE).as_bytes(), NONCE).to_der();
    assert_eq!(*queries.lock().unwrap(), [query]);
    assert_eq!(rig.files(), ["256.note", "256.tsr"]);
    let kept = rig.temporary.path().join("timestamps");
    assert_eq!(std::fs::read(kept.join("256.note")).unwrap(), NOTE);
    assert_eq!(std::fs::read(kept.join("256.tsr")).unwrap(), STAMP);
    let recorded = rig.kept.take();
    let [line] = recorded.as_slice() else { panic!("{recorded:?}") };
    assert!(line.starts_with("log.timestamped policy=1.3.6.1.4.1.99999.1 serial="), "{line}");
    assert!(line.contains(&format!(" sha256={} size=256 time=20", Hash::of(NOTE))), "{line}");
    assert!(line.contains(" tsa="), "{line}");
    assert_eq!(stamper.stamp(NONCE).await.unwrap(), None, "it is stamped already");
    assert_eq!(queries.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn what_does_not_verify_is_not_kept() {
    let rig = Rig::new();
    for (status, media_type, body, nonce) in [
        (200, REPLY, STAMP, NONCE ^ 1),
        (200, REPLY, OTHER, NONCE),
        (200, REPLY, REJECTED, NONCE),
        (200, REPLY, &STAMP[..100], NONCE),
        (200, REPLY, b"".as_slice(), NONCE),
        (200, "text/html", STAMP, NONCE),
        (500, REPLY, STAMP, NONCE),
        (301, REPLY, STAMP, NONCE),
    ] {
        let (url, _) = authority(status, media_type, body).await;
        let error = rig.stamper(vec![url]).stamp(nonce).await.unwrap_err();
        let expected = if status == 200 && media_type == REPLY {
            matches!(error, StampError::Untrusted { .. })
        } else {
            matches!(error, StampError::Answer { .. })
        };
        assert!(expected, "{error}");
    }
    assert!(rig.files().is_empty() && rig.kept.take().is_empty());
}

#[tokio::test]
async fn the_next_authority_is_asked_when_one_fails() {
    let rig = Rig::new();
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nowhere = Url::parse(&format!("http://{}/", nobody.local_addr().unwrap())).unwrap();
    drop(nobody);
    let error = rig.stamper(vec![nowhere.clone()]).stamp(NONCE).await.unwrap_err();
    assert!(matches!(error, StampError::Client(_)), "{error}");
    assert!(matches!(rig.stamper(vec![]).stamp(NONCE).await, Err(StampError::Nobody)));
    let (bad, _) = authority(200, REPLY, OTHER).await;
    let (good, _) = authority(200, "application/timestamp-reply; charset=binary", STAMP).await;
    let stamped = rig.stamper(vec![nowhere, bad, good.clone()]).stamp(NONCE).await.unwrap();
    assert_eq!(stamped.unwrap().url, good);
}

#[tokio::test]
async fn what_is_on_record_is_kept() {
    let rig = Rig::new();
    let (url, _) = authority(200, REPLY, STAMP).await;
    let stamper = rig.stamper(vec![url]);
    rig.shelf.full.store(true, Ordering::SeqCst);
    assert!(matches!(stamper.stamp(NONCE).await, Err(StampError::Write { .. })));
    assert!(rig.kept.take().is_empty(), "nothing is on record that is not kept");
    rig.shelf.full.store(false, Ordering::SeqCst);
    assert!(stamper.stamp(NONCE).await.unwrap().is_some());
    assert_eq!(rig.kept.take().len(), 1);
}

#[tokio::test]
async fn only_a_checkpoint_with_entries_is_stamped() {
    let rig = Rig::new();
    let (url, queries) = authority(200, REPLY, STAMP).await;
    let empty = String::from_utf8(NOTE.to_vec()).unwrap().replacen("\n256\n", "\n0\n", 1);
    let checkpoint = rig.temporary.path().join("checkpoint");
    std::fs::write(&checkpoint, empty).unwrap();
    assert_eq!(rig.stamper(vec![url.clone()]).stamp(NONCE).await.unwrap(), None);
    std::fs::write(&checkpoint, b"no checkpoint").unwrap();
    let error = rig.stamper(vec![url]).stamp(NONCE).await.unwrap_err();
    assert!(matches!(error, StampError::Checkpoint(_)), "{error}");
    assert!(queries.lock().unwrap().is_empty());
}
