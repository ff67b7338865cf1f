//! What the gateway writes itself is read back as what was meant.

use mcp::build::{cancelled, error_response, notification, result_response};
use mcp::{Message, Outcome, RequestId, Target};
use proptest::prelude::*;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};

use crate::parse_one;

#[test]
fn error_responses() {
    let id = RequestId::text("a\"b");
    let detail = to_raw_value(&json!({"decisionId": "d"})).unwrap();
    let written = error_response(Some(&id), 40_301, "forbidden by `p\"1\"`\n", Some(&detail));
    let expected = r#"{"jsonrpc":"2.0","id":"a\"b","error":{"code":40301,"message":"forbidden by `p\"1\"`\n","data":{"decisionId":"d"}}}"#;
    assert_eq!(String::from_utf8(written).unwrap(), expected);
    let written = error_response(None, -32_600, "no", None);
    let expected = r#"{"jsonrpc":"2.0","error":{"code":-32600,"message":"no"}}"#;
    assert_eq!(String::from_utf8(written).unwrap(), expected);
}

#[test]
fn results_and_notices() {
    let empty = RawValue::from_string("{}".to_owned()).unwrap();
    let written = result_response(&RequestId::from(-3), &empty);
    assert_eq!(written, br#"{"jsonrpc":"2.0","id":-3,"result":{}}"#);
    let written = notification("notifications/initialized", None);
    assert_eq!(written, br#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#);
    let written = notification("a/b", Some(&empty));
    assert_eq!(written, br#"{"jsonrpc":"2.0","method":"a/b","params":{}}"#);
}

proptest! {
    #[test]
    fn errors_are_read_back(text in any::<String>(), number: i64, code: i64, message in any::<String>()) {
        for id in [RequestId::text(&text), RequestId::from(number)] {
            let written = String::from_utf8(error_response(Some(&id), code, &message, None)).unwrap();
            let value: Value = serde_json::from_str(&written).unwrap();
            prop_assert_eq!(value["error"]["message"].as_str(), Some(message.as_str()));
            if text.len() <= 256 {
                let Ok(Message::Response(response)) = parse_one(&written) else {
                    panic!("a response: {written}");
                };
                prop_assert_eq!(response.id, Some(id));
                prop_assert_eq!(response.outcome, Outcome::Error { code });
            }
        }
    }

    #[test]
    fn cancellations_are_read_back(text in "[^\\x00]{0,60}", reason in prop::option::of(any::<String>())) {
        let id = RequestId::text(&text);
        let written = String::from_utf8(cancelled(&id, reason.as_deref())).unwrap();
        let message = parse_one(&written).unwrap();
        prop_assert_eq!(message.target(), Ok(Target::Call(&id)));
        prop_assert_eq!(message.params().and_then(|params| params.reason.as_deref()), reason.as_deref());
    }
}
