//! Where the syncs of the disk in memory hang while it is held.
//!
//! Knows nothing of the disk.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

#[derive(Debug, Default)]
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    held: bool,
    /// How many are passing or wait for it.
    passing: u32,
}

impl Gate {
    pub(super) fn hold(&self) {
        self.state().held = true;
    }

    pub(super) fn release(&self) {
        self.state().held = false;
        self.changed.notify_all();
    }

    /// Waits until somebody is at the gate.
    pub(super) fn wait_for_one(&self) {
        drop(self.changed.wait_while(self.state(), |state| state.passing == 0));
    }

    /// Goes through, as soon as it is open.
    pub(super) fn pass(&self) {
        let mut state = self.state();
        state.passing += 1;
        self.changed.notify_all();
        let waited = self.changed.wait_while(state, |state| state.held);
        waited.unwrap_or_else(PoisonError::into_inner).passing -= 1;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
