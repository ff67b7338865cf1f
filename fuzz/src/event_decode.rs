//! Events: the canonical bytes of an event are one text, and every other text leads to them.

use event::{DecodeError, ENTRY_BYTES_MAX, EncodeError, Event, SCHEMA_VERSION};
use serde_json::Value;

/// Reads the input as an entry of the log.
pub fn event_decode(data: &[u8]) {
    let strict = Event::decode_strict(data);
    let event = match Event::decode(data) {
        Ok(event) => event,
        Err(error) => {
            assert!(strict.is_err(), "strict reading takes what reading refuses: {error}");
            return;
        }
    };
    assert!(event.v <= SCHEMA_VERSION);
    let encoded = match event.encode() {
        Ok(encoded) => encoded,
        Err(EncodeError::TooLarge { bytes }) => {
            // Texts can grow: a control character takes six bytes and is read from two.
            assert!(ENTRY_BYTES_MAX < bytes && bytes <= 6 * (data.len() + 100));
            return;
        }
        Err(error) => panic!("an event that was read cannot be written: {error}"),
    };
    let again = Event::decode_strict(&encoded).expect("what is written is canonical");
    assert_eq!(again, event);
    match strict {
        Ok(read) => {
            assert_eq!(read, event);
            assert_eq!(encoded, data, "two texts of one event are both called canonical");
        }
        Err(DecodeError::NotCanonical) => assert_ne!(encoded, data),
        Err(error) => panic!("only the form may be refused here: {error}"),
    }
    let value: Value = serde_json::from_slice(&encoded).expect("an event is JSON");
    let ascii_keys = event.details.keys().all(|key| key.is_ascii());
    if ascii_keys && has_exact_numbers(&value) {
        let canonical =
            serde_json_canonicalizer::to_vec(&value).expect("JSON has a canonical form");
        assert_eq!(canonical, encoded, "the bytes are not those of RFC 8785");
    }
}

/// RFC 8785 knows doubles only; integers beyond them have no canonical form of their own.
fn has_exact_numbers(value: &Value) -> bool {
    match value {
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => number <= EXACT_MAX,
            (None, Some(number)) => number.unsigned_abs() <= EXACT_MAX,
            (None, None) => false,
        },
        Value::Array(items) => items.iter().all(has_exact_numbers),
        Value::Object(members) => members.values().all(has_exact_numbers),
        _ => true,
    }
}

const EXACT_MAX: u64 = 1 << 53;
