//! Responses of authorities that OpenSSL played, good and bad: see `tests/fixtures/make.sh`.
//!
//! Uses the public interface only.

mod accepted;
mod refused;

use sha2::{Digest, Sha256};
use timestamp::{TimestampError, roots_from_pem};

/// What the fixtures are over.
pub fn imprint() -> [u8; 32] {
    Sha256::digest(include_bytes!("../fixtures/checkpoint.txt")).into()
}

/// Every root of the fixtures, but for the one that had ended.
pub const ROOTS: &str = concat!(
    include_str!("../fixtures/rsa-root.pem"),
    include_str!("../fixtures/ec-root.pem"),
    include_str!("../fixtures/p384-root.pem"),
    include_str!("../fixtures/rsa4096-root.pem"),
);

/// The response against every root.
pub fn verify(response: &[u8]) -> Result<timestamp::Timestamp, TimestampError> {
    let roots = roots_from_pem(ROOTS).unwrap_or_default();
    timestamp::verify(response, imprint(), None, &roots)
}
