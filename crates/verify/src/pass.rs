//! One pass over all entries of a log: the tree grows, and what was signed and
//! published is compared with it.

use crate::bundles;
use crate::check::{Check, Checks};
use crate::content::Content;
use crate::cut::{self, Cutter};
use crate::directory::unreadable;
use crate::event::{self, Facts};
use crate::failure::{Failure, Verdict};
use crate::keys::Ring;
use crate::log::{Claims, Verification};
use crate::marks::Marks;
use crate::options::{Entries, Observer, Progress};
use crate::pipeline::{self, BatchEnd, Block, Done, Work};
use crate::report::{Report, StampReport};
use crate::segment::{Segment, u64_from};
use crate::source::Source;
use crate::stamps;
use crate::tiles::{self, TileCheck, WIDTH, needed, read_needed};
use crate::tree::{Tree, fold_level};
use crate::walk::{self, Kind, LOCK, PUT_TEMPORARY, SPARE, segment_path};
use note::{Hash, TILE_WIDTH, Tile, TileKind, leaf_hash, tile_hash};
use std::collections::BTreeSet;
use std::fs::File;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

/// The pass.
pub(crate) struct Pass<'p> {
    source: &'p dyn Source,
    checks: Checks,
    live: bool,
    threads: usize,
    events: bool,
    ring: &'p Ring,
    marks: &'p mut Marks,
    observer: &'p mut dyn Observer,
    tree: Tree,
    tiles: TileCheck<'p>,
    content: Option<Content<'p>>,
    /// The number of entries of the checkpoint.
    published: u64,
    minimum: u64,
    /// The bundle that was read last.
    bundle: Option<Tile>,
    batches: u64,
    times: Option<(u64, u64)>,
    progress: Progress,
    /// The roots of timestamp authorities, as PEM.
    tsa_roots: Option<&'p [u8]>,
    /// The timestamps that events told of.
    stamps: Vec<StampReport>,
}

impl<'p> Pass<'p> {
    pub(crate) fn new(
        verification: &'p Verification<'_>,
        claims: &'p mut Claims,
        observer: &'p mut dyn Observer,
    ) -> Self {
        let Verification { source, options, checks, live } = *verification;
        let Claims { ring, checkpoint, marks, minimum } = claims;
        let (ring, minimum): (&'p Ring, u64) = (ring, *minimum);
        let events = options.entries == Entries::Events;
        let processors = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let default = || if source.directory().is_some() { processors() } else { FETCHES };
        Self {
            source,
            checks,
            live,
            threads: options.threads.map_or_else(default, NonZeroUsize::get),
            events,
            ring,
            marks,
            observer,
            tree: Tree::default(),
            tiles: TileCheck::new((source, checks, live), checkpoint.size, minimum),
            content: events.then(|| Content::new(checks, &ring.statements, minimum)),
            published: checkpoint.size,
            minimum,
            bundle: None,
            batches: 0,
            times: None,
            progress: Progress { entries: 0, bytes: 0, bytes_total: None, entries_total: None },
            tsa_roots: options.tsa_roots.as_deref(),
            stamps: Vec::new(),
        }
    }

    /// Over the segments of a directory, and every other file of it.
    pub(crate) fn segments(mut self, dir: &Path, report: &mut Report) -> Result<(), Failure> {
        let segments = cut::list(dir)?;
        self.progress.bytes_total = Some(segments.values().sum());
        let (checks, live, promised) = (self.checks, self.live, self.marks.promised());
        let ring = self.ring;
        let cutter = Cutter { dir, ring, checks, live, promised, segments };
        let first = cutter.first().ok_or_else(|| {
            let what = "the log has no segments";
            Failure::new(Check::SegmentGap, &segment_path(0), what)
        })?;
        if self.minimum < first {
            let what = format!("the segment with entry {} is missing", self.minimum);
            let path = segment_path(if self.minimum == 0 { 0 } else { self.minimum });
            self.checks.fail(Failure::new(Check::SegmentGap, &path, what).entry(self.minimum))?;
        }
        self.run(|emit| {
            if prefix(first, emit) {
                cutter.cut(emit);
            }
        })?;
        self.end(report)?;
        self.files(dir)
    }

    /// Over the published bundles; of a directory, every file of it too.
    pub(crate) fn published(mut self, report: &mut Report) -> Result<(), Failure> {
        let (size, first) = (self.published, self.minimum / WIDTH);
        self.progress.entries_total = Some(size);
        self.run(|emit| {
            if !prefix(first * WIDTH, emit) {
                return;
            }
            for index in first..size.div_ceil(WIDTH) {
                let width = needed(TileKind::Entries, index, size).unwrap_or(TILE_WIDTH);
                if !emit(Work::Bundle(Tile { kind: TileKind::Entries, index, width })) {
                    return;
                }
            }
        })?;
        self.end(report)?;
        self.source.directory().map_or(Ok(()), |dir| self.files(dir))
    }

    fn run(
        &mut self,
        cut: impl FnOnce(&mut dyn FnMut(Work) -> bool) + Send,
    ) -> Result<(), Failure> {
        let hasher = Hasher { source: self.source, checks: self.checks, events: self.events };
        if let Some(first) = self.marks.list().first()
            && first.size == 0
        {
            self.marks.compare(&self.tree)?;
        }
        pipeline::run(self.threads, cut, |work| hasher.hash(work), &mut |done| self.judge(done))
    }

    fn judge(&mut self, mut done: Done) -> Result<(), Failure> {
        self.progress.bytes += u64_from(done.block.bytes.len());
        if done.block.entries.is_empty() {
            for leaf in done.leaves {
                self.tree.push(leaf);
                self.marks.compare(&self.tree)?;
                self.tiles.push_leaf(leaf)?;
            }
        } else if done.block.batches.is_empty() {
            self.bundle = done.bundle;
            self.tiles.take_ahead(done.hashes.take());
            let before = self.tree.clone();
            let pushed = self.push_leaves(&done.leaves);
            let judged = pushed.and_then(|()| self.entries(&done, 0..done.leaves.len()));
            judged.map_err(|failure| self.blame(&before, &done, failure))?;
        } else {
            let mut start = 0;
            for (end, signed) in done.block.batches.iter().zip(&done.signed) {
                self.batch(&done, start, (end, *signed))?;
                self.entries(&done, start..end.entries)?;
                start = end.entries;
            }
        }
        self.progress.entries = self.tree.size();
        self.observer.progress(self.progress);
        Ok(())
    }

    /// An entry that is not that of the published hashes is altered, whatever it says: bytes come
    /// before their meaning.
    fn altered(&self, done: &Done, index: u64) -> Result<(), Failure> {
        self.checks.require(Check::TileContent, false, || {
            let at = usize::try_from(index - done.block.first).ok();
            let at = at.and_then(|at| done.block.places.get(at)).copied().unwrap_or(0);
            let what = "the entry does not have the leaf hash that is published";
            Failure::new(Check::TileContent, &done.block.path, what).at(at).entry(index)
        })
    }

    /// Says which file is wrong where a bundle and the hashes do not agree: the
    /// one without which the root would be right.
    fn blame(&self, before: &Tree, done: &Done, failure: Failure) -> Failure {
        let hashes = matches!(failure.check, Some(Check::CheckpointRoot | Check::TileContent));
        let first = done.block.first;
        let differs = self.tiles.first_difference(first, &done.leaves);
        let Some(index) = differs else { return failure };
        if !hashes {
            return self.altered(done, index).err().unwrap_or(failure);
        }
        let (kind, place) = (TileKind::Hashes(0), first / WIDTH);
        let width = needed(kind, place, self.published).unwrap_or(TILE_WIDTH);
        let Ok((_, tile)) = read_needed(self.source, Tile { kind, index: place, width }) else {
            return failure;
        };
        let leaves: Option<Vec<Hash>> =
            (0..u64::from(width)).map(|at| tile_hash(&tile, at)).collect();
        let mut tree = before.clone();
        leaves.iter().flatten().for_each(|leaf| tree.push(*leaf));
        let mut nodes = tiles::Reader::new(self.source, self.published);
        let fits = if width == TILE_WIDTH {
            leaves.map(|leaves| fold_level(&leaves)) == nodes.node(8, place).ok()
        } else {
            self.marks
                .list()
                .iter()
                .any(|mark| (mark.size, mark.root) == (tree.size(), tree.root()))
        };
        if !fits {
            return failure;
        }
        self.altered(done, index).err().unwrap_or(failure)
    }

    /// Checks one batch against the tree and its key.
    fn batch(
        &mut self,
        done: &Done,
        start: usize,
        (end, signed): (&BatchEnd, bool),
    ) -> Result<(), Failure> {
        let leaves = done.leaves.get(start..end.entries).unwrap_or_default();
        let before = self.tree.size();
        let promised = self.push_leaves(leaves);
        let path = &done.block.path;
        let fail = |check, what: &str| {
            let first = self.tiles.first_difference(before, leaves);
            let place = first.and_then(|index| usize::try_from(index - before).ok());
            let place = place.and_then(|place| done.block.places.get(start + place));
            let at = place.map_or(end.offset, |place| *place);
            Failure::new(check, path, what).at(at).entry(first.unwrap_or(before))
        };
        let root = self.tree.root() == end.batch.root;
        self.checks.require(Check::BatchRoot, root, || {
            fail(Check::BatchRoot, "the entries do not have the root in the trailer")
        })?;
        self.checks.require(Check::BatchSignature, signed, || {
            fail(Check::BatchSignature, "the batch is not signed by the epoch key")
        })?;
        let trusted = end.epoch.trusted || end.batch.size <= self.published;
        self.checks.require(Check::EpochTrust, trusted, || {
            let what = "no checkpoint covers the batch, and a key that the given key does not lead \
                        to certified the key that signed it";
            fail(Check::EpochTrust, what)
        })?;
        promised
            .map_err(|failure| failure.entry_known(self.tiles.first_difference(before, leaves)))?;
        self.batches += 1;
        let time = end.batch.time_ms;
        self.times = Some((self.times.map_or(time, |(first, _)| first), time));
        Ok(())
    }

    /// Adds leaves to the tree, and compares it with what was promised.
    fn push_leaves(&mut self, leaves: &[Hash]) -> Result<(), Failure> {
        let mut promised = Ok(());
        for leaf in leaves {
            self.tree.push(*leaf);
            promised = promised.and(self.marks.compare(&self.tree));
        }
        promised
    }

    /// What is to be done with entries once they are known to be genuine.
    fn entries(&mut self, done: &Done, range: std::ops::Range<usize>) -> Result<(), Failure> {
        for position in range {
            let entry = done.block.entry(position);
            let Some(leaf) = done.leaves.get(position) else { break };
            let index = done.block.first + u64_from(position);
            self.tiles.push(entry, *leaf, done.bundle)?;
            if let (Some(content), Some(event)) = (&mut self.content, done.events.get(position)) {
                let taken = content.take((&done.block.path, index), *leaf, event);
                taken.map_err(|failure| match done.block.places.get(position) {
                    Some(place) => failure.at(*place),
                    None => failure,
                })?;
            }
            self.observer.entry(index, entry);
            match done.events.get(position) {
                Some(Ok(facts)) if facts.kind == event::Kind::Timestamped => {
                    let roots = stamps::given_roots(self.tsa_roots)?;
                    let at = (&*done.block.path, index);
                    let source = (self.source, self.checks);
                    self.stamps.extend(stamps::told(source, facts, at, roots.as_deref())?);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Everything that was promised must have come by.
    fn end(&mut self, report: &mut Report) -> Result<(), Failure> {
        self.marks.end(self.tree.size())?;
        self.tiles.end(self.bundle)?;
        report.entries = self.tree.size();
        report.root = self.tree.root();
        report.batches = self.batches;
        report.first_time_ms = self.times.map(|(first, _)| first);
        report.last_time_ms = self.times.map(|(_, last)| last);
        if let Some(content) = self.content.take() {
            content.end(report);
        }
        let known: BTreeSet<u64> = report.stamps.iter().map(|stamp| stamp.size).collect();
        report.stamps.extend(self.stamps.drain(..).filter(|stamp| !known.contains(&stamp.size)));
        Ok(())
    }

    /// Looks at the files that the pass did not read.
    fn files(&self, dir: &Path) -> Result<(), Failure> {
        walk::walk(dir, self.checks, &mut |found| {
            let (checks, path) = (self.checks, found.path);
            match found.kind {
                Kind::Tile(tile) => self.tile(tile),
                Kind::Fixed if path == LOCK => {
                    checks.require(Check::LockEmpty, found.length == 0, || {
                        Failure::new(Check::LockEmpty, LOCK, "the file must be empty").at(0)
                    })
                }
                // A live writer may put the one to use and the other in place
                // any moment.
                Kind::Fixed if path == SPARE && !self.live => self.spare(dir),
                Kind::Fixed if path == PUT_TEMPORARY && !self.live => {
                    let what =
                        "a writer was stopped while it made this file; opening the log removes it";
                    checks.fail(Failure::new(Check::UnfinishedTail, PUT_TEMPORARY, what))
                }
                _ => Ok(()),
            }
        })
    }

    /// A published tile must be of entries of the log; what the pass did not
    /// compare is compared here.
    fn tile(&self, tile: Tile) -> Result<(), Failure> {
        let total = Tile::total(tile.kind, self.tree.size());
        let reaches = tile.index * WIDTH + u64::from(tile.width);
        if total < reaches && !self.live {
            let what = "the tile is of entries that the log does not hold";
            let failure = Failure::new(Check::TileExcess, &tile.path(), what);
            return self.checks.fail(failure.entry(self.tree.size()));
        }
        if tile.kind == TileKind::Entries && reaches <= self.minimum {
            return self.pruned_bundle(tile);
        }
        Ok(())
    }

    /// A bundle that could have been pruned and is still there.
    fn pruned_bundle(&self, tile: Tile) -> Result<(), Failure> {
        let Some(bundle) = tiles::read_tile(self.source, tile)? else { return Ok(()) };
        let hashes = Tile::full(TileKind::Hashes(0), tile.index);
        let (_, hashes) = read_needed(self.source, hashes)?;
        let entries = bundles::entries(&bundle, tile.width);
        let leaves = entries.map(|ranges| {
            let entries = ranges.into_iter().map(|range| bundle.get(range).unwrap_or_default());
            (0..).zip(entries).all(|(at, entry)| tile_hash(&hashes, at) == Some(leaf_hash(entry)))
        });
        self.checks.require(Check::TileContent, leaves == Some(true), || {
            let what = "the bundle does not have the leaf hashes that are published";
            Failure::new(Check::TileContent, &tile.path(), what).entry(tile.index * WIDTH)
        })
    }

    /// A segment made ahead of need holds nothing: it is zeros until it gets
    /// the name of a segment.
    fn spare(&self, dir: &Path) -> Result<(), Failure> {
        let file = File::open(dir.join(SPARE)).map_err(|error| unreadable(SPARE, &error))?;
        let segment = Segment::open(SPARE, file, self.checks);
        let segment = segment.map_err(|error| unreadable(SPARE, &error))?;
        let stray = segment.written_after(0)?;
        self.checks.require(Check::SpareZeros, stray.is_none(), || {
            let what = "a segment that was not begun is not zeros";
            let at = stray.map_or(0, |(first, _)| first);
            Failure::new(Check::SpareZeros, SPARE, what).at(at)
        })
    }
}

/// Hands out the leaf hashes of the entries before `first`, which are pruned.
fn prefix(first: u64, emit: &mut dyn FnMut(Work) -> bool) -> bool {
    (0..first.div_ceil(WIDTH)).all(|index| {
        let count = (first - index * WIDTH).min(WIDTH);
        let tile = Tile::full(TileKind::Hashes(0), index);
        emit(Work::Leaves(tile, u16::try_from(count).unwrap_or(TILE_WIDTH)))
    })
}

/// What is done on many threads.
struct Hasher<'a> {
    source: &'a dyn Source,
    checks: Checks,
    events: bool,
}

impl Hasher<'_> {
    fn hash(&self, work: Work) -> Result<Done, Failure> {
        match work {
            Work::Failed(failure) => Err(failure),
            Work::Block(block) => Ok(self.block(block)),
            Work::Bundle(tile) => self.bundle(tile),
            Work::Leaves(tile, count) => {
                let (tile, bytes) = read_needed(self.source, tile)?;
                let leaves: Option<Vec<Hash>> =
                    (0..u64::from(count)).map(|at| tile_hash(&bytes, at)).collect();
                let short = || {
                    let what = "the tile is too short";
                    Failure::needed(Verdict::Altered, &tile.path(), what)
                };
                Ok(Done { leaves: leaves.ok_or_else(short)?, ..Done::default() })
            }
        }
    }

    fn bundle(&self, tile: Tile) -> Result<Done, Failure> {
        let (found, bytes) = read_needed(self.source, tile)?;
        let exact = if found == tile { bundles::entries(&bytes, tile.width) } else { None };
        let entries = match exact {
            Some(entries) => entries,
            None => {
                let first = bundles::first_entries(&bytes, tile.width);
                let whole = found != tile && first.is_some();
                self.checks.require(Check::BundleForm, whole, || {
                    let what = "the bundle does not hold its entries and nothing else";
                    let failure = Failure::new(Check::BundleForm, &found.path(), what);
                    failure.entry(tile.index * WIDTH)
                })?;
                first.unwrap_or_default()
            }
        };
        let path = found.path().into();
        let places = entries.iter().map(|range| u64_from(range.start)).collect();
        let (first, batches) = (tile.index * WIDTH, Vec::new());
        let mut done = self.block(Block { path, first, bytes, entries, places, batches });
        done.bundle = Some(found);
        // Fetched here, many at once, what is compared one after the other.
        done.hashes = read_needed(self.source, Tile { kind: TileKind::Hashes(0), ..tile }).ok();
        Ok(done)
    }

    fn block(&self, block: Block) -> Done {
        let entries = 0..block.entries.len();
        let leaves = entries.clone().map(|at| leaf_hash(block.entry(at))).collect();
        let events = if self.events {
            entries.map(|at| Facts::read(block.entry(at))).collect()
        } else {
            Vec::new()
        };
        let signed = |end: &BatchEnd| {
            let origin = end.epoch.key.name().strip_suffix("/batch").unwrap_or_default();
            end.batch.verify(origin, &end.epoch.key).is_ok()
        };
        let signed = block.batches.iter().map(signed).collect();
        Done { block, leaves, events, signed, bundle: None, hashes: None }
    }
}

/// How many files are fetched at once from an address.
const FETCHES: usize = 8;
