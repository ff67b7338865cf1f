//! What a request claims in its headers, held against its body, whatever its revision: a server may heed
//! these headers even where its revision does not know them. The revisions that demand them are held to
//! more (`mcp::header::check_modern_headers`). Trusts no header.

use http::{HeaderMap, HeaderName};
use mcp::header::{HeaderMismatch, METHOD, NAME, PROTOCOL_VERSION};
use mcp::{Message, Revision};

/// Headers by which servers or frameworks take a request for another one.
static OVERRIDES: [HeaderName; 5] = [
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-method-override"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

/// The header by which a request would be taken for another one.
pub(crate) fn overrides(headers: &HeaderMap) -> Option<&'static HeaderName> {
    OVERRIDES.iter().find(|name| headers.contains_key(*name))
}

/// Each header comes at most once, can be read, and says what the body says where that says anything.
pub(crate) fn check(headers: &HeaderMap, message: &Message<'_>) -> Result<(), HeaderMismatch> {
    if let Some(value) = single(headers, PROTOCOL_VERSION)? {
        let claimed = Revision::from_header(value)
            .ok_or(HeaderMismatch::Invalid { header: PROTOCOL_VERSION })?;
        let meta = message.params().and_then(|params| params.meta.as_ref());
        let in_body = meta.and_then(|meta| meta.protocol_version.as_deref());
        differ(PROTOCOL_VERSION, in_body, claimed.name())?;
    }
    if let Some(value) = single(headers, METHOD)? {
        let claimed =
            std::str::from_utf8(value).map_err(|_| HeaderMismatch::Invalid { header: METHOD })?;
        differ(METHOD, message.method().map(mcp::Method::name), claimed.trim_matches([' ', '\t']))?;
    }
    if let Some(value) = single(headers, NAME)? {
        let claimed = mcp::header::decode_header_value(value)
            .ok_or(HeaderMismatch::Invalid { header: NAME })?;
        differ(NAME, mcp::header::mcp_name(message), &claimed)?;
    }
    Ok(())
}

fn single<'h>(
    headers: &'h HeaderMap,
    header: &'static str,
) -> Result<Option<&'h [u8]>, HeaderMismatch> {
    let mut values = headers.get_all(header).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(HeaderMismatch::Repeated { header }),
        (value, None) => Ok(value.map(|value| value.as_bytes())),
    }
}

fn differ(
    header: &'static str,
    in_body: Option<&str>,
    claimed: &str,
) -> Result<(), HeaderMismatch> {
    match in_body {
        Some(said) if said != claimed => Err(HeaderMismatch::Differs { header }),
        _ => Ok(()),
    }
}
