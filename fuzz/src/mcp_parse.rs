//! Bodies: what the strict one-pass reader accepts is what a naive parser and `serde_json` read.

use crate::json::Json;
use mcp::build::{cancelled, error_response, result_response};
use mcp::{
    DuplicateKeys, Frame, Limits, Malformed, Message, Method, Outcome, Params, RequestId, Response,
    Target, parse,
};
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads the input as a body, as if from a client and as if from a server.
pub fn mcp_parse(data: &[u8]) {
    let (of_clients, of_servers) = (Limits::default(), Limits::for_replies());
    let strict = parse(data, &of_clients);
    let lenient = parse(data, &of_servers);
    if strict.is_ok() {
        assert_eq!(lenient, strict, "the wider limits change what is read");
    }
    check(data, &strict, &of_clients);
    check(data, &lenient, &of_servers);
}

fn check(data: &[u8], read: &Result<Frame<'_>, Malformed>, limits: &Limits) {
    let text = str::from_utf8(data).ok();
    let model = text.and_then(|text| Json::parse(text, limits.depth_max));
    let frame = match read {
        Ok(frame) => frame,
        Err(malformed) => return check_refusal(data, malformed, model.as_ref()),
    };
    let model = model.expect("a naive parser refuses what was accepted");
    assert!(serde_json::from_slice::<&RawValue>(data).is_ok(), "serde_json refuses it");
    if limits.duplicate_keys == DuplicateKeys::Everywhere {
        assert!(!model.has_twin_keys_anywhere(), "a key stands twice");
    }
    let models = match frame {
        Frame::Single(_) => std::slice::from_ref(&model),
        Frame::Batch(_) => model.items(),
    };
    assert_eq!(models.len(), frame.messages().len());
    assert!((1..=limits.batch_max).contains(&models.len()));
    for (message, model) in frame.messages().iter().zip(models) {
        check_message(message, model);
    }
    if let Ok(value) = serde_json::from_slice::<Value>(data) {
        let values = value.as_array().map_or(std::slice::from_ref(&value), Vec::as_slice);
        for (message, value) in frame.messages().iter().zip(values) {
            check_value(message, value);
        }
    }
}

fn check_refusal(data: &[u8], malformed: &Malformed, model: Option<&Json>) {
    assert!(malformed.at().is_none_or(|at| at <= data.len()), "{malformed}");
    assert!(malformed.to_string().len() < 200, "the message repeats what was sent");
    if let Some(id) = malformed.id() {
        echo(id);
        if let Some(model) = model.filter(|model| model.count("id") == 1) {
            assert!(is_id(model.get("id"), id), "another id is blamed");
        }
    }
}

/// Against `serde_json`, which most servers in Rust read with.
fn check_value(message: &Message<'_>, value: &Value) {
    let method = message.method().map(Method::name);
    assert_eq!(value.get("method").and_then(Value::as_str), method);
    if let Some(id) = message.id() {
        assert_eq!(value["id"].as_str(), id.as_text());
        assert_eq!(value["id"].as_i64(), id.as_integer());
    }
    if let Message::Request(request) = message
        && request.method == Method::ToolsCall
    {
        assert_eq!(value["params"]["name"].as_str(), request.params.name.as_deref());
    }
}

fn check_message(message: &Message<'_>, model: &Json) {
    assert!(!model.has_twin_keys(), "a key of the envelope stands twice");
    assert!(!has_lookalikes(model, ENVELOPE_KEYS), "a key of the envelope but for its case");
    assert!(model.get("jsonrpc").is_some_and(|version| version.is_text("2.0")));
    match (model.get("method"), message.method()) {
        (Some(text), Some(method)) => assert!(text.is_text(method.name())),
        (None, None) => {}
        _ => panic!("a method was lost or found"),
    }
    match (model.get("id"), message.id()) {
        (None | Some(Json::Null), None) => {}
        (id, Some(read)) => {
            assert!(is_id(id, read), "the id was read as another");
            echo(read);
        }
        (Some(_), None) => panic!("the id was lost"),
    }
    match message {
        Message::Response(response) => check_response(response, model),
        Message::Request(request) => check_call(message, &request.params, model),
        Message::Notification(notice) => check_call(message, &notice.params, model),
    }
}

fn check_call(message: &Message<'_>, params: &Params<'_>, model: &Json) {
    assert!(model.get("result").is_none() && model.get("error").is_none());
    assert_eq!(params.raw.map(whole), model.get("params").cloned());
    let empty = Json::Null;
    let model = model.get("params").unwrap_or(&empty);
    assert_eq!(params.arguments.map(whole), model.get("arguments").cloned());
    assert!(!model.has_twin_keys(), "a key of the parameters stands twice");
    let known = message.method().is_some_and(Method::is_known);
    assert!(!known || !has_lookalikes(model, PARAMS_KEYS), "a parameter but for its case");
    let is = |field: &str, text: &str| model.get(field).is_some_and(|model| model.is_text(text));
    let reference = model.get("ref").unwrap_or(&empty);
    let of_reference = matches!(message.method(), Some(Method::CompletionComplete));
    match message.target().expect("an accepted message names what it touches") {
        Target::Prompt(name) if of_reference => {
            assert!(reference.get("name").is_some_and(|model| model.is_text(name)));
        }
        Target::ResourceTemplate(uri) => {
            assert!(reference.get("uri").is_some_and(|model| model.is_text(uri)));
        }
        Target::Tool(name) | Target::Prompt(name) => assert!(is("name", name)),
        Target::Resource(uri) => assert!(is("uri", uri)),
        Target::Task(id) => assert!(is("taskId", id)),
        Target::Call(id) => assert!(is_id(model.get("requestId"), id)),
        Target::Subscription { uris, tasks } => {
            let watched = model.get("notifications").unwrap_or(&empty);
            check_texts(watched.get("resourceSubscriptions"), uris);
            check_texts(watched.get("taskIds"), tasks);
        }
        Target::Server | Target::Client | Target::None => {}
    }
}

fn check_texts(model: Option<&Json>, read: &[std::borrow::Cow<'_, str>]) {
    let model = model.map_or(&[][..], Json::items);
    assert_eq!(model.len(), read.len());
    assert!(model.iter().zip(read).all(|(model, text)| model.is_text(text)));
}

fn check_response(response: &Response<'_>, model: &Json) {
    assert!(model.get("method").is_none());
    match &response.outcome {
        Outcome::Result(view) => {
            let model = model.get("result").expect("a result was found");
            assert!(!model.has_twin_keys(), "a key of the result stands twice");
            assert_eq!(&whole(view.raw), model);
            assert_eq!(view.is_error, model.get("isError") == Some(&Json::Bool(true)));
            let tools = model.get("tools").map_or(&[][..], Json::items);
            assert_eq!(tools.len(), view.tools.len());
            for (model, tool) in tools.iter().zip(&view.tools) {
                assert_eq!(&whole(tool.raw), model);
                assert_eq!(model.get("name").and_then(Json::text).as_deref(), tool.name.as_deref());
            }
        }
        Outcome::Error { code } => {
            let model = model.get("error").expect("an error was found");
            assert!(!model.has_twin_keys(), "a key of the error stands twice");
            let literal = Json::Number(code.to_string());
            let read = model.get("code");
            assert!(read == Some(&literal) || read == Some(&Json::Number("-0".to_owned())));
            assert!(matches!(model.get("message"), Some(Json::Text(_))));
        }
    }
}

/// An id that is repeated in what we write is read back as the same id.
fn echo(id: &RequestId) {
    let empty = RawValue::from_string("{}".to_owned()).expect("an object");
    let limits = Limits::default();
    for written in [error_response(Some(id), -32_600, "no", None), result_response(id, &empty)] {
        match parse(&written, &limits) {
            Ok(Frame::Single(Message::Response(response))) => {
                assert_eq!(response.id.as_ref(), Some(id));
            }
            other => panic!("an answer is read as {other:?}"),
        }
    }
    let written = cancelled(id, None);
    let read = parse(&written, &limits).expect("a cancellation is read back");
    assert_eq!(read.messages()[0].target(), Ok(Target::Call(id)));
}

fn is_id(model: Option<&Json>, id: &RequestId) -> bool {
    match (model, id.as_text()) {
        (Some(model), Some(text)) => model.is_text(text),
        (Some(Json::Number(literal)), None) => id.to_string() == *literal,
        _ => false,
    }
}

/// Whether a parser that ignores case would take one of the keys for one that we read.
fn has_lookalikes(model: &Json, known: &[&str]) -> bool {
    let keys = model.members().iter().filter_map(|(key, _)| String::from_utf16(key).ok());
    keys.filter(|key| !known.contains(&key.as_str()))
        .map(|key| key.to_lowercase().replace('ſ', "s"))
        .any(|folded| known.iter().any(|known| known.to_lowercase() == folded))
}

fn whole(raw: &str) -> Json {
    Json::parse(raw, usize::MAX).expect("a slice of a body is a whole value")
}

const ENVELOPE_KEYS: &[&str] = &["jsonrpc", "id", "method", "params", "result", "error"];

const PARAMS_KEYS: &[&str] = &[
    "name",
    "uri",
    "taskId",
    "ref",
    "notifications",
    "requestId",
    "arguments",
    "_meta",
    "progressToken",
    "cursor",
    "protocolVersion",
    "clientInfo",
    "requestState",
    "inputResponses",
    "task",
];
