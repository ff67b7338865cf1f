//! SHA-256 in hex, of bytes and of files.

use aws_lc_rs::digest::{Context, Digest, SHA256};
use std::fmt::Write as _;
use std::io::Read;

/// The digest of these bytes: 64 lower-case hex digits.
pub(crate) fn of(bytes: &[u8]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(bytes);
    hex(&context.finish())
}

/// The digest of what there is to read.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn of_all(mut from: impl Read) -> std::io::Result<String> {
    let mut context = Context::new(&SHA256);
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = match from.read(&mut piece) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        if read == 0 {
            return Ok(hex(&context.finish()));
        }
        context.update(piece.get(..read).unwrap_or_default());
    }
}

fn hex(digest: &Digest) -> String {
    digest.as_ref().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing to a string cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

/// Bytes that are read at once.
const PIECE_BYTES: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::{of, of_all};

    #[test]
    fn both_ways_give_the_known_digest() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!((of(b"abc").as_str(), of_all(&b"abc"[..]).unwrap().as_str()), (abc, abc));
        let long = vec![7; 200_000];
        assert_eq!(of(&long), of_all(long.as_slice()).unwrap());
    }
}
