//! The credentials of all servers: who may share one, and for how long it is kept.

use crate::cache::{Attempt, Cache, Found, Issued, Key, Landed, landed};
use crate::config::{Config, Problem};
use crate::digest;
use crate::ledger::{Borrower, Entry, Ledger};
use crate::lent::Lent;
use crate::provider::{Fresh, Life, Provider, target};
use crate::refused::{Reason, Refused};
use crate::secret::Secret;
use event::{Actor, CacheUse, Kind, Time};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// All credentials for upstream servers.
#[derive(Debug, Clone, Default)]
pub struct Broker {
    lenders: BTreeMap<String, Arc<Lender>>,
}

/// Why a credential cannot be had as it is configured.
#[derive(Debug, thiserror::Error)]
pub enum BadCredential {
    /// The table has mistakes.
    #[error("credential of server `{server}`: {}", list(.problems))]
    Invalid {
        /// The server.
        server: String,
        /// All of them.
        problems: Vec<Problem>,
    },
    /// A file or a variable that it names cannot be used.
    #[error("credential of server `{server}`: {problem}")]
    Unusable {
        /// The server.
        server: String,
        /// What is wrong, without any secret.
        problem: String,
    },
}

/// The credentials of one server.
#[derive(Debug)]
pub struct Lender {
    server: String,
    provider: Arc<Provider>,
    cache: Mutex<Cache>,
}

impl Broker {
    /// The credentials of these servers, by name. `variable` gives what the environment holds. Nothing is
    /// asked of anybody yet; files are looked at, so that one that is missing shows now.
    ///
    /// # Errors
    /// [`BadCredential`] of the first server that has one.
    pub fn new<'s>(
        servers: impl IntoIterator<Item = (&'s str, &'s Config)>,
        variable: &dyn Fn(&str) -> Option<Secret>,
    ) -> Result<Self, BadCredential> {
        let mut lenders = BTreeMap::new();
        for (server, config) in servers {
            let problems = config.check(target(config));
            let server = server.to_owned();
            if !problems.is_empty() {
                return Err(BadCredential::Invalid { server, problems });
            }
            let provider = match Provider::new(config, variable) {
                Ok(provider) => Arc::new(provider),
                Err(problem) => return Err(BadCredential::Unusable { server, problem }),
            };
            let lender = Lender { server: server.clone(), provider, cache: Mutex::default() };
            lenders.insert(server, Arc::new(lender));
        }
        Ok(Self { lenders })
    }

    /// Who lends credentials for a server; none when it needs none.
    #[must_use]
    pub fn lender(&self, server: &str) -> Option<Arc<Lender>> {
        self.lenders.get(server).cloned()
    }

    /// Forgets all credentials that are held.
    pub fn forget(&self) {
        for lender in self.lenders.values() {
            lender.forget();
        }
    }
}

impl Lender {
    /// A credential for a call. One that is at hand is used; else one is got, once for everybody who waits
    /// for the same one, and put on record before anybody has it.
    ///
    /// # Errors
    /// Why there is none; that is on record too.
    pub async fn lend(
        self: &Arc<Self>,
        borrower: &Borrower,
        ledger: &Arc<dyn Ledger>,
        now: Time,
    ) -> Result<Lent, Refused> {
        let found = self.cache().find(self.key(borrower), &borrower.policy_set, now);
        let awaited = match found {
            Found::Held(issued) => return Ok(self.lent(issued, CacheUse::Hit)),
            Found::Awaited(awaited) => awaited,
            Found::Missing(attempt) => {
                let awaited = attempt.awaited.clone();
                // A task of its own: a caller that goes away does not cut it off for the others.
                let (lender, ledger) = (Arc::clone(self), Arc::clone(ledger));
                let borrower = borrower.clone();
                tokio::spawn(async move { lender.get(attempt, borrower, ledger, now).await });
                awaited
            }
        };
        landed(awaited).await.map(|issued| self.lent(issued, CacheUse::Miss))
    }

    /// Forgets what is held.
    pub fn forget(&self) {
        self.cache().forget();
    }

    /// Credentials that are held.
    #[must_use]
    pub fn held(&self) -> usize {
        self.cache().len()
    }

    async fn get(&self, attempt: Attempt, borrower: Borrower, ledger: Arc<dyn Ledger>, now: Time) {
        let landed = self.issue(&attempt, &borrower, ledger.as_ref(), now).await;
        self.cache().land(attempt, landed);
    }

    async fn issue(
        &self,
        attempt: &Attempt,
        borrower: &Borrower,
        ledger: &dyn Ledger,
        now: Time,
    ) -> Landed {
        let fresh = self.provider.issue(borrower, now).await.and_then(usable);
        let fresh = match fresh {
            Ok(fresh) => fresh,
            Err(refused) => {
                tracing::warn!(server = %self.server, provider = %self.provider.name, "{refused}");
                let entry = self.refusal(borrower, &refused);
                if let Err(error) = ledger.record(entry).await {
                    tracing::error!(error, "a refused credential could not be put on record");
                }
                return Err(refused);
            }
        };
        let until_us = self.until_us(&fresh, borrower, now);
        if let Some(before) = &attempt.before
            && before.value.expose() == fresh.value.expose()
        {
            before.renew(until_us);
            return Ok(Arc::clone(before));
        }
        let issued = Issued::new(Arc::clone(&fresh.value), until_us, attempt.before.as_deref());
        let entry = self.entry(
            Kind::CredentialIssued,
            borrower,
            &[
                ("cache", "miss".to_owned()),
                ("sha256", issued.sha256.clone()),
                (
                    "expires",
                    match fresh.life {
                        Life::Until(expires) => expires.to_string(),
                        Life::Unknown | Life::UntilChanged => String::new(),
                    },
                ),
            ],
        );
        let recorded = ledger.record(entry).await;
        recorded.map_err(|error| Refused::new(Reason::Unrecorded, error))?;
        Ok(Arc::new(issued))
    }

    /// Until when a credential is used: shortly before it expires, and no longer than the proof of the
    /// principal lasts that it is for.
    fn until_us(&self, fresh: &Fresh, borrower: &Borrower, now: Time) -> i64 {
        let now_us = now.unix_us();
        let until_us = match fresh.life {
            Life::Until(expires) => {
                let life_us = expires.unix_us().saturating_sub(now_us);
                expires.unix_us().saturating_sub(self.provider.margin_us.min(life_us / 2))
            }
            Life::Unknown => now_us.saturating_add(UNKNOWN_LIFE_US),
            Life::UntilChanged => now_us.saturating_add(LOOK_AGAIN_US),
        };
        match proof_expires(&borrower.actor) {
            Some(expires) if self.provider.acts_for_principal() => until_us.min(expires.unix_us()),
            _ => until_us,
        }
    }

    /// Who shares a credential: everybody, or for one that acts for a principal, calls of that principal
    /// through the same chain.
    fn key(&self, borrower: &Borrower) -> Key {
        if !self.provider.acts_for_principal() {
            return Key::default();
        }
        let actor = &borrower.actor;
        let chain = actor.chain.iter().flat_map(|hop| {
            let evidence = &hop.evidence;
            [hop.id.as_str(), evidence.iss.as_deref().unwrap_or_default()]
        });
        let parts = [actor.provider.as_str(), &actor.id];
        digest::of_parts(parts.into_iter().chain(chain).map(str::as_bytes))
    }

    fn refusal(&self, borrower: &Borrower, refused: &Refused) -> Entry {
        self.entry(
            Kind::CredentialRefused,
            borrower,
            &[
                ("reason", refused.reason.as_str().to_owned()),
                ("problem", event::bounded(&refused.problem, PROBLEM_BYTES_MAX)),
            ],
        )
    }

    fn entry(&self, kind: Kind, borrower: &Borrower, more: &[(&str, String)]) -> Entry {
        let provider = &self.provider;
        let mut details = provider.wanted.clone();
        let own = [
            ("call", borrower.call.to_string()),
            ("provider", provider.name.clone()),
            ("server", self.server.clone()),
            ("type", provider.provider_type.as_str().to_owned()),
        ];
        for (key, value) in own.iter().chain(more).filter(|(_, value)| !value.is_empty()) {
            details.insert((*key).to_owned(), value.clone());
        }
        let actor = provider.acts_for_principal().then(|| borrower.actor.clone());
        Entry { kind, actor, details }
    }

    fn lent(&self, issued: Arc<Issued>, cache: CacheUse) -> Lent {
        Lent { provider: Arc::clone(&self.provider), issued, cache }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the first of the proofs expires that a principal showed.
pub(crate) fn proof_expires(actor: &Actor) -> Option<Time> {
    actor.chain.iter().filter_map(|hop| hop.evidence.exp).min()
}

/// A credential that can stand in a header.
fn usable(fresh: Fresh) -> Result<Fresh, Refused> {
    let value = fresh.value.expose();
    let is_plain = value.bytes().all(|byte| (0x20..=0x7e).contains(&byte));
    if value.is_empty() || VALUE_BYTES_MAX < value.len() || !is_plain {
        let problem = "the issuer's answer holds no credential that can stand in a header";
        return Err(Refused::new(Reason::Malformed, problem));
    }
    Ok(fresh)
}

fn list(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// So long a credential is used whose issuer does not say how long it lasts.
const UNKNOWN_LIFE_US: i64 = 60_000_000;

/// So often a secret that is simply there is looked at again.
const LOOK_AGAIN_US: i64 = 1_000_000;

/// Most servers take heads of some tens of kilobytes.
const VALUE_BYTES_MAX: usize = 64 * 1024;

/// Bytes of a problem on record.
const PROBLEM_BYTES_MAX: usize = 1_000;
