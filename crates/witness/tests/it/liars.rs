//! The client against servers that say anything: nothing of it gets into a checkpoint.

use crate::fake_log::FakeLog;
use crate::rig::client_within;
use note::{Algorithm, Hash, Signer, cosign};
use std::future::ready;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use witness::{Client, Cosigned, Reason};

fn log() -> FakeLog {
    FakeLog::new("log.example/1", 1)
}

fn key() -> Signer {
    Signer::from_seed("w.example", Algorithm::Ed25519Cosignature, &[5; 32]).unwrap()
}

/// An HTTP answer with this head and body.
fn answer(status: &str, kind: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
    .into_bytes()
}

/// Asks a server that gives these answers, one a connection, the last one for ever.
async fn ask(answers: Vec<Vec<u8>>, size: usize) -> (Cosigned, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut answers = answers.into_iter().peekable();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_request(&mut stream).await;
            let answer = answers.next().unwrap();
            // The client may hang up before it has heard everything.
            stream.write_all(&answer).await.ok();
            stream.shutdown().await.ok();
            if answers.peek().is_none() {
                answers = vec![answer].into_iter().peekable();
            }
        }
    });
    let policy =
        format!("witness w {} http://{address}/prefix/\nquorum w\n", key().verifier().to_text());
    let client = client_within(&policy, Duration::from_secs(20), Duration::ZERO);
    let prove = move |old: u64| ready(Ok(log().proof(usize::try_from(old).unwrap(), size)));
    let cosigned = client.cosign(&log().note(size), prove).await.unwrap();
    (cosigned, client)
}

async fn read_request(stream: &mut TcpStream) {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        seen.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(seen).unwrap().to_lowercase();
    let monitoring = format!("get /prefix/{}/checkpoint ", Hash::of(b"log.example/1"));
    if head.starts_with(&monitoring) {
        return;
    }
    assert!(head.starts_with("post /prefix/add-checkpoint http/1.1\r\n"), "{head}");
    let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
}

fn plain(status: &str, body: &str) -> Vec<u8> {
    answer(status, "text/plain", body)
}

fn size(body: &str) -> Vec<u8> {
    answer("409 Conflict", "text/x.tlog.size", body)
}

fn line(size: usize) -> String {
    cosign(&log().checkpoint(size).to_text(), &key(), 7).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_a_cosignature_of_this_checkpoint_is_not_taken() {
    let bad = Reason::BadAnswer;
    let not_a_size = bad("a 409 must hold a size as `text/x.tlog.size`");
    let refused = |status, message: &str| Reason::Refused { status, message: message.to_owned() };
    let long = "x".repeat(70_000);
    for (answer, wanted) in [
        (plain("200 OK", ""), bad("it holds no signature line")),
        (plain("200 OK", "hello\n"), bad("a line is no signature line")),
        (plain("200 OK", line(5).trim_end()), bad("a line is no signature line")),
        (plain("200 OK", &line(4)), Reason::BadSignature),
        (plain("200 OK", "\u{2014} other.example AAAAAAAAAAAA\n"), Reason::NoSignature),
        (plain("200 OK", &long), bad("it is too long")),
        (plain("409 Conflict", "4\n"), not_a_size.clone()),
        (size("4"), not_a_size.clone()),
        (size("04\n"), not_a_size.clone()),
        (size("-4\n"), not_a_size.clone()),
        (size("18446744073709551616\n"), not_a_size.clone()),
        (size("6\n"), Reason::Ahead { held: 6, size: 5 }),
        (size("18446744073709551615\n"), Reason::Ahead { held: u64::MAX, size: 5 }),
        (size("4\n"), Reason::Unsteady(4)),
        (size("5\n"), Reason::Unsteady(5)),
        (size("0\n"), Reason::Unsteady(0)),
        (plain("403 Forbidden", "no \x1b[1m\n"), refused(403, "no \\u{1b}[1m")),
        (plain("201 Created", &line(5)), refused(201, line(5).trim_end())),
        (
            answer("302 Found\r\nLocation: http://127.0.0.1:1/", "text/plain", "there\n"),
            refused(302, "there"),
        ),
    ] {
        let shown = String::from_utf8_lossy(&answer).into_owned();
        let (cosigned, _) = ask(vec![answer], 5).await;
        assert_eq!(cosigned.failures[0].reason, wanted, "{shown}");
        assert_eq!((cosigned.note, cosigned.quorum), (log().note(5), false));
        assert!(cosigned.seen.is_empty());
    }
    for broken in ["", "HTTP/1.1", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"] {
        let (cosigned, _) = ask(vec![broken.into()], 5).await;
        let reason = &cosigned.failures[0].reason;
        assert!(matches!(reason, Reason::Unreachable(_)), "{broken:?}: {reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_good_is_taken_among_what_is_not() {
    let stranger = "\u{2014} other.example AAAAAAAAAAAA\n";
    let first = plain("200 OK", &format!("{stranger}{}{stranger}", line(5)));
    let kind = answer("409 Conflict", "text/x.tlog.size; charset=utf-8", "3\n");
    for answers in [vec![first], vec![kind, plain("200 OK", &line(5))]] {
        let (cosigned, _) = ask(answers, 5).await;
        assert_eq!(cosigned.failures, []);
        assert_eq!(cosigned.note, format!("{}{}", log().note(5), line(5)));
        assert_eq!(cosigned.seen[0].time_s, 7);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_size_that_nobody_can_prove_is_only_a_number() {
    let (_, client) = ask(vec![plain("200 OK", &line(5)), size("9\n")], 5).await;
    let known = client.ask_sizes(&log().note(5)).await.unwrap();
    assert_eq!((known[0].size.clone(), known[0].note.clone()), (Ok(9), None));
    let again = client.cosign(&log().note(5), |_| ready(Ok(Vec::<Hash>::new()))).await.unwrap();
    assert_eq!(again.failures[0].reason, Reason::Ahead { held: 9, size: 5 });
}
