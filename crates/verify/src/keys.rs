//! The keys of a log: the first one, and the statements by which others came
//! and went.
//!
//! A key is *held* when the statements bring it in, and *trusted* when they
//! lead to it from a key that is known from elsewhere. What restricts a key
//! counts whoever of the log said it; what brings one in counts as far as
//! those are trusted who signed it.

use crate::check::{Check, Checks};
use crate::failure::{Failure, Verdict};
use crate::source::{Source, SourceError};
use crate::walk::VERIFIER_KEY;
use note::{Action, Algorithm, Hash, Note, Statement, Verifier};
use std::collections::HashMap;

/// The keys of one log.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) origin: String,
    held: Vec<Held>,
    pub(crate) statements: Vec<Made>,
    pub(crate) remarks: Vec<String>,
}

/// One key of the log.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) key: Verifier,
    /// The sizes of the checkpoints that it signs, first and last.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// It ended because it was revoked.
    pub(crate) revoked: bool,
    /// Those who brought it in may have done so, as far as is known now.
    pub(crate) born: bool,
    pub(crate) trusted: bool,
    /// The keys, by place, whose signatures brought it in.
    by: Vec<usize>,
}

/// One statement, as made.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) statement: Statement,
    pub(crate) bytes: Vec<u8>,
}

/// Who of the log signed a note, at a size.
#[derive(Debug, Default)]
pub(crate) struct Signatures {
    /// Keys of the log that are valid there and signed.
    pub(crate) valid: Vec<String>,
    /// One of them is trusted.
    pub(crate) trusted: bool,
    /// The id of a key of the log whose signature is wrong.
    pub(crate) wrong: Option<String>,
    /// The id of a key of the log that signed, and is not valid there.
    pub(crate) outdated: Option<String>,
    /// Keys that are valid there and did not sign.
    pub(crate) silent: Vec<String>,
    /// Lines by others.
    pub(crate) others: usize,
}

impl Ring {
    /// Reads the first key and all statements of a log.
    pub(crate) fn read(source: &dyn Source, checks: Checks) -> Result<Self, Failure> {
        let genesis = read_genesis(source, checks)?;
        let origin = genesis.name().to_owned();
        let statements = read_statements(source, &origin, checks)?;
        let mut remarks = Vec::new();
        let held = Chain::follow(&genesis, &statements, checks)?.conclude(&mut remarks);
        Ok(Self { origin, held, statements, remarks })
    }

    /// A log of which only these keys are known.
    pub(crate) fn of_keys(origin: &str, keys: &[Verifier]) -> Self {
        let held = keys.iter().filter(|key| key.name() == origin).map(|key| Held {
            key: key.clone(),
            first: 0,
            last: u64::MAX,
            revoked: false,
            born: true,
            trusted: true,
            by: Vec::new(),
        });
        Self {
            origin: origin.to_owned(),
            held: held.collect(),
            statements: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Trusts these keys, and those that the statements lead to from them. No
    /// keys: the first one of the log is taken at its word.
    pub(crate) fn trust(&mut self, pins: &[Verifier], checks: Checks) -> Result<(), Failure> {
        let pinned = self.held.iter().any(|held| pins.contains(&held.key));
        if !pins.is_empty() {
            checks.require(Check::PinnedKey, pinned, || {
                let known: Vec<String> = pins.iter().map(Verifier::to_text).collect();
                let what = format!(
                    "the log `{}` does not belong to the given key `{}`",
                    self.origin,
                    known.join("`, `")
                );
                Failure::new(Check::PinnedKey, VERIFIER_KEY, what)
            })?;
        }
        for place in 0..self.held.len() {
            let Some(held) = self.held.get(place) else { break };
            let led = held.by.iter().filter_map(|by| self.held.get(*by));
            let led = led.into_iter().any(|by| by.trusted && by.is_valid(held.first));
            let first = !pinned && place == 0;
            let trusted = first || led || pins.contains(&held.key);
            if let Some(held) = self.held.get_mut(place) {
                held.trusted = trusted;
            }
        }
        Ok(())
    }

    /// Who of the log signed this note, at this size.
    pub(crate) fn signatures(&self, note: &Note<'_>, size: u64) -> Signatures {
        let mut found = Signatures::default();
        for held in &self.held {
            let id = held.key.id_hex();
            let valid = held.is_valid(size);
            if note.by(&held.key).is_none() {
                if valid {
                    found.silent.push(id);
                }
            } else if note.verify(&held.key).is_err() {
                found.wrong = Some(id);
            } else if valid {
                found.valid.push(id);
                found.trusted |= held.trusted;
            } else {
                found.outdated = Some(id);
            }
        }
        let known = |name: &str, id: [u8; 4]| {
            self.held.iter().any(|held| held.key.name() == name && held.key.id() == id)
        };
        let lines = note.signatures().iter();
        found.others = lines.filter(|line| !known(line.name, line.id)).count();
        found
    }

    /// The keys of the log that signed a note and are valid at a size.
    pub(crate) fn signers(&self, note: &Note<'_>, size: u64) -> Vec<Verifier> {
        let valid = self.held.iter().filter(|held| held.is_valid(size));
        let signed = valid.filter(|held| note.verify(&held.key).is_ok());
        signed.map(|held| held.key.clone()).collect()
    }

    /// Whether a key of the log signed a note at some size from `first` to
    /// `last` at which it was valid.
    pub(crate) fn signed_between(&self, note: &Note<'_>, first: u64, last: u64) -> bool {
        self.held.iter().any(|held| {
            let from = held.first.max(first);
            from <= last && held.is_valid(from) && note.verify(&held.key).is_ok()
        })
    }

    pub(crate) fn held(&self) -> &[Held] {
        &self.held
    }

    /// The id of the first key, eight hexadecimal digits.
    pub(crate) fn genesis_id(&self) -> String {
        self.held.first().map(|held| held.key.id_hex()).unwrap_or_default()
    }

    /// SHA-256 of the line of the first key, as segments name the log.
    pub(crate) fn log_hash(&self) -> Hash {
        let line = self.held.first().map(|held| held.key.to_text()).unwrap_or_default();
        Hash::of(format!("{line}\n").as_bytes())
    }
}

impl Held {
    pub(crate) fn is_valid(&self, size: u64) -> bool {
        self.born && self.first <= size && size <= self.last
    }
}

/// The keys while the statements are followed.
struct Chain {
    links: Vec<Link>,
    recovery: Option<Verifier>,
    checks: Checks,
}

/// A key, and what was said of it.
struct Link {
    key: Verifier,
    first: u64,
    /// The keys that signed that it came.
    by: Vec<usize>,
    ordinal: u64,
    ends: Vec<End>,
}

/// A statement that a key signs nothing beyond a size.
struct End {
    size: u64,
    revoked: bool,
    by: Vec<usize>,
    by_recovery: bool,
    ordinal: u64,
}

impl Chain {
    fn follow(genesis: &Verifier, statements: &[Made], checks: Checks) -> Result<Self, Failure> {
        let mut chain = Self { links: Vec::new(), recovery: None, checks };
        chain.link(genesis, 0, (Vec::new(), 0));
        for made in statements {
            chain.take(made)?;
        }
        Ok(chain)
    }

    fn link(&mut self, key: &Verifier, first: u64, (by, ordinal): (Vec<usize>, u64)) {
        let (key, ends) = (key.clone(), Vec::new());
        self.links.push(Link { key, first, by, ordinal, ends });
    }

    fn take(&mut self, made: &Made) -> Result<(), Failure> {
        let statement = &made.statement;
        let path = Statement::path(statement.ordinal);
        let fail = |check, what: &str| Failure::new(check, &path, what);
        let Ok((_, note)) = Statement::parse(&made.bytes) else { return Ok(()) };
        let misfit = self.misfit(statement);
        self.checks.require(Check::StatementFits, misfit.is_none(), || {
            fail(Check::StatementFits, misfit.unwrap_or_default())
        })?;
        let (by_recovery, by) = self.authority(statement, &note);
        self.checks.require(Check::StatementSigner, by_recovery || !by.is_empty(), || {
            let what = "it is not signed by a key of the log that may say so";
            fail(Check::StatementSigner, what)
        })?;
        let ordinal = statement.ordinal;
        match &statement.action {
            Action::Recovery { key, .. } => self.recovery = Some(key.clone()),
            Action::Rotate { key, size } => {
                let own = note.verify(key).is_ok();
                self.checks.require(Check::StatementNewKey, own, || {
                    fail(Check::StatementNewKey, "the new key did not sign it")
                })?;
                self.link(key, *size, (by, ordinal));
            }
            Action::Retire { key, size } => {
                self.end(key, End { size: *size, revoked: false, by, by_recovery, ordinal });
            }
            Action::Revoke { key, size, .. } => {
                self.end(key, End { size: *size, revoked: true, by, by_recovery, ordinal });
            }
        }
        Ok(())
    }

    fn end(&mut self, key: &Verifier, end: End) {
        if let Some(link) = self.links.iter_mut().find(|link| link.key == *key) {
            link.ends.push(end);
        }
    }

    /// Why a statement does not fit those before it.
    fn misfit(&self, statement: &Statement) -> Option<&'static str> {
        let (key, size) = statement.action.key();
        let link = self.links.iter().find(|link| link.key == *key);
        let of_log = key.algorithm() == Algorithm::Ed25519;
        match (&statement.action, link) {
            _ if !of_log => Some("it is about a key that is not of the kind of a log's"),
            (Action::Recovery { .. }, _) if statement.ordinal != 1 => {
                Some("only the first statement may name a recovery key")
            }
            (Action::Rotate { .. }, Some(_)) => Some("it brings in a key that is there already"),
            (Action::Retire { .. } | Action::Revoke { .. }, None) => {
                Some("it ends a key that the log does not have")
            }
            (Action::Retire { .. }, Some(link)) if size < link.first => {
                Some("it ends a key before it began")
            }
            _ => None,
        }
    }

    /// Whether the recovery key signed a statement, and which keys that were
    /// valid then and may say what it says.
    fn authority(&self, statement: &Statement, note: &Note<'_>) -> (bool, Vec<usize>) {
        let (about, size) = statement.action.key();
        let mut words = Words::default();
        let recovery = matches!(statement.action, Action::Revoke { .. })
            && self.recovery.as_ref().is_some_and(|key| note.verify(key).is_ok());
        let signed = self.links.iter().enumerate().filter(|(place, link)| {
            let may = match &statement.action {
                Action::Recovery { .. } => *place == 0,
                Action::Rotate { .. } => true,
                Action::Retire { .. } | Action::Revoke { .. } => link.key != *about,
            };
            may && note.verify(&link.key).is_ok()
        });
        let signed: Vec<usize> = signed.map(|(place, _)| place).collect();
        let valid = signed.into_iter().filter(|place| self.is_valid(*place, size, &mut words));
        (recovery, valid.collect())
    }

    /// Whether the word of a key counts at a size. It ends: what ends a key at
    /// a size is looked at for smaller sizes only, and who brought it in was
    /// there before it.
    fn is_valid(&self, place: usize, size: u64, words: &mut Words) -> bool {
        if let Some(known) = words.0.get(&(place, size)) {
            return *known;
        }
        let Some(link) = self.links.get(place) else { return false };
        let valid = link.first <= size
            && self.is_born(link, words)
            && !link.ends.iter().any(|end| end.size < size && self.counts(end, words));
        words.0.insert((place, size), valid);
        valid
    }

    fn is_born(&self, link: &Link, words: &mut Words) -> bool {
        let mut by = link.by.iter();
        link.by.is_empty() || by.any(|place| self.is_valid(*place, link.first, words))
    }

    fn counts(&self, end: &End, words: &mut Words) -> bool {
        end.by_recovery || end.by.iter().any(|place| self.is_valid(*place, end.size, words))
    }

    /// What all statements together come to.
    fn conclude(self, remarks: &mut Vec<String>) -> Vec<Held> {
        let mut words = Words::default();
        let mut held = Vec::with_capacity(self.links.len());
        let mut nothing = |ordinal| {
            remarks.push(format!(
                "statement {ordinal} about keys counts for nothing: who signed it is revoked"
            ));
        };
        for link in &self.links {
            let born = self.is_born(link, &mut words);
            if !born {
                nothing(link.ordinal);
            }
            let (mut last, mut revoked) = (u64::MAX, false);
            for end in &link.ends {
                if self.counts(end, &mut words) {
                    last = last.min(end.size);
                    revoked |= end.revoked;
                } else {
                    nothing(end.ordinal);
                }
            }
            let (key, first, by) = (link.key.clone(), link.first, link.by.clone());
            held.push(Held { key, first, last, revoked, born, trusted: false, by });
        }
        held
    }
}

/// Whose word counts at which size, as far as it was worked out.
#[derive(Default)]
struct Words(HashMap<(usize, u64), bool>);

/// Reads the first key of the log, byte for byte as it must be.
fn read_genesis(source: &dyn Source, checks: Checks) -> Result<Verifier, Failure> {
    let line = read(source, VERIFIER_KEY)?;
    let text = str::from_utf8(&line).unwrap_or_default();
    let key = Verifier::from_text(text.trim_end()).ok();
    let key = key.filter(|key| key.algorithm() == Algorithm::Ed25519).ok_or_else(|| {
        let what = "this is not the verifier key line of a log";
        Failure::needed(Verdict::Altered, VERIFIER_KEY, what)
    })?;
    checks.require(Check::KeyFile, text == format!("{}\n", key.to_text()), || {
        let what = "this is not one verifier key line and nothing else";
        Failure::new(Check::KeyFile, VERIFIER_KEY, what)
    })?;
    Ok(key)
}

fn read_statements(
    source: &dyn Source,
    origin: &str,
    checks: Checks,
) -> Result<Vec<Made>, Failure> {
    let listed = source.list(STATEMENTS).map_err(|error| refused(STATEMENTS, &error))?;
    let highest = listed.as_ref().map(|names| {
        let paths = names.iter().map(|name| format!("{STATEMENTS}/{name}"));
        paths.filter_map(|path| Statement::parse_path(&path)).max().unwrap_or(0)
    });
    let mut statements = Vec::new();
    for ordinal in 1..=highest.unwrap_or(STATEMENTS_MAX).min(STATEMENTS_MAX) {
        let path = Statement::path(ordinal);
        let bytes = match source.read(&path) {
            Err(SourceError::NotFound) if highest.is_none() => break,
            Err(SourceError::NotFound) => {
                let what = "a statement about keys is missing among those that are there";
                checks.fail(Failure::new(Check::StatementGap, &path, what))?;
                continue;
            }
            read => read.map_err(|error| refused(&path, &error))?,
        };
        let parsed = Statement::parse(&bytes).map(|(statement, _)| statement).ok();
        let parsed =
            parsed.filter(|statement| statement.origin == origin && statement.ordinal == ordinal);
        let Some(statement) = parsed else {
            let what = "this is not statement of this number about the keys of this log";
            checks.fail(Failure::new(Check::StatementForm, &path, what))?;
            continue;
        };
        statements.push(Made { statement, bytes });
    }
    Ok(statements)
}

/// Reads a file that has to be there.
pub(crate) fn read(source: &dyn Source, path: &str) -> Result<Vec<u8>, Failure> {
    source.read(path).map_err(|error| refused(path, &error))
}

/// What it means that a file cannot be read.
pub(crate) fn refused(path: &str, error: &SourceError) -> Failure {
    let verdict = match error {
        SourceError::NotFound => Verdict::Missing,
        SourceError::TooLong => Verdict::Altered,
        SourceError::Unreadable(_) => Verdict::Unreadable,
    };
    Failure::needed(verdict, path, error.to_string())
}

const STATEMENTS: &str = "keys";
/// The most statements that are read.
const STATEMENTS_MAX: u64 = 4096;
