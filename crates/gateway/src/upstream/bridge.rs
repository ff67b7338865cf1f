//! Clients over HTTP in front of a local program: one program for each session, and one for each
//! caller of the stateless revisions, so that nobody's calls mix with another caller's.

use super::conversation::Conversation;
use super::http::SendError;
use crate::config::Command;
use crate::session::Owner;
use crate::withheld::Strays;
use broker::Lent;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// Starts and keeps the programs.
#[derive(Debug)]
pub(crate) struct Bridge {
    command: Command,
    line_bytes_max: usize,
    slots: Arc<Semaphore>,
    strays: Strays,
    processes_max: usize,
    by_owner: Mutex<HashMap<Owner, Arc<Conversation>>>,
}

impl Bridge {
    pub(crate) fn new(
        command: Command,
        line_bytes_max: usize,
        processes_max: usize,
        strays: Strays,
    ) -> Self {
        Self {
            command,
            line_bytes_max,
            slots: Arc::new(Semaphore::new(processes_max)),
            strays,
            processes_max,
            by_owner: Mutex::new(HashMap::new()),
        }
    }

    /// A program of its own, for a new session, with the credential that it is given.
    pub(crate) fn start(&self, lent: Option<&Lent>) -> Result<Arc<Conversation>, SendError> {
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| {
            SendError::Full(
                "as many server programs run as are allowed; try again later".to_owned(),
            )
        })?;
        let mut command = Cow::Borrowed(&self.command);
        if let Some((name, value)) = lent.and_then(Lent::variable) {
            let environment = &mut command.to_mut().environment;
            environment.retain(|(other, _)| other != name);
            environment.push((name.to_owned(), value.to_owned()));
        }
        Conversation::start(&command, self.line_bytes_max, slot, self.strays.another())
            .map_err(|error| SendError::Unreachable(error.to_string()))
    }

    /// The program that serves this caller's calls without a session.
    pub(crate) fn shared(
        &self,
        owner: &Owner,
        lent: Option<&Lent>,
    ) -> Result<Arc<Conversation>, SendError> {
        let mut by_owner = self.by_owner();
        if let Some(conversation) = by_owner.get(owner).filter(|c| !c.is_ended()) {
            return Ok(Arc::clone(conversation));
        }
        by_owner.remove(owner);
        let conversation = self.start(lent)?;
        by_owner.insert(owner.clone(), Arc::clone(&conversation));
        Ok(conversation)
    }

    /// Programs running.
    pub(crate) fn running(&self) -> usize {
        self.processes_max.saturating_sub(self.slots.available_permits())
    }

    /// Takes out the programs that nobody has used for so long, to be ended.
    pub(crate) fn take_idle(&self, idle: Duration, now: Instant) -> Vec<Arc<Conversation>> {
        self.by_owner()
            .extract_if(|_, c| c.is_ended() || c.idle_for(now) >= idle)
            .map(|(_, c)| c)
            .collect()
    }

    fn by_owner(&self) -> MutexGuard<'_, HashMap<Owner, Arc<Conversation>>> {
        self.by_owner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
