//! A secret: it shows nothing, is wiped when it is dropped, and can be compared by its digest only.

use crate::digest;
use std::fmt;
use zeroize::Zeroizing;

/// Text that nobody sees.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; whoever made it must not keep a copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text, for the one place that it is meant for.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// SHA-256 in lower-case hex, which may be told.
    #[must_use]
    pub fn sha256(&self) -> String {
        digest::hex(self.0.as_bytes())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn a_secret_shows_nothing_but_its_digest() {
        let secret = Secret::new("abc".to_owned());
        assert_eq!(format!("{secret:?} {:?}", Some(&secret)), "Secret(…) Some(Secret(…))");
        // FIPS 180-4 example.
        assert!(secret.sha256().starts_with("ba7816bf8f01cfea"));
    }
}
