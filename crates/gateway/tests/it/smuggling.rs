//! Ways in which a server could bring a message to a client that nothing judged: beside the message that
//! was, in bodies that are owed to nobody, under media types that are none. What arrives is what was
//! judged, and what does not is on record.

use crate::client::{Ask, End};
use crate::messages::{code, initialize, legacy, legacy_call, modern_call, result};
use crate::rig::Plan;
use crate::trail;
use crate::upstream::{Answer, Upstream, empty, json, opened_of, typed, with};
use event::Status;
use http::{HeaderValue, Method};

/// Sampling is forbidden to servers.
const EVIL: &str =
    r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage","params":{"canary":1}}"#;

const NOTICE: &str = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":1,"progress":1}}"#;

fn events() -> String {
    format!("data: {EVIL}\n\n")
}

/// A stream of events under a name of its own.
fn odd(media_type: &str) -> Answer {
    typed(200, media_type, events())
}

/// One that names two media types, of which clients see both.
fn double() -> Answer {
    let mut answer = odd("application/json");
    answer.headers_mut().append("content-type", HeaderValue::from_static("text/event-stream"));
    answer
}

/// What a client gets to see in a session when the server answers like this: to the session's GET, to a
/// notification, to the end of the session.
async fn owed_nothing(answer: fn() -> Answer) -> (Vec<(u16, String)>, trail::Trail) {
    let upstream = Upstream::start(move |seen| async move {
        match seen.rpc_method().as_deref() {
            Some("initialize") => Some(opened_of("session-1", "2025-11-25")),
            _ => Some(answer()),
        }
    })
    .await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.send(initialize()).await.session();
    let listen = Ask::new(Method::GET).header("accept", "text/event-stream").session(&session);
    let end = Ask::new(Method::DELETE).session(&session);
    let mut seen = Vec::new();
    for ask in [listen, legacy(&session, NOTICE), end] {
        let mut reply = rig.send(ask).await;
        assert_eq!(reply.rest().await, End::Orderly);
        seen.push((reply.status, reply.text().to_owned()));
    }
    (seen, rig.stop().await)
}

#[tokio::test]
async fn what_is_owed_nothing_brings_nothing() {
    let mark: fn() -> Answer = || json(format!("\u{feff}{EVIL}"));
    let twins: fn() -> Answer = || json(EVIL.replace("\"id\"", "\"id\":1,\"id\""));
    let plain: fn() -> Answer = || odd("text/plain");
    let untyped: fn() -> Answer = || {
        let mut answer = odd("text/plain");
        answer.headers_mut().remove("content-type");
        answer
    };
    for answer in [mark, twins, plain, untyped] {
        let (seen, trail) = owed_nothing(answer).await;
        assert_eq!(seen, vec![(200, String::new()); 3]);
        let reasons: Vec<&str> = trail.refusals().into_iter().map(trail::reason).collect();
        assert_eq!(reasons, ["server.out-of-place"; 3]);
    }
}

#[tokio::test]
async fn a_stream_of_events_goes_by_no_other_name() {
    let charset: fn() -> Answer = || odd("text/event-stream; charset=iso-8859-1");
    let beside: fn() -> Answer = || odd("text/plain, text/event-stream");
    for answer in [charset, beside, double] {
        let (seen, trail) = owed_nothing(answer).await;
        for (status, text) in seen {
            assert_eq!(status, 502);
            assert!(!text.contains("canary"), "{text}");
        }
        assert_eq!(trail.call("http/get").status(), Status::MalformedReply);
    }
}

#[tokio::test]
async fn failures_answer_no_other_call() {
    let table: [(fn() -> Answer, bool); 5] = [
        (|| typed(400, "application/json", result("7")), false),
        (|| typed(400, "application/json", EVIL), false),
        (|| typed(500, "text/plain", format!("\u{feff}{EVIL}")), false),
        (|| typed(403, "application/json", r#"{"error":"insufficient_scope"}"#), true),
        (|| typed(503, "text/html", "<p>later</p>"), true),
    ];
    for (answer, passes) in table {
        let upstream = Upstream::start(move |_| async move { Some(answer()) }).await;
        let rig = Plan::http(&upstream).start().await;
        let expected = answer().status().as_u16();
        let reply = rig.send(modern_call("1", "echo")).await;
        assert_eq!(reply.status, expected);
        assert_eq!(!reply.bytes().await.is_empty(), passes);
        let trail = rig.stop().await;
        assert_eq!(trail.call("tools/call").status(), Status::HttpError);
        let reasons: Vec<&str> = trail.refusals().into_iter().map(trail::reason).collect();
        assert_eq!(reasons, vec!["server.out-of-place"; usize::from(!passes)]);
    }
}

/// The answer that takes the place of one that cannot be read in one way only: a list with twin keys.
#[tokio::test]
async fn a_decoy_does_not_save_what_is_replaced() {
    let before = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{"name":"a","NAME":"canary"}"#;
    let stream = format!(": {before}\n]}}}}\ndata: {before}\ndata: ]}}}}\n\n");
    let upstream = Upstream::start(move |_| {
        let stream = stream.clone();
        async move { Some(typed(200, "text/event-stream", stream)) }
    })
    .await;
    let rig = Plan::http(&upstream).start().await;
    let list = crate::messages::modern("1", "tools/list", None, "");
    let mut reply = rig.send(list).await;
    assert_eq!(reply.rest().await, End::Orderly);
    let told: Vec<&str> =
        reply.text().lines().filter_map(|line| line.strip_prefix("data: ")).collect();
    assert_eq!(code(&serde_json::from_str(&told.join("\n")).unwrap()), 50_203);
    rig.stop().await;
}

/// An answer of the client is owed nothing; what comes back leads nowhere.
#[tokio::test]
async fn the_answer_to_an_answer_leads_nowhere() {
    let redirect: fn() -> Answer = || with(empty(307), "location", "http://evil.example/");
    let encoded: fn() -> Answer = || with(json(EVIL), "content-encoding", "gzip");
    let failed: fn() -> Answer = || typed(400, "application/json", EVIL);
    for (answer, status) in [(redirect, 502), (encoded, 502), (failed, 400)] {
        let (upstream, mut waiting) = Upstream::with_sessions().await;
        let rig = Plan::http(&upstream).start().await;
        let session = rig.session().await;
        let token = rig.token("alice");
        let sent = tokio::spawn(legacy_call(&session, "1", "echo").token(&token).send(rig.address));
        let stream = waiting.next().await.stream();
        let mut reply = sent.await.unwrap();
        stream.message(r#"{"jsonrpc":"2.0","id":"r","method":"roots/list"}"#).await;
        reply.event().await;
        let roots = legacy(&session, r#"{"jsonrpc":"2.0","id":"r","result":{"roots":[]}}"#);
        let told = tokio::spawn(roots.token(&token).send(rig.address));
        waiting.next().await.answer(answer());
        let told = told.await.unwrap();
        assert_eq!(told.status, status);
        assert!(!told.headers.contains_key("location"));
        let text = String::from_utf8(told.bytes().await.to_vec()).unwrap();
        assert!(!text.contains("canary"), "{text}");
        stream.message(&result("1")).await;
        drop(stream);
        assert_eq!(reply.rest().await, End::Orderly);
        rig.stop().await;
    }
}

/// What a server asks and may not ask is refused and on record, up to a bound.
#[tokio::test]
async fn refused_questions_do_not_fill_the_log() {
    let (upstream, mut waiting) = Upstream::with_sessions().await;
    let rig = Plan::http(&upstream).start().await;
    let session = rig.session().await;
    let call = legacy_call(&session, "1", "echo").token(&rig.token("alice"));
    let sent = tokio::spawn(call.send(rig.address));
    let stream = waiting.next().await.stream();
    let mut reply = sent.await.unwrap();
    for number in 0..32 {
        stream.message(&EVIL.replace("\"q\"", &number.to_string())).await;
        // The server is told of each.
        waiting.next().await.answer(empty(202));
    }
    for number in 32..132 {
        stream.message(&EVIL.replace("\"q\"", &number.to_string())).await;
    }
    stream.message(&result("1")).await;
    drop(stream);
    assert_eq!(reply.rest().await, End::Orderly);
    assert!(!reply.text().contains("canary"));
    let trail = rig.stop().await;
    let reasons: Vec<&str> = trail.refusals().into_iter().map(trail::reason).collect();
    let of = |reason: &str| reasons.iter().filter(|other| **other == reason).count();
    let counts = ["policy.forbid", "server.refused-often", "server.more-withheld"].map(of);
    assert_eq!((counts, reasons.len()), ([32, 8, 1], 41));
}

/// What comes after the last blank line is no event, but some clients take it for one at the end of the
/// stream; and some end lines where others do not.
#[tokio::test]
async fn nothing_is_an_event_for_some_clients_only() {
    let hidden = format!("\u{2028}data: {EVIL}\u{2028}\u{2028}");
    let in_a_message =
        result("1").replace("[]", &format!("[{}]", serde_json::Value::from(hidden.clone())));
    let stream = format!(":{hidden}\ndata: {in_a_message}\n\ndata: {EVIL}\n");
    let upstream = Upstream::start(move |_| {
        let stream = stream.clone();
        async move { Some(typed(200, "text/event-stream", stream)) }
    })
    .await;
    let rig = Plan::http(&upstream).start().await;
    let mut reply = rig.send(modern_call("1", "echo")).await;
    assert_eq!(reply.rest().await, End::Orderly);
    let text = reply.text();
    let (told, none) =
        text.trim_start().strip_prefix("data: ").unwrap().split_once("\n\n").unwrap();
    assert!(none.is_empty() && !text.contains('\u{2028}'), "{text}");
    let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(read(told), read(&in_a_message));
    rig.stop().await;
}
