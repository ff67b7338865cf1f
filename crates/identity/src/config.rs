//! What an operator says about who may call: trust providers, development keys, anonymous callers.
//! It reads no file; whoever does hands these structures over and checks them once.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use url::Url;

use crate::api_key;
use crate::fetch;
use crate::possession::ProofRule;
use crate::profile::{self, OneOf, ProfileName};

/// Who may call, and how it is established (`[identity]`).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Accept requests without a credential as the actor `anonymous`. A request with a bad credential
    /// is refused all the same. Default: false.
    pub allow_anonymous: bool,
    /// Static keys for development (`[[identity.api_key]]`). Default: none.
    pub api_key: Vec<ApiKeyConfig>,
    /// What `aud` must say, compared byte by byte. Default: empty, then it is the canonical URI of the
    /// endpoint that is called, which isolates servers from each other; that needs `gateway.public_url`.
    pub audience: String,
    /// Names of the providers whose issuers clients are told of as authorization servers, where they can get
    /// tokens for the endpoints (RFC 9728). Their issuers are `https` URLs. Needs `gateway.public_url`.
    /// Default: none, then clients are told nothing.
    pub authorization_servers: Vec<String>,
    /// Whether endpoints have canonical URIs. No key of its own.
    #[serde(skip)]
    pub has_resources: bool,
    /// Seconds by which the time in a proof of possession may differ from ours, either way (RFC 9449 section
    /// 11.1). Default: 300, the most.
    pub proof_age_max_s: u64,
    /// Proofs of possession remembered as used, about 64 bytes each; each is, as long as it would be accepted.
    /// When there is no room, no proof is accepted. Default: 1 000 000, which is 3 333 calls a second.
    pub proof_memory_entries_max: usize,
    /// The issuers of tokens (`[[identity.provider]]`). Default: none.
    pub provider: Vec<ProviderConfig>,
    /// Verified tokens remembered at once; one entry takes about 2 KiB. Default: 10 000; 0 remembers
    /// none.
    pub token_cache_entries_max: usize,
    /// Seconds for which a verified token is not verified again; never beyond its expiry, or beyond a
    /// change of its issuer's keys. Default: 300.
    pub token_cache_ttl_s: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            allow_anonymous: false,
            api_key: Vec::new(),
            audience: String::new(),
            authorization_servers: Vec::new(),
            has_resources: false,
            proof_age_max_s: PROOF_AGE_S_MAX,
            proof_memory_entries_max: 1_000_000,
            provider: Vec::new(),
            token_cache_entries_max: 10_000,
            token_cache_ttl_s: 300,
        }
    }
}

/// One issuer whose tokens are accepted: a trust provider.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProviderConfig {
    /// Signature algorithms that its tokens may use (RFC 7518 names; asymmetric only). Default: those of
    /// the profile; of `oidc` RS256, PS256, ES256, ES384, `EdDSA`.
    pub algorithms: Option<Vec<Algorithm>>,
    /// Allow `http` and loopback addresses in `jwks_url`, for a loopback host. Development only.
    /// Default: false.
    pub allow_insecure_loopback: bool,
    /// Accept a token that is also meant for other audiences, as long as ours is among them. Each of
    /// the others could present it here. Default: false.
    pub allow_multiple_audiences: bool,
    /// Let `jwks_url` resolve to private addresses (RFC 1918, RFC 4193, RFC 6598), for an issuer inside
    /// your network. Default: false.
    pub allow_private_addresses: bool,
    /// What `aud` must say in tokens of this issuer. Default: empty, then `audience` of `[identity]`.
    pub audience: String,
    /// The value of `iss`, compared byte by byte. Required.
    pub issuer: String,
    /// File with the issuer's JSON Web Key Set; looked at again every ten seconds of use. Either this
    /// or `jwks_url`.
    pub jwks_file: Option<PathBuf>,
    /// `https` address of the issuer's JSON Web Key Set. Either this or `jwks_file`.
    pub jwks_url: Option<String>,
    /// What sort of party `sub` names: `workload` or `human`. Default: workload.
    pub kind: CallerKind,
    /// What the claims of its tokens must say: for each named claim, a text or a list of texts of which it
    /// must be one. All must hold. Which claims there are is for the profile to say; for `oidc` any, nested
    /// ones by JSON Pointer (RFC 6901). Required for issuers that give tokens to anybody. Default: nothing.
    #[serde(rename = "match")]
    pub rules: BTreeMap<String, OneOf>,
    /// Name of the provider in policies and records. Required, unique.
    pub name: String,
    /// Which platform issues its tokens, and so what their claims mean. Default: oidc.
    pub profile: ProfileName,
    /// Whether its tokens need a proof of possession. Default: if they are bound to a key.
    pub proof: ProofRule,
    /// Least seconds between two loads of the key set, however many unknown key ids arrive (a file: at
    /// most 1). Default: 30.
    pub refresh_interval_min_s: u64,
    /// Age in seconds after which the key set is loaded again (a file: at most 10). Default: 300.
    pub refresh_interval_s: u64,
    /// Age in seconds up to which a key set is used while it cannot be loaded again; after that no
    /// token of this issuer is accepted. Default: 3 600.
    pub stale_max_s: u64,
    /// Longest accepted time in seconds from `iat` (or from now, without `iat`) to `exp`. Default: that of
    /// the profile; of `oidc` 3 900, an hour and what platforms add to it.
    pub token_lifetime_max_s: Option<u64>,
    /// Accepted values of the header parameter `typ`, without `application/`, case ignored; the empty
    /// string stands for an absent `typ`. Default: those of the profile; of `oidc` "", "JWT", "at+jwt".
    pub typ: Option<Vec<String>>,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            algorithms: None,
            allow_insecure_loopback: false,
            allow_multiple_audiences: false,
            allow_private_addresses: false,
            audience: String::new(),
            issuer: String::new(),
            jwks_file: None,
            jwks_url: None,
            kind: CallerKind::Workload,
            rules: BTreeMap::new(),
            name: String::new(),
            profile: ProfileName::Oidc,
            proof: ProofRule::IfBound,
            refresh_interval_min_s: 30,
            refresh_interval_s: 300,
            stale_max_s: 3_600,
            token_lifetime_max_s: None,
            typ: None,
        }
    }
}

/// One static key, for development only.
#[derive(Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApiKeyConfig {
    /// Name of the caller that presents it. Required, unique.
    pub name: String,
    /// `sha256:` and the hex digest of the key; [`crate::ApiKey::generate`] makes both. Required.
    pub sha256: String,
}

impl fmt::Debug for ApiKeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKeyConfig").field("name", &self.name).finish_non_exhaustive()
    }
}

/// What sort of party the tokens of a provider name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CallerKind {
    /// A person.
    Human,
    /// A program with an identity of its own.
    #[default]
    Workload,
}

/// A signature algorithm that a token may use. There is no symmetric one and no `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
pub enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    #[serde(rename = "RS384")]
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    #[serde(rename = "RS512")]
    Rs512,
    /// RSASSA-PSS with SHA-256.
    #[serde(rename = "PS256")]
    Ps256,
    /// RSASSA-PSS with SHA-384.
    #[serde(rename = "PS384")]
    Ps384,
    /// RSASSA-PSS with SHA-512.
    #[serde(rename = "PS512")]
    Ps512,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// ECDSA with P-384 and SHA-384.
    #[serde(rename = "ES384")]
    Es384,
    /// Ed25519 (RFC 8037).
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Algorithm {
    /// Every algorithm.
    pub const ALL: [Self; 9] = [
        Self::Rs256,
        Self::Rs384,
        Self::Rs512,
        Self::Ps256,
        Self::Ps384,
        Self::Ps512,
        Self::Es256,
        Self::Es384,
        Self::EdDsa,
    ];

    /// The name in a token's `alg` (RFC 7518 section 3.1, RFC 8037 section 3.1).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of this name; names are case-sensitive (RFC 7515 section 4.1.1).
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.as_str() == name)
    }
}

/// One thing that is wrong in a [`Config`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where, seen from `[identity]`: `provider[0].jwks_url`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub problem: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`: {}", self.path, self.problem)
    }
}

impl Config {
    /// The issuers that clients may be told of as authorization servers, in the order of the configuration.
    #[must_use]
    pub fn authorization_servers(&self) -> Vec<String> {
        let told = self.authorization_servers.iter().filter_map(|name| self.named(name));
        told.map(|provider| provider.issuer.clone()).collect()
    }

    fn named(&self, name: &str) -> Option<&ProviderConfig> {
        self.provider.iter().find(|provider| provider.name == name)
    }

    /// Everything that is wrong, in the order of the fields; empty when the configuration can be used.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let mut found = Problems(Vec::new());
        if self.provider.is_empty() && self.api_key.is_empty() && !self.allow_anonymous {
            found.add(
                "provider",
                "nobody could call: add a `provider` or an `api_key`, or set `allow_anonymous`",
            );
        }
        for (index, key) in self.api_key.iter().enumerate() {
            let path = format!("api_key[{index}]");
            found.name(&format!("{path}.name"), &key.name);
            if api_key::parse_digest(&key.sha256).is_none() {
                found.add(&format!("{path}.sha256"), "write `sha256:` and 64 hex digits");
            }
        }
        for (index, name) in self.authorization_servers.iter().enumerate() {
            if let Some(problem) = self.authorization_server_problem(name) {
                found.add(&format!("authorization_servers[{index}]"), problem);
            }
        }
        for (index, provider) in self.provider.iter().enumerate() {
            self.check_provider(&format!("provider[{index}]"), provider, &mut found);
        }
        let names = |list: Vec<&str>| list.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let keys = &self.api_key;
        let providers = &self.provider;
        found.unique("api_key", "name", &names(keys.iter().map(|k| k.name.as_str()).collect()));
        let digests: Vec<_> = keys.iter().map(|k| k.sha256.to_ascii_lowercase()).collect();
        found.unique("api_key", "sha256", &digests);
        found.unique(
            "provider",
            "name",
            &names(providers.iter().map(|p| p.name.as_str()).collect()),
        );
        let issuers = names(providers.iter().map(|p| p.issuer.as_str()).collect());
        found.unique("provider", "issuer", &issuers);
        if !(1..=PROOF_AGE_S_MAX).contains(&self.proof_age_max_s) {
            found.add("proof_age_max_s", &format!("must be 1 to {PROOF_AGE_S_MAX} seconds"));
        }
        if !(1..=PROOF_MEMORY_ENTRIES_MAX).contains(&self.proof_memory_entries_max) {
            let problem = format!("must be 1 to {PROOF_MEMORY_ENTRIES_MAX}");
            found.add("proof_memory_entries_max", &problem);
        }
        if !(1..=TOKEN_CACHE_TTL_S_MAX).contains(&self.token_cache_ttl_s) {
            found
                .add("token_cache_ttl_s", &format!("must be 1 to {TOKEN_CACHE_TTL_S_MAX} seconds"));
        }
        if self.token_cache_entries_max > TOKEN_CACHE_ENTRIES_MAX {
            found.add(
                "token_cache_entries_max",
                &format!("must be at most {TOKEN_CACHE_ENTRIES_MAX}"),
            );
        }
        found.0
    }

    /// Whether clients can be told of this name as that of an authorization server.
    fn authorization_server_problem(&self, name: &str) -> Option<&'static str> {
        let Some(provider) = self.named(name) else {
            return Some("must be the `name` of a provider");
        };
        if !self.has_resources {
            return Some("needs `gateway.public_url`");
        }
        let url = Url::parse(&provider.issuer).ok();
        (!url.is_some_and(|url| provider.is_found_at(&url)))
            .then_some("its `issuer` must be an `https` URL without user, query and fragment")
    }

    fn check_provider(&self, path: &str, provider: &ProviderConfig, found: &mut Problems) {
        let at = |field: &str| format!("{path}.{field}");
        found.name(&at("name"), &provider.name);
        if RESERVED_NAMES.contains(&provider.name.as_str()) {
            found
                .add(&at("name"), &format!("`{}` is reserved; choose another name", provider.name));
        }
        if provider.issuer.is_empty() {
            found.add(&at("issuer"), "write the `iss` of its tokens");
        }
        if self.audience.is_empty() && provider.audience.is_empty() && !self.has_resources {
            found.add(
                &at("audience"),
                "write here or in `audience` which `aud` its tokens must have, or set `gateway.public_url`",
            );
        }
        if provider.algorithms.as_ref().is_some_and(Vec::is_empty) {
            found.add(&at("algorithms"), "name at least one algorithm");
        }
        for problem in provider.source_problems() {
            found.add(&at(problem.0), &problem.1);
        }
        if provider.typ.as_ref().is_some_and(Vec::is_empty) {
            found.add(
                &at("typ"),
                "name at least one type; the empty string stands for an absent one",
            );
        }
        let proof = |typ: &&String| PROOF_TYPES.iter().any(|proof| typ.eq_ignore_ascii_case(proof));
        if let Some(typ) = provider.typ.iter().flatten().find(proof) {
            found.add(
                &at("typ"),
                &format!("`{typ}` is the type of a proof, never of a bearer token"),
            );
        }
        for (field, problem) in provider.time_problems() {
            found.add(&at(field), &problem);
        }
        for (field, problem) in profile::problems(provider, provider.audience(&self.audience)) {
            found.add(&at(&field), &problem);
        }
    }
}

impl ProviderConfig {
    /// Whether its issuer can be an authorization server: an `https` URL without query and fragment (RFC 8414
    /// section 2), for development `http` at a loopback address.
    fn is_found_at(&self, issuer: &Url) -> bool {
        let loopback = issuer.host().is_some_and(|host| fetch::is_loopback_host(&host));
        let insecure = issuer.scheme() == "http" && loopback && self.allow_insecure_loopback;
        let plain = issuer.username().is_empty() && issuer.password().is_none();
        (issuer.scheme() == "https" || insecure)
            && plain
            && issuer.query().is_none()
            && issuer.fragment().is_none()
    }

    /// The audience of its tokens, given that of all; empty where it is that of the endpoint.
    pub(crate) fn audience<'a>(&'a self, of_all: &'a str) -> &'a str {
        if self.audience.is_empty() { of_all } else { &self.audience }
    }

    fn source_problems(&self) -> Vec<(&'static str, String)> {
        let url = match (&self.jwks_url, &self.jwks_file) {
            (None, None) => {
                return vec![("jwks_url", "write either `jwks_url` or `jwks_file`".to_owned())];
            }
            (Some(_), Some(_)) => {
                return vec![(
                    "jwks_file",
                    "write only one of `jwks_url` and `jwks_file`".to_owned(),
                )];
            }
            (None, Some(_)) => return Vec::new(),
            (Some(url), None) => url,
        };
        match Url::parse(url) {
            Ok(url) => match fetch::Access::of(self).refusal(&url) {
                Some(problem) => vec![("jwks_url", problem.to_owned())],
                None => Vec::new(),
            },
            Err(error) => vec![("jwks_url", format!("not a URL: {error}"))],
        }
    }

    fn time_problems(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut within = |field: &'static str, value: u64, min: u64, max: u64| {
            if !(min..=max).contains(&value) {
                found.push((field, format!("must be {min} to {max} seconds")));
            }
        };
        within("refresh_interval_min_s", self.refresh_interval_min_s, 1, DAY_S);
        let least = self.refresh_interval_min_s.min(DAY_S);
        within("refresh_interval_s", self.refresh_interval_s, least, DAY_S);
        within("stale_max_s", self.stale_max_s, self.refresh_interval_s.min(DAY_S), 7 * DAY_S);
        found
    }
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &str, problem: &str) {
        self.0.push(Problem { path: path.to_owned(), problem: problem.to_owned() });
    }

    fn name(&mut self, path: &str, name: &str) {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(allowed) {
            let problem = format!(
                "write a name of letters, digits, `-`, `_` and `.`, at most {NAME_BYTES_MAX} bytes"
            );
            self.add(path, &problem);
        }
    }

    fn unique(&mut self, table: &str, field: &str, values: &[String]) {
        let mut seen = BTreeSet::new();
        for (index, value) in values.iter().enumerate() {
            if !value.is_empty() && !seen.insert(value) {
                self.add(&format!("{table}[{index}].{field}"), "is used twice");
            }
        }
    }
}

/// Providers that vouch for actors of other kinds; a configured one of that name would be mixed up
/// with them.
const RESERVED_NAMES: [&str; 3] = ["api-key", "local", "upstream"];

/// Types of tokens that prove possession of a key and mean nothing as a bearer token: WIT and WPT
/// (WIMSE), `DPoP` (RFC 9449).
const PROOF_TYPES: [&str; 3] = ["wit+jwt", "wpt+jwt", "dpop+jwt"];

/// Longest name of a provider or a key, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// A day, the longest sensible refresh interval, in seconds.
const DAY_S: u64 = 86_400;

/// Longest time without verifying a token again, in seconds.
const TOKEN_CACHE_TTL_S_MAX: u64 = 3_600;

/// Longest time between a proof of possession and its use, in seconds.
const PROOF_AGE_S_MAX: u64 = 300;

/// Most remembered proofs: about 6 GiB.
const PROOF_MEMORY_ENTRIES_MAX: usize = 100_000_000;

/// Most remembered tokens: about 2 GiB.
const TOKEN_CACHE_ENTRIES_MAX: usize = 1_000_000;

#[cfg(test)]
mod tests;
