//! Reads JSON that must be in the one canonical form of RFC 8785: no white
//! space, keys sorted and none twice, strings escaped in the shortest way. Of
//! numbers only integers are taken, which events have alone.
//!
//! One pass, without building anything; knows nothing of what the values mean.

use std::borrow::Cow;

/// A place in JSON text.
#[derive(Debug)]
pub(crate) struct Json<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

/// Why the text is not taken: what is wrong, at which byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotCanonical {
    pub(crate) at: usize,
    pub(crate) what: &'static str,
}

type Read<T> = Result<T, NotCanonical>;

impl<'a> Json<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Reads an object; `value` is to read the value of each key.
    pub(crate) fn object(
        &mut self,
        value: &mut dyn FnMut(&str, &mut Self) -> Read<()>,
    ) -> Read<()> {
        self.byte(b'{', "there is no object")?;
        self.enter()?;
        let mut last: Option<Cow<'a, str>> = None;
        if self.peek() == Some(b'}') {
            return self.leave();
        }
        loop {
            let key = self.string()?;
            if last.is_some_and(|last| !is_before(&last, &key)) {
                return self.fail("the keys of an object are not sorted, or one is there twice");
            }
            self.byte(b':', "a key has no value")?;
            value(&key, self)?;
            last = Some(key);
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => return self.leave(),
                _ => return self.fail("an object does not go on as one"),
            }
        }
    }

    /// Reads over any value.
    pub(crate) fn skip(&mut self) -> Read<()> {
        match self.peek() {
            Some(b'{') => self.object(&mut |_, json| json.skip()),
            Some(b'[') => self.array(),
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => self.integer().map(|_| ()),
        }
    }

    /// Reads a string.
    pub(crate) fn string(&mut self) -> Read<Cow<'a, str>> {
        self.byte(b'"', "there is no string")?;
        let start = self.at;
        let rest = self.text.as_bytes().get(start..).unwrap_or_default();
        let plain = rest.iter().take_while(|byte| !is_special(**byte)).count();
        self.at = start + plain;
        if self.peek() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(self.text.get(start..start + plain).unwrap_or_default()));
        }
        let mut string = self.text.get(start..self.at).unwrap_or_default().to_owned();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(string));
                }
                Some(b'\\') => string.push(self.escape()?),
                Some(byte) if byte < b' ' => {
                    return self.fail("a control character is not escaped");
                }
                Some(_) => {
                    let from = self.at;
                    let rest = self.text.as_bytes().get(from..).unwrap_or_default();
                    self.at += rest.iter().take_while(|byte| !is_special(**byte)).count();
                    string.push_str(self.text.get(from..self.at).unwrap_or_default());
                }
                None => return self.fail("a string has no end"),
            }
        }
    }

    /// Reads an integer that is not negative.
    pub(crate) fn natural(&mut self) -> Read<u64> {
        let at = self.at;
        let number = self.integer()?;
        u64::try_from(number).map_err(|_| NotCanonical { at, what: "a number is negative" })
    }

    /// Nothing follows.
    pub(crate) fn end(&self) -> Read<()> {
        if self.at == self.text.len() { Ok(()) } else { self.fail("something follows the value") }
    }

    fn integer(&mut self) -> Read<i128> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let digits = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        let plain = self.text.get(digits..self.at).unwrap_or_default();
        let canonical = plain == "0" && start == digits || !plain.starts_with('0');
        let fits = text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok();
        match text.parse() {
            Ok(number) if canonical && fits => Ok(number),
            _ => Err(NotCanonical { at: start, what: "there is no plain integer" }),
        }
    }

    fn array(&mut self) -> Read<()> {
        self.byte(b'[', "there is no array")?;
        self.enter()?;
        if self.peek() == Some(b']') {
            return self.leave();
        }
        loop {
            self.skip()?;
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => return self.leave(),
                _ => return self.fail("an array does not go on as one"),
            }
        }
    }

    fn escape(&mut self) -> Read<char> {
        let at = self.at;
        let wrong = || NotCanonical { at, what: "a character is not escaped in the shortest way" };
        let rest = self.text.as_bytes().get(at + 1..).unwrap_or_default();
        let (c, bytes) = match rest {
            [b'"', ..] => ('"', 2),
            [b'\\', ..] => ('\\', 2),
            [b'b', ..] => ('\u{8}', 2),
            [b't', ..] => ('\t', 2),
            [b'n', ..] => ('\n', 2),
            [b'f', ..] => ('\u{c}', 2),
            [b'r', ..] => ('\r', 2),
            [b'u', b'0', b'0', high @ (b'0' | b'1'), low, ..] => {
                let low = match low {
                    b'0'..=b'9' => low - b'0',
                    b'a'..=b'f' => low - b'a' + 10,
                    _ => return Err(wrong()),
                };
                let c = char::from((high - b'0') * 16 + low);
                if ['\u{8}', '\t', '\n', '\u{c}', '\r'].contains(&c) {
                    return Err(wrong());
                }
                (c, 6)
            }
            _ => return Err(wrong()),
        };
        self.at += bytes;
        Ok(c)
    }

    fn word(&mut self, word: &str) -> Read<()> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        if !rest.starts_with(word) {
            return self.fail("there is no value");
        }
        self.at += word.len();
        Ok(())
    }

    fn enter(&mut self) -> Read<()> {
        self.depth += 1;
        if DEPTH_MAX < self.depth { self.fail("it is nested too deep") } else { Ok(()) }
    }

    fn leave(&mut self) -> Read<()> {
        self.at += 1;
        self.depth -= 1;
        Ok(())
    }

    fn byte(&mut self, byte: u8, what: &'static str) -> Read<()> {
        if self.peek() != Some(byte) {
            return self.fail(what);
        }
        self.at += 1;
        Ok(())
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(crate) fn fail<T>(&self, what: &'static str) -> Read<T> {
        Err(NotCanonical { at: self.at, what })
    }
}

fn is_special(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < b' '
}

/// RFC 8785 sorts keys by their UTF-16 code units.
fn is_before(left: &str, right: &str) -> bool {
    if left.is_ascii() && right.is_ascii() {
        left < right
    } else {
        left.encode_utf16().lt(right.encode_utf16())
    }
}

/// Deeper than any event.
const DEPTH_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::Json;
    use proptest::collection::{btree_map, vec};
    use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
    use serde_json::Value;

    fn takes(text: &str) -> bool {
        let mut json = Json::new(text);
        json.skip().and_then(|()| json.end()).is_ok()
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[\\x00-\\x7f]{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::from),
                btree_map("[ -~]{0,6}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    #[test]
    fn refuses_every_second_way_to_say_it() {
        for text in [
            "",
            " {}",
            "{} ",
            "{ }",
            "[1, 2]",
            "{\"b\":1,\"a\":2}",
            "{\"a\":1,\"a\":2}",
            "01",
            "-0",
            "1.0",
            "1e3",
            "+1",
            "-",
            "\"\\/\"",
            "\"\\u0041\"",
            "\"\\u000a\"",
            "\"\\u001F\"",
            "\"a",
            "tru",
            "{\"a\"}",
            "[1,]",
            "{\"a\":1,}",
            "18446744073709551616",
            "nul",
            "\"\n\"",
        ] {
            assert!(!takes(text), "{text}");
        }
        // Sorted by UTF-16: U+1F600 is written as surrogates, below U+FB33.
        assert!(takes("{\"\u{1f600}\":1,\"\u{fb33}\":2}"));
        assert!(!takes("{\"\u{fb33}\":1,\"\u{1f600}\":2}"));
        assert!(!takes(&("[".repeat(100) + &"]".repeat(100))));
    }

    proptest! {
        #[test]
        fn takes_what_an_encoder_writes(value in value()) {
            let text = value.to_string();
            assert!(takes(&text), "{text}");
        }

        #[test]
        fn takes_nothing_that_would_be_written_otherwise(text in "[\\[\\]{}:,\"a-c0-2\\\\n-]{0,12}") {
            let same = serde_json::from_str::<Value>(&text)
                .is_ok_and(|value| value.to_string().as_str() == text);
            assert!(!takes(&text) || same, "{text}");
        }

        #[test]
        fn strings_read_back(string: String) {
            let text = Value::from(string.clone()).to_string();
            assert_eq!(Json::new(&text).string().unwrap(), string);
        }
    }
}
