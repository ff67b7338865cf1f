//! What is done to an open log beside appending: publishing, statements about
//! keys, pruning, and the shelf of timestamps. One at a time.

use crate::error::{Error, corrupt, io_error};
use crate::keys::Keys;
use crate::log::Log;
use crate::prune::PRUNED;
use crate::publish::{CHECKPOINT, Candidate, Publisher};
use crate::shared::{lock, valid_signers};
use crate::statements::{KeyChain, KeyState, STATEMENTS};
use crate::storage::Storage;
use note::{Action, Checkpoint, NOTE_BYTES_MAX, Pruned, Statement, TILE_WIDTH};
use std::io;

impl Log {
    /// The last published checkpoint. Waits while one is being published.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        lock(&self.handle.publisher).published().clone()
    }

    /// Writes bundles, tiles and a checkpoint for what is committed, and
    /// prepares the next segment. Blocks for some file operations; call it
    /// every second or so, on a thread that may block. `None` when there was
    /// nothing new.
    ///
    /// # Errors
    /// Those of [`Log::prepare`] and [`Log::publish_note`].
    pub fn publish(&self) -> Result<Option<Checkpoint>, Error> {
        let Some(candidate) = self.prepare()? else { return Ok(None) };
        self.publish_note(&candidate, candidate.note.as_bytes()).map(Some)
    }

    /// The first half of [`Log::publish`]: everything but putting the
    /// checkpoint in place. Witnesses can be asked for cosignatures then.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when what is stored is not what was committed: then
    /// nothing is signed and the log stops. [`Error::Io`], after which it can
    /// be called again; [`Error::DiskFull`]; [`Error::KeyNotValid`];
    /// [`Error::Poisoned`].
    pub fn prepare(&self) -> Result<Option<Candidate>, Error> {
        let shared = &self.handle.shared;
        let mut publisher = lock(&self.handle.publisher);
        shared.check_poison()?;
        let tip = self.tip();
        let prepared = publisher.prepare(tip, &shared.signers(tip.size)?);
        if let Err(Error::Corrupt(found)) = &prepared {
            shared.poison(&found.to_string());
        }
        let prepared = prepared?;
        if !shared.queue.is_closed() {
            shared.prepare_spare()?;
        }
        Ok(prepared)
    }

    /// The second half of [`Log::publish`]: moves the high-water mark, then
    /// puts the checkpoint in place. `note` is that of the candidate, with the
    /// lines of those who cosigned it added.
    ///
    /// # Errors
    /// [`Error::Candidate`] when it is anything else, or no newer than what is
    /// published; [`Error::HighWater`] when somebody else moved the mark:
    /// then the log stops. [`Error::Io`], after which a newer candidate can be
    /// published; [`Error::Poisoned`].
    pub fn publish_note(&self, candidate: &Candidate, note: &[u8]) -> Result<Checkpoint, Error> {
        let shared = &self.handle.shared;
        let mut publisher = lock(&self.handle.publisher);
        shared.check_poison()?;
        let signers = shared.signers(candidate.checkpoint.size)?;
        let published = publisher.publish(candidate, note, &signers);
        if let Err(error @ Error::HighWater(_)) = &published {
            shared.poison(&error.to_string());
        }
        published
    }

    /// What the log says of its keys, now.
    #[must_use]
    pub fn state_keys(&self) -> Vec<KeyState> {
        let shared = &self.handle.shared;
        let held = |key: &_| shared.keys.log.iter().any(|held| held.verifier() == key);
        lock(&shared.chain).states(held)
    }

    /// The ordinal of the next statement about keys.
    #[must_use]
    pub fn next_statement(&self) -> u64 {
        lock(&self.handle.shared.chain).next_ordinal()
    }

    /// Takes a statement about the keys of the log into it: a signed note, see
    /// [`note::Statement`]. It is durable on return and in force.
    ///
    /// # Errors
    /// [`Error::Statement`] when it is not the next one, not signed by those
    /// who may, or would leave the log with nobody to vouch for it;
    /// [`Error::Io`], after which the same statement can be given again;
    /// [`Error::Poisoned`].
    pub fn add_statement(&self, note: &[u8]) -> Result<Statement, Error> {
        let shared = &self.handle.shared;
        let publisher = lock(&self.handle.publisher);
        shared.check_poison()?;
        let mut chain = lock(&shared.chain).clone();
        let statement = chain.add(note).map_err(Error::Statement)?;
        self.check_statement(&statement, &chain, &publisher)?;
        let storage = shared.storage.as_ref();
        let path = Statement::path(statement.ordinal);
        storage.make_dir(STATEMENTS).map_err(io_error("create", STATEMENTS))?;
        put_once(storage, &path, note)?
            .ok_or(Error::Statement("another one with its ordinal is there: open the log again"))?;
        *lock(&shared.chain) = chain;
        Ok(statement)
    }

    /// Removes the entries below `minimum`, a multiple of 256 and at most the
    /// size of the published checkpoint: their bundles, and the segments that
    /// hold no others. Hash tiles stay. First the log says so in a signed
    /// note. Blocks for many file operations.
    ///
    /// # Errors
    /// [`Error::Minimum`]; [`Error::Io`], after which it can be called again;
    /// [`Error::Poisoned`].
    pub fn prune(&self, minimum: u64) -> Result<(), Error> {
        let shared = &self.handle.shared;
        let mut publisher = lock(&self.handle.publisher);
        shared.check_poison()?;
        let size = publisher.published().size;
        let refused = |what| Err(Error::Minimum { minimum, what });
        if !minimum.is_multiple_of(u64::from(TILE_WIDTH)) {
            return refused("it is not a multiple of 256");
        }
        if size < minimum {
            return refused("no checkpoint of so many entries is published");
        }
        if minimum < publisher.minimum() {
            return refused("more than that was pruned already");
        }
        let time_ms = shared.config.time_after(self.tip().time_ms)?;
        let origin = shared.genesis.name().to_owned();
        let text = Pruned { origin, minimum, time_ms }.to_text();
        let signers = shared.signers(size)?;
        let note = Keys::sign_note(&text, signers.get(..1).unwrap_or_default())?;
        publisher.prune(minimum, &note)
    }

    /// The smallest index of an entry that is kept; 0 when nothing was pruned.
    #[must_use]
    pub fn minimum(&self) -> u64 {
        lock(&self.handle.publisher).minimum()
    }

    /// Puts a file of the read side beside the log, whole and durable: a
    /// checkpoint that was stamped, `timestamps/<size>.note`, or the response
    /// of a timestamp authority for it, `timestamps/<size>.tsr`. `size` is
    /// that of a published checkpoint. A file that is there never changes.
    ///
    /// # Errors
    /// [`Error::Beside`] for any other path, another content than is there, or
    /// more than 512 KiB; [`Error::Io`], after which it can be called again;
    /// [`Error::Poisoned`].
    pub fn put_beside(&self, path: &str, bytes: &[u8]) -> Result<(), Error> {
        let shared = &self.handle.shared;
        let publisher = lock(&self.handle.publisher);
        shared.check_poison()?;
        let refused = |what| Error::Beside { path: path.to_owned(), what };
        let size = timestamp_size(path).ok_or_else(|| refused("it is no path of a timestamp"))?;
        if publisher.published().size < size {
            return Err(refused("no checkpoint of that size is published"));
        }
        if bytes.is_empty() || NOTE_BYTES_MAX < bytes.len() {
            return Err(refused("it is empty or longer than 512 KiB"));
        }
        let storage = shared.storage.as_ref();
        storage.make_dir(TIMESTAMPS).map_err(io_error("create", TIMESTAMPS))?;
        put_once(storage, path, bytes)?.ok_or_else(|| refused("it is there with other content"))
    }

    /// What only the log itself can tell of a statement: sizes, and whether
    /// there would be somebody left to vouch for what is there.
    fn check_statement(
        &self,
        statement: &Statement,
        chain: &KeyChain,
        publisher: &Publisher,
    ) -> Result<(), Error> {
        let shared = &self.handle.shared;
        let refused = |what| Err(Error::Statement(what));
        let (tip, published) = (self.tip().size, publisher.published().size);
        let (_, size) = statement.action.key();
        if tip < size {
            return refused("it is of more entries than the log has");
        }
        match &statement.action {
            Action::Rotate { .. } | Action::Retire { .. } if size < published => {
                return refused("a checkpoint of more entries is published already");
            }
            Action::Revoke { root, .. } if self.reader().root(size)? != *root => {
                return refused("the log does not have that root at that size");
            }
            _ => {}
        }
        if valid_signers(&shared.keys, chain, tip + 1).is_err() {
            return refused("no key that the log is open with would be left to sign");
        }
        let storage = shared.storage.as_ref();
        let note = storage.read(CHECKPOINT).map_err(io_error("read", CHECKPOINT))?;
        if chain.verify_checkpoint(&note).is_err() {
            return refused("the last checkpoint would count for nothing: publish another first");
        }
        let certified = chain.verify_certificate(shared.certificate.as_bytes());
        let begun = certified.map_err(|what| corrupt(STATEMENTS, 0, None, what))?;
        if !begun.1 {
            return refused("the key vouches for this epoch: open the log with another one first");
        }
        if matches!(statement.action, Action::Revoke { .. }) && published < begun.0.size {
            return refused("entries of earlier epochs are in no checkpoint: publish one first");
        }
        match storage.read(PRUNED) {
            Ok(note) if chain.verify_pruned(&note, published).is_err() => {
                refused("the key signed what was pruned: prune once more with another one first")
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(io_error("read", PRUNED)(error))
            }
            _ => Ok(()),
        }
    }
}

/// Puts a file that never changes; `None` when another one is there. What is
/// there may have been left by an attempt that failed, so it is written again.
fn put_once(storage: &dyn Storage, path: &str, bytes: &[u8]) -> Result<Option<()>, Error> {
    match storage.read(path) {
        Ok(found) if found != bytes => return Ok(None),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(io_error("read", path)(error));
        }
        _ => {}
    }
    storage.put(path, bytes).map_err(io_error("write", path))?;
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    storage.sync_dir(dir).map_err(io_error("sync", dir))?;
    // The directory may be from an attempt that failed, too.
    storage.sync_dir("").map_err(io_error("sync", "."))?;
    Ok(Some(()))
}

/// The size in the path of a timestamp; `None` for any other path.
fn timestamp_size(path: &str) -> Option<u64> {
    let name = path.strip_prefix(TIMESTAMPS)?.strip_prefix('/')?;
    let (digits, kind) = name.split_once('.')?;
    let size: u64 = digits.parse().ok()?;
    (matches!(kind, "note" | "tsr") && size.to_string() == digits).then_some(size)
}

const TIMESTAMPS: &str = "timestamps";

#[cfg(test)]
mod tests;
