//! The key set of one provider over time: loaded on first use, refreshed on demand, never asked for more
//! often than agreed, and given up when it is too old. It knows no token.

use arc_swap::ArcSwapOption;
use event::Time;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Mutex as FlightMutex;
use tokio::task::JoinHandle;

use crate::config::{Algorithm, ProviderConfig};
use crate::digest::{Sha256, sha256};
use crate::jwk::{Key, KeySet};
use crate::source::{JWKS_BYTES_MAX, KeyError, KeySource};

/// How often a key set is loaded, and how long it is used; all in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pace {
    /// Least time between two loads.
    interval_min_us: u64,
    /// Age from which a key set is loaded again.
    interval_us: u64,
    /// Age up to which a key set is used.
    stale_max_us: u64,
}

impl Pace {
    /// The pace that a provider's configuration asks for.
    pub(crate) fn of(provider: &ProviderConfig) -> Self {
        let file = provider.jwks_file.is_some();
        let us = |seconds: u64| seconds.saturating_mul(1_000_000);
        let bounded = |seconds: u64, file_max_s: u64| {
            us(if file { seconds.min(file_max_s) } else { seconds })
        };
        Self {
            interval_min_us: bounded(provider.refresh_interval_min_s, FILE_INTERVAL_MIN_S),
            interval_us: bounded(provider.refresh_interval_s, FILE_INTERVAL_S),
            stale_max_us: us(provider.stale_max_s),
        }
    }
}

/// The key set of one provider.
pub(crate) struct KeyRing {
    provider: String,
    source: Box<dyn KeySource>,
    pace: Pace,
    current: ArcSwapOption<Snapshot>,
    /// Held to read or write the few words inside, never across an await.
    attempt: Mutex<Attempt>,
    /// Held by the one task that loads; whoever needs its result waits for it here.
    flight: Arc<FlightMutex<()>>,
}

/// A key that a token means, and the key set it is from.
pub(crate) struct Found {
    pub(crate) key: Arc<Key>,
    pub(crate) fetched: Time,
    pub(crate) generation: u64,
}

/// Why there is no key for a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// The key set is at hand and has no such key.
    Unknown,
    /// There is no key set, or none that may still be used, or this key may be in one that could not be
    /// loaded.
    Unavailable(KeyError),
}

impl KeyRing {
    pub(crate) fn new(provider: &str, source: Box<dyn KeySource>, pace: Pace) -> Arc<Self> {
        Arc::new(Self {
            provider: provider.to_owned(),
            source,
            pace,
            current: ArcSwapOption::empty(),
            attempt: Mutex::default(),
            flight: Arc::default(),
        })
    }

    /// The key that a token means. An unknown key id leads to one load, if none was made lately.
    pub(crate) async fn key(
        self: &Arc<Self>,
        algorithm: Algorithm,
        kid: Option<&str>,
        now: Time,
    ) -> Result<Found, NoKey> {
        match self.standing(now) {
            Standing::Fresh => {}
            Standing::Ageing => self.refresh_in_background(now),
            Standing::Overdue => self.refresh(now).await,
        }
        if let Some(found) = self.find(algorithm, kid, now)? {
            return Ok(found);
        }
        self.refresh(now).await;
        match self.find(algorithm, kid, now)? {
            Some(found) => Ok(found),
            None => Err(self.attempt().error.clone().map_or(NoKey::Unknown, NoKey::Unavailable)),
        }
    }

    /// The generation of the key set, if a token verified with it needs no second look: what was
    /// verified with another generation does.
    pub(crate) fn generation(self: &Arc<Self>, now: Time) -> Option<u64> {
        match self.standing(now) {
            Standing::Fresh => {}
            Standing::Ageing => self.refresh_in_background(now),
            Standing::Overdue => return None,
        }
        self.current.load().as_ref().map(|snapshot| snapshot.generation)
    }

    /// Loads the key set unless that was tried lately, and says how the last attempt ended.
    pub(crate) async fn warm_up(self: &Arc<Self>, now: Time) -> Result<(), KeyError> {
        self.refresh(now).await;
        if let Some(error) = self.attempt().error.clone() {
            return Err(error);
        }
        self.usable(now).map(drop)
    }

    fn find(
        &self,
        algorithm: Algorithm,
        kid: Option<&str>,
        now: Time,
    ) -> Result<Option<Found>, NoKey> {
        let snapshot = self.usable(now).map_err(NoKey::Unavailable)?;
        Ok(snapshot.keys.find(algorithm, kid).map(|key| Found {
            key,
            fetched: snapshot.fetched,
            generation: snapshot.generation,
        }))
    }

    fn usable(&self, now: Time) -> Result<Arc<Snapshot>, KeyError> {
        let reason = |otherwise| self.attempt().error.clone().unwrap_or(otherwise);
        match self.current.load_full() {
            Some(snapshot) if snapshot.age_us(now) <= self.pace.stale_max_us => Ok(snapshot),
            Some(_) => Err(reason(KeyError::Stale)),
            None => Err(reason(KeyError::Interrupted)),
        }
    }

    fn standing(&self, now: Time) -> Standing {
        let current = self.current.load();
        let Some(age_us) = current.as_ref().map(|snapshot| snapshot.age_us(now)) else {
            return Standing::Overdue;
        };
        if age_us > self.pace.stale_max_us {
            return Standing::Overdue;
        }
        if age_us < self.pace.interval_us {
            return Standing::Fresh;
        }
        // After a pause, an old key set is not used before we have asked for a new one. While the
        // source is down it is, so that calls do not wait for every attempt.
        if age_us < self.pace.interval_us.saturating_mul(2) || self.attempt().error.is_some() {
            return Standing::Ageing;
        }
        Standing::Overdue
    }

    /// Waits for a load that is under way, or makes one if it is due.
    async fn refresh(self: &Arc<Self>, now: Time) {
        let flight = Arc::clone(&self.flight).lock_owned().await;
        if let Some(load) = self.start(now, flight)
            && let Err(error) = load.await
        {
            tracing::error!(provider = %self.provider, %error, "loading the key set was interrupted");
        }
    }

    /// Starts a load if it is due and none is under way.
    fn refresh_in_background(self: &Arc<Self>, now: Time) {
        if let Ok(flight) = Arc::clone(&self.flight).try_lock_owned() {
            drop(self.start(now, flight));
        }
    }

    /// The load is a task of its own: a caller that goes away does not cut it off, and so cannot use up
    /// the attempts. There is at most one task per provider, since it holds `flight`.
    fn start(
        self: &Arc<Self>,
        now: Time,
        flight: tokio::sync::OwnedMutexGuard<()>,
    ) -> Option<JoinHandle<()>> {
        let mut attempt = self.attempt();
        let due = attempt
            .at
            .is_none_or(|at| at.unix_us().abs_diff(now.unix_us()) >= self.pace.interval_min_us);
        if !due {
            return None;
        }
        attempt.at = Some(now);
        drop(attempt);
        let ring = Arc::clone(self);
        Some(tokio::spawn(async move {
            ring.load(now).await;
            drop(flight);
        }))
    }

    async fn load(&self, now: Time) {
        let provider = self.provider.as_str();
        let outcome = self.source.load().await.and_then(|bytes| self.replace(&bytes, now));
        match &outcome {
            Ok(Some(generation)) => {
                tracing::info!(provider, generation, "key set of provider `{provider}` is new");
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(provider, %error, "key set of provider `{provider}` not loaded");
            }
        }
        self.attempt().error = outcome.err();
    }

    /// Puts a loaded key set in place; the new generation, if its text is another than before.
    fn replace(&self, bytes: &[u8], now: Time) -> Result<Option<u64>, KeyError> {
        if bytes.len() > JWKS_BYTES_MAX {
            return Err(KeyError::TooLarge);
        }
        let digest = sha256(bytes);
        let before = self.current.load_full();
        let same = before.as_ref().filter(|snapshot| snapshot.digest == digest);
        let (keys, generation) = match (same, &before) {
            (Some(same), _) => (Arc::clone(&same.keys), same.generation),
            (None, before) => {
                let last = before.as_ref().map_or(0, |snapshot| snapshot.generation);
                (Arc::new(KeySet::parse(bytes)?), last + 1)
            }
        };
        let changed = same.is_none().then_some(generation);
        self.current.store(Some(Arc::new(Snapshot { keys, fetched: now, generation, digest })));
        Ok(changed)
    }

    fn attempt(&self) -> MutexGuard<'_, Attempt> {
        self.attempt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("provider", &self.provider).finish_non_exhaustive()
    }
}

/// What may be done with the key set at hand.
enum Standing {
    /// Use it.
    Fresh,
    /// Use it, and load it again meanwhile.
    Ageing,
    /// There is none, or it is too old: wait for one.
    Overdue,
}

/// The last attempt to load.
#[derive(Default)]
struct Attempt {
    at: Option<Time>,
    /// Why it failed; `None` after a success and while the first one is under way.
    error: Option<KeyError>,
}

/// A key set as loaded at one moment.
struct Snapshot {
    keys: Arc<KeySet>,
    fetched: Time,
    /// Counts the different key sets that were seen.
    generation: u64,
    digest: Sha256,
}

impl Snapshot {
    /// The distance between the load and now; a clock that was set back makes a key set old as well.
    fn age_us(&self, now: Time) -> u64 {
        now.unix_us().abs_diff(self.fetched.unix_us())
    }
}

/// Looking at a file costs nothing: a rotated one is noticed within ten seconds, or one for a new key id.
const FILE_INTERVAL_S: u64 = 10;
const FILE_INTERVAL_MIN_S: u64 = 1;
