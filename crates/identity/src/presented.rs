//! What a request shows of who sends it. It judges nothing.

use std::fmt;
use std::sync::Arc;

use crate::digest::{Sha256, hex, sha256};

/// A chain of certificates in DER, as a TLS handshake presented it: the own one first. That the sender holds
/// its private key was shown by the handshake; that anybody may be trusted for it was not.
#[derive(Clone)]
pub struct Certificates {
    chain: Arc<[Vec<u8>]>,
    /// Of the own one.
    sha256: Sha256,
}

impl Certificates {
    /// Takes a chain; there is none in an empty one.
    #[must_use]
    pub fn new(chain: Vec<Vec<u8>>) -> Option<Self> {
        let sha256 = sha256(chain.first()?);
        Some(Self { chain: chain.into(), sha256 })
    }

    /// The own certificate.
    pub(crate) fn own(&self) -> &[u8] {
        self.chain.first().map(Vec::as_slice).unwrap_or_default()
    }

    /// Digest of the own certificate.
    pub(crate) fn sha256(&self) -> &Sha256 {
        &self.sha256
    }
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").field("sha256", &hex(&self.sha256)).finish_non_exhaustive()
    }
}

/// Everything of one request that the identity of its sender may rest on. Header values are bytes as
/// received, all that have the name.
#[derive(Debug, Clone, Copy, Default)]
pub struct Presented<'a> {
    /// `Authorization` (RFC 9110 section 11.6.2).
    pub authorization: &'a [&'a [u8]],
    /// `DPoP` (RFC 9449 section 4.1).
    pub dpop: &'a [&'a [u8]],
    /// `Workload-Identity-Token` (draft-ietf-wimse-workload-creds).
    pub workload_identity_token: &'a [&'a [u8]],
    /// `Workload-Proof-Token` (draft-ietf-wimse-wpt).
    pub workload_proof_token: &'a [&'a [u8]],
    /// Of the TLS handshake of its connection, when it presented any.
    pub certificates: Option<&'a Certificates>,
    /// Method of HTTP.
    pub method: &'a str,
    /// URI that was asked for, without query and fragment: scheme, authority and path as the client knows
    /// them. Proofs of possession are made for it.
    pub uri: &'a str,
    /// Canonical URI of the endpoint (RFC 8707 section 2): the audience of tokens for providers that have no
    /// other. Empty when the gateway does not know its public address.
    pub resource: &'a str,
}
