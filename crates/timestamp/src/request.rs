//! What an authority is asked: `TimeStampReq` of RFC 3161 section 2.4.1.
//!
//! Does not know how the request travels, nor where its nonce comes from.

use crate::asn1::{MessageImprint, TimeStampReq, VERSION_1};
use crate::digest::SHA256;
use der::asn1::{Null, OctetString};
use der::{Any, Encode};
use x509_cert::spki::AlgorithmIdentifierOwned;

/// A request for a time stamp over a SHA-256 hash, with the certificates of the signer included in
/// the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    sha256: [u8; 32],
    nonce: u64,
}

impl Request {
    /// A request over the SHA-256 hash of what is to be stamped.
    ///
    /// The nonce comes back in the answer and shows that it was made for this request: take it
    /// from a secure random source, and give it to [`verify`](crate::verify()) with the answer.
    #[must_use]
    pub const fn new(sha256: [u8; 32], nonce: u64) -> Self {
        Self { sha256, nonce }
    }

    /// The body of the HTTP request, media type `application/timestamp-query`: DER, about 70 bytes.
    #[must_use]
    pub fn to_der(&self) -> Vec<u8> {
        #[expect(clippy::expect_used, reason = "fields of fixed size always fit into DER")]
        self.encode().expect("a request of fixed size is encoded")
    }

    fn encode(self) -> der::Result<Vec<u8>> {
        TimeStampReq {
            version: VERSION_1,
            message_imprint: MessageImprint {
                hash_algorithm: AlgorithmIdentifierOwned {
                    oid: SHA256,
                    // RFC 5754 prefers it absent, but every authority knows this form.
                    parameters: Some(Any::encode_from(&Null)?),
                },
                hashed_message: OctetString::new(self.sha256)?,
            },
            nonce: self.nonce,
            cert_req: true,
        }
        .to_der()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `openssl ts -query -digest 00…1f -sha256 -cert -no_nonce` writes, and the nonce.
    #[test]
    fn a_request_is_the_bytes_that_openssl_writes() {
        let mut sha256 = [0; 32];
        for (byte, value) in sha256.iter_mut().zip(0..) {
            *byte = value;
        }
        let mut expected = vec![
            0x30, 0x43, 0x02, 0x01, 0x01, 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48,
            0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20,
        ];
        expected.extend(sha256);
        expected.extend([0x02, 0x08, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88]);
        expected.extend([0x01, 0x01, 0xff]);
        assert_eq!(Request::new(sha256, 0x1122_3344_5566_7788).to_der(), expected);
    }

    #[test]
    fn a_nonce_is_never_negative() {
        let der = Request::new([0; 32], u64::MAX).to_der();
        let tail = [0x02, 0x09, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0x01];
        assert_eq!(der[der.len() - 14..der.len() - 1], tail);
        let der = Request::new([0; 32], 0).to_der();
        assert_eq!(der[der.len() - 6..], [0x02, 0x01, 0x00, 0x01, 0x01, 0xff]);
    }
}
