//! The HTTP side of a witness: every answer of tlog-witness, and every bound.

use crate::fake_log::{FakeLog, body};
use crate::rig::{Answered, NOW_S, Rig, posted, send};
use note::{Algorithm, Hash, Note, Signer, cosigned};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use witness::{DirectoryError, Limits, REQUEST_BYTES_MAX, Witness};

const ORIGIN: &str = "log.example/1";

fn log() -> FakeLog {
    FakeLog::new(ORIGIN, 1)
}

fn monitoring() -> String {
    format!("/{}/checkpoint", Hash::of(ORIGIN.as_bytes()))
}

/// A directory with one fixed Ed25519 key (seed 32 times 0x09).
fn fixed_directory(root: &Path) {
    witness::init(root, "witness.example/w").unwrap();
    fs::remove_file(root.join("keys/ml-dsa-44.key")).unwrap();
    let algorithm = Algorithm::Ed25519Cosignature;
    let signer = Signer::from_seed("witness.example/w", algorithm, &[9; 32]).unwrap();
    let id = signer.verifier().id_hex();
    let line = format!(
        "PRIVATE+KEY+witness.example/w+{id}+BAkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJ\n"
    );
    fs::write(root.join("keys/ed25519.key"), line).unwrap();
    witness::add_log(root, &log().key()).unwrap();
}

/// Ed25519 signs deterministically, so every byte that goes over the wire is fixed.
#[tokio::test(flavor = "multi_thread")]
async fn requests_and_answers_are_these_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("w");
    fixed_directory(&root);
    let rig = Rig::on(&root, Limits::default()).await;
    let log = log();
    assert_eq!(rig.post(&log.body(0, 21)).await.status, 200);
    let request = include_bytes!("../golden/add-checkpoint.txt");
    assert_eq!(String::from_utf8_lossy(request), String::from_utf8_lossy(&log.body(21, 40)));
    rig.set_clock(NOW_S + 60);
    let answer = rig.post(request).await;
    assert_eq!((answer.status, answer.kind()), (200, "text/plain; charset=utf-8"));
    assert_eq!(answer.body, include_str!("../golden/cosignature.txt"));
    let stale = rig.post(request).await;
    assert_eq!((stale.status, stale.kind()), (409, "text/x.tlog.size"));
    assert_eq!(stale.body, "40\n");
    let shown = rig.get(&monitoring()).await;
    assert_eq!(shown.body, include_str!("../golden/checkpoint.txt"));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_has_its_status_and_type() {
    let log = log();
    let rig = Rig::new("witness.example", &[log.key()]).await;
    assert_eq!(rig.get(&monitoring()).await.status, 404);
    let first = rig.post(&log.body(0, 8)).await;
    assert_eq!(first.status, 200);
    let stranger = FakeLog::new("stranger.example", 1);
    for (request, wanted) in [
        (b"nonsense".to_vec(), 400),
        (body(41, &[], &log.note(9)), 400),
        (FakeLog::new(ORIGIN, 2).body(8, 9), 403),
        (stranger.body(0, 3), 404),
        (log.forked_at(3).body(8, 8), 422),
        (log.forked_at(3).body(8, 12), 422),
        (vec![b'x'; REQUEST_BYTES_MAX + 1], 413),
    ] {
        let answer = rig.post(&request).await;
        assert_eq!((answer.status, answer.kind()), (wanted, "text/plain; charset=utf-8"));
        assert!(answer.body.ends_with('\n'), "{answer:?}");
    }
    for (method, path, wanted) in [
        ("GET", "/add-checkpoint", 405),
        ("PUT", "/add-checkpoint", 405),
        ("POST", "/", 405),
        ("POST", monitoring().as_str(), 405),
        ("GET", "/other", 404),
        ("GET", "/add-checkpoint/", 404),
        ("GET", "/../checkpoint", 404),
        ("GET", "/checkpoint", 404),
    ] {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: w\r\nConnection: close\r\n\r\n");
        let answer = send(&rig.address, request.as_bytes()).await;
        assert_eq!(answer.status, wanted, "{method} {path}");
    }
    let shown = rig.get(&monitoring()).await;
    assert_eq!((shown.status, shown.body), (200, format!("{}{}", log.note(8), first.body)));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_shows_the_lines_for_a_policy() {
    let rig = Rig::new("witness.example", &[]).await;
    let page = rig.get("/").await;
    assert_eq!((page.status, page.kind()), (200, "text/plain; charset=utf-8"));
    let policy = format!("{}quorum witness.example\n", page.body);
    let policy = note::Policy::parse(policy.as_bytes()).unwrap();
    let keys: Vec<_> = policy.witnesses().iter().map(|one| one.key.clone()).collect();
    assert_eq!(keys, rig.keys);
    assert_eq!(fs::read_to_string(rig.root.join("vkeys")).unwrap().lines().count(), 2);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_requests_and_ends_with_the_witness() {
    let log = log();
    let rig = Rig::new("witness.example", &[log.key()]).await;
    let mut stream = TcpStream::connect(&rig.address).await.unwrap();
    let mut cosigned_at = 0;
    for new in [1, 5, 9] {
        let request = posted(&log.body(cosigned_at, new));
        let request = String::from_utf8(request).unwrap().replace("Connection: close\r\n", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        let answer = read_one(&mut stream).await;
        assert_eq!(answer.status, 200);
        cosigned_at = new;
    }
    // Open and idle, it does not hold up the end.
    rig.end().await;
    assert_eq!(stream.read(&mut [0; 1]).await.unwrap(), 0);
}

/// One answer of a connection that stays open.
async fn read_one(stream: &mut TcpStream) -> Answered {
    let mut bytes = Vec::new();
    loop {
        bytes.push(stream.read_u8().await.unwrap());
        if !bytes.ends_with(b"\r\n\r\n") {
            continue;
        }
        let head = Answered::read(&bytes).head;
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        return Answered::read(&[bytes, body].concat());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_slowly_or_too_much_is_cut_off() {
    let log = log();
    let rig = Rig::new("witness.example", &[log.key()]).await;
    let short = Limits {
        head_timeout: Duration::from_millis(50),
        body_timeout: Duration::from_millis(50),
        ..Limits::default()
    };
    let rig = rig.restart_with(short).await;
    let half = posted(&log.body(0, 8));
    let answer = send(&rig.address, &half[..half.len() - 1]).await;
    assert_eq!(answer.status, 408);
    let mut stream = TcpStream::connect(&rig.address).await.unwrap();
    stream.write_all(b"POST /add-checkpoint HTTP/1.1\r\n").await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    let rig = rig.restart_with(Limits::default()).await;
    let long = format!("GET / HTTP/1.1\r\nHost: w\r\nA: {}\r\n\r\n", "x".repeat(20_000));
    assert_eq!(send(&rig.address, long.as_bytes()).await.status, 431);
    let many = format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(51));
    assert_eq!(send(&rig.address, many.as_bytes()).await.status, 431);
    let none = Limits { requests_max: 0, ..Limits::default() };
    let rig = rig.restart_with(none).await;
    assert_eq!(rig.post(&log.body(0, 8)).await.status, 503);
    assert_eq!(rig.get(&monitoring()).await.status, 503);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_witness_at_a_time() {
    let log = log();
    let rig = Rig::new("witness.example", &[log.key()]).await;
    assert!(matches!(Witness::open(&rig.root), Err(DirectoryError::InUse(_))));
    assert!(matches!(witness::forget_log(&rig.root, ORIGIN), Err(DirectoryError::InUse(_))));
    let root = rig.root.clone();
    // Kept until the directory is looked at again.
    let _directory = rig.directory();
    rig.end().await;
    drop(Witness::open(&root).unwrap());
    witness::forget_log(&root, ORIGIN).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_added_is_served_at_once() {
    let (log, other) = (log(), FakeLog::new("log.example/2", 2));
    let rig = Rig::new("witness.example", &[log.key()]).await;
    assert_eq!(rig.post(&other.body(0, 3)).await.status, 404);
    witness::add_log(&rig.root, &other.key()).unwrap();
    assert_eq!(rig.post(&other.body(0, 3)).await.status, 200);
    // Written into the list by hand, a log is not begun, and nothing is taken for granted.
    let third = FakeLog::new("log.example/3", 3);
    let logs = rig.root.join("logs");
    let text = fs::read_to_string(&logs).unwrap();
    fs::write(&logs, format!("{text}{}\n", third.key().to_text())).unwrap();
    let refused = rig.post(&third.body(0, 3)).await;
    assert_eq!(refused.status, 500);
    assert!(!refused.body.contains(rig.root.to_str().unwrap()), "{refused:?}");
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_remembers_across_its_end() {
    let log = log();
    let rig = Rig::new("witness.example", &[log.key()]).await;
    let cosigned_line = rig.post(&log.body(0, 8)).await.body;
    let rig = rig.restart(|_| {}).await;
    let stale = rig.post(&log.forked_at(2).body(0, 8)).await;
    assert_eq!((stale.status, stale.body.as_str()), (409, "8\n"));
    let shown = rig.get(&monitoring()).await.body;
    let parsed = Note::parse(shown.as_bytes()).unwrap();
    assert!(shown.ends_with(&cosigned_line));
    assert_eq!(cosigned(&parsed, &rig.keys[0]), Ok(Some(NOW_S)));
    let rig = rig
        .restart(|root| {
            let state = root.join("state");
            let file = fs::read_dir(&state).unwrap().next().unwrap().unwrap().path();
            fs::remove_file(file).unwrap();
        })
        .await;
    assert_eq!(rig.post(&log.body(0, 8)).await.status, 500);
    rig.end().await;
}
