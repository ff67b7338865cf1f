//! The roots that are trusted, out of the text of a file.
//!
//! Opens no file and brings no roots along: whom to trust is for the caller.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{Error as PemError, PemObject, SectionKind};

/// Why a text gives no roots.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootsError {
    /// There is no certificate in it.
    #[error("the text has no `BEGIN CERTIFICATE` line: give the root of the authority as PEM")]
    Empty,
    /// There are more than anybody trusts.
    #[error("the text has more than {max} certificates; give only the roots of the authority")]
    TooMany {
        /// The most that are read.
        max: usize,
    },
    /// A block is cut off or is not Base64.
    #[error("block {block} is not valid PEM: {why}")]
    Pem {
        /// The block, from 1.
        block: usize,
        /// What is wrong.
        why: &'static str,
    },
    /// A block is of another kind; a private key above all has no business here.
    #[error("block {block} is not a certificate: keep only the certificates of roots")]
    Kind {
        /// The block, from 1.
        block: usize,
    },
    /// A certificate cannot be parsed.
    #[error("certificate {block} cannot be parsed; export it again from the authority")]
    Certificate {
        /// The block, from 1.
        block: usize,
    },
}

/// The certificates, as DER, of a text in PEM (RFC 7468), for [`verify`](crate::verify()). Text
/// around the blocks is passed over.
///
/// # Errors
/// See [`RootsError`]: anything in the text that is not a certificate in good order.
pub fn roots_from_pem(text: &str) -> Result<Vec<Vec<u8>>, RootsError> {
    let mut roots = Vec::new();
    for (block, section) in (1..).zip(<(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes())) {
        let (kind, der) =
            section.map_err(|error| RootsError::Pem { block, why: reason(&error) })?;
        if kind != SectionKind::Certificate {
            return Err(RootsError::Kind { block });
        }
        if !is_root(&der) {
            return Err(RootsError::Certificate { block });
        }
        if roots.len() == ROOTS_MAX {
            return Err(RootsError::TooMany { max: ROOTS_MAX });
        }
        roots.push(der);
    }
    if roots.is_empty() { Err(RootsError::Empty) } else { Ok(roots) }
}

/// Whether both parsers that will look at it can.
fn is_root(der: &[u8]) -> bool {
    use der::Decode;
    webpki::anchor_from_trusted_cert(&CertificateDer::from(der)).is_ok()
        && x509_cert::Certificate::from_der(der).is_ok()
}

const fn reason(error: &PemError) -> &'static str {
    match error {
        PemError::MissingSectionEnd { .. } => "its `END` line is missing",
        PemError::IllegalSectionStart { .. } => "its `BEGIN` line is not one",
        PemError::Base64Decode(_) => "it is not Base64",
        _ => "it cannot be read",
    }
}

/// The most roots that are read from one text: a whole trust store has fewer.
pub const ROOTS_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROOT: &str = include_str!("../tests/fixtures/ec-root.pem");
    const OTHER: &str = include_str!("../tests/fixtures/rsa-root.pem");

    #[test]
    fn roots_come_in_the_order_of_the_text() {
        let text = format!("subject=EC Root\n\n{ROOT}\r\n# another\n{OTHER}");
        let roots = roots_from_pem(&text).unwrap();
        assert_eq!(roots.len(), 2);
        assert_eq!(roots_from_pem(ROOT).unwrap(), roots[..1]);
        assert_eq!(roots_from_pem(OTHER).unwrap(), roots[1..]);
        assert_eq!(roots[0][0], 0x30);
    }

    #[test]
    fn what_is_not_a_root_is_named() {
        assert_eq!(roots_from_pem(""), Err(RootsError::Empty));
        assert_eq!(roots_from_pem("no certificate"), Err(RootsError::Empty));
        let key = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
        assert_eq!(roots_from_pem(&format!("{ROOT}{key}")), Err(RootsError::Kind { block: 2 }));
        let empty = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        assert_eq!(roots_from_pem(empty), Err(RootsError::Certificate { block: 1 }));
        let cut = ROOT.split("-----END").next().unwrap();
        let why = "its `END` line is missing";
        assert_eq!(roots_from_pem(cut), Err(RootsError::Pem { block: 1, why }));
        let garbled = ROOT.replacen("MII", "M?I", 1);
        let why = "it is not Base64";
        assert_eq!(roots_from_pem(&garbled), Err(RootsError::Pem { block: 1, why }));
        let many = ROOT.repeat(ROOTS_MAX + 1);
        assert_eq!(roots_from_pem(&many), Err(RootsError::TooMany { max: ROOTS_MAX }));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(-----(BEGIN|END) CERTIFICATE-----\n|[A-Za-z0-9+/=]{0,64}\n|.){0,8}") {
            let roots = roots_from_pem(&text);
            prop_assert!(roots.is_err(), "{text} held a certificate: {roots:?}");
        }
    }
}
