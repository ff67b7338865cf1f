//! Replaces one value of a message and leaves every other byte as it was. Needed only where two
//! clients share one server program and happen to use the same request id.

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
    use super::{ID, REQUEST_TOKEN, replace, value_at};
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
    fn nothing_there_means_nothing_changes() {
        let message = Bytes::from_static(br#"{"a":{"b":[1]}}"#);
        assert_eq!(replace(&message, ID, "1"), message);
        assert_eq!(replace(&message, &["a", "b", "c"], "1"), message);
    }
}
