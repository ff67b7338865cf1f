//! Digests that name a policy set or a schema. It knows names and contents, not what they mean.

use aws_lc_rs::digest::{Context, SHA256};
use std::fmt::Write as _;

/// `sha256:` and lowercase hex over files in the order given: a domain string, the number of files, and
/// for each the length and bytes of its name and of its content (lengths and number as 64-bit
/// big-endian). Length prefixes keep `("ab", "c")` and `("a", "bc")` apart.
pub(crate) fn of_files<'a>(files: &[(&'a str, &'a str)]) -> String {
    let mut context = Context::new(&SHA256);
    context.update(DOMAIN);
    context.update(&length(files.len()));
    for (name, text) in files {
        for part in [name, text] {
            context.update(&length(part.len()));
            context.update(part.as_bytes());
        }
    }
    let mut out = String::from("sha256:");
    for byte in context.finish().as_ref() {
        // Writing to a string cannot fail.
        write!(out, "{byte:02x}").unwrap_or_default();
    }
    out
}

fn length(bytes: usize) -> [u8; 8] {
    u64::try_from(bytes).unwrap_or(u64::MAX).to_be_bytes()
}

/// Keeps these digests apart from those of anything else hashed with SHA-256.
const DOMAIN: &[u8] = b"countersign policy files v1\0";

#[cfg(test)]
mod tests {
    use super::of_files;

    #[test]
    fn digest_is_over_domain_count_names_and_contents() {
        // Computed independently:
        // printf 'countersign policy files v1\0' + u64be(1) + u64be(7)"a.cedar" + u64be(0)
        assert_eq!(
            of_files(&[("a.cedar", "")]),
            "sha256:59a672f8ece5d9fe0d1bea2e110d8a428116c2cfd2bb4be0d686090c80625ba0"
        );
        let digests = [
            of_files(&[]),
            of_files(&[("a", "bc")]),
            of_files(&[("ab", "c")]),
            of_files(&[("a", "b"), ("c", "")]),
            of_files(&[("a", "b")]),
        ];
        for (i, one) in digests.iter().enumerate() {
            assert_eq!(one.len(), "sha256:".len() + 64);
            assert!(!digests[i + 1..].contains(one), "{one}");
        }
    }
}
