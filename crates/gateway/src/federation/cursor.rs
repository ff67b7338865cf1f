//! Cursors of merged lists: which servers have more to give, and from where. A cursor is data of the
//! client's once it was given out, so it is read as strictly as any message. Knows no servers.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a list that several servers give goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cursor {
    /// The method of the list: the cursor of one list is none of another.
    list: String,
    /// The cursor of each server that has more, by prefix; never empty.
    from: BTreeMap<String, String>,
}

impl Cursor {
    /// `None` when no server has more.
    pub(crate) fn new(list: &str, from: BTreeMap<String, String>) -> Option<Self> {
        (!from.is_empty()).then(|| Self { list: list.to_owned(), from })
    }

    /// The text that clients send back.
    pub(crate) fn to_text(&self) -> String {
        // Texts and maps of texts always have a JSON form.
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).unwrap_or_default())
    }

    /// Reads what a client sent for this list: exactly what [`Self::to_text`] writes, nothing else.
    pub(crate) fn read(list: &str, text: &str) -> Option<BTreeMap<String, String>> {
        let cursor: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        let genuine = cursor.list == list && !cursor.from.is_empty() && cursor.to_text() == text;
        genuine.then_some(cursor.from)
    }
}

#[cfg(test)]
mod tests {
    use super::Cursor;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let from = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".into(), "\"".into())]);
        let text = Cursor::new("tools/list", from.clone()).unwrap().to_text();
        assert_eq!(Cursor::read("tools/list", &text), Some(from));
        assert_eq!(Cursor::read("prompts/list", &text), None);
        assert_eq!(Cursor::new("tools/list", BTreeMap::new()), None);
        let others = [
            r#"{"list":"tools/list","from":{}}"#,
            r#"{"list":"tools/list","from":{"a":1}}"#,
            r#"{"list":"tools/list", "from":{"a":"1"}}"#,
            r#"{"from":{"a":"1"},"list":"tools/list"}"#,
            r#"{"list":"tools/list","from":{"a":"1"},"x":1}"#,
            r#"{"list":"tools/list","from":{"a":"1","a":"2"}}"#,
            "[]",
        ];
        for other in others {
            assert_eq!(Cursor::read("tools/list", &URL_SAFE_NO_PAD.encode(other)), None, "{other}");
        }
        for text in ["", "*", &format!("{text}=")] {
            assert_eq!(Cursor::read("tools/list", text), None, "{text}");
        }
    }
}
