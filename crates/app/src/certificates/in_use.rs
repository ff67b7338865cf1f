//! When the certificates in use expire, for those who watch. Holds none of them: what is not used any more
//! is not shown any more.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// What a certificate of ours is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    /// Shown to clients.
    Listener,
    /// Shown to one server.
    Client,
}

impl Role {
    /// The word for it in metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Client => "client",
        }
    }
}

/// When a certificate expires.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expiry {
    pub(crate) role: Role,
    /// The server that it is shown to; empty for the listener's.
    pub(crate) server: String,
    /// Seconds since 1970.
    pub(crate) not_after_s: i64,
}

/// A certificate that may be exchanged for another.
#[derive(Debug)]
pub(super) struct Expiring {
    role: Role,
    server: String,
    not_after_s: AtomicI64,
}

/// All of them.
#[derive(Debug, Clone, Default)]
pub(crate) struct InUse(Arc<Mutex<Vec<Weak<Expiring>>>>);

impl Expiring {
    /// Without a time, when that is not known.
    pub(super) fn new(role: Role, server: &str, not_after_s: Option<i64>) -> Self {
        let not_after_s = AtomicI64::new(not_after_s.unwrap_or(UNKNOWN));
        Self { role, server: server.to_owned(), not_after_s }
    }

    pub(super) fn set(&self, not_after_s: Option<i64>) {
        self.not_after_s.store(not_after_s.unwrap_or(UNKNOWN), Ordering::Relaxed);
    }
}

impl InUse {
    pub(super) fn add(&self, expiring: &Arc<Expiring>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(expiring));
    }

    /// When each expires, as far as that is known.
    pub(crate) fn expiries(&self) -> Vec<Expiry> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.iter().filter_map(Weak::upgrade).map(|one| Expiry {
            role: one.role,
            server: one.server.clone(),
            not_after_s: one.not_after_s.load(Ordering::Relaxed),
        });
        known.filter(|expiry| expiry.not_after_s != UNKNOWN).collect()
    }
}

const UNKNOWN: i64 = i64::MIN;
