//! From the `Authorization` headers of a request to the actor who sent it, or the reason why not. The
//! order of the checks is the order of the functions; nothing in a token decides where its keys are from.

use event::{Actor, Proof, Time};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use crate::actor::{self, Provenance};
use crate::api_key::ApiKeys;
use crate::bearer::{self, Credential, Scheme};
use crate::cache::{TokenCache, Verified};
use crate::claims::{self, Expected};
use crate::config::{Algorithm, CallerKind, Config, Problem, ProviderConfig};
use crate::digest::{Sha256, hex, sha256};
use crate::fetch::{Access, UrlSource};
use crate::jwt::{Header, Token};
use crate::key_ring::{Found, KeyRing, NoKey, Pace};
use crate::possession::{Binding, Possession, ProofRule, Shown};
use crate::presented::Presented;
use crate::profile::{Facts, Identity, Profile, Rules};
use crate::rejection::{Details, Reason, Rejection, printable};
use crate::revocation::Revocations;
use crate::source::{FileSource, KeyError, KeySource};
use crate::strict_json::Object;

/// Establishes who calls. One for the whole process; it is shared between calls.
pub struct Verifier {
    allow_anonymous: bool,
    api_keys: ApiKeys,
    cache: TokenCache,
    /// From `iss` to the index of its provider: the only way from a token to keys.
    issuers: HashMap<String, usize>,
    possession: Possession,
    providers: Vec<Provider>,
    revocations: Arc<Revocations>,
}

impl Verifier {
    /// Checks the configuration and prepares the key sources; nothing is loaded yet.
    ///
    /// # Errors
    /// With everything that is wrong in the configuration, or when the system's certificates cannot be
    /// used.
    pub fn new(config: &Config) -> Result<Self, ConfigError> {
        Self::with_sources(config, HashMap::new())
    }

    /// As [`Verifier::new`], but the providers named in `sources` get their keys from there instead of
    /// the configured file or address. For a token issuer in the same process.
    ///
    /// # Errors
    /// As [`Verifier::new`].
    pub fn with_sources(
        config: &Config,
        mut sources: HashMap<String, Box<dyn KeySource>>,
    ) -> Result<Self, ConfigError> {
        let problems = config.check();
        if !problems.is_empty() {
            return Err(ConfigError::Invalid { problems });
        }
        let mut providers = Vec::new();
        for provider in &config.provider {
            let source = match sources.remove(&provider.name) {
                Some(given) => given,
                None => source(provider)?,
            };
            providers.push(Provider::new(provider, &config.audience, source));
        }
        let issuers = providers.iter().enumerate();
        Ok(Self {
            allow_anonymous: config.allow_anonymous,
            api_keys: ApiKeys::new(&config.api_key),
            cache: TokenCache::new(config.token_cache_entries_max, config.token_cache_ttl_s),
            issuers: issuers.map(|(index, own)| (own.issuer.clone(), index)).collect(),
            possession: Possession::new(config.proof_age_max_s, config.proof_memory_entries_max),
            providers,
            revocations: Arc::default(),
        })
    }

    /// Takes over from the verifier before this one which proofs of possession were used, so that no change
    /// of the configuration lets one be used twice.
    #[must_use]
    pub fn remembering(self, before: &Self) -> Self {
        Self { possession: self.possession.remembering(&before.possession), ..self }
    }

    /// The same, but these revocations count.
    #[must_use]
    pub fn with_revocations(self, revocations: Arc<Revocations>) -> Self {
        Self { revocations, ..self }
    }

    /// The revocations that count.
    #[must_use]
    pub fn revocations(&self) -> &Arc<Revocations> {
        &self.revocations
    }

    /// Who sent a request that shows this.
    ///
    /// Runs inside a tokio runtime. It waits for the network only when a key set is missing, too old,
    /// or lacks the token's key id; then for at most a few seconds.
    ///
    /// # Errors
    /// With the reason when the caller is not accepted. A bad credential is never treated as none.
    pub async fn verify(&self, presented: &Presented<'_>, now: Time) -> Result<Actor, Rejection> {
        let actor = self.identify(presented, now).await?;
        let Some(hop) = self.revocations.revoked(&actor) else { return Ok(actor) };
        let details = Details {
            provider: Some(actor.provider.clone()),
            attribute: Some("sub".into()),
            actual: Some(printable(&hop.id)),
            iss: hop.evidence.iss.clone(),
            token_sha256: actor.chain.iter().find_map(|hop| hop.evidence.token_sha256.clone()),
            ..Details::default()
        };
        Err(Rejection { reason: Reason::Revoked, details: Box::new(details) })
    }

    async fn identify(&self, presented: &Presented<'_>, now: Time) -> Result<Actor, Rejection> {
        let Some(credential) = bearer::credential(presented.authorization)? else {
            return match self.allow_anonymous {
                true => Ok(Actor::anonymous()),
                false => Err(self.missing()),
            };
        };
        let verified = self.verify_credential(&credential, presented, now).await;
        verified.map_err(|rejection| match credential.scheme {
            Scheme::Bearer => rejection,
            Scheme::Dpop => rejection.for_proof(Proof::Dpop),
        })
    }

    async fn verify_credential(
        &self,
        credential: &Credential<'_>,
        request: &Presented<'_>,
        now: Time,
    ) -> Result<Actor, Rejection> {
        let Credential { scheme, token } = *credential;
        let digest = sha256(token.as_bytes());
        if self.api_keys.is_addressed_by(token) {
            let known = self.api_keys.actor(&digest).filter(|_| scheme == Scheme::Bearer);
            return known.ok_or_else(|| Rejection::new(Reason::UnknownApiKey));
        }
        let shown = Shown { scheme, token: &digest, request };
        if let Some(verified) = self.remembered(&digest, request.resource, now) {
            // A token is remembered; that its sender holds its key never is.
            let held = self.possession.check(&verified.binding, &shown, now);
            held.map_err(|rejection| Seen::of(&verified.actor).label(rejection, hex(&digest)))?;
            return Ok(verified.actor.clone());
        }
        // Apart, so that a call whose token is remembered is not as large as one that fetches keys.
        let verified = Box::pin(self.verify_token(token, &shown, now)).await?;
        let actor = verified.actor.clone();
        self.cache.insert(digest, verified);
        Ok(actor)
    }

    /// Nothing was shown; what has to be may be more than a token.
    fn missing(&self) -> Rejection {
        let missing = Rejection::new(Reason::Missing);
        match self.providers.iter().any(|provider| provider.proof == ProofRule::Required) {
            true => missing.for_proof(Proof::Dpop),
            false => missing,
        }
    }

    /// Loads every provider's key set, all at the same time; the result of each, in the order of the
    /// configuration. A failure is not final: the set is loaded again when a token needs it.
    pub async fn warm_up(&self, now: Time) -> Vec<(String, Result<(), KeyError>)> {
        let load = |provider: &Provider| {
            let keys = Arc::clone(&provider.keys);
            (provider.name.clone(), tokio::spawn(async move { keys.warm_up(now).await }))
        };
        let under_way: Vec<_> = self.providers.iter().map(load).collect();
        let mut results = Vec::new();
        for (name, task) in under_way {
            results.push((name, task.await.unwrap_or(Err(KeyError::Interrupted))));
        }
        results
    }

    fn remembered(&self, digest: &Sha256, resource: &str, now: Time) -> Option<Arc<Verified>> {
        let verified = self.cache.get(digest, now)?;
        let audience = self.providers.get(verified.provider)?.expected.audience(resource);
        if *verified.audience != *audience {
            return None;
        }
        let generation = self.providers.get(verified.provider)?.keys.generation(now)?;
        (generation == verified.generation).then_some(verified)
    }

    async fn verify_token(
        &self,
        text: &str,
        shown: &Shown<'_>,
        now: Time,
    ) -> Result<Verified, Rejection> {
        let token_sha256 = hex(shown.token);
        let mut seen = Seen::default();
        let verified = self.verify_parts((text, &token_sha256), shown, now, &mut seen).await;
        verified.map_err(|rejection| seen.label(rejection, token_sha256))
    }

    async fn verify_parts(
        &self,
        (text, token_sha256): (&str, &str),
        shown: &Shown<'_>,
        now: Time,
        seen: &mut Seen,
    ) -> Result<Verified, Rejection> {
        let token = Token::parse(text)?;
        seen.header(&token.header);
        let issuer = claims::issuer(&token.claims)?;
        seen.iss = Some(printable(issuer));
        let known = self.issuers.get(issuer).copied();
        let known = known.and_then(|index| Some((index, self.providers.get(index)?)));
        let (index, provider) =
            known.ok_or_else(|| Rejection::at(Reason::UnknownIssuer, "iss").actual(issuer))?;
        seen.provider = Some(provider.name.clone());

        let algorithm = provider.algorithm(&token.header)?;
        provider.check_type(&token.header)?;
        let found = provider.key(algorithm, &token.header, now).await?;
        token.verify(algorithm, &found.key)?;

        let audience = provider.expected.audience(shown.request.resource);
        let claimed = claims::check(&token.claims, (&provider.expected, audience), now)?;
        let binding = provider.binding(&token.claims)?;
        self.possession.check(&binding, shown, now)?;
        let exp = claimed.exp;
        let identity = provider.identify(&token.claims, &claimed.sub)?;
        let from = Provenance {
            provider: &provider.name,
            profile: provider.profile.name,
            kind: provider.kind,
            issuer,
            audience,
            alg: algorithm.as_str(),
            kid: token.header.kid.as_deref(),
            key_thumbprint: found.key.thumbprint(),
            keys_fetched: found.fetched,
            token_sha256,
            proven: binding.proven(shown.request),
        };
        let actor = actor::actor(&token.claims, claimed, identity, &from)?;
        let (audience, generation) = (audience.into(), found.generation);
        Ok(Verified { actor, binding, audience, provider: index, generation, at: now, exp })
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.providers.iter().map(|provider| &provider.name).collect();
        f.debug_struct("Verifier").field("providers", &names).finish_non_exhaustive()
    }
}

/// Why a [`Verifier`] cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The configuration has mistakes.
    #[error("identity configuration is not valid: {}", listed(problems))]
    Invalid {
        /// All of them.
        problems: Vec<Problem>,
    },
    /// A key source cannot be prepared.
    #[error("key set of provider `{provider}` cannot be used: {error}")]
    Source {
        /// Name of the provider.
        provider: String,
        /// What is wrong.
        error: KeyError,
    },
}

fn listed(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("; ")
}

pub(crate) fn source(provider: &ProviderConfig) -> Result<Box<dyn KeySource>, ConfigError> {
    if let Some(path) = &provider.jwks_file {
        return Ok(Box::new(FileSource::new(path)));
    }
    let url = provider.jwks_url.as_deref().unwrap_or_default();
    match UrlSource::new(url, Access::of(provider)) {
        Ok(source) => Ok(Box::new(source)),
        Err(error) => Err(ConfigError::Source { provider: provider.name.clone(), error }),
    }
}

/// A trust provider, ready to verify.
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) issuer: String,
    kind: CallerKind,
    profile: &'static Profile,
    rules: Rules,
    algorithms: Vec<Algorithm>,
    typ: Vec<String>,
    expected: Expected,
    proof: ProofRule,
    keys: Arc<KeyRing>,
}

impl Provider {
    pub(crate) fn new(config: &ProviderConfig, audience: &str, source: Box<dyn KeySource>) -> Self {
        let profile = config.profile.profile();
        Self {
            name: config.name.clone(),
            issuer: config.issuer.clone(),
            kind: config.kind,
            profile,
            rules: Rules::new(profile, &config.rules),
            algorithms: config.algorithms.clone().unwrap_or_else(|| profile.algorithms.to_vec()),
            typ: config.typ.clone().unwrap_or_else(|| profile.types()),
            expected: Expected {
                audience: Some(config.audience(audience).to_owned())
                    .filter(|audience| !audience.is_empty()),
                multiple_audiences: config.allow_multiple_audiences,
                lifetime_max_s: config.token_lifetime_max_s.unwrap_or(profile.lifetime_s),
            },
            proof: config.proof,
            keys: KeyRing::new(&config.name, source, Pace::of(config)),
        }
    }

    /// Whom the claims of a verified token name, if they are those of somebody whom this provider is trusted
    /// for.
    fn identify(&self, claims: &Object, subject: &str) -> Result<Identity, Rejection> {
        let facts = Facts::read(self.profile, claims, subject)?;
        self.rules.check(&facts, claims)?;
        (self.profile.identify)(&facts)
    }

    pub(crate) fn algorithm(&self, header: &Header) -> Result<Algorithm, Rejection> {
        let algorithm = Algorithm::parse(&header.alg).filter(|own| self.algorithms.contains(own));
        algorithm.ok_or_else(|| {
            let names: Vec<_> = self.algorithms.iter().map(|own| own.as_str()).collect();
            Rejection::at(Reason::UnsupportedAlgorithm, "alg")
                .expected(&names.join(" "))
                .actual(&header.alg)
        })
    }

    pub(crate) fn check_type(&self, header: &Header) -> Result<(), Rejection> {
        let typ = header.typ.as_deref().unwrap_or_default();
        // A `typ` that is there but empty is not an absent one.
        let empty = header.typ.as_deref() == Some("");
        if !empty && self.typ.iter().any(|own| own.eq_ignore_ascii_case(typ)) {
            return Ok(());
        }
        Err(Rejection::at(Reason::WrongType, "typ").expected(&self.typ.join(" ")).actual(typ))
    }

    /// What a token is bound to, which may have to be something.
    fn binding(&self, claims: &Object) -> Result<Binding, Rejection> {
        let binding = Binding::read(claims)?;
        if self.proof == ProofRule::Required && binding.is_none() {
            return Err(Rejection::at(Reason::ProofMissing, "cnf")
                .for_proof(Proof::Dpop)
                .expected("a token that is bound to a key"));
        }
        Ok(binding)
    }

    pub(crate) async fn key(
        &self,
        algorithm: Algorithm,
        header: &Header,
        now: Time,
    ) -> Result<Found, Rejection> {
        let found = self.keys.key(algorithm, header.kid.as_deref(), now).await;
        found.map_err(|missing| match missing {
            NoKey::Unknown => Rejection::at(Reason::UnknownKey, "kid"),
            NoKey::Unavailable(error) => {
                Rejection::at(Reason::KeysUnavailable, "keys").actual(&error.to_string())
            }
        })
    }
}

/// What was learned of a token on the way, for the record of its rejection.
#[derive(Default)]
pub(crate) struct Seen {
    provider: Option<String>,
    iss: Option<String>,
    kid: Option<String>,
    alg: Option<String>,
}

impl Seen {
    /// Of a token that was accepted a moment ago.
    fn of(actor: &Actor) -> Self {
        let evidence = actor.chain.first().map(|hop| &hop.evidence);
        Self {
            provider: Some(actor.provider.clone()),
            iss: evidence.and_then(|own| own.iss.as_deref()).map(printable),
            kid: evidence.and_then(|own| own.kid.as_deref()).map(printable),
            alg: evidence.and_then(|own| own.alg.as_deref()).map(printable),
        }
    }

    pub(crate) fn header(&mut self, header: &Header) {
        self.alg = Some(printable(&header.alg));
        self.kid = header.kid.as_deref().map(printable);
    }

    pub(crate) fn label(self, rejection: Rejection, token_sha256: String) -> Rejection {
        let Self { provider, iss, kid, alg } = self;
        let token_sha256 = Some(token_sha256);
        let details = Details { provider, iss, kid, alg, token_sha256, ..*rejection.details };
        Rejection { reason: rejection.reason, details: Box::new(details) }
    }
}
