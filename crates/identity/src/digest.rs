//! SHA-256 and its text form. It knows nothing about what is hashed.

use aws_lc_rs::digest::{SHA256, digest};

/// A SHA-256 digest.
pub(crate) type Sha256 = [u8; 32];

/// SHA-256 of `bytes`.
pub(crate) fn sha256(bytes: &[u8]) -> Sha256 {
    let mut out = Sha256::default();
    for (to, from) in out.iter_mut().zip(digest(&SHA256, bytes).as_ref()) {
        *to = *from;
    }
    out
}

/// Lowercase hex.
pub(crate) fn hex(digest: &Sha256) -> String {
    digest
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|nibble| char::from_digit(u32::from(nibble), 16))
        .collect()
}

/// Reads 64 hex digits of either case.
pub(crate) fn parse_hex(text: &str) -> Option<Sha256> {
    let mut out = Sha256::default();
    if text.len() != out.len() * 2 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    for (to, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *to = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{hex, parse_hex, sha256};

    #[test]
    fn matches_the_published_vector_and_reads_back() {
        // FIPS 180-4 example: SHA-256 of "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), abc);
        assert_eq!(parse_hex(abc), Some(sha256(b"abc")));
        assert_eq!(parse_hex(&abc.to_uppercase()), Some(sha256(b"abc")));
        for bad in
            ["", "ba78", &abc.replace('b', "g"), &format!("{abc}00"), &abc.replace("ba", "+a")]
        {
            assert_eq!(parse_hex(bad), None, "{bad}");
        }
    }
}
