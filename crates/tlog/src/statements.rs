//! The keys of a log over its life: what its statements say about who signs
//! from which size on and up to which.
//!
//! Knows nothing of secrets; it reads and judges signed notes.

use crate::error::{Error, corrupt, io_error};
use crate::storage::Storage;
use note::{Action, Algorithm, Checkpoint, CheckpointError, Epoch, Note, Pruned};
use note::{Hash, Statement, Verifier};
use std::io;

/// What a log says of one of its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyState {
    /// The key.
    pub key: Verifier,
    /// What it is for.
    pub role: KeyRole,
    /// The smallest checkpoint it may sign.
    pub from: u64,
    /// The largest checkpoint it may sign; `None` while nothing ends it. Less
    /// than `from` when its signatures count for nothing.
    pub until: Option<u64>,
    /// Whether the log is open with it.
    pub held: bool,
}

/// What a key of a log is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// It signs checkpoints.
    Log,
    /// It may revoke other keys, and signs nothing else.
    Recovery,
}

/// The keys of a log and who vouched for which.
#[derive(Debug, Clone)]
pub(crate) struct KeyChain {
    links: Vec<Link>,
    recovery: Option<(Verifier, u64)>,
    /// The number of statements.
    statements: u64,
    /// The size in the last statement that is not about the past.
    size: u64,
}

/// A key that signs checkpoints.
#[derive(Debug, Clone)]
struct Link {
    key: Verifier,
    from: u64,
    /// Who signed that it does; empty for the first key.
    vouchers: Vec<By>,
    ends: Vec<End>,
}

/// A statement that a key signs nothing beyond a size.
#[derive(Debug, Clone)]
struct End {
    size: u64,
    by: Vec<By>,
}

/// Who signed a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Link(usize),
    Recovery,
}

impl KeyChain {
    /// A log whose first key this is.
    pub(crate) fn new(genesis: Verifier) -> Self {
        let genesis = Link { key: genesis, from: 0, vouchers: Vec::new(), ends: Vec::new() };
        Self { links: vec![genesis], recovery: None, statements: 0, size: 0 }
    }

    /// Reads the first key of a log and all statements after it.
    pub(crate) fn load(storage: &dyn Storage) -> Result<Self, Error> {
        let line = match storage.read(VERIFIER_KEY) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::NotALog(VERIFIER_KEY.to_owned()));
            }
            read => read.map_err(io_error("read", VERIFIER_KEY))?,
        };
        let genesis = Verifier::from_text(&String::from_utf8_lossy(&line))?;
        if line != format!("{}\n", genesis.to_text()).as_bytes() {
            return Err(corrupt(VERIFIER_KEY, 0, None, "it is not one verifier key line"));
        }
        let mut chain = Self::new(genesis);
        for ordinal in 1..=count_statements(storage)? {
            let path = Statement::path(ordinal);
            let note = storage.read(&path).map_err(io_error("read", &path))?;
            let added = chain.add(&note);
            added.map_err(|what| corrupt(&path, 0, None, what))?;
        }
        Ok(chain)
    }

    /// The first key; its name is the origin.
    pub(crate) fn genesis(&self) -> Option<&Verifier> {
        self.links.first().map(|link| &link.key)
    }

    /// The ordinal of the next statement.
    pub(crate) fn next_ordinal(&self) -> u64 {
        self.statements + 1
    }

    /// Takes in the next statement, or says why not; then nothing changed.
    pub(crate) fn add(&mut self, note: &[u8]) -> Result<Statement, &'static str> {
        let parsed = Statement::parse(note);
        let (statement, note) = parsed.map_err(|_| "it is no statement about keys")?;
        if Some(statement.origin.as_str()) != self.genesis().map(Verifier::name) {
            return Err("it is of another log");
        }
        if statement.ordinal != self.statements + 1 {
            return Err("it is not the next statement: its ordinal does not follow");
        }
        if STATEMENTS_MAX <= self.statements {
            return Err("the log has as many statements about keys as it can have");
        }
        let (key, size) = statement.action.key();
        if key.algorithm() != Algorithm::Ed25519 {
            return Err("it is about a key that is not Ed25519");
        }
        let is_past = matches!(statement.action, Action::Revoke { .. });
        if !is_past && size < self.size {
            return Err("it is of a smaller log than the statement before it");
        }
        let signers = self.signers(&note, size)?;
        let about = self.links.iter().position(|link| link.key == *key);
        match (&statement.action, about) {
            (Action::Recovery { .. }, _) => self.add_recovery(&statement, &signers)?,
            (Action::Rotate { .. }, None) => self.add_link((key, size), &note, signers)?,
            (Action::Rotate { .. }, Some(_)) => return Err("the key signs for the log already"),
            (Action::Retire { .. } | Action::Revoke { .. }, None) => {
                return Err("it is about a key that the log does not have");
            }
            (Action::Retire { .. }, Some(at)) => {
                if !self.is_valid_at(at, size) {
                    return Err("the key is not valid at that size");
                }
                self.end(at, size, &signers, |by| by != By::Recovery)?;
            }
            (Action::Revoke { .. }, Some(at)) => self.end(at, size, &signers, |_| true)?,
        }
        self.statements += 1;
        if !is_past {
            self.size = size;
        }
        Ok(statement)
    }

    /// Whether this key may sign for the log when it has `size` entries.
    pub(crate) fn is_valid(&self, key: &Verifier, size: u64) -> bool {
        let at = self.links.iter().position(|link| link.key == *key);
        at.is_some_and(|at| self.is_valid_at(at, size))
    }

    /// Whether this is or was a key of the log.
    pub(crate) fn is_known(&self, key: &Verifier) -> bool {
        self.links.iter().any(|link| link.key == *key)
    }

    /// Reads a checkpoint that a key signed which was valid at its size. Other
    /// lines may follow, but none in the name of the log that does not verify.
    pub(crate) fn verify_checkpoint(&self, note: &[u8]) -> Result<Checkpoint, CheckpointError> {
        let note = Note::parse(note)?;
        let checkpoint = Checkpoint::parse(note.text())?;
        let origin = self.genesis().map(Verifier::name).unwrap_or_default();
        if checkpoint.origin != origin {
            let expected = origin.to_owned();
            return Err(CheckpointError::Origin { expected, found: checkpoint.origin });
        }
        match self.signers(&note, checkpoint.size) {
            Ok(signers) if signers.iter().any(|by| *by != By::Recovery) => Ok(checkpoint),
            _ => Err(CheckpointError::Signature(origin.to_owned())),
        }
    }

    /// Reads the certificate of an epoch, and tells whether the word of a key
    /// that signed it counts: not when that key was revoked since.
    pub(crate) fn verify_certificate(&self, note: &[u8]) -> Result<(Epoch, bool), &'static str> {
        let (epoch, note) = Epoch::parse(note).map_err(|_| "it is no certificate of an epoch")?;
        if Some(epoch.origin.as_str()) != self.genesis().map(Verifier::name) {
            return Err("the certificate of an epoch is of another log");
        }
        if !self.links.iter().any(|link| note.by(&link.key).is_some()) {
            return Err("no key of the log signed the certificate of an epoch");
        }
        let signers = self.signers(&note, epoch.size)?;
        Ok((epoch, signers.iter().any(|by| *by != By::Recovery)))
    }

    /// Reads what says how far the log was pruned, when it has `size` entries
    /// published. It was signed at some size from there on.
    pub(crate) fn verify_pruned(&self, note: &[u8], size: u64) -> Result<Pruned, &'static str> {
        let (pruned, note) = Pruned::parse(note).map_err(|_| "it does not say what was pruned")?;
        if Some(pruned.origin.as_str()) != self.genesis().map(Verifier::name) {
            return Err("it is of another log");
        }
        if size < pruned.minimum {
            return Err("it speaks of entries that the log never published");
        }
        let signed = (0..self.links.len()).any(|at| {
            let Some(link) = self.links.get(at) else { return false };
            let from = link.from.max(pruned.minimum);
            self.is_valid_at(at, from) && link.from <= size && note.verify(&link.key).is_ok()
        });
        if signed { Ok(pruned) } else { Err("no key of the log signed it") }
    }

    /// Every key there is or was. `held` says which the log is open with.
    pub(crate) fn states(&self, held: impl Fn(&Verifier) -> bool) -> Vec<KeyState> {
        let mut states = Vec::new();
        for (at, link) in self.links.iter().enumerate() {
            let ends = link.ends.iter().filter(|end| self.counts(end)).map(|end| end.size);
            let born = self.is_born(link);
            let until = if born { ends.min() } else { Some(link.from.saturating_sub(1)) };
            let until = until.filter(|_| !self.is_valid_at(at, u64::MAX));
            let (key, held) = (link.key.clone(), held(&link.key));
            states.push(KeyState { key, role: KeyRole::Log, from: link.from, until, held });
        }
        if let Some((key, from)) = self.recovery.clone() {
            let role = KeyRole::Recovery;
            states.push(KeyState { key, role, from, until: None, held: false });
        }
        states
    }

    /// Who signed a note about the log at this size, among those whose word
    /// counted then. A line by a key of the log must verify.
    fn signers(&self, note: &Note<'_>, size: u64) -> Result<Vec<By>, &'static str> {
        let mut signers = Vec::new();
        for (at, link) in self.links.iter().enumerate() {
            if note.by(&link.key).is_none() {
                continue;
            }
            note.verify(&link.key)
                .map_err(|_| "a signature by a key of the log does not verify")?;
            if self.is_valid_at(at, size) {
                signers.push(By::Link(at));
            }
        }
        if self.recovery.as_ref().is_some_and(|(key, _)| note.verify(key).is_ok()) {
            signers.push(By::Recovery);
        }
        Ok(signers)
    }

    fn add_recovery(&mut self, statement: &Statement, by: &[By]) -> Result<(), &'static str> {
        if statement.ordinal != 1 {
            return Err("a recovery key is named by the first statement only");
        }
        if !by.contains(&By::Link(0)) {
            return Err("the first key of the log did not sign it");
        }
        let (key, size) = statement.action.key();
        self.recovery = Some((key.clone(), size));
        Ok(())
    }

    fn add_link(
        &mut self,
        (key, from): (&Verifier, u64),
        note: &Note<'_>,
        mut vouchers: Vec<By>,
    ) -> Result<(), &'static str> {
        note.verify(key).map_err(|_| "the new key did not sign it")?;
        vouchers.retain(|by| *by != By::Recovery);
        if vouchers.is_empty() {
            return Err("no key that is valid at that size signed it");
        }
        self.links.push(Link { key: key.clone(), from, vouchers, ends: Vec::new() });
        Ok(())
    }

    fn end(
        &mut self,
        at: usize,
        size: u64,
        by: &[By],
        may: impl Fn(By) -> bool,
    ) -> Result<(), &'static str> {
        let others = by.iter().copied().filter(|by| *by != By::Link(at) && may(*by));
        let by: Vec<By> = others.collect();
        if by.is_empty() {
            return Err("no other key that is valid at that size signed it");
        }
        if let Some(link) = self.links.get_mut(at) {
            link.ends.push(End { size, by });
        }
        Ok(())
    }

    /// Ends within its statements: each looks at smaller sizes, or at keys
    /// that were there before.
    fn is_valid_at(&self, at: usize, size: u64) -> bool {
        let Some(link) = self.links.get(at) else { return false };
        let ended = |end: &End| end.size < size && self.counts(end);
        link.from <= size && self.is_born(link) && !link.ends.iter().any(ended)
    }

    /// Whether somebody whose word still counts vouched for the key.
    fn is_born(&self, link: &Link) -> bool {
        link.vouchers.is_empty() || link.vouchers.iter().any(|by| self.has_word(*by, link.from))
    }

    fn counts(&self, end: &End) -> bool {
        end.by.iter().any(|by| self.has_word(*by, end.size))
    }

    fn has_word(&self, by: By, size: u64) -> bool {
        match by {
            By::Link(at) => self.is_valid_at(at, size),
            By::Recovery => true,
        }
    }
}

/// What names a log in its segments: the hash of the line of its first key.
pub(crate) fn log_id(genesis: &Verifier) -> Hash {
    Hash::of(format!("{}\n", genesis.to_text()).as_bytes())
}

/// How many statements there are. They are numbered without gaps.
fn count_statements(storage: &dyn Storage) -> Result<u64, Error> {
    let names = match storage.list(STATEMENTS) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        names => names.map_err(io_error("list", STATEMENTS))?,
    };
    let count = u64::try_from(names.len()).unwrap_or(u64::MAX);
    for name in names {
        let path = format!("{STATEMENTS}/{name}");
        let known = Statement::parse_path(&path).is_some_and(|ordinal| ordinal <= count);
        if !known {
            let what = "the file is no statement about keys, or one before it is missing";
            return Err(corrupt(&path, 0, None, what));
        }
    }
    Ok(count)
}

/// The path of the file with the verifier key line of the first key.
pub(crate) const VERIFIER_KEY: &str = "origin.vkey";
/// The directory of the statements.
pub(crate) const STATEMENTS: &str = "keys";
/// More would be no life of a log but an attempt to keep its readers busy.
const STATEMENTS_MAX: u64 = 64;

#[cfg(test)]
mod tests;
