//! The endpoint of all servers as it is now, for what goes on beyond a change of the configuration. Keeps
//! none alive.

use super::Federation;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// The latest of those that serve the same members and the same sessions.
#[derive(Debug, Default)]
pub(super) struct Current(Mutex<Weak<Federation>>);

impl Current {
    /// It is this one from now on.
    pub(super) fn set(&self, federation: &Arc<Federation>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(federation);
    }

    /// `None` when there is none any more: other members are served now.
    pub(super) fn upgrade(&self) -> Option<Arc<Federation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }
}
