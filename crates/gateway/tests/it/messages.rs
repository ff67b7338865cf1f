//! The messages that tests send, in both eras of the protocol.

use crate::client::Ask;
use serde_json::Value;

/// `_meta` of every request since 2026-07-28.
pub(crate) const META: &str = r#""_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}}"#;

/// A request of 2026-07-28 with its headers; `id` and `params` (members without braces) are JSON.
pub(crate) fn modern(id: &str, method: &str, name: Option<&str>, params: &str) -> Ask {
    let comma = if params.is_empty() { "" } else { "," };
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{{{params}{comma}{META}}}}}"#
    );
    let ask =
        Ask::post(body).header("mcp-protocol-version", "2026-07-28").header("mcp-method", method);
    match name {
        Some(name) => ask.header("mcp-name", name),
        None => ask,
    }
}

/// A `tools/call` of 2026-07-28.
pub(crate) fn modern_call(id: &str, tool: &str) -> Ask {
    modern(id, "tools/call", Some(tool), &format!(r#""name":"{tool}","arguments":{{}}"#))
}

/// `initialize` of 2025-11-25.
pub(crate) fn initialize() -> Ask {
    Ask::post(INITIALIZE)
}

/// A message of 2025-11-25 within a session.
pub(crate) fn legacy(session: &str, body: impl Into<String>) -> Ask {
    Ask::post(body.into()).header("mcp-protocol-version", "2025-11-25").session(session)
}

/// A `tools/call` of 2025-11-25.
pub(crate) fn legacy_call(session: &str, id: &str, tool: &str) -> Ask {
    legacy(session, call_body(id, tool))
}

/// The body of a `tools/call` of the older revisions.
pub(crate) fn call_body(id: &str, tool: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{}}}}}}"#
    )
}

/// A response with an empty result.
pub(crate) fn result(id: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{{"content":[]}}}}"#)
}

/// A server-sent event that carries a message.
pub(crate) fn event(message: &str) -> String {
    format!("event: message\ndata: {message}\n\n")
}

/// The code of a JSON-RPC error.
pub(crate) fn code(message: &Value) -> i64 {
    message["error"]["code"].as_i64().unwrap_or_else(|| panic!("not an error: {message}"))
}

/// What an error of the gateway says about its reason.
pub(crate) fn reason(message: &Value) -> &str {
    message["error"]["data"]["reason"].as_str().unwrap_or_else(|| panic!("no reason: {message}"))
}

pub(crate) const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"tester","version":"7"}}}"#;

pub(crate) const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
