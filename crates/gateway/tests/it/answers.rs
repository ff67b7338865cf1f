//! Whole answers: what they mean for the record, and which of them are withheld.

use crate::messages::{code, modern_call, reason, result};
use crate::rig::Plan;
use crate::upstream::{Answer, Upstream, empty, json, typed, with};
use event::{OutcomeClass, Status};
use gateway::config::AnswerDurability;

async fn answered_by(answer: fn() -> Answer) -> (u16, String, crate::trail::Trail) {
    let upstream = Upstream::start(move |_| async move { Some(answer()) }).await;
    let rig = Plan::http(&upstream).start().await;
    let reply = rig.send(modern_call("1", "echo")).await;
    let status = reply.status;
    let text = String::from_utf8(reply.bytes().await.to_vec()).unwrap();
    (status, text, rig.stop().await)
}

#[tokio::test]
async fn answers_that_are_none_are_withheld() {
    let table: [fn() -> Answer; 9] = [
        || json(r#"{"jsonrpc":"2.0","id":2,"result":{"canary":1}}"#),
        || json(r#"{"jsonrpc":"2.0","id":"1","result":{"canary":1}}"#),
        || json(r#"{"jsonrpc":"2.0","id":1,"result":{"canary":1}"#),
        || json(r#"{"jsonrpc":"2.0","id":1,"result":{"canary":1}} canary"#),
        || json(r#"[{"jsonrpc":"2.0","id":1,"result":{"canary":1}}]"#),
        || json(r#"{"jsonrpc":"2.0","id":1,"method":"canary/call"}"#),
        || json(r#"{"jsonrpc":"2.0","id":1,"id":1,"result":{"canary":1}}"#),
        || empty(200),
        || with(json("canary"), "content-encoding", "gzip"),
    ];
    for answer in table {
        let (status, text, trail) = answered_by(answer).await;
        assert_eq!(status, 502, "{text}");
        assert!(!text.contains("canary"), "{text}");
        let message = serde_json::from_str(&text).unwrap();
        assert_eq!((code(&message), reason(&message)), (50_203, "upstream.malformed-reply"));
        let call = trail.call("tools/call");
        assert_eq!(call.status(), Status::MalformedReply);
        assert_eq!(call.outcome().class, OutcomeClass::Anomaly);
        assert_eq!(call.outcome().http_status, Some(200));
    }
}

/// An answer, with the HTTP status that the client sees, and status and code on record.
type Meaning = (fn() -> Answer, u16, Status, Option<i64>);

#[tokio::test]
async fn the_record_tells_results_and_errors_apart() {
    let table: [Meaning; 8] = [
        (|| json(result("1")), 200, Status::Ok, None),
        (
            || json(r#"{"jsonrpc":"2.0","id":1,"result":{"isError":true,"content":[]}}"#),
            200,
            Status::ToolError,
            None,
        ),
        (
            || json(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}"#),
            200,
            Status::ProtocolError,
            Some(-32_601),
        ),
        (
            || {
                typed(
                    404,
                    "application/json",
                    r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"x"}}"#,
                )
            },
            404,
            Status::ProtocolError,
            Some(-32_601),
        ),
        (
            || {
                typed(
                    400,
                    "application/json",
                    r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32022,"message":"x"}}"#,
                )
            },
            400,
            Status::ProtocolError,
            Some(-32_022),
        ),
        (
            || {
                json(
                    r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"input_required","requestState":"s"}}"#,
                )
            },
            200,
            Status::InputRequired,
            None,
        ),
        (
            || {
                json(
                    r#"{"jsonrpc":"2.0","id":1,"result":{"resultType":"task","taskId":"t","status":"working"}}"#,
                )
            },
            200,
            Status::Task,
            None,
        ),
        (|| typed(503, "text/html", "<p>later</p>"), 503, Status::HttpError, None),
    ];
    for (answer, expected_status, expected, expected_code) in table {
        let (status, text, trail) = answered_by(answer).await;
        assert_eq!(status, expected_status, "{text}");
        let call = trail.call("tools/call");
        assert_eq!((call.status(), call.outcome().code), (expected, expected_code), "{text}");
        assert_eq!(call.outcome().http_status, Some(expected_status));
    }
}

#[tokio::test]
async fn answers_may_be_recorded_with_the_next_commit() {
    let upstream = Upstream::start(|_| async { Some(json(result("1"))) }).await;
    let plan = Plan { answers: AnswerDurability::NextCommit, ..Plan::http(&upstream) };
    let rig = plan.start().await;
    for _ in 0..5 {
        rig.send(modern_call("1", "echo")).await.message().await;
    }
    rig.until(|trail| trail.is_settled()).await;
    let trail = rig.stop().await;
    assert_eq!(trail.calls("tools/call").len(), 5);
    assert!(trail.calls("tools/call").iter().all(|call| call.status() == Status::Ok));
}
