//! What a witness cosigns: of each log only checkpoints that add to the last one (C2SP tlog-witness,
//! `add-checkpoint`).
//!
//! The order is what counts: under the log's own lock, first the checks, then the signature, then the
//! disk, then the answer. A crash after the disk loses an answer, never a memory. Knows nothing of
//! HTTP and takes the time as an argument.

#[cfg(test)]
mod tests;

use crate::directory::{self, DirectoryError};
use crate::evidence::{self, Kept, Kind};
use crate::keys;
use crate::logs::{Book, Logs, is_signed, origin_hash};
use crate::request::{BadRequest, Request};
use crate::state::{self, Held, Latest, LogState, StateError};
use crate::storage::{Files, PutError, Storage};
use note::{Checkpoint, CosignError, Hash, Sign, Verifier, cosign, verify_consistency};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A witness: keys, the logs it serves, and what it has seen of them.
///
/// The directory belongs to it alone while it lives. Its calls wait for the disk.
#[derive(Debug)]
pub struct Witness {
    storage: Arc<dyn Storage>,
    keys: Vec<Arc<dyn Sign>>,
    verifiers: Vec<Verifier>,
    book: Book,
    /// One at a time for each log: who holds it may look at the log's state and replace it. Bounded
    /// by the logs that were ever listed.
    turns: Mutex<BTreeMap<String, Arc<Mutex<()>>>>,
    /// Set when nobody can say what is on the disk; only a new start reads it again.
    stopped: AtomicBool,
    /// The lock of the directory, until this is dropped.
    _lock: Option<File>,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It is not a submission: 400.
    #[error(transparent)]
    BadRequest(#[from] BadRequest),
    /// The log is not served: 404.
    #[error("this witness does not serve the log `{0}`")]
    UnknownLog(String),
    /// It is not validly signed by the log: 403.
    #[error("the checkpoint is not validly signed by the log `{0}` as this witness knows it")]
    Unsigned(String),
    /// The proof does not start at the latest checkpoint: 409.
    #[error("the latest checkpoint that was cosigned has the size {size}")]
    Stale {
        /// The size to start from.
        size: u64,
    },
    /// It contradicts what was cosigned: 422.
    #[error("{0}")]
    Inconsistent(Inconsistency),
    /// This witness does not know what it cosigned of the log: 500.
    #[error(transparent)]
    State(#[from] StateError),
    /// The checkpoint could not be made durable: 500.
    #[error("the checkpoint could not be stored: {0}")]
    Storage(io::Error),
    /// The disk failed before: 500.
    #[error("the disk failed at an earlier request: nothing is cosigned until the next start")]
    Stopped,
    /// A key does not sign: 500.
    #[error("the checkpoint could not be cosigned: {0}")]
    Cosign(String),
}

/// How a validly signed checkpoint contradicts what was cosigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inconsistency {
    /// Another root at the size that was cosigned.
    #[error("another root was cosigned at this size: the log has forked")]
    Fork,
    /// The proof does not lead from the one to the other.
    #[error("the proof does not show that this checkpoint adds to the one that was cosigned")]
    Unproven,
    /// A proof where none can be.
    #[error("there is a proof where none is needed")]
    NeedlessProof,
    /// The empty log has one root.
    #[error("the root is not that of an empty log")]
    EmptyRoot,
}

/// A checkpoint that a served log signed.
#[derive(Debug)]
struct Signed {
    checkpoint: Checkpoint,
    text: String,
    /// Text and those lines of the log that were verified.
    note: String,
}

impl Witness {
    /// Opens the directory that [`init`](crate::init) made, and takes it for this process alone.
    ///
    /// # Errors
    /// [`DirectoryError`] when another process has it, or keys or logs cannot be used. The state of a
    /// log that cannot be used refuses that log only; [`Witness::logs`] tells.
    pub fn open(root: &Path) -> Result<Self, DirectoryError> {
        let files = Files::new(root);
        let lock = directory::lock(&files, root, "")?;
        let keys = keys::load(root)?;
        Self::new(Arc::new(files), keys, Some(lock))
    }

    fn new(
        storage: Arc<dyn Storage>,
        keys: Vec<Arc<dyn Sign>>,
        lock: Option<File>,
    ) -> Result<Self, DirectoryError> {
        let verifiers = keys.iter().map(|key| key.verifier().clone()).collect();
        Ok(Self {
            book: Book::open(Arc::clone(&storage))?,
            storage,
            keys,
            verifiers,
            turns: Mutex::new(BTreeMap::new()),
            stopped: AtomicBool::new(false),
            _lock: lock,
        })
    }

    /// The keys that it cosigns with, all under one name.
    #[must_use]
    pub fn keys(&self) -> &[Verifier] {
        &self.verifiers
    }

    /// The logs in the list, and how far each was cosigned.
    #[must_use]
    pub fn logs(&self) -> Vec<LogState> {
        state::of_logs(self.storage.as_ref(), &self.book.current(), &self.verifiers)
    }

    /// The lines by which this witness goes into a policy (C2SP tlog-policy) of a log that reaches it
    /// at `url`.
    #[must_use]
    pub fn policy_lines(&self, url: &str) -> String {
        policy_lines(&self.verifiers, url)
    }

    /// Takes a checkpoint (the body of `add-checkpoint`), and returns the cosignature lines. When it
    /// returns them, what they say is on the disk.
    ///
    /// # Errors
    /// [`Refusal`]; nothing was cosigned then.
    pub fn add_checkpoint(&self, body: &[u8], now_s: u64) -> Result<String, Refusal> {
        let request = Request::parse(body)?;
        let signed = self.admit(&request)?;
        let turn = self.turn(&signed.checkpoint.origin);
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        if self.stopped.load(Ordering::SeqCst) {
            return Err(Refusal::Stopped);
        }
        let origin = &signed.checkpoint.origin;
        let held = state::load(self.storage.as_ref(), origin, &self.verifiers)?;
        if let Err(refusal) = check(&request, &signed.checkpoint, &held) {
            self.keep_evidence(&signed, &held, &refusal);
            return Err(refusal);
        }
        let (latest, lines) = self.cosign(&signed, &held, now_s)?;
        match state::store(self.storage.as_ref(), &latest) {
            Ok(()) => {
                let size = latest.checkpoint.size;
                tracing::info!(origin, size, before = held.size(), "cosigned");
                Ok(lines)
            }
            Err(PutError::Unchanged(error)) => Err(Refusal::Storage(error)),
            Err(PutError::Unknown(error)) => {
                // What the next reader finds may not be what a power cut leaves.
                self.stopped.store(true, Ordering::SeqCst);
                Err(Refusal::Storage(error))
            }
        }
    }

    /// The latest checkpoint of the log with this origin hash (64 lower-case hexadecimal digits), with
    /// the lines of the log and of this witness; `None` when there is none.
    ///
    /// # Errors
    /// [`Refusal::State`] when it cannot be read.
    pub fn checkpoint(&self, hash: &str) -> Result<Option<String>, Refusal> {
        let logs = self.book.current();
        let Some(origin) = logs.keys().find(|origin| origin_hash(origin) == hash) else {
            return Ok(None);
        };
        let held = state::load(self.storage.as_ref(), origin, &self.verifiers)?;
        Ok(held.note().map(str::to_owned))
    }

    /// What can be said of a submission without the state of its log.
    fn admit(&self, request: &Request<'_>) -> Result<Signed, Refusal> {
        let (note, checkpoint) = request.checkpoint()?;
        let logs: Arc<Logs> = self.book.current();
        let shown = || checkpoint.origin.escape_debug().to_string();
        let keys = logs.get(&checkpoint.origin).ok_or_else(|| Refusal::UnknownLog(shown()))?;
        if keys.iter().any(|key| is_signed(&note, key) == Some(false)) {
            return Err(Refusal::Unsigned(shown()));
        }
        let lines: String = note
            .signatures()
            .iter()
            .filter(|line| keys.iter().any(|key| note.by(key) == Some(*line)))
            .map(|signature| signature.line)
            .collect();
        if lines.is_empty() {
            return Err(Refusal::Unsigned(shown()));
        }
        if checkpoint.size < request.old {
            let size = checkpoint.size;
            return Err(BadRequest::OldBeyondNew { old: request.old, size }.into());
        }
        let text = note.text().to_owned();
        let note = format!("{text}\n{lines}");
        Ok(Signed { checkpoint, text, note })
    }

    /// The lock of one log.
    fn turn(&self, origin: &str) -> Arc<Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(origin.to_owned()).or_default())
    }

    /// Signs with every key, and reads what came out as a stranger would: a key that signs wrongly,
    /// or a bit that fell over, is found before anything is stored.
    fn cosign(
        &self,
        signed: &Signed,
        held: &Held,
        now_s: u64,
    ) -> Result<(Latest, String), Refusal> {
        let time_s = match held {
            Held::Latest(latest) if now_s < latest.time_s => {
                let (origin, before) = (&signed.checkpoint.origin, latest.time_s);
                tracing::warn!(
                    origin,
                    now_s,
                    before,
                    "the clock went back: the earlier time is used"
                );
                before
            }
            _ => now_s,
        };
        if time_s == 0 {
            return Err(Refusal::Cosign("the clock says 1970, which a cosignature cannot".into()));
        }
        let failed = |error: CosignError| Refusal::Cosign(error.to_string());
        let mut lines = String::new();
        for key in &self.keys {
            lines.push_str(&cosign(&signed.text, key.as_ref(), time_s).map_err(failed)?);
        }
        let note = format!("{}{lines}", signed.note);
        let origin = &signed.checkpoint.origin;
        let latest = Latest::read(note.into_bytes(), origin, &self.verifiers);
        let latest = latest.map_err(Refusal::Cosign)?;
        if latest.checkpoint != signed.checkpoint || latest.time_s != time_s {
            return Err(Refusal::Cosign("what was signed is not what was asked for".into()));
        }
        Ok((latest, lines))
    }

    /// Keeps what speaks against the log. Not to be able to changes no answer.
    fn keep_evidence(&self, signed: &Signed, held: &Held, refusal: &Refusal) {
        let Checkpoint { origin, size, root } = &signed.checkpoint;
        // A fork is one, whatever size the proof was said to start from.
        let forked = held.note().is_some() && held.size() == *size && held.root() != *root;
        let kind = match refusal {
            _ if forked => Kind::Fork,
            Refusal::Inconsistent(Inconsistency::Fork | Inconsistency::EmptyRoot) => Kind::Fork,
            Refusal::Inconsistent(Inconsistency::Unproven) => Kind::Unproven,
            _ => return,
        };
        let notes = (held.note(), signed.note.as_str());
        match evidence::keep(self.storage.as_ref(), kind, origin, notes) {
            Ok(Kept::New(path)) => {
                tracing::error!(origin, size, path, "a contradiction that the log signed is kept");
            }
            Ok(Kept::Before) => tracing::warn!(origin, size, "the same contradiction again"),
            Ok(Kept::Full) => {
                tracing::error!(origin, size, "a contradiction is not kept: there is no more room");
            }
            Err(error) => {
                tracing::error!(origin, size, %error, "a contradiction could not be kept");
            }
        }
    }
}

/// What must hold between a checkpoint and the latest one, in the order of tlog-witness.
fn check(request: &Request<'_>, new: &Checkpoint, held: &Held) -> Result<(), Refusal> {
    let inconsistent = |what| Err(Refusal::Inconsistent(what));
    if request.old != held.size() {
        return Err(Refusal::Stale { size: held.size() });
    }
    if new.size == 0 && new.root != Hash::EMPTY_ROOT {
        return inconsistent(Inconsistency::EmptyRoot);
    }
    if request.old == new.size && new.root != held.root() {
        return inconsistent(Inconsistency::Fork);
    }
    if (request.old == 0 || request.old == new.size) && !request.proof.is_empty() {
        return inconsistent(Inconsistency::NeedlessProof);
    }
    let (old, new) = ((held.size(), &held.root()), (new.size, &new.root));
    verify_consistency(old, new, &request.proof).or_else(|_| inconsistent(Inconsistency::Unproven))
}

/// The lines of a policy for a witness with these keys. Who has two keys is still one witness, so they
/// count as one group.
#[must_use]
pub fn policy_lines(keys: &[Verifier], url: &str) -> String {
    let mut lines = String::new();
    let mut names = Vec::new();
    for key in keys {
        let name = match (keys.len(), key.algorithm()) {
            (1, _) => key.name().to_owned(),
            (_, note::Algorithm::MlDsa44Cosignature) => format!("{}/ml-dsa-44", key.name()),
            (_, _) => format!("{}/ed25519", key.name()),
        };
        // Writing to a string does not fail.
        writeln!(lines, "witness {name} {} {url}", key.to_text()).ok();
        names.push(name);
    }
    if let [_, _, ..] = names.as_slice()
        && let Some(key) = keys.first()
    {
        writeln!(lines, "group {} any {}", key.name(), names.join(" ")).ok();
    }
    lines
}
