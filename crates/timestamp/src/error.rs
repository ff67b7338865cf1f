//! Every reason not to believe a response, one for each rule.
//!
//! What an authority wrote is shown escaped and cut: it is not ours.

use crate::chain::ChainError;

/// Why a response is no time stamp over what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimestampError {
    /// Longer than any honest response.
    #[error("the response has {bytes} bytes; more than {max} are not read")]
    TooLong {
        /// Its length in bytes.
        bytes: usize,
        /// The longest that is read, in bytes.
        max: usize,
    },
    /// A part is not the DER that the standards ask for.
    #[error("{what} is not what RFC 3161 asks for; the authority may have sent something else")]
    Malformed {
        /// The part.
        what: &'static str,
        /// What the parser says.
        #[source]
        source: der::Error,
    },
    /// The authority did not grant the request.
    #[error("the authority refused: status `{status}`{text}; see what it accepts")]
    Refused {
        /// The name of the status (RFC 3161 section 2.4.2), or its number.
        status: String,
        /// What the authority wrote, escaped and cut, in brackets; or nothing.
        text: String,
    },
    /// Granted, and yet nothing was sent.
    #[error("the response has no token although the request was granted")]
    NoToken,
    /// The token is not signed content.
    #[error("the token has the content type `{found}`, not signed data")]
    NotSigned {
        /// The object identifier found.
        found: String,
    },
    /// What was signed is not a time stamp.
    #[error("the signed content has the type `{found}`, not a time stamp")]
    ContentType {
        /// The object identifier found.
        found: String,
    },
    /// A version that does not exist yet.
    #[error("the time stamp has version {found}; only version 1 is known")]
    Version {
        /// The version found.
        found: u8,
    },
    /// The hash in the time stamp is not a SHA-256 hash.
    #[error("the time stamp is over a hash of the kind `{found}`, not SHA-256")]
    ImprintAlgorithm {
        /// The object identifier found.
        found: String,
    },
    /// The time stamp is over something else.
    #[error("the time stamp is over another hash than that of what was to be stamped")]
    Imprint,
    /// The answer does not repeat the nonce of the request.
    #[error("the time stamp has no nonce although the request had one; ask again")]
    NonceMissing,
    /// The answer is to another request.
    #[error("the nonce is not that of the request: the answer was made for another; ask again")]
    Nonce,
    /// The time stamp carries a condition that is not understood and may not be passed over.
    #[error("the time stamp has the critical extension `{oid}`, which is not known")]
    CriticalExtension {
        /// The extension.
        oid: String,
    },
    /// RFC 3161 section 2.4.2 wants the signature of the authority and no other.
    #[error("the token has {found} signatures; it must have exactly one")]
    Signers {
        /// The number of signatures.
        found: usize,
    },
    /// More certificates than any chain needs.
    #[error("the token carries {found} certificates; more than {max} are not looked at")]
    TooManyCertificates {
        /// The number of certificates.
        found: usize,
        /// The most that are looked at.
        max: usize,
    },
    /// The certificate of the signer does not come with the token.
    #[error("the token does not carry the certificate of its signer; ask with `certReq` set")]
    SignerMissing,
    /// A signed attribute is absent, or there more than once.
    #[error("the signature must have the attribute `{name}` exactly once, with one value")]
    Attribute {
        /// Its name.
        name: &'static str,
    },
    /// The signature is over content of another type than the token says.
    #[error("the signed content type is not that of the token")]
    ContentTypeAttribute,
    /// The signature is over other content.
    #[error("the signed hash is not that of the time stamp: its content was altered")]
    MessageDigest,
    /// A hash function that is not believed, or not known.
    #[error("{what} uses the hash function `{found}`; SHA-256, SHA-384 and SHA-512 are known")]
    DigestAlgorithm {
        /// What uses it.
        what: &'static str,
        /// The object identifier found.
        found: String,
    },
    /// A signature algorithm that is not believed, not known, or not of this key and hash.
    #[error(
        "the signature algorithm `{found}` does not go with the key and the hash function, or is \
         not known: RSA and ECDSA on P-256 and P-384 are, with SHA-256, SHA-384 and SHA-512"
    )]
    SignatureAlgorithm {
        /// The object identifier found.
        found: String,
    },
    /// The signature is not that of the key in the certificate, or the key is too weak to say so.
    #[error("the signature does not verify, or is of an RSA key of less than 2048 bits")]
    Signature,
    /// The signature does not say which certificate it was made with.
    #[error("the signature does not name the certificate of the signer (RFC 5035)")]
    Unbound,
    /// The signature was made with another certificate than the one that came.
    #[error("the certificate of the signer is not the one that the signature names")]
    Binding,
    /// The certificate of the signer may be used for something else, or not for this.
    #[error(
        "the certificate of the signer must have the extended key usage `timeStamping`, critical \
         and alone: {why}"
    )]
    Purpose {
        /// What is wrong.
        why: &'static str,
    },
    /// The key of the signer may not sign, or may do more than sign.
    #[error("the key usage of the certificate of the signer must be to sign content and no more")]
    KeyUsage,
    /// The time stamp names another authority.
    #[error("the time stamp names an authority that is not the subject of the certificate")]
    Authority,
    /// There is no path from the signer to a trusted root.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

impl TimestampError {
    pub(crate) const fn malformed(what: &'static str) -> impl FnOnce(der::Error) -> Self {
        move |source| Self::Malformed { what, source }
    }
}
