//! What servers ask of clients that do not take it: answered in their stead, or a server would wait for ever.

use crate::client::{Ask, Reply};
use crate::messages::{code, event, initialize, legacy_call, reason};
use crate::rig::{Plan, Rig, SOON};
use crate::sse_servers::{self, opened, progress, taken};
use crate::stalls::silent;
use crate::trail::{Call, Trail};
use crate::upstream::{Stream, Upstream, Waiting, empty};
use event::Status;
use http::Method;
use serde_json::Value;
use std::collections::BTreeMap;

/// Until the client is long given up.
const MANY: usize = 64;

const UNHEARD: i64 = 40_020;

fn question(n: usize) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":"q-{n}","method":"roots/list"}}"#)
}

/// Which question this is a refusal of, for nobody takes it.
fn refused(message: &Value) -> usize {
    assert_eq!(code(message), UNHEARD, "{message}");
    number(&message["id"])
}

fn number(id: &Value) -> usize {
    id.as_str().unwrap().strip_prefix("q-").unwrap().parse().unwrap()
}

/// Says the same thing of a mebibyte, and asks something, for as long as anybody takes it.
async fn flood(stream: &Stream, questions: usize) {
    for n in 0..questions {
        for message in [progress("9", n), question(n)] {
            if !stream.offer(&event(&message)).await {
                return;
            }
        }
    }
}

/// The next question that the client gets.
async fn asked(reply: &mut Reply) -> usize {
    loop {
        let event = reply.event().await;
        if let Some((_, rest)) = event.split_once(r#""id":"q-"#) {
            return rest.split('"').next().unwrap().parse().unwrap();
        }
    }
}

/// Questions on record, and those of them that have an end.
fn counts(trail: &Trail) -> (usize, usize) {
    let calls = trail.calls("roots/list");
    (calls.len(), calls.iter().filter(|call| call.end.is_some()).count())
}

/// Ends of questions that were passed on and not taken.
fn ends(trail: &Trail, client: &str) {
    let wanted = BTreeMap::from([("client".to_owned(), client.to_owned())]);
    let calls = trail.calls("roots/list");
    let lost: Vec<&Call<'_>> =
        calls.iter().filter(|call| call.status() == Status::ClientGone).collect();
    assert!(!lost.is_empty());
    assert!(lost.iter().all(|call| call.end.unwrap().details == wanted));
}

#[tokio::test]
async fn what_a_call_that_is_behind_loses_is_answered() {
    let (_upstream, mut waiting, rig) = sse_servers::rig().await;
    let (stream, session) = opened(&rig, &mut waiting).await;
    let slow = silent(&rig, legacy_call(&session, "1", "echo")).await;
    taken(&mut waiting).await;
    flood(&stream, MANY).await;
    // The last three notices wait for the stream of the session, and what was asked since the one before.
    let next = MANY - 4;
    let (mut lost, mut ended) = (Vec::new(), false);
    while !ended || !lost.contains(&(next - 1)) {
        answered(&mut waiting, &mut lost, &mut ended).await;
    }
    let mut listening = rig.send(Ask::new(Method::GET).session(&session)).await;
    for n in next..MANY {
        assert_eq!(asked(&mut listening).await, n);
    }
    // Those on record without an end are what it took, and what was heard now. The record comes before the
    // answer, and may be a moment from the disk.
    loop {
        let taken = |(all, ended): (usize, usize)| all - ended - (MANY - next);
        let is_there = |counts: (usize, usize)| 0 < counts.1 && lost.len() + taken(counts) <= next;
        let trail = rig.until(|trail| is_there(counts(trail))).await;
        lost.sort_unstable();
        if lost == (taken(counts(&trail))..next).collect::<Vec<_>>() {
            break;
        }
        answered(&mut waiting, &mut lost, &mut ended).await;
    }
    drop((slow, stream));
    ends(&rig.stop().await, "behind");
}

/// The server is told of the end of the call, or of a question that was lost.
async fn answered(waiting: &mut Waiting, lost: &mut Vec<usize>, ended: &mut bool) {
    let message: Value = serde_json::from_str(&taken(waiting).await).unwrap();
    if message["method"] == "notifications/cancelled" {
        *ended = true;
    } else {
        lost.push(refused(&message));
    }
}

/// Takes the answers of the gateway to what was asked in vain.
async fn answers(rig: &Rig, waiting: &mut Waiting) {
    let mut lost = Vec::new();
    loop {
        let held = waiting.next().await;
        assert_eq!(held.seen.method, Method::POST);
        lost.push(refused(&held.seen.message().unwrap()));
        held.answer(empty(202));
        let trail = rig.until(|trail| lost.len() <= counts(trail).1).await;
        let (all, ended) = counts(&trail);
        if lost == (all - ended..all).collect::<Vec<_>>() {
            return;
        }
    }
}

#[tokio::test]
async fn what_a_client_that_does_not_read_loses_is_answered() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).limits(|limits| limits.write_timeout = SOON).start().await;
    let session = rig.session().await;
    let open = silent(&rig, legacy_call(&session, "1", "echo")).await;
    flood(&waiting.next().await.stream(), usize::MAX).await;
    answers(&rig, &mut waiting).await;
    drop(open);
    ends(&rig.stop().await, "stalled");
}

/// `say` lines until the oldest go, and then tells what it heard of its question.
const PROGRAM: &str = r#"
say() { printf '%s\n' "$1"; }
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%[,\}]*}
  case $line in
    *'"method":"initialize"'*)
      say '{"jsonrpc":"2.0","id":'"$id"',"result":{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}}'
      say '{"jsonrpc":"2.0","id":"q-0","method":"ping"}'
      yes '{"jsonrpc":"2.0","method":"notifications/message","params":{}}' | head -n 256 ;;
    *'"id":"q-0"'*) heard=$line; [ -z "$asker" ] || say '{"jsonrpc":"2.0","id":'"$asker"',"result":{"heard":'"$heard"'}}' ;;
    *'"method":"tools/call"'*) asker=$id; [ -z "$heard" ] || say '{"jsonrpc":"2.0","id":'"$asker"',"result":{"heard":'"$heard"'}}' ;;
  esac
done
"#;

#[tokio::test]
async fn what_makes_room_for_others_is_answered() {
    let rig = Plan::sh(PROGRAM).start().await;
    let session = rig.send(initialize()).await.session();
    let trail = rig.until(|trail| !trail.refusals().is_empty()).await;
    assert_eq!(crate::trail::reason(trail.refusal()), "server.unheard");
    let message = rig.send(legacy_call(&session, "1", "echo")).await.message().await;
    let heard = &message["result"]["heard"];
    assert_eq!((refused(heard), reason(heard)), (0, "server.unheard"));
    let call = heard["error"]["data"]["callId"].as_str().unwrap();
    assert_eq!(trail.refusal().call.unwrap().to_string(), call);
    rig.stop().await;
}
