//! A life of a log, at random and always the same for one seed: appending,
//! publishing, pruning, statements, failing disks, crashes. After every
//! opening all its files are compared with a naive model. For tests, and for
//! hours of them.
//!
//! Knows nothing of threads: every step waits for its answers.

mod mark;
mod model;
mod random;

pub use mark::{MarkFault, MemoryMark};
pub(crate) use model::check_files;
#[cfg(test)]
pub(crate) use model::naive_root;

use crate::config::Config;
use crate::error::Error;
use crate::high_water::HighWater as _;
use crate::keys::Keys;
use crate::log::Log;
use crate::simulation::random::Random;
use crate::statements::KeyChain;
use crate::storage::{Fault, FaultKind, Memory, Storage, Survival};
use note::{Action, Algorithm, Epoch, Sign, Signer, Statement, Verifier, verify_inclusion};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What happened in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries that were acknowledged.
    pub entries: u64,
    /// Openings after the first.
    pub openings: u64,
    /// Crashes among them.
    pub crashes: u64,
    /// Older copies that were refused.
    pub rollbacks: u64,
    /// The smallest index that is kept at the end.
    pub minimum: u64,
    /// Statements about keys.
    pub statements: u64,
}

/// Lives one log through `steps` random steps.
///
/// # Errors
/// What went wrong, with the step at which it did; the seed brings it back.
pub fn run(seed: u64, steps: u32) -> Result<Tally, String> {
    let mut run = Run::new(seed)?;
    for step in 0..steps {
        run.step().map_err(|what| format!("seed {seed}, step {step}: {what}"))?;
    }
    run.end().map_err(|what| format!("seed {seed}, at the end: {what}"))
}

struct Run {
    random: Random,
    storage: Memory,
    mark: MemoryMark,
    time_ms: Arc<AtomicU64>,
    passed_ms: u64,
    segment_bytes: u64,
    log: Option<Log>,
    /// What was submitted, in order; the acknowledged ones first.
    entries: Vec<Vec<u8>>,
    acknowledged: usize,
    /// The log's own keys that it is to be opened with.
    held: Held,
    /// What the log may or must have been told.
    statements: Told,
    minimum: Told,
    beside: Vec<(String, Vec<u8>)>,
    /// An older copy, and how many entries it has at most.
    older: Option<(Memory, u64)>,
    tally: Tally,
}

/// Something that was tried: done for certain up to one number, perhaps up to
/// another.
#[derive(Debug, Clone, Copy, Default)]
struct Told {
    done: u64,
    tried: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Held {
    First,
    Both,
    Second,
}

impl Run {
    fn new(seed: u64) -> Result<Self, String> {
        let storage = Memory::default();
        let mut run = Self {
            random: Random(seed),
            storage,
            mark: MemoryMark::default(),
            time_ms: Arc::new(AtomicU64::new(START_MS)),
            passed_ms: 0,
            segment_bytes: 4096 << (seed % 4),
            log: None,
            entries: Vec::new(),
            acknowledged: 0,
            held: Held::First,
            statements: Told::default(),
            minimum: Told::default(),
            beside: Vec::new(),
            older: None,
            tally: Tally::default(),
        };
        let storage: Arc<dyn Storage> = Arc::new(run.storage.clone());
        let made = Log::create_on(storage, run.keys(Held::First)?, run.config());
        run.log = Some(made.map_err(|error| error.to_string())?);
        Ok(run)
    }

    fn step(&mut self) -> Result<(), String> {
        // The clock goes forward, and sometimes back for a while.
        self.passed_ms += self.random.below(50);
        let back = if self.random.one_in(8) { self.random.below(4_000) } else { 0 };
        self.time_ms.store(START_MS + self.passed_ms - back, Ordering::Relaxed);
        match self.random.below(20) {
            0..8 => self.append(),
            8..12 => self.publish(),
            12 => self.fail_soon(),
            13 => self.crash(),
            14 => self.restart(),
            15 => self.close(),
            16 | 17 => self.prune(),
            18 => self.state(),
            _ if self.random.one_in(2) => self.put_beside(),
            _ => self.keep_older(),
        }
    }

    /// Closes in order and compares everything a last time.
    fn end(mut self) -> Result<Tally, String> {
        self.mark.heal();
        self.close()?;
        if let Some(log) = self.log.take() {
            log.close().map_err(|error| error.to_string())?;
        }
        let published = check_files(&self.storage, &self.entries)?;
        if index(published) != self.entries.len() {
            return Err(format!("{published} entries are published"));
        }
        self.open_older()?;
        self.tally.minimum = self.minimum.done;
        self.tally.statements = self.statements.done;
        Ok(self.tally)
    }

    fn append(&mut self) -> Result<(), String> {
        let most = if self.random.one_in(3) { 160 } else { 4 };
        let count = self.random.below(most) + 1;
        let length = if self.random.one_in(10) { 900 } else { 40 };
        let new: Vec<_> = (0..count).map(|_| self.random.entry(length)).collect();
        let pending = self.log()?.submit_all(&new);
        let first = self.entries.len();
        self.entries.extend(new);
        let mut refused = false;
        for (position, pending) in (first..).zip(pending) {
            match pending.wait() {
                Ok(_) if refused => return Err("acknowledged after a refusal".to_owned()),
                Ok(committed) => {
                    if index(committed.index) != position {
                        return Err(format!("entry {position} is at {}", committed.index));
                    }
                    self.acknowledged = position + 1;
                    self.tally.entries += 1;
                    if self.random.one_in(5) {
                        self.check_receipt(&committed, position)?;
                    }
                }
                Err(Error::Poisoned { .. }) => refused = true,
                Err(error) => return Err(error.to_string()),
            }
        }
        if refused { self.crash() } else { Ok(()) }
    }

    /// A receipt stands for itself, given the key of the log.
    fn check_receipt(&self, one: &crate::Committed, position: usize) -> Result<(), String> {
        let (epoch, note) =
            Epoch::parse(one.epoch.as_bytes()).map_err(|error| error.to_string())?;
        let keys = self.keys(Held::Both)?;
        if !keys.log.iter().any(|key| note.verify(key.verifier()).is_ok()) {
            return Err("a certificate is not signed".to_owned());
        }
        let signed = one.batch.verify(&epoch.origin, &epoch.key);
        signed.map_err(|error| error.to_string())?;
        let entry = self.entries.get(position).map(Vec::as_slice).unwrap_or_default();
        let proven = verify_inclusion(entry, one.index, one.tree_size(), &one.root(), &one.proof());
        proven.map_err(|error| error.to_string())
    }

    fn publish(&mut self) -> Result<(), String> {
        if self.random.one_in(6) {
            let persisted = self.random.one_in(2);
            let fault = if persisted { MarkFault::Persisted } else { MarkFault::NotPersisted };
            self.mark.plan(fault);
        }
        let published = self.log()?.publish();
        self.settle(published.map(drop))
    }

    /// One of the next operations fails, and perhaps every later one.
    fn fail_soon(&mut self) -> Result<(), String> {
        let kinds = [
            FaultKind::NotPersisted,
            FaultKind::Persisted,
            FaultKind::Torn,
            FaultKind::Short,
            FaultKind::NoSpace,
        ];
        let kind = kinds.get(index(self.random.below(5))).copied();
        let kind = kind.unwrap_or(FaultKind::NotPersisted);
        let operation = self.storage.operations() + self.random.below(12);
        let lasting = self.random.one_in(2);
        self.storage.plan(Fault { operation, kind, lasting });
        if self.random.one_in(3) {
            self.storage.plan_another(Fault { operation: operation + 1, kind, lasting });
        }
        Ok(())
    }

    /// The machine stops; any part of what was not synced is there after.
    fn crash(&mut self) -> Result<(), String> {
        self.storage = self.storage.crash(Survival::Random(self.random.number()));
        self.tally.crashes += 1;
        self.reopen()
    }

    /// The process stops and the machine goes on.
    fn restart(&mut self) -> Result<(), String> {
        // A copy, because the old committer still ends, as a killed one would
        // not.
        self.storage = self.storage.copy(Survival::Everything);
        self.reopen()
    }

    fn close(&mut self) -> Result<(), String> {
        let closed = self.log()?.close();
        match closed {
            Ok(()) => self.reopen(),
            // The disk failed while the last checkpoint was published.
            Err(_) => self.crash(),
        }
    }

    fn prune(&mut self) -> Result<(), String> {
        let published = self.log()?.checkpoint().size;
        // One that failed may have said already what was to go.
        let from = self.log()?.minimum();
        let steps = (published - from) / 256;
        let more = if steps == 0 { 0 } else { self.random.below(steps) + 1 };
        let minimum = from + more * 256;
        self.minimum.tried = self.minimum.tried.max(minimum);
        let pruned = self.log()?.prune(minimum);
        let done = pruned.is_ok();
        self.settle(pruned)?;
        if done {
            self.minimum = Told { done: minimum, tried: minimum };
        }
        Ok(())
    }

    /// The second key comes, or the first one goes.
    fn state(&mut self) -> Result<(), String> {
        let (Some(action), true) = (self.next_action()?, self.random.one_in(2)) else {
            return Ok(());
        };
        let ordinal = self.statements.done + 1;
        let statement = Statement { origin: ORIGIN.to_owned(), ordinal, action, time_ms: 1 };
        let note = Keys::sign_note(&statement.to_text(), &self.keys(Held::Both)?.log);
        let note = note.map_err(|error| error.to_string())?;
        self.statements.tried = ordinal;
        let added = self.log()?.add_statement(note.as_bytes()).map(drop);
        let done = added.is_ok();
        self.settle(added)?;
        if done {
            self.statements.done = ordinal;
            return self.close();
        }
        Ok(())
    }

    fn next_action(&self) -> Result<Option<Action>, String> {
        let size = self.log()?.tip().size;
        Ok(match self.statements.done {
            0 => Some(Action::Rotate { key: verifier(2)?, size }),
            1 if self.held == Held::Both => Some(Action::Retire { key: verifier(1)?, size }),
            _ => None,
        })
    }

    fn put_beside(&mut self) -> Result<(), String> {
        let size = self.log()?.checkpoint().size;
        let path = format!("timestamps/{size}.note");
        let bytes = size.to_be_bytes().to_vec();
        let put = self.log()?.put_beside(&path, &bytes);
        if put.is_ok() {
            self.beside.push((path, bytes));
        }
        self.settle(put)
    }

    fn keep_older(&mut self) -> Result<(), String> {
        self.open_older()?;
        let entries = u64::try_from(self.entries.len()).unwrap_or(u64::MAX);
        self.older = Some((self.storage.copy(Survival::Everything), entries));
        Ok(())
    }

    /// An older copy of the log is refused once the mark is beyond it.
    fn open_older(&mut self) -> Result<(), String> {
        let Some((storage, entries)) = self.older.take() else { return Ok(()) };
        let marked = self.mark.read().map_err(|error| error.to_string())?;
        let chain = KeyChain::load(&self.storage).map_err(|error| error.to_string())?;
        let marked = marked.and_then(|note| chain.verify_checkpoint(&note).ok());
        if marked.is_none_or(|marked| marked.size <= entries) {
            return Ok(());
        }
        let older = KeyChain::load(&storage).map_err(|error| error.to_string())?;
        if older.next_ordinal() != chain.next_ordinal() {
            return Ok(());
        }
        let opened = Log::open_on(Arc::new(storage), self.keys(self.held)?, self.config());
        if !matches!(opened, Err(Error::RolledBack { .. })) {
            return Err(format!("an older copy was opened: {:?}", opened.map(|(_, found)| found)));
        }
        self.tally.rollbacks += 1;
        Ok(())
    }

    /// After a failed operation everything must still be as it was told.
    fn settle(&mut self, outcome: Result<(), Error>) -> Result<(), String> {
        match outcome {
            Ok(()) | Err(Error::Beside { .. }) => Ok(()),
            Err(Error::Io { .. } | Error::Statement(_)) if self.random.one_in(2) => Ok(()),
            Err(Error::Io { .. } | Error::Poisoned { .. } | Error::Statement(_)) => self.crash(),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Opens what is there, and compares all of it.
    fn reopen(&mut self) -> Result<(), String> {
        self.log = None;
        self.tally.openings += 1;
        let storage = self.storage.copy(Survival::Everything);
        let chain = KeyChain::load(&storage).map_err(|error| error.to_string())?;
        let count = chain.next_ordinal() - 1;
        if count < self.statements.done || self.statements.tried < count {
            return Err(format!("{count} statements are there, not {:?}", self.statements));
        }
        self.statements = Told { done: count, tried: count };
        self.held = match count {
            0 => Held::First,
            1 => Held::Both,
            _ => Held::Second,
        };
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        let opened = Log::open_on(shared, self.keys(self.held)?, self.config());
        let (log, recovered) = opened.map_err(|error| error.to_string())?;
        let found = index(recovered.entries);
        if found < self.acknowledged || self.entries.len() < found {
            return Err(format!("{found} entries are there, {} must be", self.acknowledged));
        }
        self.entries.truncate(found);
        self.acknowledged = found;
        let minimum = log.minimum();
        if minimum < self.minimum.done || self.minimum.tried < minimum {
            return Err(format!("the minimum index is {minimum}, not {:?}", self.minimum));
        }
        self.minimum = Told { done: minimum, tried: minimum };
        check_files(&storage, &self.entries)?;
        for (path, bytes) in &self.beside {
            if storage.read(path).ok().as_ref() != Some(bytes) {
                return Err(format!("`{path}` is not there as it was put"));
            }
        }
        (self.storage, self.log) = (storage, Some(log));
        Ok(())
    }

    fn log(&self) -> Result<&Log, String> {
        self.log.as_ref().ok_or_else(|| "the log is not open".to_owned())
    }

    fn keys(&self, held: Held) -> Result<Keys, String> {
        let [first, second] = [key(1)?, key(2)?];
        let log = match held {
            Held::First => vec![first],
            Held::Both => vec![first, second],
            Held::Second => vec![second],
        };
        Ok(Keys { log })
    }

    fn config(&self) -> Config {
        let time_ms = Arc::clone(&self.time_ms);
        let mut config = Config::new(Arc::new(move || time_ms.load(Ordering::Relaxed)));
        config.segment_bytes = self.segment_bytes;
        config.free_bytes_min = 0;
        config.high_water = Some(Arc::new(self.mark.clone()));
        config
    }
}

fn key(seed: u8) -> Result<Arc<dyn Sign>, String> {
    let signer = Signer::from_seed(ORIGIN, Algorithm::Ed25519, &[seed; 32]);
    Ok(Arc::new(signer.map_err(|error| error.to_string())?))
}

fn verifier(seed: u8) -> Result<Verifier, String> {
    Ok(key(seed)?.verifier().clone())
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const ORIGIN: &str = "example.com/log";
const START_MS: u64 = 1_700_000_000_000;

#[cfg(test)]
mod tests {
    use super::{Tally, run};

    fn lives(part: u64) {
        let mut sum = Tally::default();
        let seeds = REPLAYED.iter().copied().chain(0..SEEDS);
        for seed in seeds.filter(|seed| seed % 2 == part) {
            let steps = if REPLAYED.contains(&seed) { 120 } else { 32 };
            let tally = run(seed, steps).unwrap_or_else(|what| panic!("{what}"));
            sum.entries += tally.entries;
            sum.openings += tally.openings;
            sum.crashes += tally.crashes;
            sum.rollbacks += tally.rollbacks;
            sum.minimum += tally.minimum;
            sum.statements += tally.statements;
        }
        // The runs reach what they are for.
        assert!(SEEDS / 2 < sum.crashes && sum.crashes < sum.openings, "{sum:?}");
        assert!(SEEDS / 10 < sum.rollbacks && SEEDS / 10 < sum.statements, "{sum:?}");
        assert!(256 < sum.minimum && 30 * SEEDS < sum.entries, "{sum:?}");
    }

    #[test]
    fn every_even_seed_lives() {
        lives(0);
    }

    #[test]
    fn every_odd_seed_lives() {
        lives(1);
    }

    #[test]
    fn a_seed_always_lives_the_same_life() {
        assert_eq!(run(7, 40), run(7, 40));
        assert_ne!(run(7, 40), run(8, 40));
    }

    const SEEDS: u64 = 200;
    /// Seeds that once found something.
    const REPLAYED: [u64; 1] = [1_000_187];
}
