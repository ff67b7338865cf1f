//! States of tasks that servers tell by themselves: on record as they pass by.

use crate::client::End;
use crate::messages::{event, legacy_call, modern, modern_call, result};
use crate::rig::Plan;
use crate::trail::Trail;
use crate::upstream::{Upstream, json};
use crate::wrap::Wrapped;
use event::{Event, Kind, Status};

fn told(method: &str, task: &str, status: &str) -> String {
    let params = format!(r#"{{"taskId":"{task}","status":"{status}"}}"#);
    format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{params}}}"#)
}

fn reports(trail: &Trail) -> Vec<&Event> {
    let events = trail.rows.iter().map(|row| &row.event);
    events.filter(|event| event.kind == Kind::TaskReported).collect()
}

fn states<'t>(reports: &[&'t Event]) -> Vec<&'t str> {
    reports.iter().map(|event| event.details["state"].as_str()).collect()
}

#[tokio::test]
async fn states_belong_to_the_calls_of_their_task() {
    let (upstream, mut waiting) = Upstream::held().await;
    let rig = Plan::http(&upstream).start().await;
    let token = rig.token("alice");
    let made = tokio::spawn(modern_call("1", "slow").token(&token).send(rig.address));
    let task = r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t1","status":"working"}}"#;
    waiting.next().await.answer(json(task));
    assert_eq!(made.await.unwrap().status, 200);
    let params = r#""notifications":{"taskIds":["t1"]}"#;
    let listen = modern("2", "subscriptions/listen", None, params).token(&token);
    let listening = tokio::spawn(listen.send(rig.address));
    let stream = waiting.next().await.stream();
    stream.send(": here\n\n").await;
    let mut reply = listening.await.unwrap();
    reply.event().await;
    // One that is told again is the same state; one of an unknown name is none.
    for status in ["working", "working", "input_required", "asleep", "completed"] {
        let told = told("notifications/tasks", "t1", status);
        stream.message(&told).await;
        assert_eq!(reply.event().await, event(&told), "it passes unchanged");
    }
    stream.message(&told("notifications/tasks", "t2", "failed")).await;
    reply.event().await;
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    let trail = rig.stop().await;
    let call = trail.call("tools/call");
    let listen = trail.call("subscriptions/listen");
    let reports = reports(&trail);
    assert_eq!(states(&reports), ["working", "input-required", "completed", "failed"]);
    for report in &reports[..3] {
        assert_eq!(report.root, call.asked.call);
        assert_eq!(report.details["task"], call.end.unwrap().handles[0]);
        assert_eq!(report.details["server"], "srv");
    }
    // Nobody knows this one: it goes with the stream on which it was told.
    assert_eq!(reports[3].root, listen.asked.root.or(listen.asked.call));
    assert!(!format!("{reports:?}").contains("\"t1\""), "ids are on record as digests");
}

#[tokio::test]
async fn states_in_a_session_and_a_flood_of_them() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let ask = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let sent = tokio::spawn(ask.send(rig.address));
    let stream = waiting.next().await.stream();
    for at in 0..100 {
        let status = if at % 2 == 0 { "working" } else { "input_required" };
        stream.message(&told("notifications/tasks/status", "t", status)).await;
    }
    stream.message(&result("1")).await;
    drop(stream);
    let mut reply = sent.await.unwrap();
    assert_eq!(reply.rest().await, End::Orderly);
    assert_eq!(reply.text().matches("notifications/tasks/status").count(), 100);
    let trail = rig.stop().await;
    assert_eq!(trail.call("tools/call").status(), Status::Ok);
    let reports = reports(&trail);
    let (more, single) = reports.split_last().unwrap();
    assert_eq!((single.len(), more.details["more"].as_str()), (60, "40"));
}

#[tokio::test]
async fn states_that_a_wrapped_program_tells() {
    let script = r#"
IFS= read -r line
echo '{"jsonrpc":"2.0","id":1,"result":{"task":{"taskId":"t","status":"working"}}}'
echo '{"jsonrpc":"2.0","method":"notifications/tasks/status","params":{"taskId":"t","status":"failed","error":{"code":-32603,"message":"x"}}}'
while IFS= read -r x; do :; done
"#;
    let mut wrapped = Wrapped::start(script);
    wrapped.say(&format!("{}\n", crate::messages::call_body("1", "slow"))).await;
    wrapped.hear().await;
    assert!(wrapped.hear().await.contains("failed"));
    let (_, _, trail) = wrapped.close().await;
    let reports = reports(&trail);
    assert_eq!(states(&reports), ["failed"]);
    assert_eq!(reports[0].details["code"], "-32603");
    assert_eq!(reports[0].root, trail.call("tools/call").asked.call);
}
