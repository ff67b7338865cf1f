//! The pages of a real log, asked as an HTTP client asks.

use super::{Reader, Site, Which};
use crate::receipt::{Entry, Format, Of};
use crate::remote::{Asked, RemoteError, receipt};
use crate::sample::{Kept, SampleLog, entry, signer};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Uri, header};
use bytes::Bytes;
use note::{Hash, LogProof, Note, Policy, Pruned, leaf_hash};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const TOKEN: &str = "a-token-of-the-auditor";

struct Rig {
    log: SampleLog,
    site: Site,
    kept: Arc<Kept>,
    start: Instant,
}

impl Rig {
    fn new(log: SampleLog) -> Self {
        let reader = |name: &str, token: &str| {
            Reader::new(name, &format!("sha256:{}", Hash::of(token.as_bytes()))).unwrap()
        };
        let readers = vec![reader("somebody", "another-token"), reader("auditor", TOKEN)];
        let kept = Arc::new(Kept::default());
        let site = Site::new(log.path(), readers, Some(Arc::new(signer())), kept.clone());
        Self { log, site, kept, start: Instant::now() }
    }

    async fn ask(
        &self,
        method: Method,
        uri: &str,
        headers: &[(HeaderName, &str)],
    ) -> Response<Bytes> {
        self.ask_at(0, method, uri, headers).await
    }

    async fn ask_at(
        &self,
        second: u64,
        method: Method,
        uri: &str,
        headers: &[(HeaderName, &str)],
    ) -> Response<Bytes> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name, HeaderValue::from_str(value).unwrap());
        }
        let now = self.start + Duration::from_secs(second);
        self.site.answer(&method, &uri.parse::<Uri>().unwrap(), &map, now).await
    }

    async fn get(&self, uri: &str) -> Response<Bytes> {
        self.ask(Method::GET, uri, &[]).await
    }

    async fn read(&self, second: u64, uri: &str) -> Response<Bytes> {
        let token = format!("Bearer {TOKEN}");
        self.ask_at(second, Method::GET, uri, &[(header::AUTHORIZATION, &token)]).await
    }
}

fn value(response: &Response<Bytes>, name: HeaderName) -> &str {
    response.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

#[tokio::test]
async fn published_files_come_as_tlog_tiles_says() {
    let rig = Rig::new(SampleLog::with(300));
    let immutable = "public, max-age=31536000, immutable";
    for (path, media_type, cache) in [
        ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
        ("origin.vkey", "text/plain; charset=utf-8", immutable),
        ("tile/0/000", "application/octet-stream", immutable),
        ("tile/0/001.p/44", "application/octet-stream", immutable),
        ("tile/1/000.p/1", "application/octet-stream", immutable),
    ] {
        let got = rig.get(&format!("/log/{path}")).await;
        assert_eq!(got.status(), StatusCode::OK, "{path}");
        assert_eq!(got.body().as_ref(), rig.log.read(path), "{path}");
        assert_eq!(value(&got, header::CONTENT_TYPE), media_type);
        assert_eq!(value(&got, header::CACHE_CONTROL), cache);
        assert_eq!(value(&got, header::CONTENT_LENGTH), got.body().len().to_string());
        let head = rig.ask(Method::HEAD, &format!("/log/{path}"), &[]).await;
        assert_eq!(head.headers(), got.headers());
        assert!(head.body().is_empty());
    }
    let tile = rig.get("/log/tile/0/000").await;
    assert_eq!(tile.body().len(), 8_192);
    let posted = rig.ask(Method::POST, "/log/checkpoint", &[]).await;
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(value(&posted, header::ALLOW), "GET, HEAD");
    assert!(rig.kept.take().is_empty(), "nobody read entries");
}

#[tokio::test]
async fn keys_and_timestamps_are_served_too() {
    let rig = Rig::new(SampleLog::with(1));
    for (path, media_type) in [
        ("keys/1.note", "text/plain; charset=utf-8"),
        ("timestamps/1.note", "text/plain; charset=utf-8"),
        ("timestamps/1.tsr", "application/timestamp-reply"),
    ] {
        assert_eq!(rig.get(&format!("/log/{path}")).await.status(), StatusCode::NOT_FOUND);
        rig.log.write(path, path.as_bytes());
        let got = rig.get(&format!("/log/{path}")).await;
        assert_eq!((got.status(), got.body().as_ref()), (StatusCode::OK, path.as_bytes()));
        assert_eq!(value(&got, header::CONTENT_TYPE), media_type);
    }
}

#[tokio::test]
async fn nothing_else_of_the_directory_is_served() {
    let rig = Rig::new(SampleLog::with(1));
    rig.log.write("secret", b"secret");
    rig.log.write("../beside", b"secret");
    let segments = std::fs::read_dir(rig.log.path().join("segments"));
    let mut paths: Vec<String> = ["secret", "lock", "../beside", "%2e%2e/beside", "tile/../secret"]
        .map(str::to_owned)
        .to_vec();
    for segment in segments.into_iter().flatten() {
        paths.push(format!("segments/{}", segment.unwrap().file_name().to_str().unwrap()));
    }
    for path in paths {
        let got = rig.get(&format!("/log/{path}")).await;
        assert_eq!(got.status(), StatusCode::NOT_FOUND, "{path}");
        assert!(
            !got.body().windows(6).any(|window| window == b"secret") || path.contains("secret")
        );
        assert_eq!(value(&got, header::CACHE_CONTROL), "no-store");
    }
    // A directory where a file is meant.
    rig.log.write("tile/0/777/x", b"");
    assert_eq!(rig.get("/log/tile/0/777").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_superseded_tile_leads_to_the_full_one() {
    let rig = Rig::new(SampleLog::with(200));
    assert_eq!(rig.get("/log/tile/0/000.p/200").await.status(), StatusCode::OK);
    rig.log.append((200..256).map(entry));
    rig.log.publish();
    let gone = rig.get("/log/tile/0/000.p/200").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert_eq!(gone.body().as_ref(), b"superseded: the full tile is at /log/tile/0/000\n");
    let later = rig.get("/log/tile/0/001").await;
    assert_eq!(later.status(), StatusCode::NOT_FOUND);
    assert!(later.body().starts_with(b"this log has no such tile, or not yet"));
}

#[tokio::test]
async fn pruned_entries_are_said_to_be_pruned() {
    let rig = Rig::new(SampleLog::with(600));
    let origin = "example.com/audit".to_owned();
    let pruned = Pruned { origin, minimum: 256, time_ms: 1 };
    let note = Note::sign(&pruned.to_text(), &signer()).unwrap();
    rig.log.write("pruned", note.as_bytes());
    std::fs::remove_file(rig.log.path().join("tile/entries/000")).unwrap();
    let gone = rig.read(0, "/log/tile/entries/000").await;
    assert_eq!(gone.status(), StatusCode::NOT_FOUND);
    assert!(gone.body().starts_with(b"pruned: the entries below 256 "));
    assert_eq!(rig.get("/log/tile/0/000").await.status(), StatusCode::OK);
    assert_eq!(rig.get("/log/pruned").await.body().as_ref(), note.as_bytes());
    assert_eq!(rig.read(0, "/log/tile/entries/001").await.status(), StatusCode::OK);
    let receipt = rig.get("/log/receipt/3").await;
    assert_eq!(receipt.status(), StatusCode::OK, "the hashes are still there");
    let with = rig.read(0, "/log/receipt/3?entry=with").await;
    assert_eq!(with.status(), StatusCode::NOT_FOUND);
    assert!(with.body().starts_with(b"entry 3 was pruned"));
}

#[tokio::test]
async fn conditions_and_ranges() {
    let rig = Rig::new(SampleLog::with(300));
    let path = "/log/tile/0/000";
    let whole = rig.get(path).await;
    let etag = value(&whole, header::ETAG).to_owned();
    let bytes = whole.body().clone();
    let get = |headers: Vec<(HeaderName, String)>| {
        let rig = &rig;
        async move {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.clone(), value.as_str())).collect();
            rig.ask(Method::GET, path, &headers).await
        }
    };
    for held in [etag.clone(), format!("W/{etag}"), format!("\"x\", {etag}"), "*".to_owned()] {
        let got = get(vec![(header::IF_NONE_MATCH, held)]).await;
        assert_eq!((got.status(), got.body().len()), (StatusCode::NOT_MODIFIED, 0));
        assert_eq!(value(&got, header::ETAG), etag);
    }
    assert_eq!(
        get(vec![(header::IF_NONE_MATCH, "\"x\"".to_owned())]).await.status(),
        StatusCode::OK
    );
    let failed = get(vec![(header::IF_MATCH, format!("W/{etag}"))]).await;
    assert_eq!(failed.status(), StatusCode::PRECONDITION_FAILED);
    assert_eq!(get(vec![(header::IF_MATCH, etag.clone())]).await.status(), StatusCode::OK);

    for (range, part) in [
        ("bytes=0-31", 0..32),
        ("bytes=8191-", 8_191..8_192),
        ("bytes=8000-99999", 8_000..8_192),
        ("bytes=-32", 8_160..8_192),
        ("bytes=-99999", 0..8_192),
    ] {
        let got = get(vec![(header::RANGE, range.to_owned())]).await;
        assert_eq!(got.status(), StatusCode::PARTIAL_CONTENT, "{range}");
        assert_eq!(got.body().as_ref(), &bytes[part.clone()], "{range}");
        let shown = format!("bytes {}-{}/8192", part.start, part.end - 1);
        assert_eq!(value(&got, header::CONTENT_RANGE), shown);
    }
    for passed_over in ["bytes=5-2", "bytes=0-1,4-5", "lines=0-1", "bytes=", "bytes=a-b"] {
        let got = get(vec![(header::RANGE, passed_over.to_owned())]).await;
        assert_eq!((got.status(), got.body().len()), (StatusCode::OK, 8_192), "{passed_over}");
    }
    let got = get(vec![(header::RANGE, "bytes=8192-".to_owned())]).await;
    assert_eq!(got.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(value(&got, header::CONTENT_RANGE), "bytes */8192");
    let range = (header::RANGE, "bytes=0-0".to_owned());
    let got = get(vec![range.clone(), (header::IF_RANGE, etag.clone())]).await;
    assert_eq!(got.status(), StatusCode::PARTIAL_CONTENT);
    let got = get(vec![range, (header::IF_RANGE, "\"x\"".to_owned())]).await;
    assert_eq!(got.status(), StatusCode::OK);
    let head = rig.ask(Method::HEAD, path, &[(header::RANGE, "bytes=0-0")]).await;
    assert_eq!(head.status(), StatusCode::OK, "a range is of GET only");
}

#[tokio::test]
async fn entries_are_for_readers_only() {
    let rig = Rig::new(SampleLog::with(300));
    let path = "/log/tile/entries/000";
    for given in [
        vec![],
        vec![(header::AUTHORIZATION, "Bearer wrong")],
        vec![(header::AUTHORIZATION, "Bearer ")],
        vec![(header::AUTHORIZATION, TOKEN)],
        vec![(header::AUTHORIZATION, "Basic a-token-of-the-auditor")],
        vec![
            (header::AUTHORIZATION, "Bearer a-token-of-the-auditor"),
            (header::AUTHORIZATION, "Bearer wrong"),
        ],
    ] {
        for path in [path, "/log/tile/entries/999", "/log/receipt/1?entry=with"] {
            let got = rig.ask(Method::GET, path, &given).await;
            assert_eq!(got.status(), StatusCode::UNAUTHORIZED, "{given:?}");
            assert_eq!(value(&got, header::WWW_AUTHENTICATE), "Bearer realm=\"log entries\"");
            assert!(!String::from_utf8_lossy(got.body()).contains("entry 0"));
        }
    }
    assert!(rig.kept.take().is_empty());
    let got = rig.read(0, path).await;
    assert_eq!(got.body().as_ref(), rig.log.read("tile/entries/000"));
    assert_eq!(value(&got, header::CACHE_CONTROL), "private, max-age=31536000, immutable");
}

#[tokio::test]
async fn whoever_reads_is_on_record() {
    let rig = Rig::new(SampleLog::with(700));
    let (first, second) = ("/log/tile/entries/000", "/log/tile/entries/001");
    assert_eq!(rig.read(0, first).await.status(), StatusCode::OK);
    assert_eq!(rig.kept.take(), ["log.read from=0 reader=auditor requests=1 to=256"]);
    // What gives out nothing does not count.
    let token = format!("Bearer {TOKEN}");
    let authorized = (header::AUTHORIZATION, token.as_str());
    let head = rig.ask_at(1, Method::HEAD, first, std::slice::from_ref(&authorized)).await;
    let etag = value(&head, header::ETAG).to_owned();
    let held = [authorized.clone(), (header::IF_NONE_MATCH, etag.as_str())];
    assert_eq!(rig.ask_at(2, Method::GET, first, &held).await.status(), StatusCode::NOT_MODIFIED);
    rig.read(3, "/log/tile/entries/777").await;
    for at in 4..60 {
        assert_eq!(rig.read(at, second).await.status(), StatusCode::OK);
    }
    rig.site.record_reads(rig.start + Duration::from_secs(59), Which::Due).await.unwrap();
    assert!(rig.kept.take().is_empty(), "at most one a minute");
    rig.read(60, "/log/tile/entries/002.p/188").await;
    assert_eq!(rig.kept.take(), ["log.read from=256 reader=auditor requests=57 to=700"]);
    rig.read(70, "/log/receipt/5?entry=with").await;
    rig.site.record_reads(rig.start + Duration::from_secs(120), Which::Due).await.unwrap();
    assert_eq!(rig.kept.take(), ["log.read from=5 reader=auditor requests=1 to=6"]);
    rig.read(121, first).await;
    rig.site.record_reads(rig.start + Duration::from_secs(122), Which::All).await.unwrap();
    assert_eq!(rig.kept.take(), ["log.read from=0 reader=auditor requests=1 to=256"]);
    rig.site.record_reads(rig.start + Duration::from_secs(999), Which::All).await.unwrap();
    assert!(rig.kept.take().is_empty(), "nothing was read since");
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_given_out() {
    let rig = Rig::new(SampleLog::with(300));
    rig.kept.refuses.store(true, Ordering::SeqCst);
    for path in ["/log/tile/entries/000", "/log/receipt/1?entry=with"] {
        let got = rig.read(0, path).await;
        assert_eq!(got.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
        assert_eq!(value(&got, header::RETRY_AFTER), "2");
    }
    rig.kept.refuses.store(false, Ordering::SeqCst);
    assert_eq!(rig.read(1, "/log/tile/entries/000").await.status(), StatusCode::OK);
    assert_eq!(rig.kept.take(), ["log.read from=0 reader=auditor requests=1 to=256"]);
}

#[tokio::test]
async fn receipts_come_in_the_format_that_is_liked() {
    let rig = Rig::new(SampleLog::with(300));
    let path = "/log/receipt/42";
    for (accept, media_type) in [
        ("*/*", "text/plain; charset=utf-8"),
        ("text/plain", "text/plain; charset=utf-8"),
        ("application/cose", "application/cose; cose-type=\"cose-sign1\""),
        ("application/json;q=0.5, application/cose;q=0.4", "application/json"),
        ("application/*", "application/cose; cose-type=\"cose-sign1\""),
        ("text/*;q=0.1, application/json", "application/json"),
        ("*/*, text/plain;q=0, application/cose;q=0", "application/json"),
    ] {
        let got = rig.ask(Method::GET, path, &[(header::ACCEPT, accept)]).await;
        assert_eq!(got.status(), StatusCode::OK, "{accept}");
        assert_eq!(value(&got, header::CONTENT_TYPE), media_type, "{accept}");
        assert_eq!(value(&got, header::VARY), "accept");
    }
    for accept in ["image/png", "", "text/plain;q=0", "application/json;q=2"] {
        let got = rig.ask(Method::GET, path, &[(header::ACCEPT, accept)]).await;
        assert_eq!(got.status(), StatusCode::NOT_ACCEPTABLE, "{accept}");
    }
    let policy = format!("log {}\nquorum none\n", signer().verifier().to_text());
    let policy = Policy::parse(policy.as_bytes()).unwrap();
    let proof = LogProof::parse(rig.get(path).await.body()).unwrap();
    assert_eq!((proof.index, &proof.extra), (42, &None));
    proof.verify(leaf_hash(b"entry 42"), &policy).unwrap();
    let with = LogProof::parse(rig.read(0, "/log/receipt/42?entry=with").await.body()).unwrap();
    assert_eq!(with.extra.as_deref(), Some(b"entry 42".as_slice()));
    let late = rig.get("/log/receipt/300").await;
    assert_eq!((late.status(), value(&late, header::RETRY_AFTER)), (StatusCode::NOT_FOUND, "2"));
    assert!(late.body().starts_with(b"entry 300 is not published"));
    assert_eq!(rig.get("/log/receipt/1?x=y").await.status(), StatusCode::BAD_REQUEST);
    let unknown = rig.get("/log/receipt/019a7f3c-8d21-7c3e-9f00-0123456789ab").await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

/// Through a real connection: what an HTTP library makes of the answers.
#[tokio::test]
async fn a_client_reads_it_over_a_connection() {
    use http_body_util::Full;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let rig = Arc::new(Rig::new(SampleLog::with(300)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Arc::clone(&rig);
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let rig = Arc::clone(&serving);
            let service = service_fn(move |request: ::http::Request<hyper::body::Incoming>| {
                let rig = Arc::clone(&rig);
                async move {
                    let (parts, _) = request.into_parts();
                    let answer =
                        rig.site.answer(&parts.method, &parts.uri, &parts.headers, rig.start).await;
                    Ok::<_, std::convert::Infallible>(answer.map(Full::new))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    let client = crate::client::Client::new(Duration::from_secs(5)).unwrap();
    let url = |path: &str| url::Url::parse(&format!("http://{address}/log/{path}")).unwrap();
    let got = client.get(&url("tile/0/000"), HeaderMap::new(), 8_192).await.unwrap();
    assert_eq!(got.body.as_ref(), rig.log.read("tile/0/000"));
    let mut accept = HeaderMap::new();
    accept.insert(header::ACCEPT, HeaderValue::from_static("application/cose"));
    let got = client.get(&url("receipt/7"), accept, 4_096).await.unwrap();
    assert_eq!(got.body.first(), Some(&0xd2), "the tag of COSE_Sign1");
    let (index, call) = (crate::receipt::Wanted::Index(7), Of::Asked);
    for format in [Format::TlogProof, Format::Cose, Format::Json] {
        let asked = Asked { wanted: index, of: call, entry: Entry::Without, format };
        receipt(&client, &url(""), asked, None).await.unwrap();
        let asked = Asked { entry: Entry::With, ..asked };
        let refused = receipt(&client, &url(""), asked, Some("wrong")).await.unwrap_err();
        assert!(matches!(refused, RemoteError::Refused { status: 401 | 406, .. }), "{refused}");
        let given = receipt(&client, &url(""), asked, Some(TOKEN)).await;
        assert_eq!(given.is_ok(), format != Format::Cose, "{given:?}");
    }
    let mut raw = tokio::net::TcpStream::connect(address).await.unwrap();
    raw.write_all(b"HEAD /log/tile/0/000 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut head = String::new();
    raw.read_to_string(&mut head).await.unwrap();
    assert!(head.contains("\r\ncontent-length: 8192\r\n") && head.ends_with("\r\n\r\n"), "{head}");
    // No URL can climb: whatever is in front of `..` goes away before it is sent, or does not parse here.
    let got = client.get(&url("tile/..%2f..%2fbeside"), HeaderMap::new(), 4_096).await.unwrap();
    assert_eq!(got.status, StatusCode::NOT_FOUND);
    let long = client.get(&url("tile/0/000"), HeaderMap::new(), 8_191).await.unwrap_err();
    assert!(long.to_string().contains("more than 8191 bytes"), "{long}");
    server.abort();
}
