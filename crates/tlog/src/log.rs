//! The handle on an open log: append, publish, close.
//!
//! Knows nothing of what entries mean, and has no clock: it is given one.

use crate::batch::{Committed, Tip};
use crate::checkpoint::Checkpoint;
use crate::commit::Committer;
use crate::config::Config;
use crate::error::{Error, io_error};
use crate::format::{HEADER_BYTES, Header};
use crate::key::{Signer, Verifier};
use crate::merkle::{Hash, leaf_hash};
use crate::publish::{CHECKPOINT, Publisher};
use crate::queue::Submission;
use crate::reader::Reader;
use crate::recover::{Recovered, VERIFIER_KEY, recover};
use crate::scan::{SEGMENTS, SPARE, segment_path};
use crate::shared::{Shared, log_id};
use crate::storage::{Access, Claim, Files, LOCK, Storage};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::thread::{self, JoinHandle};
use tokio::sync::{oneshot, watch};

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
    /// and opens it. The key's name becomes the origin of the log.
    ///
    /// # Errors
    /// [`Error::Exists`] when there is anything in `dir`; [`Error::Io`].
    pub fn create(dir: &Path, signer: Signer, config: Config) -> Result<Self, Error> {
        Self::create_on(Arc::new(Files::new(dir)), signer, config)
    }

    /// Opens the log in `dir`; never makes one.
    ///
    /// # Errors
    /// [`Error::Locked`] when another writer has it, [`Error::NotALog`],
    /// [`Error::WrongKey`], [`Error::Corrupt`] and [`Error::Checkpoint`] when
    /// it is not what was acknowledged, [`Error::Io`].
    pub fn open(dir: &Path, signer: Signer, config: Config) -> Result<(Self, Recovered), Error> {
        Self::open_on(Arc::new(Files::new(dir)), signer, config)
    }

    /// [`Log::create`] on any storage.
    ///
    /// # Errors
    /// As [`Log::create`].
    pub fn create_on(
        storage: Arc<dyn Storage>,
        signer: Signer,
        config: Config,
    ) -> Result<Self, Error> {
        config.check()?;
        storage.make_dir("").map_err(io_error("create", "."))?;
        let found = storage.list("").map_err(io_error("list", "."))?;
        if let Some(name) = found.into_iter().next() {
            return Err(Error::Exists(name));
        }
        write_file(storage.as_ref(), LOCK, b"")?;
        let claim = claim(storage.as_ref())?;
        let key = format!("{}\n", signer.verifier().to_text());
        write_file(storage.as_ref(), VERIFIER_KEY, key.as_bytes())?;
        write_first_segment(storage.as_ref(), &signer, config.segment_bytes)?;
        let origin = signer.verifier().name().to_owned();
        let empty = Checkpoint { origin, size: 0, root: Hash::EMPTY_ROOT };
        // Last, so that a log without a checkpoint is one half made.
        write_file(storage.as_ref(), CHECKPOINT, empty.sign(&signer).as_bytes())?;
        Self::start(storage, signer, config, claim).map(|(log, _)| log)
    }

    /// [`Log::open`] on any storage.
    ///
    /// # Errors
    /// As [`Log::open`].
    pub fn open_on(
        storage: Arc<dyn Storage>,
        signer: Signer,
        config: Config,
    ) -> Result<(Self, Recovered), Error> {
        config.check()?;
        let claim = claim(storage.as_ref())?;
        Self::start(storage, signer, config, claim)
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
    /// [`Error::Poisoned`]; nothing was written then.
    pub fn submit(&self, entry: Vec<u8>) -> Result<Pending, Error> {
        let shared = &self.handle.shared;
        shared.check_poison()?;
        let (bytes, max) = (entry.len(), shared.config.entry_bytes_max());
        if bytes == 0 || max < bytes {
            return Err(Error::EntrySize { bytes, max });
        }
        // Hashed here, in the caller's task: many do so at once, and the
        // committer is one.
        let leaf_hash = leaf_hash(&entry);
        let (reply, receiver) = oneshot::channel();
        shared.queue.push(Submission { entry, leaf_hash, reply })?;
        Ok(Pending { receiver })
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

    /// The key that verifies this log; its name is the origin.
    #[must_use]
    pub fn verifier(&self) -> &Verifier {
        self.handle.shared.signer.verifier()
    }

    /// A reader of this log. It gives out only what is durable.
    #[must_use]
    pub fn reader(&self) -> Reader {
        let shared = &self.handle.shared;
        let tip = Some(shared.tip.subscribe());
        Reader::on(Arc::clone(&shared.storage), shared.signer.verifier().clone(), tip)
    }

    /// The last published checkpoint. Waits while one is being published.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        let publisher = &self.handle.publisher;
        publisher.lock().unwrap_or_else(PoisonError::into_inner).published().clone()
    }

    /// Writes bundles, tiles and a checkpoint for what is committed, and
    /// prepares the next segment. Blocks for some file operations; call it
    /// every second or so, on a thread that may block. `None` when there was
    /// nothing new.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when what is stored is not what was committed: then
    /// nothing is signed and the log stops. [`Error::Io`], after which it can
    /// be called again; [`Error::DiskFull`]; [`Error::Poisoned`].
    pub fn publish(&self) -> Result<Option<Checkpoint>, Error> {
        let shared = &self.handle.shared;
        let mut publisher = self.handle.publisher.lock().unwrap_or_else(PoisonError::into_inner);
        shared.check_poison()?;
        let published = publisher.publish(self.tip(), &shared.signer);
        if let Err(Error::Corrupt(found)) = &published {
            shared.poison(&found.to_string());
        }
        let published = published?;
        if !shared.queue.is_closed() {
            shared.prepare_spare()?;
        }
        Ok(published)
    }

    /// Whether the log can take entries: it did not stop, its files are still
    /// there, and there is room. Cheap; asks the file system only for the
    /// state of two files. Files that are gone stop the log.
    ///
    /// # Errors
    /// [`Error::Poisoned`], [`Error::Closed`], [`Error::DiskFull`],
    /// [`Error::Io`].
    pub fn health(&self) -> Result<(), Error> {
        let shared = &self.handle.shared;
        shared.check_poison()?;
        if shared.queue.is_closed() {
            return Err(Error::Closed);
        }
        shared.check_files()?;
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
        let shared = &self.handle.shared;
        shared.queue.close();
        let committer = &self.handle.committer;
        let thread = committer.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return Ok(()) };
        let ended = thread.join().map_err(|_| shared.poison("the committer failed unexpectedly"));
        let published = ended.and_then(|()| self.publish().map(drop));
        let released = shared.release();
        published.and(released)
    }

    fn start(
        storage: Arc<dyn Storage>,
        signer: Signer,
        config: Config,
        claim: Box<dyn Claim>,
    ) -> Result<(Self, Recovered), Error> {
        let found = recover(storage.as_ref(), &signer)?;
        let publisher = Publisher::new(Arc::clone(&storage), found.checkpoint, found.edge);
        let start = (claim, found.active.clone(), found.tip);
        let shared = Arc::new(Shared::new(storage, signer, config, start));
        let committer =
            Committer::new(Arc::clone(&shared), found.tree, found.previous, found.active);
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
    receiver: oneshot::Receiver<Result<Committed, Error>>,
}

impl Pending {
    /// Waits on this thread, which must not be one of an async runtime.
    ///
    /// # Errors
    /// [`Error::Poisoned`] or [`Error::DiskFull`]: the entry is not committed.
    pub fn wait(self) -> Result<Committed, Error> {
        self.receiver.blocking_recv().unwrap_or_else(|_| Err(unanswered()))
    }
}

impl Future for Pending {
    type Output = Result<Committed, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.receiver).poll(context);
        answer.map(|answer| answer.unwrap_or_else(|_| Err(unanswered())))
    }
}

fn unanswered() -> Error {
    Error::Poisoned { cause: "the committer ended without an answer".into() }
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
    signer: &Signer,
    segment_bytes: u64,
) -> Result<(), Error> {
    let path = segment_path(0);
    let failed = || io_error("write", &path);
    storage.make_dir(SEGMENTS).map_err(io_error("create", SEGMENTS))?;
    storage.create_zeroed(SPARE, segment_bytes).map_err(failed())?;
    let header =
        Header { ordinal: 0, first: 0, segment_bytes, previous: Hash::ZERO, log: log_id(signer) };
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
mod tests;
