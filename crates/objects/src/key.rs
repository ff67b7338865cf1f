//! Names of objects that mean the same to every server and need no encoding anywhere.
//!
//! Knows no bucket and nothing of what an object holds.

use std::fmt;

/// The name of an object, below the prefix of the store: segments of `A-Z a-z 0-9 - . _` separated by
/// single slashes, none of them `.` or `..`, at most 512 bytes.
///
/// S3 takes more; these are names that no proxy, signature or file system reads in two ways.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Why a text cannot name an object.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` cannot name objects: {reason}; use segments of letters, digits, `-`, `.` and `_`, \
     separated by single slashes"
)]
pub struct BadKey {
    text: String,
    reason: &'static str,
}

impl Key {
    /// Checks a name.
    ///
    /// # Errors
    /// [`BadKey`] says what is wrong with it.
    pub fn new(text: &str) -> Result<Self, BadKey> {
        let bad = |reason| Err(BadKey { text: shown(text), reason });
        if text.is_empty() {
            return bad("it is empty");
        }
        if KEY_BYTES_MAX < text.len() {
            return bad("it is longer than 512 bytes");
        }
        if !plain(text) {
            return bad("it has a character that needs encoding");
        }
        if text.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return bad("it has an empty segment, `.` or `..`");
        }
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the beginning of names: as [`Key::new`], but any part of a name will do, also nothing.
pub(crate) fn check_beginning(text: &str) -> Result<(), BadKey> {
    let bad = |reason| Err(BadKey { text: shown(text), reason });
    if KEY_BYTES_MAX < text.len() {
        return bad("it is longer than 512 bytes");
    }
    if !plain(text) {
        return bad("it has a character that needs encoding");
    }
    Ok(())
}

fn plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte))
}

/// The text for a message: short, and without control characters.
fn shown(text: &str) -> String {
    text.chars().take(80).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// Bytes of a name. S3 allows 1024 for prefix and name together.
pub(crate) const KEY_BYTES_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_pass_as_they_are() {
        for text in ["a", "tile/0/x001/067.p/8", "a.b_c-D/9", "...", &"k".repeat(512)] {
            assert_eq!(Key::new(text).unwrap().as_str(), text);
        }
    }

    #[test]
    fn names_that_can_be_read_in_two_ways_are_refused() {
        let long = "k".repeat(513);
        for text in [
            "", "/", "/a", "a/", "a//b", "a/./b", "..", "a/..", "a b", "a+b", "a%2Fb", "a\\b", "ä",
            "a\nb", "a?b", "a#b", &long,
        ] {
            assert!(Key::new(text).is_err(), "{text}");
        }
        assert!(!Key::new("a\nb").unwrap_err().to_string().contains('\n'));
    }

    #[test]
    fn a_beginning_may_stop_anywhere() {
        for text in ["", "a/", "a/b", "a/b."] {
            assert!(check_beginning(text).is_ok(), "{text}");
        }
        assert!(check_beginning("a b").is_err());
        assert!(check_beginning(&"k".repeat(513)).is_err());
    }
}
