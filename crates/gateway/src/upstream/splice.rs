//! Replaces or adds one value of a message and leaves every other byte as it was. Needed only where
//! two clients share one server program and happen to use the same request id, and where results carry
//! receipts. How bytes are kept is the business of `mcp::edit`.

use bytes::Bytes;
use mcp::edit::{self, Edit, Problem, Step, quoted};

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
    let changed = Edit::new(message).map_err(Problem::from).and_then(|mut edit| {
        edit.replace(&steps(path), value)?;
        edit.finish()
    });
    changed.map_or_else(|_| message.clone(), Bytes::from)
}

/// `message` with `"key":value` put first into the `_meta` of its result, which is made where there is
/// none; unchanged when the result is no object or has the key already. Every other byte stays.
pub(crate) fn add_meta(message: &Bytes, key: &str, value: &str) -> Bytes {
    let changed = Edit::new(message).map_err(Problem::from).and_then(|mut edit| {
        edit.insert(&steps(&["result", "_meta"]), key, value)?;
        edit.insert(&steps(&["result"]), "_meta", &format!("{{{}:{value}}}", quoted(key)))?;
        edit.finish()
    });
    changed.map_or_else(|_| message.clone(), Bytes::from)
}

/// The JSON text of the value at `path`.
pub(crate) fn value_at(message: &[u8], path: &[&str]) -> Option<String> {
    let found = edit::find(message, &steps(path)).ok()?;
    found.first().map(|value| value.raw.to_owned())
}

fn steps<'p>(path: &[&'p str]) -> Vec<Step<'p>> {
    path.iter().map(|key| Step::Key(key)).collect()
}

#[cfg(test)]
mod tests {
    use super::{ID, REQUEST_TOKEN, add_meta, replace, value_at};
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
    fn nothing_there_means_nothing_changes() {
        let message = Bytes::from_static(br#"{"a":{"b":[1]}}"#);
        assert_eq!(replace(&message, ID, "1"), message);
        assert_eq!(replace(&message, &["a", "b", "c"], "1"), message);
    }
}
