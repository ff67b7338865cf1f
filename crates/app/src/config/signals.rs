//! What others may tell of the parties they vouch for: `[signals]`.

use super::{Checker, LogConfig, file};
use identity::{ProviderConfig, statement};
use signals::Event;
use std::collections::BTreeSet;
use std::path::PathBuf;

/// Where signals are taken, from whom, and where revocations are kept.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct SignalsConfig {
    /// Path of the push endpoint.
    pub(crate) path: String,
    /// File of the revocations in force.
    pub(crate) book: PathBuf,
    /// At least one.
    pub(crate) transmitters: Vec<TransmitterConfig>,
}

/// A party that tells of others.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TransmitterConfig {
    /// Its name, issuer, keys, and what `aud` must name.
    pub(crate) provider: ProviderConfig,
    /// Issuers of whose subjects it may speak.
    pub(crate) speaks_for: Vec<String>,
    /// Events that revoke.
    pub(crate) revoke_on: Vec<Event>,
}

impl Checker<'_> {
    /// Nothing when nobody is believed.
    pub(super) fn signals(
        &mut self,
        written: file::Signals,
        log: &LogConfig,
    ) -> Option<SignalsConfig> {
        let path = written.path.unwrap_or_else(|| "/ssf/events".to_owned());
        if !path.starts_with('/') || path.contains(['?', '#', ' ']) || path.starts_with("/s/") {
            self.wrong("signals.path", "must be a path such as `/ssf/events`");
        }
        let book = match written.book {
            Some(book) => self.path(book),
            None => log.directory.with_file_name("revoked.jsonl"),
        };
        let mut names = BTreeSet::new();
        let mut transmitters = Vec::new();
        for (i, written) in written.transmitter.into_iter().enumerate() {
            let path = format!("signals.transmitter[{i}]");
            if !names.insert(written.name.clone()) {
                self.wrong(&format!("{path}.name"), "is used twice");
            }
            transmitters.push(self.transmitter(&path, written));
        }
        (!transmitters.is_empty()).then_some(SignalsConfig { path, book, transmitters })
    }

    fn transmitter(&mut self, path: &str, written: file::Transmitter) -> TransmitterConfig {
        let provider = ProviderConfig {
            name: written.name,
            issuer: written.issuer,
            audience: written.audience,
            jwks_url: written.jwks_url,
            jwks_file: written.jwks_file,
            allow_insecure_loopback: written.allow_insecure_loopback,
            allow_private_addresses: written.allow_private_addresses,
            // RFC 8417 section 2.3: told apart from other tokens by its type.
            typ: Some(vec!["secevent+jwt".to_owned()]),
            ..ProviderConfig::default()
        };
        for problem in statement::problems(&provider) {
            let text = match problem.path.as_str() {
                "audience" => {
                    "write what `aud` of its tokens names: what you gave it for this gateway"
                }
                _ => &problem.problem,
            };
            self.wrong(&format!("{path}.{}", problem.path), text);
        }
        let speaks_for = match written.speaks_for {
            Some(issuers) => issuers,
            None => vec![provider.issuer.clone()],
        };
        let jwks_file = provider.jwks_file.clone().map(|file| self.path(file));
        TransmitterConfig {
            provider: ProviderConfig { jwks_file, ..provider },
            speaks_for,
            revoke_on: written.revoke_on.unwrap_or_else(|| REVOKE_ON.to_vec()),
        }
    }
}

/// Those that leave no doubt.
const REVOKE_ON: [Event; 5] = [
    Event::AccountDisabled,
    Event::AccountPurged,
    Event::CredentialChange,
    Event::CredentialCompromise,
    Event::SessionRevoked,
];
