//! A high-water mark in memory that fails on command.
//!
//! Knows nothing of what a mark says.

use crate::high_water::HighWater;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A mark in memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct MemoryMark {
    state: Arc<Mutex<State>>,
}

/// How the next change of a mark goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MarkFault {
    /// An error, and nothing happened.
    NotPersisted,
    /// An error, but the mark was moved.
    Persisted,
}

#[derive(Debug, Default)]
struct State {
    mark: Option<Vec<u8>>,
    fault: Option<MarkFault>,
}

impl MemoryMark {
    /// Lets the next change fail.
    pub fn plan(&self, fault: MarkFault) {
        self.state().fault = Some(fault);
    }

    /// Lets nothing fail any more.
    pub fn heal(&self) {
        self.state().fault = None;
    }

    /// Moves the mark as another writer would.
    pub fn set(&self, mark: Option<Vec<u8>>) {
        self.state().mark = mark;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HighWater for MemoryMark {
    fn read(&self) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state().mark.clone())
    }

    fn advance(&self, old: Option<&[u8]>, new: &[u8]) -> io::Result<bool> {
        let mut state = self.state();
        let fault = state.fault.take();
        if fault == Some(MarkFault::NotPersisted) {
            return Err(io::Error::other("the mark cannot be reached"));
        }
        if state.mark.as_deref() != old {
            return Ok(false);
        }
        state.mark = Some(new.to_vec());
        match fault {
            None => Ok(true),
            Some(_) => Err(io::Error::other("the answer was lost")),
        }
    }
}
