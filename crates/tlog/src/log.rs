//! The handle on an open log: append, publish, close.
//!
//! Knows nothing of what entries mean, and has no clock: it is given one.

use crate::batch::{Committed, Tip};
use crate::commit::Committer;
use crate::config::Config;
use crate::epoch::EpochKey;
use crate::error::{Error, io_error};
use crate::format::{HEADER_BYTES, Header};
use crate::keys::Keys;
use crate::mark::{self, Mark};
use crate::publish::{CHECKPOINT, Publisher};
use crate::queue::{Entry, Reply, Submission, Urgency};
use crate::reader::Reader;
use crate::recover::{Recovered, recover};
use crate::scan::{SEGMENTS, SPARE, segment_path};
use crate::shared::{Opening, Shared, lock, valid_signers};
use crate::statements::{KeyChain, VERIFIER_KEY, log_id};
use crate::storage::{Access, Claim, Files, LOCK, Storage};
use note::{Checkpoint, Hash, Verifier};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use tokio::sync::{oneshot, watch};

mod operations;

/// An open log. Clones are handles on the same one.
///
/// One thread commits; it ends when the log is closed or the last handle is
/// gone. Only [`Log::close`] publishes what is left and says whether all went
/// well.
#[derive(Debug, Clone)]
pub struct Log {
    handle: Arc<Handle>,
}

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    publisher: Mutex<Publisher>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Log {
    /// Makes a new, empty log in `dir`, which is made too if it is missing,
    /// and opens it. There is one key; its name becomes the origin of the log,
    /// and it stays the first key of it. More keys come by statements.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is anything in `dir`;
    /// [`Error::RolledBack`] when the high-water mark speaks of an older log;
    /// [`Error::Io`].
    pub fn create(dir: &Path, keys: impl Into<Keys>, config: Config) -> Result<Self, Error> {
        Self::create_on(Arc::new(Files::new(dir)), keys, config)
    }

    /// Opens the log in `dir`; never makes one.
    ///
    /// # Errors
    /// [`Error::Locked`] when another writer has it, [`Error::NotALog`],
    /// [`Error::WrongKey`] and [`Error::KeyNotValid`], [`Error::Corrupt`] and
    /// [`Error::Checkpoint`] when it is not what was acknowledged,
    /// [`Error::RolledBack`], [`Error::ClockWentBack`], [`Error::Io`].
    pub fn open(
        dir: &Path,
        keys: impl Into<Keys>,
        config: Config,
    ) -> Result<(Self, Recovered), Error> {
        Self::open_on(Arc::new(Files::new(dir)), keys, config)
    }

    /// [`Log::create`] on any storage.
    ///
    /// # Errors
    /// As [`Log::create`].
    pub fn create_on(
        storage: Arc<dyn Storage>,
        keys: impl Into<Keys>,
        config: Config,
    ) -> Result<Self, Error> {
        let keys = keys.into();
        let origin = keys.origin()?.to_owned();
        config.bounds(&origin)?;
        let [key] = keys.log.as_slice() else {
            return Err(Error::Config("a log is made with one key; others come by statements"));
        };
        let genesis = key.verifier().clone();
        let marked = Mark::read(config.high_water.clone(), &KeyChain::new(genesis.clone()))?.1;
        if let Some(marked) = &marked {
            mark::check(marked, 0, (marked.size == 0).then_some(Hash::EMPTY_ROOT))?;
        }
        storage.make_dir("").map_err(io_error("create", "."))?;
        let found = storage.list("").map_err(io_error("list", "."))?;
        if let Some(name) = found.into_iter().next() {
            return Err(Error::Exists(name));
        }
        write_file(storage.as_ref(), LOCK, b"")?;
        let claim = claim(storage.as_ref())?;
        let line = format!("{}\n", genesis.to_text());
        write_file(storage.as_ref(), VERIFIER_KEY, line.as_bytes())?;
        write_first_segment(storage.as_ref(), &genesis, config.segment_bytes)?;
        let empty = Checkpoint { origin, size: 0, root: Hash::EMPTY_ROOT };
        // Last, so that a log without a checkpoint is one half made.
        write_file(storage.as_ref(), CHECKPOINT, empty.sign(key.as_ref())?.as_bytes())?;
        Self::start(storage, keys, config, claim).map(|(log, _)| log)
    }

    /// [`Log::open`] on any storage.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(
        storage: Arc<dyn Storage>,
        keys: impl Into<Keys>,
        config: Config,
    ) -> Result<(Self, Recovered), Error> {
        let keys = keys.into();
        config.bounds(keys.origin()?)?;
        let claim = claim(storage.as_ref())?;
        Self::start(storage, keys, config, claim)
    }

    /// Appends an entry of 1 to 65,535 bytes (fewer when a segment is
    /// smaller). Does not wait: the answer is in what it returns, which is a
    /// future, or can be waited for on a thread of its own.
    ///
    /// An entry that was submitted may end in the log whether or not anybody
    /// waits for the answer.
    ///
    /// # Errors
    /// [`Error::EntrySize`], [`Error::QueueFull`], [`Error::Closed`],
    /// [`Error::Stalled`], [`Error::Poisoned`]; nothing was written then.
    pub fn submit(&self, entry: impl Into<Entry>) -> Result<Pending, Error> {
        self.submit_as(entry, Urgency::Now)
    }

    /// As [`Log::submit`], for an entry that may wait a little for the next.
    ///
    /// # Errors
    /// As [`Log::submit`].
    pub fn submit_as(&self, entry: impl Into<Entry>, urgency: Urgency) -> Result<Pending, Error> {
        let entry = entry.into();
        let shared = &self.handle.shared;
        shared.check_poison()?;
        shared.check_stall()?;
        let (bytes, max) = (entry.bytes.len(), shared.bounds.entry_bytes_max);
        if bytes == 0 || max < bytes {
            return Err(Error::EntrySize { bytes, max });
        }
        let (reply, receiver) = oneshot::channel();
        shared.queue.push(Submission { entry, urgency, reply })?;
        Ok(Pending { receiver })
    }

    /// Appends entries that are committed together, as far as a batch allows.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn submit_all(&self, entries: &[Vec<u8>]) -> Vec<Pending> {
        let (mut submissions, mut pending) = (Vec::new(), Vec::new());
        for entry in entries {
            let (reply, receiver) = oneshot::channel();
            let (entry, urgency) = (entry.clone().into(), Urgency::Now);
            submissions.push(Submission { entry, urgency, reply });
            pending.push(Pending { receiver });
        }
        self.handle.shared.queue.push_all(submissions);
        pending
    }

    /// How far the log has come.
    #[must_use]
    pub fn tip(&self) -> Tip {
        *self.handle.shared.tip.borrow()
    }

    /// Follows how far the log has come; wakes up after every commit.
    #[must_use]
    pub fn committed(&self) -> watch::Receiver<Tip> {
        self.handle.shared.tip.subscribe()
    }

    /// Entries that were submitted and are in no batch yet: none, unless
    /// entries come faster than the disk takes them.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.handle.shared.queue.len()
    }

    /// The first key of this log: its name is the origin, and whoever knows it
    /// can follow the statements to every other. See [`Log::state_keys`].
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        &self.handle.shared.genesis
    }

    /// The certificate of the key that signs batches until the log is closed:
    /// a note by a key of the log, see [`note::Epoch`].
    #[must_use]
    pub fn epoch(&self) -> &Arc<str> {
        &self.handle.shared.certificate
    }

    /// A reader of this log. It gives out only what is durable.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let shared = &self.handle.shared;
        let tip = Some(shared.tip.subscribe());
        Reader::on(Arc::clone(&shared.storage), shared.genesis.clone(), tip)
    }

    /// Whether the log can take entries: it did not stop, no write hangs, its
    /// files are still there and can be written, the clock is right, and there
    /// is room. Cheap; asks the file system only for the state of two files
    /// and for its own. Files that are gone stop the log.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`], [`Error::Stalled`],
    /// [`Error::ReadOnly`], [`Error::ClockWentBack`], [`Error::DiskFull`],
    /// [`Error::Io`].
    pub fn health(&self) -> Result<(), Error> {
        let shared = &self.handle.shared;
        shared.check_poison()?;
        if shared.queue.is_closed() {
            return Err(Error::Closed);
        }
        // First, because what hangs may hang the others.
        shared.check_stall()?;
        shared.check_files()?;
        shared.check_writable()?;
        shared.config.time_after(self.tip().time_ms)?;
        shared.check_room(0)
    }

    /// Closes the log: takes no more entries, commits those that wait, ends
    /// the thread, publishes, and lets go of the directory. Blocks. A second
    /// call finds nothing to do.
    ///
    /// # Errors
    /// The error that stopped the log, or that of the last publication. The
    /// directory is let go in any case.
    pub fn close(&self) -> Result<(), Error> {
        self.close_with(|log| log.publish().map(drop))
    }

    /// [`Log::close`] without publishing: for logs whose checkpoints others
    /// have to cosign first. What is not published stays committed.
    ///
    /// # Errors
    /// The error that stopped the log. The directory is let go in any case.
    pub fn close_unpublished(&self) -> Result<(), Error> {
        self.close_with(|_| Ok(()))
    }

    fn close_with(&self, last: impl FnOnce(&Self) -> Result<(), Error>) -> Result<(), Error> {
        let shared = &self.handle.shared;
        shared.queue.close();
        let thread = lock(&self.handle.committer).take();
        let Some(thread) = thread else { return Ok(()) };
        let ended = thread.join().map_err(|_| shared.poison("the committer failed unexpectedly"));
        let ended = ended.and_then(|()| last(self));
        let released = shared.release();
        ended.and(released)
    }

    fn start(
        storage: Arc<dyn Storage>,
        keys: Keys,
        config: Config,
        claim: Box<dyn Claim>,
    ) -> Result<(Self, Recovered), Error> {
        let bounds = config.bounds(keys.origin()?)?;
        let found = recover(storage.as_ref(), &keys, &config)?;
        let tip = found.tip;
        let epoch = begin_epoch(&keys, &found.chain, tip, &config)?;
        let publisher = Publisher::new(
            Arc::clone(&storage),
            found.checkpoint,
            (found.mark, found.minimum),
            found.edge,
        );
        let opening = Opening {
            genesis: found.genesis,
            chain: found.chain,
            keys,
            config,
            bounds,
            certificate: Arc::clone(&epoch.certificate),
            claim,
            active: found.active.clone(),
            tip,
        };
        let shared = Arc::new(Shared::new(storage, opening));
        let tree = (found.tree, found.previous);
        let committer = Committer::new(Arc::clone(&shared), tree, found.active, epoch);
        let thread = thread::Builder::new().name("tlog-commit".to_owned());
        let thread = thread.spawn(move || committer.run());
        let thread = thread.map_err(io_error("start the committer of", "."))?;
        let handle = Handle {
            shared,
            publisher: Mutex::new(publisher),
            committer: Mutex::new(Some(thread)),
        };
        Ok((Self { handle: Arc::new(handle) }, found.recovered))
    }
}

impl Drop for Handle {
    /// Tells the committer to end; it commits what waits and lets go of the
    /// directory. Nobody waits for that here: [`Log::close`] does.
    fn drop(&mut self) {
        self.shared.queue.close();
    }
}

/// The answer to a submitted entry, when it is there.
#[derive(Debug)]
#[must_use = "the entry is committed only once this says so"]
pub struct Pending {
    receiver: oneshot::Receiver<Result<Reply, Error>>,
}

impl Pending {
    /// Waits on this thread, which must not be one of an async runtime.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::DiskFull`], [`Error::ClockWentBack`]: the
    /// entry is not committed.
    pub fn wait(self) -> Result<Committed, Error> {
        self.receiver.blocking_recv().unwrap_or_else(|_| Err(unanswered())).map(committed)
    }
}

impl Future for Pending {
    type Output = Result<Committed, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.receiver).poll(context);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(unanswered())).map(committed))
    }
}

fn committed(reply: Reply) -> Committed {
    Committed::new(reply.commit, reply.position)
}

fn unanswered() -> Error {
    Error::Poisoned { cause: "the committer ended without an answer".into() }
}

/// The key of the epoch that begins, certified by the first of the keys that
/// will sign the next checkpoint.
fn begin_epoch(
    keys: &Keys,
    chain: &KeyChain,
    tip: Tip,
    config: &Config,
) -> Result<EpochKey, Error> {
    let signers = valid_signers(keys, chain, tip.size + 1)?;
    let not_yet = || Error::KeyNotValid {
        key: signers.first().map(|key| key.verifier().to_text()).unwrap_or_default(),
        size: tip.size,
    };
    let primary = signers.iter().find(|key| chain.is_valid(key.verifier(), tip.size));
    let primary = primary.ok_or_else(not_yet)?;
    EpochKey::begin(primary.as_ref(), tip.size, config.time_after(tip.time_ms)?)
}

fn claim(storage: &dyn Storage) -> Result<Box<dyn Claim>, Error> {
    match storage.lock() {
        Ok(claim) => claim.ok_or(Error::Locked),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::NotALog(LOCK.to_owned()))
        }
        Err(error) => Err(io_error("lock", LOCK)(error)),
    }
}

fn write_file(storage: &dyn Storage, path: &str, bytes: &[u8]) -> Result<(), Error> {
    storage.put(path, bytes).map_err(io_error("write", path))?;
    storage.sync_dir("").map_err(io_error("sync", "."))
}

/// Later segments get their header with their first batch; the first one has
/// it from the start, because an empty log is a log.
fn write_first_segment(
    storage: &dyn Storage,
    genesis: &Verifier,
    segment_bytes: u64,
) -> Result<(), Error> {
    let path = segment_path(0);
    let failed = || io_error("write", &path);
    storage.make_dir(SEGMENTS).map_err(io_error("create", SEGMENTS))?;
    storage.create_zeroed(SPARE, segment_bytes).map_err(failed())?;
    let (previous, log) = (Hash::ZERO, log_id(genesis));
    let header = Header { ordinal: 0, first: 0, segment_bytes, previous, log };
    let mut bytes = Vec::new();
    header.push(&mut bytes);
    let file = storage.open(SPARE, Access::ReadWrite).map_err(failed())?;
    if file.write_at(&bytes, 0).map_err(failed())? != HEADER_BYTES {
        return Err(failed()(std::io::ErrorKind::WriteZero.into()));
    }
    file.sync().map_err(failed())?;
    storage.rename(SPARE, &path).map_err(failed())?;
    storage.sync_dir(SEGMENTS).map_err(failed())
}

#[cfg(test)]
mod faults;
#[cfg(test)]
mod marks;
#[cfg(test)]
mod recovery;
#[cfg(test)]
mod surroundings;
#[cfg(test)]
mod tests;
