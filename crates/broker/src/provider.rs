//! One configured way to a credential: what is asked of whom, and where the answer goes.

use crate::config::{Config, ProviderType, Target};
use crate::ledger::Borrower;
use crate::oauth::TokenEndpoint;
use crate::refused::Refused;
use crate::secret::Secret;
use crate::source::Source;
use event::Time;
use http::{HeaderName, header};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A configured provider.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) provider_type: ProviderType,
    pub(crate) place: Place,
    /// Time before its expiry from which a credential is not used any more.
    pub(crate) margin_us: i64,
    /// What is asked for, for the record.
    pub(crate) wanted: BTreeMap<String, String>,
    kind: Kind,
}

/// Where a credential goes.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// A header, after a word that may be empty.
    Header { name: HeaderName, scheme: String },
    /// A variable of a local program.
    Variable(String),
}

#[derive(Debug)]
enum Kind {
    Static(Source),
    ClientCredentials(Box<TokenEndpoint>),
}

/// A credential as it was issued.
#[derive(Debug)]
pub(crate) struct Fresh {
    pub(crate) value: Arc<Secret>,
    pub(crate) life: Life,
}

/// For how long a credential is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// Until then, as the issuer says.
    Until(Time),
    /// The issuer does not say.
    Unknown,
    /// Until it is another one where it was read: look again soon.
    UntilChanged,
}

impl Provider {
    /// A provider of a configuration that was checked. Secrets and keys are looked at once, so that one that
    /// is missing shows now.
    pub(crate) fn new(
        config: &Config,
        variable: &dyn Fn(&str) -> Option<Secret>,
    ) -> Result<Self, String> {
        let provider_type = config.provider_type.ok_or("has no `type`")?;
        let kind = match provider_type {
            ProviderType::Static => Kind::Static(secret(config, variable)?),
            ProviderType::OauthClientCredentials => {
                Kind::ClientCredentials(Box::new(TokenEndpoint::new(config, variable)?))
            }
        };
        let wanted = [
            ("audience", &config.audience),
            ("resource", &config.resource),
            ("scope", &config.scope),
        ];
        let provider = Self {
            name: config.name.clone().unwrap_or_else(|| provider_type.as_str().to_owned()),
            provider_type,
            place: place(config)?,
            margin_us: microseconds(config.margin_s.unwrap_or(MARGIN_S)),
            wanted: wanted
                .into_iter()
                .filter_map(|(key, value)| Some((key.to_owned(), value.clone()?)))
                .collect(),
            kind,
        };
        provider.try_files().map_err(|refused| refused.problem)?;
        Ok(provider)
    }

    /// Whether what it issues is for one principal; else it is for the gateway itself, and shared.
    pub(crate) fn acts_for_principal(&self) -> bool {
        match &self.kind {
            Kind::Static(_) | Kind::ClientCredentials(_) => false,
        }
    }

    /// Gets a credential.
    pub(crate) async fn issue(&self, _borrower: &Borrower, now: Time) -> Result<Fresh, Refused> {
        match &self.kind {
            Kind::Static(source) => Ok(Fresh { value: source.read()?, life: Life::UntilChanged }),
            Kind::ClientCredentials(endpoint) => endpoint.client_credentials(now).await,
        }
    }

    fn try_files(&self) -> Result<(), Refused> {
        match &self.kind {
            Kind::Static(source) => source.read().map(drop),
            Kind::ClientCredentials(endpoint) => endpoint.try_files(),
        }
    }
}

/// What sort of server a configuration was written for.
pub(crate) fn target(config: &Config) -> Target {
    if config.variable.is_some() { Target::Program } else { Target::Http }
}

/// Where the secret of a configuration is.
pub(crate) fn secret(
    config: &Config,
    variable: &dyn Fn(&str) -> Option<Secret>,
) -> Result<Source, String> {
    match (&config.secret_file, &config.secret_env) {
        (Some(path), _) => Ok(Source::File(path.clone())),
        (None, Some(name)) => match variable(name) {
            Some(secret) => Ok(Source::Variable(Arc::new(secret))),
            None => Err(format!("the variable `{name}` of the environment is not set")),
        },
        (None, None) => Err("has neither `secret_file` nor `secret_env`".to_owned()),
    }
}

pub(crate) fn microseconds(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1_000_000)).unwrap_or(i64::MAX)
}

fn place(config: &Config) -> Result<Place, String> {
    if let Some(name) = &config.variable {
        return Ok(Place::Variable(name.clone()));
    }
    let name = match &config.header {
        None => header::AUTHORIZATION,
        Some(name) => HeaderName::from_bytes(name.as_bytes()).map_err(|error| error.to_string())?,
    };
    let usual = if name == header::AUTHORIZATION { "Bearer" } else { "" };
    let scheme = config.scheme.clone().unwrap_or_else(|| usual.to_owned());
    Ok(Place::Header { name, scheme })
}

/// Long enough for a call to be on its way and checked, with clocks that differ a little.
const MARGIN_S: u64 = 30;
