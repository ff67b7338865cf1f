//! Verifies a whole log offline: reads every byte of every file in its
//! directory and says what is wrong with the first that is not as it must be.
//!
//! Shares with the writer the names of files, the judgement of an unfinished
//! end and the checkpoint format, and nothing else: it parses segments, hashes
//! and builds trees and tiles in its own code, and trusts no stored hash.
//!
//! Two things no log can show by itself: that entries after its checkpoint are
//! gone, and that partial tiles of an older checkpoint are. The first is shown
//! by a checkpoint or receipt kept elsewhere; the second hold nothing that the
//! others do not. One segment at a time is held in memory.

mod failure;
mod listing;
mod segment;
mod tiles;
mod tree;

pub use failure::{Failure, FailureKind};

use crate::publish::CHECKPOINT;
use crate::scan::{SPARE, segment_path};
use crate::statements::VERIFIER_KEY;
use crate::storage::PUT_TEMPORARY;
use listing::Listing;
use note::Hash;
use note::Verifier;
use note::{Batch, Epoch};
use note::{Checkpoint, CheckpointError, Lines};
use segment::{Found, Segment, Stop};
use std::path::Path;
use std::thread;
use std::time::Duration;
use tiles::TileCheck;
use tree::{Tree, leaf};

/// What the log is held against. All of it is optional: a log alone can only
/// be shown to be consistent with itself.
#[derive(Debug, Clone, Default)]
pub struct Expected {
    /// The key of the log, known from elsewhere.
    pub key: Option<Verifier>,
    /// A signed checkpoint kept from earlier or received from a witness: the
    /// log must still hold everything it speaks of.
    pub checkpoint: Option<Vec<u8>>,
}

/// Watches a verification, and may judge the entries in the same pass.
/// `()` watches nothing.
pub trait Observer {
    /// Called for every entry, in order, once its batch was verified.
    ///
    /// # Errors
    /// What is wrong with the entry; it ends the verification.
    fn entry(&mut self, _index: u64, _entry: &[u8]) -> Result<(), String> {
        Ok(())
    }

    /// Called after every batch.
    fn progress(&mut self, _progress: Progress) {}
}

impl Observer for () {}

/// How far a verification has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries verified so far.
    pub entries: u64,
    /// Bytes of segments read so far.
    pub bytes: u64,
    /// Bytes of segments in all.
    pub bytes_total: u64,
}

/// What was verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The name of the log.
    pub origin: String,
    /// The id of its key, eight hexadecimal digits.
    pub key_id: String,
    /// The number of entries.
    pub entries: u64,
    /// The root of the tree over them, recomputed.
    pub root: Hash,
    /// The number of batches.
    pub batches: u64,
    /// When the first batch was committed, in milliseconds since 1970-01-01
    /// UTC by the writer's clock; `None` for an empty log.
    pub first_time_ms: Option<u64>,
    /// When the last batch was committed.
    pub last_time_ms: Option<u64>,
    /// The number of entries the published checkpoint covers.
    pub checkpoint_size: u64,
    /// The number of entries that the given checkpoint covers.
    pub expected_size: Option<u64>,
    /// Whether a writer had the log open. Then this speaks of the entries that
    /// were there, not of the end that was being written.
    pub live: bool,
}

/// Verifies the log in `dir`. It is never changed.
///
/// # Errors
/// The first thing that is wrong, as a [`Failure`].
pub fn verify(
    dir: &Path,
    expected: &Expected,
    observer: &mut dyn Observer,
) -> Result<Report, Failure> {
    let live = listing::is_live(dir)?;
    let verified = verify_as(dir, expected, observer, live);
    verified.map_err(|mut failure| {
        if !live && listing::is_live(dir).is_ok_and(|live| live) {
            failure.what.push_str("; a writer opened the log meanwhile, so verify it again");
        }
        failure
    })
}

fn verify_as(
    dir: &Path,
    expected: &Expected,
    observer: &mut dyn Observer,
    live: bool,
) -> Result<Report, Failure> {
    let key = read_key(dir, expected)?;
    // The checkpoint before the list of tiles, the tiles before the segments:
    // what a writer adds meanwhile is then never missing.
    let note = listing::read(dir, CHECKPOINT)?;
    let checkpoint = Checkpoint::verify(&note, &key, Lines::LogOnly)
        .map_err(|error| refused(CHECKPOINT, &error))?;
    let given = expected.checkpoint.as_deref().map(|note| {
        Checkpoint::verify(note, &key, Lines::WithWitnesses).map_err(|error| refused(GIVEN, &error))
    });
    let given = given.transpose()?;
    let listing = Listing::read(dir)?;
    listing.check_fixed_files()?;
    let tiles = TileCheck::new(dir, listing.tiles.clone(), checkpoint.size, live);
    let mut pass = Pass {
        dir,
        live,
        log: Hash::of(format!("{}\n", key.to_text()).as_bytes()),
        key,
        epoch: None,
        checkpoint,
        given,
        observer,
        tree: Tree::default(),
        tiles,
        previous: Hash::ZERO,
        batches: 0,
        times: None,
        bytes: 0,
        bytes_total: listing.segments.values().sum(),
    };
    pass.segments(&listing)?;
    pass.end()?;
    // A live writer may put the one to use and the other in place any moment.
    if listing.has(SPARE) && !live {
        check_spare(dir)?;
    }
    if listing.has(PUT_TEMPORARY) && !live {
        let what = "a writer was stopped while it made this file; opening the log removes it";
        return Err(Failure::new(FailureKind::UnfinishedTail, PUT_TEMPORARY, what));
    }
    Ok(pass.report())
}

/// One pass over the log.
struct Pass<'a> {
    dir: &'a Path,
    live: bool,
    key: Verifier,
    /// SHA-256 of the verifier key line.
    log: Hash,
    /// The key that signs the batches at hand.
    epoch: Option<Verifier>,
    checkpoint: Checkpoint,
    given: Option<Checkpoint>,
    observer: &'a mut dyn Observer,
    tree: Tree,
    tiles: TileCheck,
    /// The hash of the last trailer.
    previous: Hash,
    batches: u64,
    times: Option<(u64, u64)>,
    bytes: u64,
    bytes_total: u64,
}

impl Pass<'_> {
    fn segments(&mut self, listing: &Listing) -> Result<(), Failure> {
        let count = listing.segments.len();
        for (ordinal, first) in listing.segments.keys().enumerate() {
            let next = self.tree.size();
            if *first != next {
                let what = format!("the segment with entry {next} is missing");
                let failure = Failure::new(FailureKind::Missing, &segment_path(next), what);
                return Err(failure.entry(next));
            }
            let is_last = ordinal + 1 == count;
            self.segment(u64::try_from(ordinal).unwrap_or(u64::MAX), is_last)?;
        }
        if count == 0 {
            let what = "the log has no segments";
            return Err(Failure::new(FailureKind::Missing, &segment_path(0), what));
        }
        Ok(())
    }

    fn segment(&mut self, ordinal: u64, is_last: bool) -> Result<(), Failure> {
        let first = self.tree.size();
        let path = segment_path(first);
        let mut bytes = listing::read(self.dir, &path)?;
        let mut segment = Segment::new(&path, (ordinal, first), (self.previous, self.log));
        let mut tries = 0;
        loop {
            match segment.next(&bytes, self.tree.size(), &self.previous) {
                Ok(found) => self.batch(&path, &bytes, &found)?,
                Err(Stop::End) => break,
                Err(_) if is_last && self.live && tries < LIVE_TRIES => {
                    // Most likely a write under way: look again in a moment.
                    tries += 1;
                    thread::sleep(LIVE_TRY_INTERVAL);
                    bytes = listing::read(self.dir, &path)?;
                }
                Err(stop) => {
                    return self.unfinished_or_failed(&segment, &bytes, (stop, is_last));
                }
            }
        }
        if segment.is_unbegun() && ordinal != 0 {
            let stop = Stop::Bad(Failure::new(FailureKind::Altered, &path, "no batch follows"));
            return self.unfinished_or_failed(&segment, &bytes, (stop, is_last));
        }
        segment.check_length(&bytes)?;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if is_last && self.live {
            return Ok(());
        }
        match segment.stray_byte(&bytes) {
            None => Ok(()),
            Some(failure) => {
                self.unfinished_or_failed(&segment, &bytes, (Stop::Bad(failure), is_last))
            }
        }
    }

    /// Tells the unfinished end of a log from damage.
    fn unfinished_or_failed(
        &self,
        segment: &Segment,
        bytes: &[u8],
        (stop, is_last): (Stop, bool),
    ) -> Result<(), Failure> {
        let failure = match stop {
            Stop::End => return Ok(()),
            Stop::Bad(failure) => failure.entry_if_none(self.tree.size()),
        };
        // A file cut short was not cut by a power failure: it had its length
        // before it had its first entry.
        segment.check_length(bytes).map_err(|short| failure.clone().or_shorter(short))?;
        let given = self.given.as_ref().map_or(0, |given| given.size);
        let promised = self.tree.size() < self.checkpoint.size.max(given);
        let unfinished = segment.is_unfinished(bytes, &self.previous);
        if !is_last || promised || !unfinished {
            return Err(failure);
        }
        if self.live {
            return Ok(());
        }
        let what = format!("{}: a write to the end of the log was not finished", failure.what);
        Err(Failure { kind: FailureKind::UnfinishedTail, what, ..failure })
    }

    /// Checks one batch against the tree, the chain and the key.
    fn batch(&mut self, path: &str, bytes: &[u8], found: &Found) -> Result<(), Failure> {
        let entries = found.entries.iter().map(|range| bytes.get(range.clone()).unwrap_or(&[]));
        let leaves: Vec<Hash> = entries.clone().map(leaf).collect();
        let before = self.tree.size();
        let promised = self.push_leaves(&leaves);
        let at = |kind, what: &str| {
            let first = self.tiles.first_difference(before, &leaves);
            let range = first.and_then(|index| usize::try_from(index - before).ok());
            let range = range.and_then(|position| found.entries.get(position));
            let offset = range.map_or(found.trailer, |range| range.start);
            Failure::new(kind, path, what).at(offset).entry(first.unwrap_or(before))
        };
        if self.tree.root() != found.batch.root {
            return Err(at(
                FailureKind::Altered,
                "the entries do not have the root in the trailer",
            ));
        }
        if let Some(note) = found.certificate.clone().and_then(|range| bytes.get(range)) {
            let epoch = Epoch::parse(note).ok().filter(|(_, note)| note.verify(&self.key).is_ok());
            self.epoch = epoch.map(|(epoch, _)| epoch.key);
        }
        let signed =
            self.epoch.as_ref().is_some_and(|key| found.batch.verify(self.key.name(), key).is_ok());
        if !signed {
            return Err(at(
                FailureKind::Signature,
                "the batch is not signed by a key that the log certified",
            ));
        }
        promised
            .map_err(|failure| failure.entry_known(self.tiles.first_difference(before, &leaves)))?;
        self.previous = found.hash;
        self.note(&found.batch);
        for ((index, entry), hash) in (before..).zip(entries).zip(leaves) {
            self.tiles.push(entry, hash)?;
            self.observer
                .entry(index, entry)
                .map_err(|what| Failure::new(FailureKind::Rejected, path, what).entry(index))?;
        }
        let (entries, bytes_total) = (self.tree.size(), self.bytes_total);
        let bytes = self.bytes + u64::try_from(found.end).unwrap_or(u64::MAX);
        self.observer.progress(Progress { entries, bytes, bytes_total });
        Ok(())
    }

    /// Adds leaves to the tree, and compares it with the checkpoints where it
    /// reaches their sizes.
    fn push_leaves(&mut self, leaves: &[Hash]) -> Result<(), Failure> {
        let roots = self.checked_roots();
        let mut promised = Ok(());
        for hash in leaves {
            self.tree.push(*hash);
            let size = self.tree.size();
            let here = roots.iter().filter(|(_, promised, _)| *promised == size);
            for (name, ..) in here.filter(|(.., root)| *root != self.tree.root()) {
                let what = format!("the first {size} entries are not those it was signed for");
                promised = promised.and(Err(Failure::new(FailureKind::Altered, name, what)));
            }
        }
        promised
    }

    /// The sizes at which a checkpoint fixes the root.
    fn checked_roots(&self) -> Vec<(&'static str, u64, Hash)> {
        let published = (CHECKPOINT, self.checkpoint.size, self.checkpoint.root);
        let given = self.given.as_ref().map(|given| (GIVEN, given.size, given.root));
        given.into_iter().chain([published]).collect()
    }

    fn note(&mut self, batch: &Batch) {
        self.batches += 1;
        let first = self.times.map_or(batch.time_ms, |(first, _)| first);
        self.times = Some((first, batch.time_ms));
    }

    /// Everything that was promised must have come by.
    fn end(&mut self) -> Result<(), Failure> {
        let size = self.tree.size();
        for (name, promised, root) in self.checked_roots() {
            if size < promised {
                let what = format!(
                    "it covers {promised} entries, and the log holds {size}: entries were removed, \
                     or an older copy was put in place"
                );
                return Err(Failure::new(FailureKind::Truncated, name, what).entry(size));
            }
            if promised == 0 && root != Tree::default().root() {
                let what = "the root is not that of an empty log";
                return Err(Failure::new(FailureKind::Altered, name, what));
            }
        }
        self.tiles.end()
    }

    fn report(self) -> Report {
        Report {
            origin: self.key.name().to_owned(),
            key_id: self.key.id_hex(),
            entries: self.tree.size(),
            root: self.tree.root(),
            batches: self.batches,
            first_time_ms: self.times.map(|(first, _)| first),
            last_time_ms: self.times.map(|(_, last)| last),
            checkpoint_size: self.checkpoint.size,
            expected_size: self.given.map(|given| given.size),
            live: self.live,
        }
    }
}

/// Reads the key of the log, byte for byte as it must be.
fn read_key(dir: &Path, expected: &Expected) -> Result<Verifier, Failure> {
    let line = listing::read(dir, VERIFIER_KEY)?;
    let text = str::from_utf8(&line).unwrap_or_default();
    if let Some(key) = &expected.key
        && text != format!("{}\n", key.to_text())
    {
        let what = format!("the log does not belong to the key `{}`", key.to_text());
        return Err(Failure::new(FailureKind::WrongKey, VERIFIER_KEY, what));
    }
    let key = Verifier::from_text(text).ok().filter(|key| text == format!("{}\n", key.to_text()));
    key.ok_or_else(|| {
        let what = "this is not a verifier key line";
        Failure::new(FailureKind::Altered, VERIFIER_KEY, what)
    })
}

/// A segment made ahead of need holds nothing: it is zeros until it gets the
/// name of a segment. A closed log has none.
fn check_spare(dir: &Path) -> Result<(), Failure> {
    let stray = listing::read(dir, SPARE)?.iter().position(|byte| *byte != 0);
    let what = "a segment that was not begun is not zeros";
    stray.map_or(Ok(()), |at| Err(Failure::new(FailureKind::Altered, SPARE, what).at(at)))
}

fn refused(path: &str, error: &CheckpointError) -> Failure {
    let kind = match error {
        CheckpointError::Malformed(_) | CheckpointError::UnknownLine => FailureKind::Altered,
        CheckpointError::Origin { .. } => FailureKind::WrongKey,
        CheckpointError::Signature(_) => FailureKind::Signature,
    };
    Failure::new(kind, path, error.to_string())
}

/// How a failure names the checkpoint that the auditor gave.
const GIVEN: &str = "the given checkpoint";
/// How often the end of a log that is being written is read again: for a tenth
/// of a second in all.
const LIVE_TRIES: u32 = 20;
const LIVE_TRY_INTERVAL: Duration = Duration::from_millis(5);
