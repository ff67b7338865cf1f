//! JSON from strangers: duplicate member names refused at every depth, depth and size bounded. What is
//! audited is then what was evaluated. It knows no token and no key.

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::Cell;
use std::fmt;

/// An object whose member names are unique at every depth.
pub(crate) type Object = Map<String, Value>;

/// Why bytes were not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StrictError {
    /// Not one JSON object, or larger or deeper than allowed.
    #[error("not a JSON object within the limits")]
    Malformed,
    /// The same member name twice in one object.
    #[error("an object has the same member name twice")]
    Duplicate,
}

/// Reads one JSON object of at most `values_max` values (members and elements, nested ones included)
/// and [`DEPTH_MAX`] levels.
pub(crate) fn parse_object(bytes: &[u8], values_max: usize) -> Result<Object, StrictError> {
    let duplicate = Cell::new(false);
    let room = Cell::new(values_max);
    let seed = Strict { duplicate: &duplicate, room: &room, depth: DEPTH_MAX };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let parsed =
        seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match parsed {
        Ok(Value::Object(object)) => Ok(object),
        _ if duplicate.get() => Err(StrictError::Duplicate),
        _ => Err(StrictError::Malformed),
    }
}

#[derive(Clone, Copy)]
struct Strict<'a> {
    duplicate: &'a Cell<bool>,
    room: &'a Cell<usize>,
    depth: usize,
}

impl Strict<'_> {
    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        let depth = self.depth.checked_sub(1).ok_or_else(|| E::custom("nested too deeply"))?;
        Ok(Self { depth, ..self })
    }

    fn count<E: de::Error>(self) -> Result<(), E> {
        let room = self.room.get().checked_sub(1).ok_or_else(|| E::custom("too many values"))?;
        self.room.set(room);
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Vec::new();
        while let Some(value) = elements.next_element_seed(inner)? {
            self.count()?;
            out.push(value);
        }
        Ok(Value::Array(out))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut out = Object::new();
        while let Some(name) = members.next_key::<String>()? {
            self.count()?;
            if out.contains_key(&name) {
                self.duplicate.set(true);
                return Err(de::Error::custom("duplicate member"));
            }
            let value = members.next_value_seed(inner)?;
            out.insert(name, value);
        }
        Ok(Value::Object(out))
    }
}

/// Most levels of nesting: ten delegation hops and the deepest platform claims need fewer than twenty.
pub(crate) const DEPTH_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::{DEPTH_MAX, StrictError, parse_object};
    use proptest::prelude::{ProptestConfig, any, proptest};

    #[test]
    fn reads_what_serde_json_reads() {
        let text = r#"{"a":[1,-2,3.5,true,null,"é\n"],"b":{"a":{}},"c":18446744073709551615}"#;
        let strict = parse_object(text.as_bytes(), 100).unwrap();
        assert_eq!(
            serde_json::Value::Object(strict),
            serde_json::from_str::<serde_json::Value>(text).unwrap()
        );
    }

    #[test]
    fn duplicates_are_found_at_every_depth_and_under_escapes() {
        for text in [
            r#"{"sub":"a","sub":"b"}"#,
            r#"{"sub":"a","sub":"a"}"#,
            r#"{"sub":"a","\u0073ub":"b"}"#,
            r#"{"a":{"b":[{"x":1,"x":2}]}}"#,
            r#"{"":1,"":1}"#,
        ] {
            assert_eq!(parse_object(text.as_bytes(), 100), Err(StrictError::Duplicate), "{text}");
        }
        assert!(parse_object(br#"{"a":{"x":1},"b":{"x":1}}"#, 100).is_ok());
    }

    #[test]
    fn other_forms_are_refused() {
        for text in
            ["", "[]", "1", "{}{}", "{} x", "{\"a\":1,}", "{'a':1}", "{\"a\":NaN}", "{\"a\":1e999}"]
        {
            assert_eq!(parse_object(text.as_bytes(), 100), Err(StrictError::Malformed), "{text}");
        }
        assert_eq!(parse_object(b"{\"a\":\"\xff\"}", 100), Err(StrictError::Malformed));
        assert_eq!(parse_object(b"\xef\xbb\xbf{}", 100), Err(StrictError::Malformed));
    }

    #[test]
    fn depth_and_size_are_bounded() {
        let nested = |levels: usize| {
            format!("{}{{}}{}", "{\"a\":".repeat(levels - 1), "}".repeat(levels - 1))
        };
        assert!(parse_object(nested(DEPTH_MAX).as_bytes(), 100).is_ok());
        assert_eq!(
            parse_object(nested(DEPTH_MAX + 1).as_bytes(), 100),
            Err(StrictError::Malformed)
        );
        assert!(parse_object(br#"{"a":[1,2]}"#, 3).is_ok());
        assert_eq!(parse_object(br#"{"a":[1,2]}"#, 2), Err(StrictError::Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _checked = parse_object(&bytes, 10);
        }
    }
}
