//! What of a credential for a server may be told: where it is from and its digest, never its value.

use serde::{Deserialize, Serialize};

/// The credential that a call went to the server with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Whether it was issued for this call or one before it.
    pub cache: CacheUse,
    /// Name of the credential provider, from the configuration.
    pub provider: String,
    /// SHA-256 of the credential, lowercase hex; as in the `credential.issued` event.
    pub sha256: String,
    /// Type of the credential provider, such as `oauth-client-credentials`.
    #[serde(rename = "type")]
    pub provider_type: String,
}

/// Whether something was at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CacheUse {
    /// It was at hand.
    Hit,
    /// It had to be got.
    Miss,
}
