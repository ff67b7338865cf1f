//! A log that fails: no record, no call.

use crate::client::{Ask, End, Reply};
use crate::messages::{code, modern_call, reason, result};
use crate::rig::{Plan, Rig, log_config};
use crate::upstream::{Upstream, events, json};
use event::Status;
use http::Method;
use tlog::storage::{Fault, FaultKind, Memory};
use tlog::{Error, Log, Signer};

async fn unavailable(reply: Reply) {
    assert_eq!(reply.status, 503);
    let message = reply.message().await;
    assert_eq!((code(&message), reason(&message)), (50_300, "log.unavailable"));
    assert_eq!(message["id"], 1);
}

async fn health(rig: &Rig) -> u16 {
    let ask = Ask { path: "/healthz".to_owned(), ..Ask::new(Method::GET) };
    ask.send(rig.address).await.status
}

fn fail(memory: &Memory, kind: FaultKind) {
    memory.plan(Fault { operation: memory.operations(), kind, lasting: true });
}

#[tokio::test]
async fn a_log_whose_file_is_gone_stops_every_call() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    rig.send(modern_call("1", "echo")).await.message().await;
    assert_eq!(health(&rig).await, 200);
    let segments = rig.log_directory().join("segments");
    for entry in std::fs::read_dir(segments).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    for _ in 0..2 {
        unavailable(rig.send(modern_call("1", "echo")).await).await;
    }
    assert_eq!(health(&rig).await, 503);
    assert_eq!(upstream.seen().len(), 1);
    rig.stop_without_log().await;
}

#[tokio::test]
async fn a_log_has_one_writer() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let rig = Plan::http(&upstream).start().await;
    let signer = Signer::from_text(&rig.key).unwrap();
    let config = log_config(rig.recorder.clock(), 0);
    let second = Log::open(&rig.log_directory(), signer, config);
    assert!(matches!(second.unwrap_err(), Error::Locked));
    rig.send(modern_call("1", "echo")).await.message().await;
    rig.stop().await;
}

#[tokio::test]
async fn a_full_disk_stops_calls_until_there_is_room() {
    let memory = Memory::default();
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let plan =
        Plan { memory: Some(memory.clone()), free_bytes_min: 1_000_000, ..Plan::http(&upstream) };
    memory.set_free_bytes(100_000_000);
    let rig = plan.start().await;
    // The log looks at the room with every 64th commit. This one makes that the commit of a question.
    assert_eq!(modern_call("1", "echo").send(rig.address).await.status, 401);
    memory.set_free_bytes(999_999);
    let mut served = 0;
    let refused = loop {
        let reply = rig.send(modern_call("1", "echo")).await;
        if reply.status != 200 {
            break reply;
        }
        reply.message().await;
        served += 1;
    };
    unavailable(refused).await;
    unavailable(rig.send(modern_call("1", "echo")).await).await;
    assert_eq!(health(&rig).await, 503);
    assert_eq!(upstream.seen().len(), served);
    memory.set_free_bytes(100_000_000);
    rig.send(modern_call("1", "echo")).await.message().await;
    assert_eq!(health(&rig).await, 200);
    let trail = rig.stop().await;
    let calls = trail.calls("tools/call");
    assert_eq!(calls.len(), served + 1);
    assert!(calls.iter().all(|call| call.status() == Status::Ok));
    assert_eq!(trail.refusals().len(), 1);
}

#[tokio::test]
async fn a_write_that_fails_stops_every_call() {
    let kinds = [
        FaultKind::NotPersisted,
        FaultKind::Persisted,
        FaultKind::Torn,
        FaultKind::Short,
        FaultKind::NoSpace,
    ];
    for kind in kinds {
        let memory = Memory::default();
        let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
        let rig = Plan { memory: Some(memory.clone()), ..Plan::http(&upstream) }.start().await;
        rig.send(modern_call("1", "echo")).await.message().await;
        fail(&memory, kind);
        for _ in 0..2 {
            unavailable(rig.send(modern_call("1", "echo")).await).await;
        }
        assert_eq!(health(&rig).await, 503, "{kind:?}");
        assert_eq!(upstream.seen().len(), 1, "{kind:?}");
        rig.stop_without_log().await;
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_is_not_released() {
    let memory = Memory::default();
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan { memory: Some(memory.clone()), ..Plan::http(&upstream) }.start().await;
    let sent = tokio::spawn(modern_call("1", "echo").token(&rig.token("alice")).send(rig.address));
    let held = waiting.next().await;
    fail(&memory, FaultKind::NoSpace);
    held.answer(json(result("1")));
    unavailable(sent.await.unwrap()).await;
    rig.stop_without_log().await;
}

#[tokio::test]
async fn a_stream_breaks_before_an_answer_that_cannot_be_recorded() {
    let memory = Memory::default();
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan { memory: Some(memory.clone()), ..Plan::http(&upstream) }.start().await;
    let sent = tokio::spawn(modern_call("1", "echo").token(&rig.token("alice")).send(rig.address));
    let (stream, answer) = events();
    waiting.next().await.answer(answer);
    let mut reply = sent.await.unwrap();
    stream.send(": here\n\n").await;
    reply.event().await;
    fail(&memory, FaultKind::NoSpace);
    stream.message(&result("1")).await;
    assert_eq!(reply.rest().await, End::Broken);
    assert_eq!(reply.text(), "");
    stream.abandoned().await;
    rig.stop_without_log().await;
}
