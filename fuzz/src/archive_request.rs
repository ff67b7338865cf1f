//! Requests to the pages of a log: what is given is a published file to the byte, entries only to whom
//! they are meant for and only with a record of it, and nothing else.

use crate::tlog_sample::{Files, SAMPLES, Sample, signer};
use archive::http::{Reader, Site};
use archive::{Notices, Recording, Unrecorded};
use bytes::Bytes;
use event::Kind;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, Uri, header};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Instant;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use verify::receipt::{Trust, verify};

/// The first line is method and target, separated by a space; then come headers. A full stop in front
/// means that nothing can be put on record.
pub fn archive_request(data: &[u8]) {
    let (refuses, data) = match data.strip_prefix(b".") {
        Some(rest) => (true, rest),
        None => (false, data),
    };
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let Some(space) = first.iter().position(|byte| *byte == b' ') else { return };
    let (method, target) =
        (Method::from_bytes(&first[..space]), Uri::try_from(&first[space + 1..]));
    let (Ok(method), Ok(uri)) = (method, target) else { return };
    if !Site::has(uri.path()) {
        return;
    }
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            headers.try_append(name, value).ok();
        }
    }
    RIG.with(|rig| check(rig, &Request { method, uri, headers, refuses }));
}

struct Request {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    /// Whether the log takes no records.
    refuses: bool,
}

impl Request {
    fn path(&self) -> &str {
        self.uri.path().strip_prefix("/log/").unwrap_or_default()
    }

    /// Whether it shows the one token there is.
    fn is_known(&self) -> bool {
        let mut given = self.headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return false };
        let shown = value.as_bytes().split_at_checked(7);
        shown.is_some_and(|(scheme, token)| {
            scheme.eq_ignore_ascii_case(b"bearer ") && token == TOKEN.as_bytes()
        })
    }

    fn with(&self, name: HeaderName, value: HeaderValue) -> Self {
        let mut headers = self.headers.clone();
        for condition in [header::IF_MATCH, header::IF_NONE_MATCH, header::IF_RANGE, header::RANGE]
        {
            headers.remove(condition);
        }
        headers.insert(name, value);
        let (method, uri) = (self.method.clone(), self.uri.clone());
        Self { method, uri, headers, refuses: self.refuses }
    }
}

/// The files of a log on disk. They are only read, so that each thread needs them once.
struct Rig {
    directory: TempDir,
    runtime: Runtime,
}

thread_local! {
    static RIG: Rig = {
        let directory = tempfile::tempdir().expect("there is a place for temporary files");
        write(directory.path(), &FILES);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        Rig { directory, runtime }
    };
}

/// The files of a log, of its timestamps and keys, and what is not of it but beside it.
static FILES: LazyLock<Files> = LazyLock::new(|| {
    let mut files = Files::new();
    for (path, bytes) in &LOG.files {
        files.insert(format!("log/{path}"), bytes.clone());
    }
    for path in ["keys/1.note", "timestamps/30.note", "timestamps/30.tsr"] {
        files.insert(format!("log/{path}"), path.as_bytes().to_vec());
    }
    for path in ["beside", "log/secret", "log/tile/0/secret", "log/timestamps/secret.note"] {
        files.insert(path.to_owned(), SECRET.as_bytes().to_vec());
    }
    files
});

static LOG: LazyLock<&Sample> = LazyLock::new(|| &SAMPLES[0]);

impl Rig {
    /// The answer of a site that was never asked before, and what it put on record.
    fn ask(&self, request: &Request) -> (Response<Bytes>, Vec<BTreeMap<String, String>>) {
        let digest = format!("sha256:{}", note::Hash::of(TOKEN.as_bytes()));
        let reader = Reader::new("auditor", &digest).expect("the reader is well formed");
        let kept = Arc::new(Kept { refuses: request.refuses, ..Kept::default() });
        let notices: Arc<dyn Notices> = kept.clone();
        let log = self.directory.path().join("log");
        let site = Site::new(&log, vec![reader], Some(Arc::new(signer())), notices);
        let answer = site.answer(&request.method, &request.uri, &request.headers, Instant::now());
        let answer = self.runtime.block_on(answer);
        let notices = std::mem::take(&mut *kept.notices.lock().expect("nobody panicked"));
        (answer, notices)
    }
}

fn check(rig: &Rig, request: &Request) {
    let (answer, notices) = rig.ask(request);
    check_form(request, &answer);
    check_secrets(request, &answer);
    let status = answer.status().as_u16();
    let gives = matches!(status, 200 | 206 | 304);
    let receipt = request.path().strip_prefix("receipt/");
    let with_entry = receipt.is_some()
        && request
            .uri
            .query()
            .is_some_and(|q| q.contains("entry=with") && !q.contains("entry=without"));
    let entries = with_entry || request.path().starts_with("tile/entries/");
    assert!(!gives || !entries || request.is_known(), "entries for nobody");
    let given = matches!(status, 200 | 206) && (request.method == Method::GET || with_entry);
    match &*notices {
        [] => assert!(!entries || !given, "entries without a record"),
        [one] => {
            assert!(entries && request.is_known() && one["reader"] == "auditor", "{one:?}");
            let index = |key: &str| one[key].parse::<u64>().expect("it is a number");
            assert!(index("from") < index("to"), "{one:?}");
        }
        _ => panic!("two records of one reading"),
    }
    assert!(!(request.refuses && entries && given), "entries while the log takes no record");
    match (gives, receipt) {
        (false, _) => {}
        (true, Some(wanted)) => check_receipt(wanted, status, &answer),
        (true, None) => check_file(request, &answer),
    }
    if let (true, Some(etag)) = (gives, answer.headers().get(header::ETAG)) {
        let again = |name| rig.ask(&request.with(name, etag.clone())).0.status().as_u16();
        assert_eq!(again(header::IF_NONE_MATCH), 304, "what is held is given again");
        assert_ne!(again(header::IF_MATCH), 412, "it is another all at once");
    }
}

fn check_form(request: &Request, answer: &Response<Bytes>) {
    let status = answer.status().as_u16();
    let value = |name| answer.headers().get(name).map(|value| value.to_str().expect("it is ASCII"));
    assert_eq!(value(header::X_CONTENT_TYPE_OPTIONS), Some("nosniff"));
    let length = value(header::CONTENT_LENGTH).map(|text| text.parse::<usize>().expect("a number"));
    if status == 304 {
        assert!(length.is_none() && answer.body().is_empty());
    } else if request.method == Method::HEAD {
        assert!(length.is_some() && answer.body().is_empty());
    } else {
        assert_eq!(length, Some(answer.body().len()));
    }
    let reads = request.method == Method::GET || request.method == Method::HEAD;
    assert_eq!(status == 405, !reads, "a log is only read");
    assert!(status < 500 || status == 503 || request.path().starts_with("receipt/"), "{status}");
}

/// No answer holds what is not of the log, a token, or an entry that nobody may see.
fn check_secrets(request: &Request, answer: &Response<Bytes>) {
    let shown = format!("{:?} {}", answer.headers(), String::from_utf8_lossy(answer.body()));
    let asked = format!("{}", request.uri);
    for secret in [SECRET, TOKEN] {
        assert!(asked.contains(secret) || !shown.contains(secret), "{asked}: {shown}");
    }
    let entry =
        LOG.entries.iter().skip(1).any(|entry| {
            answer.body().windows(entry.len()).any(|window| window == entry.as_slice())
        });
    assert!(!entry || request.is_known(), "an entry for nobody");
}

/// A published file, or the part of it that the answer says it is.
fn check_file(request: &Request, answer: &Response<Bytes>) {
    let path = request.path();
    let published = matches!(path, "checkpoint" | "origin.vkey" | "pruned")
        || ["tile/", "keys/", "timestamps/"].iter().any(|begin| path.starts_with(begin));
    assert!(published, "`{path}` is not published");
    let file = FILES.get(&format!("log/{path}")).expect("a file that is not there");
    let value = |name| answer.headers().get(name).map(|value| value.to_str().expect("it is ASCII"));
    let wanted = match (answer.status().as_u16(), value(header::CONTENT_RANGE)) {
        (206, Some(range)) => {
            let range = range.strip_prefix("bytes ").expect("ranges are of bytes");
            let (range, length) = range.split_once('/').expect("the length is known");
            let (first, last) = range.split_once('-').expect("a range has two ends");
            let number = |text: &str| text.parse::<usize>().expect("it is a number");
            assert_eq!(number(length), file.len());
            &file[number(first)..=number(last)]
        }
        (200, None) => file,
        (304, None) => return,
        other => panic!("a range that is none: {other:?}"),
    };
    if request.method == Method::GET {
        assert_eq!(answer.body().as_ref(), wanted, "another file");
    }
}

/// What is given as a receipt of an entry proves that entry, and no other.
fn check_receipt(wanted: &str, status: u16, answer: &Response<Bytes>) {
    let index: usize = wanted.parse().expect("no call is in this log");
    let entry = LOG.entries.get(index).expect("an entry that is not there");
    let body = answer.body();
    if status != 200 || body.is_empty() {
        return;
    }
    if body.starts_with(b"{") {
        let object: serde_json::Value = serde_json::from_slice(body).expect("it is JSON");
        let given = (object["index"].as_u64(), object["leaf_hash"].as_str());
        let wanted = (u64::try_from(index).ok(), note::leaf_hash(entry).to_base64());
        assert_eq!(given, (wanted.0, Some(wanted.1.as_str())), "a receipt of another entry");
        return;
    }
    let of = |entry: &[u8]| Trust {
        keys: vec![signer().verifier().clone()],
        entry: Some(entry.to_vec()),
        ..Trust::default()
    };
    verify(body, &of(entry)).expect("the receipt proves nothing");
    verify(body, &of(b"another")).expect_err("it proves another entry");
}

fn write(dir: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = dir.join(path);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).expect("a directory can be made");
        }
        fs::write(path, bytes).expect("a file can be written");
    }
}

/// Keeps what is put on record, or refuses it.
#[derive(Debug, Default)]
struct Kept {
    refuses: bool,
    notices: Mutex<Vec<BTreeMap<String, String>>>,
}

impl Notices for Kept {
    fn notice(&self, kind: Kind, details: BTreeMap<String, String>) -> Recording<'_> {
        Box::pin(async move {
            assert_eq!(kind, Kind::LogRead);
            if self.refuses {
                return Err(Unrecorded("the disk is full".to_owned()));
            }
            self.notices.lock().expect("nobody panicked").push(details);
            Ok(())
        })
    }
}

/// Stands in files that are not of the log.
const SECRET: &str = "not-of-the-log";
const TOKEN: &str = "the-token-of-the-auditor";
