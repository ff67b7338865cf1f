//! Replaces or adds one value of a message and leaves every other byte as it was. Needed only where
//! two clients share one server program and happen to use the same request id, and where results carry
//! receipts.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Where a request or response keeps its id.
pub(crate) const ID: &[&str] = &["id"];

/// Where a request says by which token it wants to hear of progress.
pub(crate) const REQUEST_TOKEN: &[&str] = &["params", "_meta", "progressToken"];

/// Where a progress notification keeps its token.
pub(crate) const PROGRESS_TOKEN: &[&str] = &["params", "progressToken"];

/// Where a notification names the subscription it belongs to (2026-07-28, subscriptions).
pub(crate) const SUBSCRIPTION: &[&str] =
    &["params", "_meta", "io.modelcontextprotocol/subscriptionId"];

/// Where the last answer to a subscription repeats its id.
pub(crate) const RESULT_SUBSCRIPTION: &[&str] =
    &["result", "_meta", "io.modelcontextprotocol/subscriptionId"];

/// `message` with the value at `path` replaced by the JSON text `value`; unchanged when there is
/// nothing at `path`.
pub(crate) fn replace(message: &Bytes, path: &[&str], value: &str) -> Bytes {
    let Some((start, end)) = span(message, path) else { return message.clone() };
    let (Some(before), Some(after)) = (message.get(..start), message.get(end..)) else {
        return message.clone();
    };
    let mut out = BytesMut::with_capacity(before.len() + value.len() + after.len());
    out.put_slice(before);
    out.put_slice(value.as_bytes());
    out.put_slice(after);
    out.freeze()
}

/// `message` with `"key":value` put first into the `_meta` of its result, which is made where there is
/// none; unchanged when the result is no object or has the key already. Every other byte stays.
pub(crate) fn add_meta(message: &Bytes, key: &str, value: &str) -> Bytes {
    let is_object = |at: usize| message.get(at) == Some(&b'{');
    let unchanged = || message.clone();
    if span(message, &["result", "_meta", key]).is_some() {
        return unchanged();
    }
    let (at, text) = match (span(message, &["result", "_meta"]), span(message, &["result"])) {
        (Some((meta, end)), _) if is_object(meta) => {
            let inner = message.get(meta + 1..end.saturating_sub(1)).unwrap_or_default();
            let comma = if inner.iter().all(u8::is_ascii_whitespace) { "" } else { "," };
            (meta + 1, format!("\"{key}\":{value}{comma}"))
        }
        (None, Some((result, end))) if is_object(result) => {
            let inner = message.get(result + 1..end.saturating_sub(1)).unwrap_or_default();
            let comma = if inner.iter().all(u8::is_ascii_whitespace) { "" } else { "," };
            (result + 1, format!("\"_meta\":{{\"{key}\":{value}}}{comma}"))
        }
        _ => return unchanged(),
    };
    let Some((before, after)) = message.split_at_checked(at) else { return unchanged() };
    [before, text.as_bytes(), after].concat().into()
}

/// `bytes` with the one place where `part` stands replaced; `None` when there is none, or more than one.
pub(crate) fn replace_part(bytes: &Bytes, part: &[u8], with: &[u8]) -> Option<Bytes> {
    let at = memchr::memmem::find(bytes, part)?;
    let after = bytes.get(at + part.len()..)?;
    if memchr::memmem::find(after, part).is_some() {
        return None;
    }
    Some([bytes.get(..at)?, with, after].concat().into())
}

/// The JSON text of the value at `path`.
pub(crate) fn value_at(message: &[u8], path: &[&str]) -> Option<String> {
    let (start, end) = span(message, path)?;
    String::from_utf8(message.get(start..end)?.to_vec()).ok()
}

/// Offsets of the value at `path`.
fn span(message: &[u8], path: &[&str]) -> Option<(usize, usize)> {
    let mut current: &RawValue = serde_json::from_slice(message).ok()?;
    for key in path {
        let members: BTreeMap<Cow<'_, str>, &RawValue> =
            serde_json::from_str(current.get()).ok()?;
        current = members.get(*key)?;
    }
    // `current` is a part of `message`, so the difference of the addresses is its offset.
    let start = current.get().as_ptr().addr().checked_sub(message.as_ptr().addr())?;
    Some((start, start + current.get().len()))
}

#[cfg(test)]
mod tests {
    use super::{ID, REQUEST_TOKEN, add_meta, replace, replace_part, value_at};
    use bytes::Bytes;

    #[test]
    fn only_the_value_changes() {
        let message = Bytes::from_static(
            br#" {"x": 1.00, "params":{"_meta":{"progressToken" : "t"},"id":7}, "id" : 3 , "z":1e2}"#,
        );
        let other = replace(&message, ID, "1000000");
        assert_eq!(
            other,
            br#" {"x": 1.00, "params":{"_meta":{"progressToken" : "t"},"id":7}, "id" : 1000000 , "z":1e2}"#
                .as_slice()
        );
        assert_eq!(replace(&other, ID, "3"), message);
        assert_eq!(value_at(&message, REQUEST_TOKEN).as_deref(), Some("\"t\""));
        let token = replace(&message, REQUEST_TOKEN, "9");
        assert_eq!(value_at(&token, REQUEST_TOKEN).as_deref(), Some("9"));
    }

    #[test]
    fn a_key_goes_first_into_the_meta_of_a_result() {
        for (message, wanted) in [
            (r#"{"result": {"a":1.0}}"#, r#"{"result": {"_meta":{"k":7},"a":1.0}}"#),
            (r#"{"result":{ }}"#, r#"{"result":{"_meta":{"k":7} }}"#),
            (r#"{"result":{"_meta":{"x":[]}}}"#, r#"{"result":{"_meta":{"k":7,"x":[]}}}"#),
            (r#"{"result":{"_meta":{}}}"#, r#"{"result":{"_meta":{"k":7}}}"#),
            (r#"{"result":{"_meta":{"k":1}}}"#, r#"{"result":{"_meta":{"k":1}}}"#),
            (r#"{"result":{"_meta":3}}"#, r#"{"result":{"_meta":3}}"#),
            (r#"{"result":[1]}"#, r#"{"result":[1]}"#),
            (r#"{"error":{"code":1}}"#, r#"{"error":{"code":1}}"#),
        ] {
            let message = Bytes::from_static(message.as_bytes());
            assert_eq!(add_meta(&message, "k", "7"), wanted.as_bytes());
        }
    }

    #[test]
    fn a_part_is_replaced_only_where_it_is_plain_which() {
        let bytes = Bytes::from_static(b"data: abc\n\n");
        assert_eq!(replace_part(&bytes, b"abc", b"x").unwrap(), b"data: x\n\n".as_slice());
        assert_eq!(replace_part(&bytes, b"abd", b"x"), None);
        assert_eq!(replace_part(&bytes, b"a", b"x"), None);
    }

    #[test]
    fn nothing_there_means_nothing_changes() {
        let message = Bytes::from_static(br#"{"a":{"b":[1]}}"#);
        assert_eq!(replace(&message, ID, "1"), message);
        assert_eq!(replace(&message, &["a", "b", "c"], "1"), message);
    }
}
