//! The place of an event among those it follows: what makes a missing event show. It says where an
//! event stands and knows nothing of which sequence an event belongs to; whoever writes the log does.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use uuid::Uuid;

/// The leaf hash of an entry: SHA-256 over a zero byte and the bytes of the entry (RFC 6962, 2.1).
///
/// Text form: 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeafHash(pub [u8; 32]);

impl LeafHash {
    /// Reads the text form; nothing else is taken.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut hash = [0; 32];
        if text.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let [high, low] = pair else { return None };
            *byte = value(*high)? << 4 | value(*low)?;
        }
        Some(Self(hash))
    }
}

impl fmt::Display for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            if let [high, low] = pair {
                (*high, *low) = (digit(byte >> 4), digit(byte & 15));
            }
        }
        // Hex digits are always text.
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for LeafHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for LeafHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for LeafHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| de::Error::custom("leaf hash is not 64 hex digits"))
    }
}

/// Where an event stands in its sequence. Fields stand in sorted order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// How many events of the sequence come before this one.
    pub n: u64,
    /// The leaf hash of the one before; absent when this is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<LeafHash>,
    /// The run of the gateway: the identifier of the first event of the run.
    pub run: Uuid,
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::LeafHash;

    #[test]
    fn the_text_of_a_leaf_hash_is_one_and_reads_back() {
        let mut bytes = [0; 32];
        for (n, byte) in (0..).zip(&mut bytes) {
            *byte = n * 8 + 7;
        }
        let text = LeafHash(bytes).to_string();
        assert_eq!(text, "070f171f272f373f474f575f676f777f878f979fa7afb7bfc7cfd7dfe7eff7ff");
        assert_eq!(LeafHash::parse(&text), Some(LeafHash(bytes)));
        for wrong in ["", "00", &format!("{text}0"), &text.to_uppercase(), &text.replace('7', "g")]
        {
            assert_eq!(LeafHash::parse(wrong), None, "{wrong}");
        }
    }
}
