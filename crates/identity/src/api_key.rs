//! Static keys, for development only: compared by digest and in constant time. The configuration never
//! holds a key, only its SHA-256.

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use event::{Actor, ActorKind, Evidence, EvidenceKind, Hop, HopRole, Level};
use std::fmt;
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::config::ApiKeyConfig;
use crate::digest::{Sha256, hex, parse_hex, sha256};

/// A new key, shown once.
pub struct ApiKey {
    plain_text: String,
}

impl ApiKey {
    /// Makes a key of 256 random bits: `cs_dev_` and 43 base64url characters.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn generate() -> Result<Self, NoRandomness> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(|_| NoRandomness)?;
        Ok(Self { plain_text: format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(random)) })
    }

    /// The key itself, for its holder.
    #[must_use]
    pub fn plain_text(&self) -> &str {
        &self.plain_text
    }

    /// The digest for the configuration: `sha256:` and 64 hex digits.
    #[must_use]
    pub fn digest(&self) -> String {
        format!("{DIGEST_PREFIX}{}", hex(&sha256(self.plain_text.as_bytes())))
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").finish_non_exhaustive()
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub struct NoRandomness;

/// The configured keys.
#[derive(Default)]
pub(crate) struct ApiKeys(Vec<(String, Sha256)>);

impl ApiKeys {
    /// Keys with a digest of the wrong form are left out; the configuration's check reports them.
    pub(crate) fn new(configured: &[ApiKeyConfig]) -> Self {
        let keys = configured.iter();
        Self(keys.filter_map(|key| Some((key.name.clone(), parse_digest(&key.sha256)?))).collect())
    }

    /// Whether a credential should be looked up here: it cannot be a token, and it is one of our keys
    /// by its form or keys are in use at all.
    pub(crate) fn is_addressed_by(&self, credential: &str) -> bool {
        !credential.contains('.') && (credential.starts_with(PREFIX) || !self.0.is_empty())
    }

    /// The actor whose key has this digest. Every configured key is compared, and each comparison
    /// takes the same time whatever the digests are.
    pub(crate) fn actor(&self, presented: &Sha256) -> Option<Actor> {
        let mut found = u32::MAX;
        for (index, (_, digest)) in (0_u32..).zip(&self.0) {
            found.conditional_assign(&index, digest.ct_eq(presented));
        }
        let (name, _) = self.0.get(usize::try_from(found).ok()?)?;
        Some(actor(name))
    }
}

/// Reads `sha256:` and 64 hex digits.
pub(crate) fn parse_digest(text: &str) -> Option<Sha256> {
    parse_hex(text.strip_prefix(DIGEST_PREFIX)?)
}

fn actor(name: &str) -> Actor {
    Actor {
        chain: [Hop {
            evidence: Evidence::new(EvidenceKind::ApiKey),
            id: name.to_owned(),
            level: Level::VerifiedBearer,
            role: HopRole::Workload,
        }]
        .into(),
        development: true,
        id: name.to_owned(),
        kind: ActorKind::Workload,
        level: Level::VerifiedBearer,
        provider: PROVIDER.to_owned(),
        ..Actor::anonymous()
    }
}

/// The provider that vouches for holders of a static key.
const PROVIDER: &str = "api-key";

/// How our own keys begin, so that scanners for leaked secrets find them.
const PREFIX: &str = "cs_dev_";

const DIGEST_PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::{ApiKey, ApiKeys};
    use crate::config::ApiKeyConfig;
    use crate::digest::sha256;
    use event::{EvidenceKind, Level};

    #[test]
    fn generated_keys_are_long_different_and_hidden() {
        let (one, two) = (ApiKey::generate().unwrap(), ApiKey::generate().unwrap());
        assert_eq!(one.plain_text().len(), "cs_dev_".len() + 43);
        assert_ne!(one.plain_text(), two.plain_text());
        assert!(!format!("{one:?}").contains(one.plain_text().trim_start_matches("cs_dev_")));
    }

    #[test]
    fn a_key_is_known_by_its_digest_only() {
        let made: Vec<_> = (0..3).map(|_| ApiKey::generate().unwrap()).collect();
        let keys = ApiKeys::new(
            &(0..3)
                .map(|i| ApiKeyConfig { name: format!("dev{i}"), sha256: made[i].digest() })
                .collect::<Vec<_>>(),
        );
        for (i, key) in made.iter().enumerate() {
            let actor = keys.actor(&sha256(key.plain_text().as_bytes())).unwrap();
            assert_eq!(actor.id, format!("dev{i}"));
            assert!(actor.development);
            assert_eq!(actor.provider, "api-key");
            assert_eq!(actor.level, Level::VerifiedBearer);
            assert_eq!(actor.chain[0].evidence.kind, EvidenceKind::ApiKey);
            assert_eq!(actor.chain[0].evidence.token_sha256, None);
        }
        assert!(keys.actor(&sha256(b"cs_dev_other")).is_none());
        for at in 0..32 {
            let mut close = sha256(made[1].plain_text().as_bytes());
            close[at] ^= 1;
            assert!(keys.actor(&close).is_none(), "byte {at}");
        }
        assert!(ApiKeys::default().actor(&sha256(b"x")).is_none());
    }

    #[test]
    fn only_what_cannot_be_a_token_is_looked_up() {
        let none = ApiKeys::default();
        assert!(none.is_addressed_by("cs_dev_x"));
        assert!(!none.is_addressed_by("opaque") && !none.is_addressed_by("cs_dev_a.b.c"));
    }
}
