//! The headers of 2026-07-28 that mirror the body, checked against it (transports, Streamable
//! HTTP, "Server Validation"; SEP-2243). It refuses to trust them: policy reads the body, headers
//! can only lead to a refusal.

mod mirror;
mod value;

use thiserror::Error;

pub use self::mirror::{ParamHeader, check_param_headers, mirrored_headers, param_headers};
pub use self::value::{decode_header_value, encode_header_value};
use crate::code;
use crate::message::Message;
use crate::method::{Method, Target};

/// Carries the revision: every POST since 2026-07-28, every POST after the handshake since
/// 2025-06-18.
pub const PROTOCOL_VERSION: &str = "MCP-Protocol-Version";
/// Mirrors `method`.
pub const METHOD: &str = "Mcp-Method";
/// Mirrors the name, the URI or the task id of the methods for which [`mcp_name`] gives one.
pub const NAME: &str = "Mcp-Name";
/// Opens the names of headers that mirror tool arguments annotated with `x-mcp-header`.
pub const PARAM_PREFIX: &str = "Mcp-Param-";
/// The session of Streamable HTTP, 2025-03-26 to 2025-11-25.
pub const SESSION_ID: &str = "Mcp-Session-Id";
/// Where to resume an event stream, 2025-03-26 to 2025-11-25.
pub const LAST_EVENT_ID: &str = "Last-Event-ID";

/// A header that does not say what the body says. The answer is HTTP 400 with
/// [`code::HEADER_MISMATCH`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum HeaderMismatch {
    /// A required header is absent.
    #[error("the header `{header}` is required")]
    Missing {
        /// The header.
        header: &'static str,
    },
    /// A header came more than once.
    #[error("the header `{header}` must be sent once")]
    Repeated {
        /// The header.
        header: &'static str,
    },
    /// A value with characters outside visible ASCII, space and tab, or bad Base64.
    #[error("the header `{header}` has invalid characters or bad Base64")]
    Invalid {
        /// The header.
        header: &'static str,
    },
    /// The value is not that of the body.
    #[error("the header `{header}` differs from the body")]
    Differs {
        /// The header.
        header: &'static str,
    },
}

/// `_meta` lacks what every request must carry since 2026-07-28. The answer is HTTP 400 with
/// [`code::INVALID_PARAMS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("`params._meta` must have `io.modelcontextprotocol/{key}`")]
pub struct MetaMissing {
    /// The key, without its prefix.
    pub key: &'static str,
}

impl HeaderMismatch {
    /// The JSON-RPC error code of the answer.
    #[must_use]
    pub fn code(self) -> i64 {
        code::HEADER_MISMATCH
    }
}

impl MetaMissing {
    /// The JSON-RPC error code of the answer.
    #[must_use]
    pub fn code(self) -> i64 {
        code::INVALID_PARAMS
    }
}

/// Checks that the headers of a modern POST mirror its body. Names are compared without case,
/// values with case, after trimming optional white space.
///
/// A request needs all its headers. For a notification the revision asks only for the version;
/// headers and `_meta` that are there must agree nevertheless.
///
/// # Errors
/// [`HeaderMismatch`] for a mirrored header that is missing, repeated, invalid or different.
pub fn check_modern_headers<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    message: &Message<'_>,
) -> Result<(), HeaderMismatch> {
    let mirrored = Mirrored::collect(headers)?;
    let is_request = matches!(message, Message::Request(_));
    let version = mirrored.version.ok_or(missing(PROTOCOL_VERSION))?;
    let meta = message.params().and_then(|params| params.meta.as_ref());
    match meta.and_then(|meta| meta.protocol_version.as_deref()) {
        Some(named) => check_plain(PROTOCOL_VERSION, version, named)?,
        None if is_request => return Err(differs(PROTOCOL_VERSION)),
        None => {}
    }
    match (message.method(), mirrored.method) {
        (Some(method), Some(value)) => check_plain(METHOD, value, method.name())?,
        (Some(_), None) if is_request => return Err(missing(METHOD)),
        (_, None) => {}
        (None, Some(_)) => return Err(differs(METHOD)),
    }
    match (mcp_name(message), mirrored.name) {
        (Some(name), Some(value)) => check_encoded(NAME, value, name),
        (Some(_), None) => Err(missing(NAME)),
        (None, _) => Ok(()),
    }
}

/// Checks that a modern request carries the `_meta` it must; other messages need none.
///
/// # Errors
/// [`MetaMissing`] for the revision or the capabilities.
pub fn check_modern_meta(message: &Message<'_>) -> Result<(), MetaMissing> {
    let Message::Request(request) = message else {
        return Ok(());
    };
    let meta = request.params.meta.as_ref();
    if meta.is_none_or(|meta| meta.protocol_version.is_none()) {
        return Err(MetaMissing { key: "protocolVersion" });
    }
    if meta.is_none_or(|meta| meta.client_capabilities.is_none()) {
        return Err(MetaMissing { key: "clientCapabilities" });
    }
    Ok(())
}

/// What `Mcp-Name` must say for this message, decoded; `None` if it is not required. Write it with
/// [`encode_header_value`].
#[must_use]
pub fn mcp_name<'m>(message: &'m Message<'_>) -> Option<&'m str> {
    let Message::Request(request) = message else {
        return None;
    };
    let named = matches!(
        request.method,
        Method::ToolsCall
            | Method::PromptsGet
            | Method::ResourcesRead
            | Method::TasksGet
            | Method::TasksUpdate
            | Method::TasksCancel
    );
    match request.method.target(&request.params) {
        Ok(
            Target::Tool(name) | Target::Prompt(name) | Target::Resource(name) | Target::Task(name),
        ) if named => Some(name),
        _ => None,
    }
}

/// The mirrored headers, each at most once.
#[derive(Default)]
struct Mirrored<'h> {
    version: Option<&'h [u8]>,
    method: Option<&'h [u8]>,
    name: Option<&'h [u8]>,
}

impl<'h> Mirrored<'h> {
    fn collect(
        headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    ) -> Result<Self, HeaderMismatch> {
        let mut mirrored = Self::default();
        for (name, value) in headers {
            let (place, header) = if name.eq_ignore_ascii_case(PROTOCOL_VERSION) {
                (&mut mirrored.version, PROTOCOL_VERSION)
            } else if name.eq_ignore_ascii_case(METHOD) {
                (&mut mirrored.method, METHOD)
            } else if name.eq_ignore_ascii_case(NAME) {
                (&mut mirrored.name, NAME)
            } else {
                continue;
            };
            if place.replace(value).is_some() {
                return Err(HeaderMismatch::Repeated { header });
            }
        }
        Ok(mirrored)
    }
}

fn check_plain(header: &'static str, value: &[u8], body: &str) -> Result<(), HeaderMismatch> {
    let value = value::plain(value).ok_or(HeaderMismatch::Invalid { header })?;
    if value == body { Ok(()) } else { Err(differs(header)) }
}

fn check_encoded(header: &'static str, value: &[u8], body: &str) -> Result<(), HeaderMismatch> {
    let value = decode_header_value(value).ok_or(HeaderMismatch::Invalid { header })?;
    if value == body { Ok(()) } else { Err(differs(header)) }
}

fn missing(header: &'static str) -> HeaderMismatch {
    HeaderMismatch::Missing { header }
}

fn differs(header: &'static str) -> HeaderMismatch {
    HeaderMismatch::Differs { header }
}
