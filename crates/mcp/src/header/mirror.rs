//! The headers that mirror a message, for whoever sends it over HTTP on behalf of a client that knows
//! none, and the check of those that mirror tool arguments (2026-07-28, "Custom Headers from Tool
//! Parameters"). It refuses to know where schemas come from.

use std::borrow::Cow;

use serde_json::Value;

use super::value::{decode_header_value, encode_header_value};
use super::{HeaderMismatch, METHOD, NAME, PARAM_PREFIX, PROTOCOL_VERSION, mcp_name};
use crate::edit::{Step, find};
use crate::message::Message;

/// The keyword by which a schema asks for a header.
const KEYWORD: &str = "x-mcp-header";

/// Annotated arguments of one tool that are read; more make the schema invalid.
const PARAMS_MAX: usize = 100;

/// One annotated argument of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParamHeader {
    /// What follows [`PARAM_PREFIX`] in the name of the header, as the schema spells it.
    pub name: String,
    /// The keys that lead to the argument within `arguments`.
    pub path: Vec<String>,
}

/// The annotated arguments of a tool, from its entry in a list of tools (an object with `inputSchema`).
/// Only those reachable through `properties` alone count. None at all when an annotation there breaks a
/// rule (a name that is no token or is used twice, a type other than integer, string and boolean):
/// clients must not use such a tool.
#[must_use]
pub fn param_headers(tool: &str) -> Vec<ParamHeader> {
    let tool: Value = serde_json::from_str(tool).unwrap_or_default();
    let mut found = Vec::new();
    let schema = tool.get("inputSchema").unwrap_or(&Value::Null);
    if collect(schema, &mut Vec::new(), &mut found).is_none() {
        found.clear();
    }
    found
}

/// Every header that mirrors a message of a stateless revision: the revision, the method, the name, and
/// the annotated arguments of a call of a tool. `raw` is the message as it will be sent.
#[must_use]
pub fn mirrored_headers(
    message: &Message<'_>,
    raw: &[u8],
    params: &[ParamHeader],
) -> Vec<(String, String)> {
    let mut headers = Vec::new();
    let meta = message.params().and_then(|params| params.meta.as_ref());
    if let Some(revision) = meta.and_then(|meta| meta.protocol_version.as_deref()) {
        headers.push((PROTOCOL_VERSION.to_owned(), revision.to_owned()));
    }
    if let Some(method) = message.method() {
        headers.push((METHOD.to_owned(), method.name().to_owned()));
    }
    if let Some(name) = mcp_name(message) {
        headers.push((NAME.to_owned(), encode_header_value(name)));
    }
    for param in params {
        if let Some(value) = argument(raw, param) {
            let name = format!("{PARAM_PREFIX}{}", param.name);
            headers.push((name, encode_header_value(&value)));
        }
    }
    headers
}

/// Checks that the headers of annotated arguments say what the arguments say. One that is missing is for
/// the server to refuse: it knows its schema best.
///
/// # Errors
/// [`HeaderMismatch`] for one that is repeated, invalid, or differs from the body.
pub fn check_param_headers<'h>(
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
    raw: &[u8],
    params: &[ParamHeader],
) -> Result<(), HeaderMismatch> {
    let header = PARAM_PREFIX;
    let mut seen = vec![false; params.len()];
    for (name, value) in headers {
        let Some(name) = without_prefix(name) else { continue };
        let mut places = params.iter().zip(&mut seen);
        let Some((param, seen)) = places.find(|(p, _)| p.name.eq_ignore_ascii_case(name)) else {
            continue;
        };
        if std::mem::replace(seen, true) {
            return Err(HeaderMismatch::Repeated { header });
        }
        let value = decode_header_value(value).ok_or(HeaderMismatch::Invalid { header })?;
        match argument(raw, param) {
            Some(argument) if is_same(&argument, &value) => {}
            _ => return Err(HeaderMismatch::Differs { header }),
        }
    }
    Ok(())
}

fn without_prefix(name: &str) -> Option<&str> {
    let (prefix, rest) = name.split_at_checked(PARAM_PREFIX.len())?;
    prefix.eq_ignore_ascii_case(PARAM_PREFIX).then_some(rest)
}

/// `None` when a rule is broken.
fn collect<'s>(
    schema: &'s Value,
    path: &mut Vec<&'s str>,
    found: &mut Vec<ParamHeader>,
) -> Option<()> {
    if let Some(name) = schema.get(KEYWORD) {
        let name = name.as_str().filter(|name| is_token(name))?;
        let kind = schema.get("type").and_then(Value::as_str);
        let is_plain = matches!(kind, Some("integer" | "string" | "boolean"));
        let is_taken = found.iter().any(|other| other.name.eq_ignore_ascii_case(name));
        if !is_plain || is_taken || path.is_empty() || found.len() >= PARAMS_MAX {
            return None;
        }
        let path = path.iter().map(|key| (*key).to_owned()).collect();
        found.push(ParamHeader { name: name.to_owned(), path });
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    for (key, schema) in properties.into_iter().flatten() {
        path.push(key);
        collect(schema, path, found)?;
        path.pop();
    }
    Some(())
}

/// RFC 9110 section 5.6.2.
fn is_token(name: &str) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(is_tchar)
}

/// The argument as a header says it; `None` when it is absent, null or of another type.
fn argument(raw: &[u8], param: &ParamHeader) -> Option<String> {
    let mut path = vec![Step::Key("params"), Step::Key("arguments")];
    path.extend(param.path.iter().map(|key| Step::Key(key)));
    let found = find(raw, &path).ok()?;
    let text = found.first()?.raw;
    match serde_json::from_str(text).ok()? {
        Value::String(text) => Some(text),
        Value::Bool(value) => Some(value.to_string()),
        Value::Number(_) => Some(integer(text).into_owned()),
        _ => None,
    }
}

/// A whole number without a fraction of zeros; anything else as it stands.
fn integer(text: &str) -> Cow<'_, str> {
    match text.split_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|b| b == b'0') => {
            Cow::Borrowed(whole)
        }
        _ => Cow::Borrowed(text),
    }
}

/// Numbers are compared as numbers, everything else as text.
fn is_same(argument: &str, header: &str) -> bool {
    let number = |text: &str| integer(text).parse::<i128>().ok();
    argument == header
        || number(argument).zip(number(header)).is_some_and(|(one, other)| one == other)
}
