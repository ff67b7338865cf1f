//! What the handles, the committer thread and the publisher of one open log
//! share.
//!
//! Knows nothing of batches; it carries the state that several threads see.

use crate::batch::Tip;
use crate::config::{Bounds, Config};
use crate::error::{Error, io_error};
use crate::keys::Keys;
use crate::queue::Queue;
use crate::scan::SPARE;
use crate::statements::{KeyChain, log_id};
use crate::storage::{Claim, Storage, StoredFile};
use note::{Hash, Sign, Verifier};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    /// The first key of the log; its name is the origin.
    pub(crate) genesis: Verifier,
    /// SHA-256 of the verifier key line: every segment names it.
    pub(crate) log: Hash,
    /// The keys that the log is open with.
    pub(crate) keys: Keys,
    /// What the log says of its keys. Changed under the publisher's lock.
    pub(crate) chain: Mutex<KeyChain>,
    /// The certificate of the key that signs the batches.
    pub(crate) certificate: Arc<str>,
    pub(crate) config: Config,
    pub(crate) bounds: Bounds,
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
    /// When the commit at hand began, by the monotonic clock, plus one; 0 when
    /// there is none.
    writing_since: AtomicU64,
}

/// What a log is opened with.
#[derive(Debug)]
pub(crate) struct Opening {
    pub(crate) genesis: Verifier,
    pub(crate) chain: KeyChain,
    pub(crate) keys: Keys,
    pub(crate) config: Config,
    pub(crate) bounds: Bounds,
    pub(crate) certificate: Arc<str>,
    pub(crate) claim: Box<dyn Claim>,
    pub(crate) active: Active,
    pub(crate) tip: Tip,
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
    pub(crate) fn new(storage: Arc<dyn Storage>, opening: Opening) -> Self {
        Self {
            storage,
            log: log_id(&opening.genesis),
            genesis: opening.genesis,
            keys: opening.keys,
            chain: Mutex::new(opening.chain),
            certificate: opening.certificate,
            queue: Queue::new(
                opening.config.queue_entries,
                Duration::from_millis(opening.config.linger_ms),
            ),
            tip: watch::Sender::new(opening.tip),
            poison: OnceLock::new(),
            active: Mutex::new(opening.active),
            spare: Mutex::new(false),
            claim: Mutex::new(Some(opening.claim)),
            writing_since: AtomicU64::new(0),
            config: opening.config,
            bounds: opening.bounds,
        }
    }

    /// The keys at hand that may sign for the log when it has `size` entries.
    pub(crate) fn signers(&self, size: u64) -> Result<Vec<Arc<dyn Sign>>, Error> {
        valid_signers(&self.keys, &lock(&self.chain), size)
    }

    /// Notes that a commit begins, so that others see it when it hangs.
    pub(crate) fn write_begins(&self) {
        let now = (self.config.monotonic)();
        self.writing_since.store(now.saturating_add(1), Ordering::Relaxed);
    }

    pub(crate) fn write_ended(&self) {
        self.writing_since.store(0, Ordering::Relaxed);
    }

    /// Refuses while the commit at hand takes too long.
    pub(crate) fn check_stall(&self) -> Result<(), Error> {
        let Some(since) = self.writing_since.load(Ordering::Relaxed).checked_sub(1) else {
            return Ok(());
        };
        let waited_ms = (self.config.monotonic)().saturating_sub(since);
        if waited_ms <= self.config.sync_stall_max_ms {
            return Ok(());
        }
        Err(Error::Stalled { waited_ms })
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

    /// Refuses when the file system was mounted anew for reading only.
    pub(crate) fn check_writable(&self) -> Result<(), Error> {
        let read_only = self.storage.is_read_only();
        if read_only.map_err(io_error("ask for the state of", "."))? {
            return Err(Error::ReadOnly);
        }
        Ok(())
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

/// Those of `keys` that may sign for the log when it has `size` entries, in
/// their order; at least one.
pub(crate) fn valid_signers(
    keys: &Keys,
    chain: &KeyChain,
    size: u64,
) -> Result<Vec<Arc<dyn Sign>>, Error> {
    let valid = |key: &&Arc<dyn Sign>| chain.is_valid(key.verifier(), size);
    let signers: Vec<_> = keys.log.iter().filter(valid).map(Arc::clone).collect();
    if !signers.is_empty() {
        return Ok(signers);
    }
    let key = keys.log.first().map(|key| key.verifier().to_text()).unwrap_or_default();
    Err(Error::KeyNotValid { key, size })
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
