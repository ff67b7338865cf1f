//! The client against real witnesses: growth, loss, forks, and witnesses that are not there.

use crate::fake_log::FakeLog;
use crate::rig::{NOW_S, Rig, client, client_within};
use note::{Hash, Note, Policy, cosigned};
use std::future::{Ready, ready};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use witness::{Client, Cosigned, Reason, Settings};

const ORIGIN: &str = "log.example/1";

fn log() -> FakeLog {
    FakeLog::new(ORIGIN, 1)
}

/// Has the log's checkpoint of this size cosigned; also the sizes that proofs were asked from.
async fn cosign(client: &Client, log: &FakeLog, size: usize) -> (Cosigned, Vec<u64>) {
    let proofs: Vec<Vec<Hash>> = (0..=size).map(|old| log.proof(old, size)).collect();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let sizes = Arc::clone(&asked);
    let prove = move |old: u64| -> Ready<Result<Vec<Hash>, String>> {
        sizes.lock().unwrap().push(old);
        ready(Ok(proofs[usize::try_from(old).unwrap()].clone()))
    };
    let cosigned = client.cosign(&log.note(size), prove).await.unwrap();
    let mut asked = asked.lock().unwrap().clone();
    asked.sort_unstable();
    (cosigned, asked)
}

fn names(cosigned: &Cosigned) -> Vec<&str> {
    cosigned.seen.iter().map(|seen| seen.witness.as_str()).collect()
}

fn reasons(cosigned: &Cosigned) -> Vec<(&str, &Reason)> {
    cosigned.failures.iter().map(|one| (one.witness.as_str(), &one.reason)).collect()
}

/// An address where nobody listens.
async fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_witnesses_follow_a_log() {
    let log = log();
    let (a, b) =
        (Rig::new("a.example", &[log.key()]).await, Rig::new("b.example", &[log.key()]).await);
    let policy = format!(
        "log {}\n{}{}group both all a b\nquorum both\n",
        log.key().to_text(),
        a.lines("a"),
        b.lines("b")
    );
    let policy_read = Policy::parse(policy.as_bytes()).unwrap();
    let client_kept = client(&policy);
    for (size, asked_wanted) in [(3, vec![]), (8, vec![3, 3]), (8, vec![]), (20, vec![8, 8])] {
        let (cosigned, asked) = cosign(&client_kept, &log, size).await;
        assert_eq!(names(&cosigned), ["a1", "a2", "b1", "b2"], "{:?}", cosigned.failures);
        assert!(cosigned.quorum && cosigned.failures.is_empty());
        assert!(cosigned.note.starts_with(&log.note(size)));
        let judged = policy_read.judge(cosigned.note.as_bytes()).unwrap();
        assert_eq!((judged.quorum, judged.seen), (true, cosigned.seen));
        assert_eq!(asked, asked_wanted, "the last size is remembered");
    }
    // A client that knows nothing is told by the witnesses.
    let (cosigned, asked) = cosign(&client(&policy), &log, 33).await;
    assert!(cosigned.quorum, "{:?}", cosigned.failures);
    assert_eq!(asked, [20, 20]);
    // One that knows something old as well.
    let (cosigned, asked) = cosign(&client_kept, &log, 40).await;
    assert!(cosigned.quorum, "{:?}", cosigned.failures);
    assert_eq!(asked, [20, 20, 33, 33]);
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cosignatures_that_are_there_count_and_are_not_asked_for_again() {
    let log = log();
    let (a, b) =
        (Rig::new("a.example", &[log.key()]).await, Rig::new("b.example", &[log.key()]).await);
    let only_a = format!("{}quorum a\n", a.lines("a"));
    let first = cosign(&client(&only_a), &log, 5).await.0;
    a.set_clock(NOW_S + 100);
    b.set_clock(NOW_S + 100);
    let both =
        client(&format!("{}{}group both all a b\nquorum both\n", a.lines("a"), b.lines("b")));
    let prove = |_| ready(Err("there is none".to_owned()));
    let second = both.cosign(&first.note, prove).await.unwrap();
    assert!(second.quorum && second.note.starts_with(&first.note));
    let times: Vec<u64> = second.seen.iter().map(|seen| seen.time_s).collect();
    assert_eq!(times, [NOW_S, NOW_S, NOW_S + 100, NOW_S + 100]);
    // A note in which one does not verify is not passed on.
    let forged = first.note.replacen("log.example/1\n5\n", "log.example/1\n6\n", 1);
    assert!(both.cosign(&forged, prove).await.is_err());
    assert!(both.cosign("no checkpoint", prove).await.is_err());
    assert!(both.ask_sizes("no checkpoint").await.is_err());
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_keys_of_the_policy_count() {
    let log = log();
    let rig = Rig::new("a.example", &[log.key()]).await;
    let other = Rig::new("a.example", &[log.key()]).await;
    let url = &rig.address;
    // One of two keys is listed: one line. A key the witness does not have: none.
    let one = format!("witness one {} http://{url}\nquorum one\n", rig.keys[1].to_text());
    let (cosigned_one, _) = cosign(&client(&one), &log, 5).await;
    assert_eq!(names(&cosigned_one), ["one"]);
    let parsed = Note::parse(cosigned_one.note.as_bytes()).unwrap();
    assert_eq!(parsed.signatures().len(), 2);
    assert_eq!(cosigned(&parsed, &rig.keys[0]), Ok(None));
    let strange = format!("witness one {} http://{url}\nquorum one\n", other.keys[0].to_text());
    let (cosigned, _) = cosign(&client(&strange), &log, 5).await;
    assert_eq!(reasons(&cosigned), [("one", &Reason::NoSignature)]);
    assert_eq!((cosigned.note, cosigned.quorum), (log.note(5), false));
    rig.end().await;
    other.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_went_back_is_told_so() {
    let log = log();
    let (a, b) =
        (Rig::new("a.example", &[log.key()]).await, Rig::new("b.example", &[log.key()]).await);
    let gone = nobody().await;
    let policy = format!(
        "{}{}witness c {} http://{gone}\nquorum a\n",
        a.lines("a"),
        b.lines("b"),
        Rig::new("c.example", &[]).await.keys[0].to_text()
    );
    let only_a = format!("{}quorum a\n", a.lines("a"));
    let full = cosign(&client(&only_a), &log, 20).await.0;
    let restored = client(&policy);
    let known = restored.ask_sizes(&log.note(8)).await.unwrap();
    let sizes: Vec<(&str, Option<u64>)> =
        known.iter().map(|one| (one.witness.as_str(), one.size.clone().ok())).collect();
    let wanted =
        [("a1", Some(20)), ("a2", Some(20)), ("b1", Some(8)), ("b2", Some(8)), ("c", None)];
    assert_eq!(sizes, wanted);
    assert!(matches!(known[4].size, Err(Reason::Unreachable(_))));
    // The witness shows what the log itself signed.
    assert_eq!(known[0].note.as_deref(), Some(full.note.as_str()));
    assert_eq!(known[2].note, None);
    let (cosigned, asked) = cosign(&restored, &log, 9).await;
    let ahead = Reason::Ahead { held: 20, size: 9 };
    assert_eq!(reasons(&cosigned)[..2], [("a1", &ahead), ("a2", &ahead)]);
    assert_eq!((names(&cosigned), cosigned.quorum, asked), (vec!["b1", "b2"], false, vec![8]));
    a.end().await;
    b.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_is_refused_and_kept() {
    let log = log();
    let rig = Rig::new("a.example", &[log.key()]).await;
    let client = client(&format!("{}quorum a\n", rig.lines("a")));
    cosign(&client, &log, 8).await;
    for (size, files) in [(8, 2), (12, 4), (12, 4)] {
        let (cosigned, _) = cosign(&client, &log.forked_at(3), size).await;
        assert!(!cosigned.quorum);
        for (_, reason) in reasons(&cosigned) {
            assert!(matches!(reason, Reason::Refused { status: 422, .. }), "{reason}");
        }
        let kept = std::fs::read_dir(rig.root.join("evidence")).unwrap();
        assert_eq!(kept.count(), files, "at size {size}");
    }
    let (cosigned, _) = cosign(&client, &log, 12).await;
    assert!(cosigned.quorum);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_that_forgot_does_not_count() {
    let log = log();
    let rig = Rig::new("a.example", &[log.key()]).await;
    let client = client(&format!("{}quorum a\n", rig.lines("a")));
    cosign(&client, &log, 8).await;
    let rig = rig.restart(|root| drop(witness::forget_log(root, ORIGIN).unwrap())).await;
    let (cosigned, _) = cosign(&client, &log, 12).await;
    let back = Reason::WentBack { held: 0, before: 8 };
    assert_eq!(reasons(&cosigned), [("a1", &back), ("a2", &back)]);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proof_a_witness_is_not_asked_in_vain() {
    let log = log();
    let rig = Rig::new("a.example", &[log.key()]).await;
    let client = client(&format!("{}quorum a\n", rig.lines("a")));
    cosign(&client, &log, 8).await;
    let pruned = |_| ready(Err("pruned".to_owned()));
    let cosigned = client.cosign(&log.note(12), pruned).await.unwrap();
    let none = Reason::NoProof("pruned".to_owned());
    assert_eq!(reasons(&cosigned), [("a1", &none), ("a2", &none)]);
    let endless = |_| ready(Ok(vec![Hash::ZERO; 64]));
    let cosigned = client.cosign(&log.note(12), endless).await.unwrap();
    assert!(matches!(reasons(&cosigned)[0].1, Reason::NoProof(_)));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_waited_for_longer_than_allowed() {
    let log = log();
    let rig = Rig::new("a.example", &[log.key()]).await;
    // Takes connections, in the queue of the system, and never says anything.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();
    let key = Rig::new("s.example", &[]).await.keys[0].to_text();
    let witnesses = format!("{}witness s {key} http://{silent_address}\n", rig.lines("a"));
    let long = Duration::from_secs(60);
    let short = Duration::from_millis(100);
    let start = Instant::now();
    let enough = client_within(&format!("{witnesses}quorum a\n"), long, short);
    let (cosigned, _) = cosign(&enough, &log, 5).await;
    assert_eq!(reasons(&cosigned), [("s", &Reason::NotAwaited)]);
    assert!(cosigned.quorum);
    let both = format!("{witnesses}group both all a s\nquorum both\n");
    let too_few = client_within(&both, Duration::from_secs(2), long);
    let (cosigned, _) = cosign(&too_few, &log, 9).await;
    assert_eq!(reasons(&cosigned), [("s", &Reason::TimedOut)]);
    assert_eq!((names(&cosigned), cosigned.quorum), (vec!["a1", "a2"], false));
    let known = too_few.ask_sizes(&log.note(9)).await.unwrap();
    assert_eq!(known[2].size, Err(Reason::TimedOut));
    assert!(start.elapsed() < long);
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_side_by_side_all_come_to_an_answer() {
    let log = Arc::new(log());
    let rig = Rig::new("a.example", &[log.key()]).await;
    let policy = format!("{}quorum a\n", rig.lines("a"));
    let asking: Vec<_> = [12, 20, 33, 40]
        .into_iter()
        .map(|size| {
            let (log, client) = (Arc::clone(&log), client(&policy));
            tokio::spawn(async move { cosign(&client, &log, size).await.0 })
        })
        .collect();
    let mut largest = 0;
    for (asking, size) in asking.into_iter().zip([12, 20, 33, 40]) {
        let cosigned = asking.await.unwrap();
        for (_, reason) in reasons(&cosigned) {
            let overtaken = matches!(reason, Reason::Ahead { .. } | Reason::Unsteady(_));
            assert!(overtaken, "{size}: {reason}");
        }
        assert_eq!(cosigned.quorum, cosigned.failures.is_empty());
        largest = if cosigned.quorum { size } else { largest };
    }
    let known = client(&policy).ask_sizes(&log.note(40)).await.unwrap();
    assert_eq!(known[0].size, Ok(largest));
    rig.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn witnesses_without_an_address_are_left_alone() {
    let log = log();
    let rig = Rig::new("a.example", &[log.key()]).await;
    let policy = format!("witness a {}\nquorum a\n", rig.keys[0].to_text());
    let (cosigned, _) = cosign(&client(&policy), &log, 5).await;
    assert_eq!((cosigned.note, cosigned.quorum), (log.note(5), false));
    assert!(cosigned.failures.is_empty() && cosigned.seen.is_empty());
    let bad = format!("witness a {} ftp://w.example\nquorum a\n", rig.keys[0].to_text());
    let refused = Client::new(Policy::parse(bad.as_bytes()).unwrap(), Settings::default());
    assert!(refused.unwrap_err().to_string().contains("ftp://w.example"));
    rig.end().await;
}
