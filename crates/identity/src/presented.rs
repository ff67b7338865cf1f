//! What a request shows of who sends it. It judges nothing.

use std::sync::Arc;

/// A chain of certificates in DER, as a TLS handshake presented it: the own one first. That the sender holds
/// its private key was shown by the handshake; that anybody may be trusted for it was not.
pub type Certificates = Arc<[Vec<u8>]>;

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
