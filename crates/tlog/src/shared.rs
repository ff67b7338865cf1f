//! What the handles, the committer thread and the publisher of one open log
//! share.
//!
//! Knows nothing of batches; it carries the state that several threads see.

use crate::batch::Tip;
use crate::config::Config;
use crate::error::{Error, io_error};
use crate::key::Signer;
use crate::merkle::Hash;
use crate::queue::Queue;
use crate::scan::SPARE;
use crate::storage::{Claim, Storage, StoredFile};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) signer: Signer,
    pub(crate) config: Config,
    /// SHA-256 of the verifier key line: every segment names it.
    pub(crate) log: Hash,
    pub(crate) queue: Queue,
    /// What is durable. The committer alone changes it.
    pub(crate) tip: watch::Sender<Tip>,
    /// Why the log stopped, once it has.
    poison: OnceLock<Arc<str>>,
    /// The segment that is written, for the check that it is still there.
    active: Mutex<Active>,
    /// Whether the spare segment is ready. Held while it is made: a committer
    /// that needs it waits no longer than it would take to make it.
    spare: Mutex<bool>,
    /// The hold on the directory; taken out to let go of it.
    claim: Mutex<Option<Box<dyn Claim>>>,
}

/// The segment that is written.
#[derive(Debug, Clone)]
pub(crate) struct Active {
    pub(crate) file: Arc<dyn StoredFile>,
    pub(crate) path: String,
    pub(crate) ordinal: u64,
    pub(crate) first: u64,
    /// Where the next batch goes; 0 before the header is written.
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        signer: Signer,
        config: Config,
        start: (Box<dyn Claim>, Active, Tip),
    ) -> Self {
        let (claim, active, tip) = start;
        Self {
            log: log_id(&signer),
            queue: Queue::new(config.queue_entries),
            tip: watch::Sender::new(tip),
            poison: OnceLock::new(),
            active: Mutex::new(active),
            spare: Mutex::new(false),
            claim: Mutex::new(Some(claim)),
            storage,
            signer,
            config,
        }
    }

    /// Stops the log for good. The first cause stays.
    pub(crate) fn poison(&self, cause: &str) -> Error {
        let cause = self.poison.get_or_init(|| cause.into());
        Error::Poisoned { cause: Arc::clone(cause) }
    }

    /// Refuses when the log was stopped.
    pub(crate) fn check_poison(&self) -> Result<(), Error> {
        match self.poison.get() {
            Some(cause) => Err(Error::Poisoned { cause: Arc::clone(cause) }),
            None => Ok(()),
        }
    }

    /// Refuses when the disk has too little room for what is kept free and
    /// `more` bytes.
    pub(crate) fn check_room(&self, more: u64) -> Result<(), Error> {
        let free = self.storage.free_bytes().map_err(io_error("ask for free space of", "."))?;
        let min = self.config.free_bytes_min.saturating_add(more);
        if free < min { Err(Error::DiskFull { free, min }) } else { Ok(()) }
    }

    /// Stops the log when its files were removed or replaced under it.
    pub(crate) fn check_files(&self) -> Result<(), Error> {
        let active = lock(&self.active).clone();
        self.check_named(&active)?;
        let held = lock(&self.claim).as_ref().map_or(Ok(true), |claim| claim.holds());
        match held {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.poison("`lock` was removed or replaced while the log was open")),
            Err(error) => Err(self.poison(&format!("cannot look at `lock`: {error}"))),
        }
    }

    /// Stops the log when this segment was removed, replaced or linked.
    pub(crate) fn check_named(&self, active: &Active) -> Result<(), Error> {
        let path = &active.path;
        match active.file.is_at(path) {
            Ok(true) => Ok(()),
            Ok(false) => {
                let cause = format!("`{path}` was removed or replaced while it was written");
                Err(self.poison(&cause))
            }
            Err(error) => Err(self.poison(&format!("cannot look at `{path}`: {error}"))),
        }
    }

    /// Tells the other threads which segment is written now, and how full.
    pub(crate) fn set_active(&self, active: &Active) {
        lock(&self.active).clone_from(active);
    }

    pub(crate) fn set_active_offset(&self, offset: u64) {
        lock(&self.active).offset = offset;
    }

    /// Makes the spare segment when the active one is more than half full, so
    /// that the committer does not have to wait for it.
    pub(crate) fn prepare_spare(&self) -> Result<(), Error> {
        let (offset, length) = {
            let active = lock(&self.active);
            (active.offset, active.length)
        };
        let mut ready = lock(&self.spare);
        if *ready || offset < length / 2 {
            return Ok(());
        }
        self.make_spare(&mut ready)
    }

    /// Gives the spare segment, made now if need be, a name of its own. The
    /// name is durable on return.
    pub(crate) fn take_spare(&self, path: &str) -> Result<(), Error> {
        let mut ready = lock(&self.spare);
        if !*ready {
            self.make_spare(&mut ready)?;
        }
        self.storage.rename(SPARE, path).map_err(io_error("create", path))?;
        *ready = false;
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        self.storage.sync_dir(dir).map_err(io_error("sync", dir))
    }

    /// Removes the spare segment, and lets go of the directory.
    pub(crate) fn release(&self) -> Result<(), Error> {
        let removed = self.remove_spare(&mut lock(&self.spare));
        drop(lock(&self.claim).take());
        removed
    }

    fn make_spare(&self, ready: &mut bool) -> Result<(), Error> {
        self.check_room(self.config.segment_bytes)?;
        // A spare that could not be finished is in the way.
        self.remove_spare(ready)?;
        let made = self.storage.create_zeroed(SPARE, self.config.segment_bytes);
        made.map_err(io_error("create", SPARE))?;
        *ready = true;
        Ok(())
    }

    fn remove_spare(&self, ready: &mut bool) -> Result<(), Error> {
        *ready = false;
        match self.storage.remove(SPARE) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("remove", SPARE)(error))
            }
            _ => Ok(()),
        }
    }
}

/// What names a log in its segments: the hash of its verifier key line.
pub(crate) fn log_id(signer: &Signer) -> Hash {
    Hash::of(format!("{}\n", signer.verifier().to_text()).as_bytes())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
