//! What is read of replies: enough for an audit, and never a reason to panic.

use mcp::reply::{ResultType, ResultView, Task, TaskStatus};
use mcp::{Fault, Limits, Message, Outcome, parse};
use std::borrow::Cow;

fn view(result: &str, check: impl Fn(&ResultView<'_>)) {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
    let frame = parse(body.as_bytes(), &Limits::for_replies());
    let Ok([Message::Response(response)]) = frame.as_ref().map(|frame| frame.messages()) else {
        panic!("a response: {frame:?}");
    };
    let Outcome::Result(view) = &response.outcome else { panic!("a result: {response:?}") };
    assert_eq!(view.raw, result);
    check(view);
}

#[test]
fn tool_results() {
    view(r#"{"content":[{"type":"text","text":"x"}],"isError":true}"#, |view| {
        assert!(view.is_error);
        assert_eq!(view.result_type, ResultType::Complete);
        assert_eq!(view.task, None);
    });
    view(r#"{"content":[]}"#, |view| assert!(!view.is_error));
    // What has an unexpected type is absent; the reply goes on its way.
    view(r#"{"resultType":5,"tools":{},"task":1,"_meta":[]}"#, |view| {
        assert_eq!(ResultView { raw: view.raw, ..ResultView::default() }, *view);
    });
}

/// Python's SDK takes all of these for `true`; others take them for `false`, or for nothing.
#[test]
fn whether_a_tool_failed_is_no_guess() {
    for flag in ["\"true\"", "1", "\"yes\"", "1.0", "null", "[]"] {
        for result in [
            format!(r#"{{"content":[],"isError":{flag}}}"#),
            format!(r#"{{"taskId":"t","status":"completed","result":{{"isError":{flag}}}}}"#),
        ] {
            let body = format!(r#"{{"jsonrpc":"2.0","id":1,"result":{result}}}"#);
            let refused = parse(body.as_bytes(), &Limits::for_replies()).unwrap_err();
            assert!(matches!(refused.fault(), Fault::WrongType { .. }), "{body}");
        }
    }
}

#[test]
fn result_types_and_tasks() {
    let table = [
        (r#"{"resultType":"complete"}"#, ResultType::Complete),
        (r#"{"resultType":"input_required","requestState":"s"}"#, ResultType::InputRequired),
        (r#"{"resultType":"task","taskId":"t","status":"working"}"#, ResultType::Task),
        (r#"{"resultType":"vendor"}"#, ResultType::Other),
    ];
    for (result, expected) in table {
        view(result, |view| assert_eq!(view.result_type, expected));
    }
    let statuses = [
        ("working", TaskStatus::Working),
        ("input_required", TaskStatus::InputRequired),
        ("completed", TaskStatus::Completed),
        ("cancelled", TaskStatus::Cancelled),
        ("failed", TaskStatus::Failed),
        ("dreaming", TaskStatus::Other),
    ];
    for (name, status) in statuses {
        let task = Task { id: Cow::Borrowed("t"), status, error_code: None, is_error: false };
        let flat = format!(r#"{{"taskId":"t","status":"{name}"}}"#);
        view(&flat, |view| assert_eq!(view.task, Some(task.clone())));
        view(&format!(r#"{{"task":{flat}}}"#), |view| assert_eq!(view.task, Some(task.clone())));
    }
    view(r#"{"taskId":"t","status":"failed","error":{"code":-32603,"message":"m"}}"#, |view| {
        assert_eq!(view.task.as_ref().and_then(|task| task.error_code), Some(-32_603));
    });
    view(r#"{"taskId":"t","status":"completed","result":{"isError":true}}"#, |view| {
        assert!(view.task.as_ref().is_some_and(|task| task.is_error));
        assert!(!view.is_error);
    });
}

#[test]
fn input_requests() {
    let result = r#"{"resultType":"input_required","requestState":"\u0061b","inputRequests":{
        "a":{"method":"elicitation/create","params":{"mode":"url"}},"b":{"method":"roots/list"},"c":7}}"#;
    view(result, |view| {
        assert_eq!(view.request_state.as_deref(), Some("ab"));
        assert_eq!(view.input_requests, ["elicitation/create", "roots/list"]);
    });
}

#[test]
fn servers_introduce_themselves() {
    let handshake = r#"{"protocolVersion":"2025-11-25","serverInfo":{"name":"S","version":"1"}}"#;
    view(handshake, |view| {
        assert_eq!(view.protocol_version.as_deref(), Some("2025-11-25"));
        let server = view.server.as_ref().unwrap();
        assert_eq!((server.name.as_deref(), server.version.as_deref()), (Some("S"), Some("1")));
    });
    let modern = r#"{"_meta":{"x":1,"io.modelcontextprotocol/serverInfo":{"name":"S"}}}"#;
    view(modern, |view| assert_eq!(view.server.as_ref().unwrap().name.as_deref(), Some("S")));
}

#[test]
fn listed_tools_keep_their_bytes() {
    let result = r#"{"tools":[ {"name":"\u0061","inputSchema":{"x":1.0}} ,{},7],"nextCursor":"n"}"#;
    view(result, |view| {
        let tools: Vec<_> =
            view.tools.iter().map(|tool| (tool.name.as_deref(), tool.raw)).collect();
        let first = r#"{"name":"\u0061","inputSchema":{"x":1.0}}"#;
        assert_eq!(tools, [(Some("a"), first), (None, "{}"), (None, "7")]);
    });
    let limits = Limits { items_max: 1, ..Limits::for_replies() };
    let body = r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[{},{}]}}"#;
    let malformed = parse(body.as_bytes(), &limits).unwrap_err();
    assert_eq!(malformed.fault(), Fault::TooMany { field: "result.tools", max: 1 });
}

#[test]
fn servers_ask_in_legacy_streams() {
    let body = br#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{"messages":[],"maxTokens":1}}"#;
    let frame = parse(body, &Limits::for_replies()).unwrap();
    assert!(matches!(frame.messages(), [Message::Request(_)]));
}

#[test]
fn replies_are_read_more_leniently() {
    let twins = br#"{"jsonrpc":"2.0","id":1,"result":{"structuredContent":{"a":1,"a":2}}}"#;
    assert!(parse(twins, &Limits::for_replies()).is_ok());
    let deep = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"a":{}{}}}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    assert!(parse(deep.as_bytes(), &Limits::for_replies()).is_ok());
    assert!(parse(b"<html>bad gateway</html>", &Limits::for_replies()).is_err());
}
