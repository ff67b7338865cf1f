//! Who calls, and on whose behalf: the actor and its chain of hops, each with the evidence for it.
//! This file knows no token format; `identity` fills it in.

use crate::time::Time;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The party that makes a call, as far as it was established.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// What its platform says of it, by names such as `github.repository_id`; keys are ASCII. As good as
    /// `level` says. Shared like `chain`.
    #[serde(default, skip_serializing_if = "is_empty")]
    pub attributes: Arc<BTreeMap<String, String>>,
    /// From the first trigger to the party that speaks to the gateway (last). Never empty for an
    /// identified actor. Shared by all calls of one actor, since every record of them holds it.
    pub chain: Arc<[Hop]>,
    /// True when the proof is one that only development set-ups use (a static key).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub development: bool,
    /// Stable identifier, unique together with `provider`: what policies and searches name.
    pub id: String,
    /// What sort of party it is.
    pub kind: ActorKind,
    /// The level of the weakest proof that `id` rests on.
    pub level: Level,
    /// The profile by which its claims were read, such as `github-actions`; empty for none in particular.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub profile: String,
    /// Name of the configured trust provider that vouches for it; empty when nobody does.
    pub provider: String,
}

/// `serde` gives what a field holds, not what is inside.
fn is_empty(attributes: &BTreeMap<String, String>) -> bool {
    attributes.is_empty()
}

impl Actor {
    /// The actor of a call whose caller presented nothing that could be verified.
    #[must_use]
    pub fn anonymous() -> Self {
        Self {
            attributes: Arc::default(),
            chain: Arc::default(),
            development: false,
            id: "anonymous".to_owned(),
            kind: ActorKind::Anonymous,
            level: Level::None,
            profile: String::new(),
            provider: String::new(),
        }
    }

    /// What names the key that the actor's token is bound to, if it is bound to one: whoever shows the same
    /// identity without this key may be somebody else.
    #[must_use]
    pub fn bound_to(&self) -> Option<&str> {
        self.chain
            .iter()
            .map(|hop| &hop.evidence)
            .filter(|evidence| evidence.kind == EvidenceKind::Jwt)
            .find_map(|evidence| {
                let certificate = evidence.certificate.as_ref().map(|own| own.sha256.as_str());
                evidence.proof_key.as_deref().or(certificate)
            })
    }

    /// The upstream server itself, as the sender of a request towards the client.
    #[must_use]
    pub fn server(name: &str) -> Self {
        Self {
            attributes: Arc::default(),
            chain: Arc::new([Hop {
                evidence: Evidence::new(EvidenceKind::Configuration),
                id: name.to_owned(),
                level: Level::Observed,
                role: HopRole::Server,
            }]),
            development: false,
            id: name.to_owned(),
            kind: ActorKind::Server,
            level: Level::Observed,
            profile: String::new(),
            provider: "upstream".to_owned(),
        }
    }
}

/// What sort of party an actor is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ActorKind {
    /// Nobody we know.
    Anonymous,
    /// A person, as asserted by an identity provider.
    Human,
    /// A local user and process, observed by the operating system.
    Local,
    /// An upstream MCP server that asks something of the client.
    Server,
    /// A program with an identity of its own: an agent, a job, a service.
    Workload,
}

/// How well an identity is established, from weakest to strongest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Not at all.
    None,
    /// Seen by the gateway (an address, a local user), not proven.
    Observed,
    /// Claimed by the peer, unverified.
    PeerAsserted,
    /// Inside a verified token, from an issuer allowed to speak about this role.
    IssuerAsserted,
    /// Signature, audience and time verified; whoever holds the token can present it.
    VerifiedBearer,
    /// Verified, and possession of the key shown on this request.
    VerifiedPop,
}

/// One link from the first trigger to the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hop {
    /// What the identity of this hop rests on.
    pub evidence: Evidence,
    /// Stable identifier of the party.
    pub id: String,
    /// How well it is established.
    pub level: Level,
    /// Its part in the chain.
    pub role: HopRole,
}

/// The part a hop plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopRole {
    /// A program that calls for itself or for the hop before it.
    Agent,
    /// A person.
    Human,
    /// The parent process of a local caller.
    Process,
    /// An MCP server.
    Server,
    /// What set the chain going: an event, a schedule, a pull request.
    Trigger,
    /// A workload whose platform vouches for it.
    Workload,
}

/// Where an identity comes from and how it was checked. Holds digests of credentials, never the
/// credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// Signature algorithm of the token (RFC 7518 name).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// Audience that the token was issued for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<String>,
    /// The certificate that was presented in the TLS handshake, when the identity rests on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<Certificate>,
    /// Expiry of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<Time>,
    /// Issue time of the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<Time>,
    /// Issuer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Token identifier (`jti`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// RFC 7638 SHA-256 thumbprint (base64url) of the key that verified it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_thumbprint: Option<String>,
    /// When the key set was fetched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys_fetched: Option<Time>,
    /// Key identifier (`kid`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kid: Option<String>,
    /// The sort of evidence.
    pub kind: EvidenceKind,
    /// How possession of the key that it is bound to was shown, with this very request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// RFC 7638 SHA-256 thumbprint (base64url) of the key that signed the proof; none when the certificate
    /// says which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof_key: Option<String>,
    /// What the issuer calls the party (`sub`), where that is not the identifier of the hop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// SHA-256 of the token as presented, lowercase hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sha256: Option<String>,
}

impl Evidence {
    /// Evidence of a kind, nothing else known yet.
    #[must_use]
    pub fn new(kind: EvidenceKind) -> Self {
        Self {
            alg: None,
            aud: None,
            certificate: None,
            exp: None,
            iat: None,
            iss: None,
            jti: None,
            key_thumbprint: None,
            keys_fetched: None,
            kid: None,
            kind,
            proof: None,
            proof_key: None,
            sub: None,
            token_sha256: None,
        }
    }
}

/// A certificate (RFC 5280), by what finds it again at whoever issued it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Name of the issuer (RFC 4514); absent when it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Serial number, lowercase hex; absent when it cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// SHA-256 of its DER form, lowercase hex.
    pub sha256: String,
}

/// How possession of a private key was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proof {
    /// A signed proof beside the token (RFC 9449).
    Dpop,
    /// The handshake of the TLS connection (RFC 8705).
    Mtls,
    /// A workload proof token (draft-ietf-wimse-wpt).
    Wpt,
}

/// The sort of evidence behind a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvidenceKind {
    /// A static key from the configuration; development only.
    ApiKey,
    /// A certificate presented in the TLS handshake (RFC 5280).
    Certificate,
    /// The gateway's own configuration.
    Configuration,
    /// A signed JSON Web Token (RFC 7519).
    Jwt,
    /// What the operating system says of a local process.
    OperatingSystem,
}
