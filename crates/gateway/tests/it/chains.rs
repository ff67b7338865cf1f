//! Calls that go on with others: rounds of a call that asks for input, tasks. One chain in the trail, and
//! nobody goes on with the calls of somebody else.

use crate::client::Ask;
use crate::messages::{code, legacy, modern, modern_call, reason};
use crate::rig::{Plan, Rig};
use crate::trail::{self, Trail};
use crate::upstream::{Upstream, json};
use event::{Event, Status, TaskState};
use gateway::config::UnknownHandles;
use std::time::Duration;

const STATE: &str = "canary-state";
const TASK: &str = "canary-task";

/// Answers a first call with a question, the next round with a result, and speaks of tasks.
async fn rig_with(unknown: UnknownHandles) -> (Upstream, Rig) {
    let upstream = Upstream::start(|seen| async move {
        let message = seen.message()?;
        let (id, params) = (&message["id"], &message["params"]);
        let tool = params["name"].as_str().unwrap_or_default();
        let result = match message["method"].as_str()? {
            "tools/call" if tool == "long" => format!(
                r#"{{"resultType":"task","taskId":"{TASK}","status":"working"}}"#
            ),
            "tools/call" if tool == "older" => {
                format!(r#"{{"task":{{"taskId":"{TASK}-2","status":"working"}}}}"#)
            }
            "tools/call" if params["requestState"].is_null() => format!(
                r#"{{"resultType":"input_required","inputRequests":{{"a":{{"method":"roots/list"}}}},"requestState":"{STATE}"}}"#
            ),
            "tasks/get" => format!(
                r#"{{"resultType":"complete","taskId":"{TASK}","status":"failed","error":{{"code":-7,"message":"x"}}}}"#
            ),
            "tasks/cancel" => {
                format!(r#"{{"taskId":"{TASK}-2","status":"cancelled"}}"#)
            }
            _ => r#"{"resultType":"complete","content":[]}"#.to_owned(),
        };
        Some(json(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)))
    })
    .await;
    let plan = Plan::http(&upstream).limits(|limits| limits.unknown_handles = unknown);
    (upstream, plan.start().await)
}

fn again(id: &str, tool: &str, state: &str) -> Ask {
    let params = format!(
        r#""name":"{tool}","arguments":{{}},"inputResponses":{{"a":{{"roots":[]}}}},"requestState":"{state}""#
    );
    modern(id, "tools/call", Some(tool), &params)
}

fn about(id: &str, method: &str, task: &str) -> Ask {
    modern(id, method, Some(task), &format!(r#""taskId":"{task}""#))
}

fn listen(id: &str, task: &str) -> Ask {
    let params = format!(r#""notifications":{{"taskIds":["{task}"]}}"#);
    modern(id, "subscriptions/listen", None, &params)
}

async fn ok(rig: &Rig, ask: Ask) {
    let message = rig.send(ask).await.message().await;
    assert!(message.get("result").is_some(), "{message}");
}

async fn refused(rig: &Rig, subject: &str, ask: Ask) {
    let message = rig.send_as(subject, ask).await.message().await;
    assert_eq!((code(&message), reason(&message)), (40_410, "handle.unknown"));
    assert_eq!(message["error"]["message"], "no such task or request state; start anew");
}

fn links(event: &Event) -> (Option<event::CallId>, Option<event::CallId>) {
    (event.root, event.follows)
}

fn reasons(trail: &Trail) -> Vec<&str> {
    trail.refusals().into_iter().map(trail::reason).collect()
}

#[tokio::test]
async fn chains_go_on_while_the_configuration_changes() {
    let (_upstream, rig) = rig_with(UnknownHandles::Refuse).await;
    ok(&rig, modern_call("1", "echo")).await;
    let mut next = rig.changeable.clone();
    next.limits.reply_timeout = Duration::from_secs(100);
    rig.gateway.reload(&next).unwrap();
    refused(&rig, "bob", again("2", "echo", STATE)).await;
    ok(&rig, again("3", "echo", STATE)).await;
    rig.stop().await;
}

#[tokio::test]
async fn rounds_of_a_call_are_one_chain() {
    let (_upstream, rig) = rig_with(UnknownHandles::Pass).await;
    ok(&rig, modern_call("1", "echo")).await;
    ok(&rig, again("2", "echo", STATE)).await;
    ok(&rig, again("3", "echo", STATE)).await;
    // Another call that gets the same state is another chain.
    ok(&rig, modern_call("4", "echo")).await;
    ok(&rig, again("5", "echo", STATE)).await;
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, "canary"))).await;
    let calls = trail.calls("tools/call");
    let id = |at: usize| calls[at].asked.call;
    assert_eq!(calls[0].status(), Status::InputRequired);
    assert_eq!(calls[0].end.unwrap().handles.len(), 1);
    assert_eq!(links(calls[0].asked), (None, None));
    assert_eq!(links(calls[1].asked), (id(0), id(0)));
    assert_eq!(links(calls[2].asked), (id(0), id(1)));
    assert_eq!(links(calls[3].asked), (None, None));
    assert_eq!(links(calls[4].asked), (id(3), id(3)));
    assert!(calls[1].end.unwrap().handles.is_empty());
}

/// Whose a task is that nobody remembers is not decided by who asks first.
#[tokio::test]
async fn asking_first_makes_nobody_an_owner() {
    let (_upstream, rig) = rig_with(UnknownHandles::Pass).await;
    let first = rig.send_as("bob", about("1", "tasks/get", TASK)).await.message().await;
    assert!(first.get("result").is_some(), "{first}");
    ok(&rig, about("2", "tasks/get", TASK)).await;
    ok(&rig, modern_call("3", "long")).await;
    ok(&rig, about("4", "tasks/get", TASK)).await;
    refused(&rig, "bob", about("5", "tasks/get", TASK)).await;
    let trail = rig.stop().await;
    let calls = trail.calls("tasks/get");
    let given: Vec<usize> = calls.iter().map(|call| call.end.unwrap().handles.len()).collect();
    assert_eq!(given, vec![0, 0, 1]);
    assert_eq!(reasons(&trail), ["handle.of-another"]);
}

#[tokio::test]
async fn tasks_of_both_eras_are_chains_with_their_states() {
    let (_upstream, rig) = rig_with(UnknownHandles::Pass).await;
    ok(&rig, modern_call("1", "long")).await;
    ok(&rig, about("2", "tasks/get", TASK)).await;
    let older = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"older","arguments":{},"task":{"ttl":1}}}"#;
    let cancel = format!(
        r#"{{"jsonrpc":"2.0","id":4,"method":"tasks/cancel","params":{{"taskId":"{TASK}-2"}}}}"#
    );
    for body in [older.to_owned(), cancel] {
        ok(&rig, Ask::post(body).header("mcp-protocol-version", "2025-11-25")).await;
    }
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, "canary"))).await;
    let calls = trail.calls("tools/call");
    let (get, cancel) = (trail.call("tasks/get"), trail.call("tasks/cancel"));
    for (first, next) in [(&calls[0], &get), (&calls[1], &cancel)] {
        assert_eq!(
            (first.status(), first.outcome().task),
            (Status::Task, Some(TaskState::Working))
        );
        assert_eq!(links(next.asked), (first.asked.call, first.asked.call));
        assert_eq!(first.end.unwrap().handles, next.asked.resource.as_ref().unwrap().names);
    }
    assert_eq!((get.status(), get.outcome().code), (Status::ToolError, Some(-7)));
    assert_eq!(get.outcome().task, Some(TaskState::Failed));
    assert_eq!((cancel.status(), cancel.outcome().task), (Status::Ok, Some(TaskState::Cancelled)));
}

#[tokio::test]
async fn handles_of_others_and_for_other_calls_are_refused() {
    let (upstream, rig) = rig_with(UnknownHandles::Pass).await;
    ok(&rig, modern_call("1", "echo")).await;
    ok(&rig, modern_call("2", "long")).await;
    let before = upstream.seen().len();
    for ask in [
        again("3", "echo", STATE),
        about("3", "tasks/get", TASK),
        about("3", "tasks/cancel", TASK),
        about("3", "tasks/update", TASK),
        listen("3", TASK),
    ] {
        refused(&rig, "mallory", ask).await;
    }
    refused(&rig, "alice", again("4", "other", STATE)).await;
    let read = format!(r#""uri":"x:echo","requestState":"{STATE}""#);
    refused(&rig, "alice", modern("5", "resources/read", Some("x:echo"), &read)).await;
    assert_eq!(upstream.seen().len(), before);
    // Whose it is may go on, and whoever is given the same state by the server, too.
    ok(&rig, again("6", "echo", STATE)).await;
    let mallory = rig.send_as("mallory", modern_call("7", "echo")).await.message().await;
    assert!(mallory.get("result").is_some());
    let mallory = rig.send_as("mallory", again("8", "echo", STATE)).await.message().await;
    assert!(mallory.get("result").is_some());
    let trail = rig.stop_with(|log| assert!(!trail::mentions(log, "canary"))).await;
    let (another, call) = ("handle.of-another", "handle.of-another-call");
    assert_eq!(reasons(&trail), [another, another, another, another, another, call, call]);
    assert!(trail.refusals().iter().take(5).all(|e| e.actor.as_ref().unwrap().id == "mallory"));
}

#[tokio::test]
async fn unknown_handles_pass_or_are_refused_as_configured() {
    for (unknown, passes) in [(UnknownHandles::Pass, true), (UnknownHandles::Refuse, false)] {
        let (upstream, rig) = rig_with(unknown).await;
        for ask in [again("1", "echo", "elsewhere"), about("2", "tasks/get", "elsewhere")] {
            if passes {
                ok(&rig, ask).await;
            } else {
                refused(&rig, "alice", ask).await;
            }
        }
        let trail = rig.stop().await;
        let expected: &[&str] = if passes { &[] } else { &["handle.unknown"; 2] };
        assert_eq!(reasons(&trail), expected);
        assert_eq!(upstream.seen().len(), if passes { 2 } else { 0 });
    }
}

#[tokio::test]
async fn policies_see_whether_a_handle_is_known() {
    let upstream = Upstream::start(|seen| async move {
        let id = seen.message()?["id"].clone();
        let result = format!(r#"{{"resultType":"input_required","requestState":"{STATE}"}}"#);
        Some(json(format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)))
    })
    .await;
    let policy = r#"
@id("all") permit (principal, action, resource);
@id("no-strangers") forbid (principal, action, resource)
when { context has handle && context.handle == "unknown" };"#;
    let rig = Plan { policy: policy.to_owned(), ..Plan::http(&upstream) }.start().await;
    ok(&rig, modern_call("1", "echo")).await;
    ok(&rig, again("2", "echo", STATE)).await;
    let message = rig.send(again("3", "echo", "elsewhere")).await.message().await;
    assert_eq!(code(&message), 40_300);
    let trail = rig.stop().await;
    assert_eq!(trail.refusal().decision.as_ref().unwrap().determining, ["no-strangers"]);
}

#[tokio::test]
async fn a_task_in_a_session_counts_for_its_owner_only() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let older = r#"{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"older","arguments":{},"task":{}}}"#;
    let sent = tokio::spawn(legacy(&session, older).token(&rig.token("alice")).send(rig.address));
    let created = format!(
        r#"{{"jsonrpc":"2.0","id":3,"result":{{"task":{{"taskId":"{TASK}","status":"working"}}}}}}"#
    );
    let stream = waiting.next().await.stream();
    stream.message(&created).await;
    drop(stream);
    assert_eq!(sent.await.unwrap().status, 200);
    rig.until(Trail::is_settled).await;
    let get = format!(
        r#"{{"jsonrpc":"2.0","id":4,"method":"tasks/result","params":{{"taskId":"{TASK}"}}}}"#
    );
    refused(&rig, "mallory", Ask::post(get)).await;
    let trail = rig.stop().await;
    assert_eq!(reasons(&trail), ["handle.of-another"]);
    assert_eq!(trail.call("tools/call").outcome().task, Some(TaskState::Working));
}
