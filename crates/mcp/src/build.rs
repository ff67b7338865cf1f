//! The few messages that the gateway writes itself: refusals, and notices of the bridge to stdio.
//! It refuses to change a message that somebody else wrote.

use serde_json::value::RawValue;

use crate::id::RequestId;
use crate::json;

/// Writes an error response.
///
/// The id is repeated as it was sent; without one the member is left out, as the schemas since
/// 2025-11-25 want it (and none allows a null). Keys stand in this order: `jsonrpc`, `id`, `error`
/// with `code`, `message`, `data`.
#[must_use]
pub fn error_response(
    id: Option<&RequestId>,
    code: i64,
    message: &str,
    data: Option<&RawValue>,
) -> Vec<u8> {
    let mut out = opening();
    if let Some(id) = id {
        out.extend_from_slice(b",\"id\":");
        id.write(&mut out);
    }
    out.extend_from_slice(b",\"error\":{\"code\":");
    out.extend_from_slice(code.to_string().as_bytes());
    out.extend_from_slice(b",\"message\":");
    json::write_string(&mut out, message);
    write_member(&mut out, "data", data);
    out.extend_from_slice(b"}}");
    out
}

/// Writes a response with a result.
#[must_use]
pub fn result_response(id: &RequestId, result: &RawValue) -> Vec<u8> {
    let mut out = opening();
    out.extend_from_slice(b",\"id\":");
    id.write(&mut out);
    write_member(&mut out, "result", Some(result));
    out.push(b'}');
    out
}

/// Writes a notification.
#[must_use]
pub fn notification(method: &str, params: Option<&RawValue>) -> Vec<u8> {
    let mut out = opening();
    out.extend_from_slice(b",\"method\":");
    json::write_string(&mut out, method);
    write_member(&mut out, "params", params);
    out.push(b'}');
    out
}

/// Writes `notifications/cancelled` for a request.
#[must_use]
pub fn cancelled(request_id: &RequestId, reason: Option<&str>) -> Vec<u8> {
    let mut out = opening();
    out.extend_from_slice(b",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":");
    request_id.write(&mut out);
    if let Some(reason) = reason {
        out.extend_from_slice(b",\"reason\":");
        json::write_string(&mut out, reason);
    }
    out.extend_from_slice(b"}}");
    out
}

fn opening() -> Vec<u8> {
    b"{\"jsonrpc\":\"2.0\"".to_vec()
}

fn write_member(out: &mut Vec<u8>, key: &str, value: Option<&RawValue>) {
    let Some(value) = value else { return };
    out.push(b',');
    json::write_string(out, key);
    out.push(b':');
    out.extend_from_slice(value.get().as_bytes());
}
