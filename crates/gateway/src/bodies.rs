//! Bodies of whole answers that were not judged as messages: which of them a client may see, and as the
//! answer to what. It records nothing.

use crate::upstream::splice;
use bytes::Bytes;
use mcp::{Frame, Message, Outcome, RequestId};
use serde_json::Value;

/// The id by which the MCP SDK for Python answers what it could not read as a request.
const GENERAL: &str = "server-error";

/// Whether the body of an answer with an HTTP status of failure may reach the client: an answer to what
/// was asked or to nothing in particular, or no message at all, such as a page of a proxy or an error of
/// OAuth. What some client could take for another message is none of these: nothing judged it.
pub(crate) fn may_explain_failure(body: &[u8], asked: Option<&RequestId>) -> bool {
    match mcp::parse(body, &mcp::Limits::for_replies()) {
        Ok(Frame::Single(Message::Response(response))) => match &response.id {
            None => true,
            Some(id) if Some(id) == asked => true,
            Some(id) => {
                id.as_text() == Some(GENERAL) && matches!(response.outcome, Outcome::Error { .. })
            }
        },
        Ok(_) => false,
        Err(_) => !could_be_message(body),
    }
}

/// The body of a whole answer as the one to this request: with its id where it has none. Nothing where
/// it is no answer, or one to another request.
pub(crate) fn answer_to(id: &RequestId, body: &Bytes) -> Option<Bytes> {
    let limits = mcp::Limits::for_replies();
    let answered = |body: &Bytes| match mcp::parse(body, &limits) {
        Ok(Frame::Single(Message::Response(response))) => Some(response.id),
        _ => None,
    };
    if answered(body)?.is_some_and(|other| other == *id) {
        return Some(body.clone());
    }
    let body =
        answered(body)?.is_none().then(|| splice::replace(body, splice::ID, &id.to_string()))?;
    answered(&body)?.is_some_and(|other| other == *id).then_some(body)
}

/// Whether a reader less strict than ours could find a message in it: JSON that has the mark of one or
/// that cannot be read in one way only, in whatever encoding.
fn could_be_message(body: &[u8]) -> bool {
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body).trim_ascii_start();
    match text.first() {
        Some(b'{' | b'[') => match serde_json::from_slice(text) {
            Ok(Value::Array(values)) => values.iter().any(is_marked),
            Ok(value) => is_marked(&value),
            Err(_) => true,
        },
        // UTF-16 and UTF-32 have a mark of byte order, or NULs.
        Some(_) => {
            text.contains(&0) || [b"\xff\xfe", b"\xfe\xff"].iter().any(|m| text.starts_with(*m))
        }
        None => false,
    }
}

/// Some readers take keys for the same whatever their case.
fn is_marked(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.keys().any(|key| key.to_uppercase() == "JSONRPC"))
}

#[cfg(test)]
mod tests {
    use super::{answer_to, may_explain_failure};
    use bytes::Bytes;
    use mcp::RequestId;

    #[test]
    fn a_failure_is_explained_by_nothing_that_answers_something_else() {
        let asked = RequestId::from(1);
        for harmless in [
            "",
            "Method Not Allowed",
            "<html><p>{\"jsonrpc\":\"2.0\"}</p>",
            r#"{"error":"invalid_token","error_description":"expired"}"#,
            r#"[{"detail":"not found"}]"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32000,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"x"}}"#,
        ] {
            assert!(may_explain_failure(harmless.as_bytes(), Some(&asked)), "{harmless}");
        }
        let utf16: Vec<u8> =
            r#"{"jsonrpc":"2.0"}"#.encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert!(!may_explain_failure(&utf16, Some(&asked)));
        for harmful in [
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":"server-error","result":{}}"#,
            r#"{"jsonrpc":"2.0","id":"q","method":"sampling/createMessage"}"#,
            r#"{"jsonrpc":"2.0","method":"notifications/message"}"#,
            r#"[{"jsonrpc":"2.0","id":7,"result":{}}]"#,
            r#"{"jsonrpc":"2.0","jsonrpc":"2.0","id":7,"result":{}}"#,
            r#"{"\u006asonrpc":"2.0","id":7,"id":7,"result":{}}"#,
            r#"{"JSONRPC":"2.0","ID":7,"RESULT":{}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{}},"#,
            "\u{feff}{\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{}}",
        ] {
            assert!(!may_explain_failure(harmful.as_bytes(), Some(&asked)), "{harmful}");
        }
        assert!(!may_explain_failure(br#"{"jsonrpc":"2.0","id":1,"result":{}}"#, None));
    }

    #[test]
    fn an_answer_to_nothing_in_particular_is_given_the_id_of_what_was_asked() {
        let to = |body: &'static str| {
            answer_to(&RequestId::from(1), &Bytes::from_static(body.as_bytes()))
        };
        let ours = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"x"}}"#;
        assert_eq!(to(ours).unwrap(), ours);
        let general = r#"{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}"#;
        assert_eq!(to(general).unwrap(), ours);
        for other in [
            r#"{"jsonrpc":"2.0","error":{"code":1,"message":"x"}}"#,
            r#"{"jsonrpc":"2.0","id":7,"result":{}}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#,
            "<p>later</p>",
        ] {
            assert_eq!(to(other), None, "{other}");
        }
    }
}
