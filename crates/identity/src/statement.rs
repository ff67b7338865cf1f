//! What a known party signed that is no credential, such as a security event token (RFC 8417): the same strict
//! reading, keys and signature as of credentials. What it claims is for whoever asked.

use event::Time;

use crate::claims;
use crate::config::{Config, Problem, ProviderConfig};
use crate::digest::{hex, sha256};
use crate::jwt::Token;
use crate::rejection::{Reason, Rejection};
use crate::source::KeySource;
use crate::strict_json::Object;
use crate::verifier::{ConfigError, Provider, Seen, source};

/// A party whose statements are believed.
pub struct Signer(Provider);

/// What it signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Statement {
    /// As written; no member name stands twice, at any depth.
    pub claims: Object,
    /// SHA-256 of its text, lowercase hex.
    pub sha256: String,
}

impl Signer {
    /// A party with this configuration. Of it count issuer, keys, algorithms and `typ`; audience and times are
    /// for whoever reads the claims.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn new(config: &ProviderConfig) -> Result<Self, ConfigError> {
        let problems = problems(config);
        if !problems.is_empty() {
            return Err(ConfigError::Invalid { problems });
        }
        Ok(Self::with_source(config, source(config)?))
    }

    /// As [`Signer::new`] with keys from elsewhere.
    #[must_use]
    pub fn with_source(config: &ProviderConfig, source: Box<dyn KeySource>) -> Self {
        Self(Provider::new(config, "", source))
    }

    /// Name of the party in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Reads a statement and checks that it is this party's.
    ///
    /// # Errors
    /// With the reason when it is not.
    pub async fn verify(&self, text: &str, now: Time) -> Result<Statement, Rejection> {
        let sha256 = hex(&sha256(text.as_bytes()));
        let mut seen = Seen::default();
        match self.verify_parts(text, now, &mut seen).await {
            Ok(claims) => Ok(Statement { claims, sha256 }),
            Err(rejection) => Err(seen.label(rejection, sha256)),
        }
    }

    async fn verify_parts(
        &self,
        text: &str,
        now: Time,
        seen: &mut Seen,
    ) -> Result<Object, Rejection> {
        let token = Token::parse(text)?;
        seen.header(&token.header);
        let issuer = claims::issuer(&token.claims)?;
        if issuer != self.0.issuer {
            return Err(Rejection::at(Reason::UnknownIssuer, "iss").actual(issuer));
        }
        let algorithm = self.0.algorithm(&token.header)?;
        self.0.check_type(&token.header)?;
        let found = self.0.key(algorithm, &token.header, now).await?;
        token.verify(algorithm, &found.key)?;
        Ok(token.claims)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Signer").field(&self.0.name).finish()
    }
}

/// Everything that is wrong in the configuration of such a party; paths begin with its fields.
#[must_use]
pub fn problems(config: &ProviderConfig) -> Vec<Problem> {
    let alone = Config { provider: vec![config.clone()], ..Config::default() };
    let own = |problem: Problem| {
        let path = problem.path.strip_prefix("provider[0].")?.to_owned();
        Some(Problem { path, ..problem })
    };
    let mut problems: Vec<_> = alone.check().into_iter().filter_map(own).collect();
    // That an issuer gives tokens to anybody makes nobody else able to sign for it.
    problems.retain(|problem| problem.path != "issuer" || config.issuer.is_empty());
    problems
}
