//! JSON-RPC and MCP error codes, and the HTTP status that goes with each. It refuses to hold codes
//! of the gateway's own: those are positive numbers and live where they are raised.

/// The body is not JSON (JSON-RPC 2.0, section 5.1).
pub const PARSE_ERROR: i64 = -32_700;
/// The JSON is not a JSON-RPC message (JSON-RPC 2.0, section 5.1).
pub const INVALID_REQUEST: i64 = -32_600;
/// The method does not exist (JSON-RPC 2.0, section 5.1); HTTP 404 since 2026-07-28.
pub const METHOD_NOT_FOUND: i64 = -32_601;
/// The parameters are wrong, or required `_meta` is missing (MCP 2026-07-28, basic).
pub const INVALID_PARAMS: i64 = -32_602;
/// The receiver failed (JSON-RPC 2.0, section 5.1).
pub const INTERNAL_ERROR: i64 = -32_603;
/// A mirrored header is missing, malformed or differs from the body (MCP 2026-07-28).
pub const HEADER_MISMATCH: i64 = -32_020;
/// The request needs a capability which the client did not declare (MCP 2026-07-28);
/// `data.requiredCapabilities` names it.
pub const MISSING_CLIENT_CAPABILITY: i64 = -32_021;
/// The server does not speak the revision asked for (MCP 2026-07-28); `data.supported` lists
/// those it speaks, `data.requested` repeats the one asked for.
pub const UNSUPPORTED_REVISION: i64 = -32_022;

/// The HTTP status of an error response under 2026-07-28 (transports, Streamable HTTP).
///
/// Codes which the revision does not bind to a status travel in a 200.
#[must_use]
pub fn http_status(code: i64) -> u16 {
    match code {
        PARSE_ERROR
        | INVALID_REQUEST
        | INVALID_PARAMS
        | HEADER_MISMATCH
        | MISSING_CLIENT_CAPABILITY
        | UNSUPPORTED_REVISION => 400,
        METHOD_NOT_FOUND => 404,
        INTERNAL_ERROR => 500,
        _ => 200,
    }
}
