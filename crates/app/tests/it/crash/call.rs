//! One `tools/call` and its answer as bytes. Every call has a number, which is in the name of its tool
//! and in its arguments.

use anyhow::Context as _;
use serde_json::Value;

/// The tool that the call with this number names.
pub(super) fn tool(number: u32) -> String {
    format!("t{number:06}")
}

/// The call with this number, as an HTTP request of the 2025-11-25 revision.
pub(super) fn request(number: u32, host: &str, key: &str) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{number},"method":"tools/call","params":{{"name":"{}","arguments":{{"number":{number}}}}}}}"#,
        tool(number)
    );
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         MCP-Protocol-Version: 2025-11-25\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The answer of the server to the call with this number, as an HTTP response.
pub(super) fn answer(number: u32) -> Vec<u8> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":{number},"result":{{"content":[{{"type":"text","text":"{number}"}}]}}}}"#
    );
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The number of a call: the one in its arguments, which must be the one in its tool.
pub(super) fn number_of(body: &[u8]) -> anyhow::Result<u32> {
    let call: Value = serde_json::from_slice(body)?;
    let number = call.pointer("/params/arguments/number").and_then(Value::as_u64);
    let number = u32::try_from(number.context("no number in the arguments")?)?;
    let named = call.pointer("/params/name").and_then(Value::as_str);
    anyhow::ensure!(named == Some(tool(number).as_str()), "call {number} names {named:?}");
    Ok(number)
}

/// Whether this is the answer to the call with this number, as the server gave it.
pub(super) fn is_answer_to(number: u32, body: &[u8]) -> bool {
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    answer.get("id").and_then(Value::as_u64) == Some(u64::from(number))
        && answer.pointer("/result/content/0/text").and_then(Value::as_str)
            == Some(number.to_string().as_str())
}
