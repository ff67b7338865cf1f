//! Opening: the log is checked and continued where it ended.
//!
//! Starts from the published checkpoint: its tree is rebuilt from the hash
//! tiles and must have the root that was signed; segments are read from the
//! one with the end of the published bundles in it. Of segments before it only
//! the ends are looked at. The whole log is read when the tiles do not lead to
//! the checkpoint, to say what is damaged.
//!
//! The same whether the last writer closed the log, was killed or lost power.
//! What was acknowledged is there, or the log is refused; only the unfinished
//! end of the last segment, which nobody was promised, is taken away. Nothing
//! is changed before everything was checked.

use crate::batch::Tip;
use crate::config::Config;
use crate::edge::TileEdge;
use crate::error::{Error, corrupt, io_error};
use crate::keys::Keys;
use crate::mark::{self, Mark};
use crate::merkle::CompactRange;
use crate::prune;
use crate::publish::{CHECKPOINT, Resume};
use crate::scan::{SEGMENTS, SPARE, list_segments, segment_path};
use crate::sealed::check_sealed;
use crate::shared::Active;
use crate::statements::{KeyChain, log_id};
use crate::storage::{Access, PUT_TEMPORARY, Storage};
use crate::walk::{Before, End, Known, Walk};
use note::{Checkpoint, Hash, TILE_WIDTH, Verifier};
use std::io;

/// What opening found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recovered {
    /// The number of entries in the log.
    pub entries: u64,
    /// How many bytes of an unfinished write were taken away. Nobody was told
    /// that what they held was committed.
    pub bytes_dropped: u64,
    /// Whether the last writer closed the log.
    pub clean: bool,
}

/// Everything that is needed to go on with the log.
#[derive(Debug)]
pub(crate) struct Recovery {
    pub(crate) genesis: Verifier,
    pub(crate) chain: KeyChain,
    pub(crate) minimum: u64,
    pub(crate) mark: Mark,
    pub(crate) tree: CompactRange,
    /// The hash of the last trailer.
    pub(crate) previous: Hash,
    pub(crate) active: Active,
    pub(crate) tip: Tip,
    pub(crate) checkpoint: Checkpoint,
    pub(crate) edge: Resume,
    pub(crate) recovered: Recovered,
}

/// Reads and checks the log, then mends its end. The caller holds the claim.
pub(crate) fn recover(
    storage: &dyn Storage,
    keys: &Keys,
    config: &Config,
) -> Result<Recovery, Error> {
    let chain = KeyChain::load(storage)?;
    let genesis = check_keys(&chain, keys)?;
    let note = match storage.read(CHECKPOINT) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::NotALog(CHECKPOINT.to_owned()));
        }
        read => read.map_err(io_error("read", CHECKPOINT))?,
    };
    let checkpoint = chain.verify_checkpoint(&note)?;
    let minimum = prune::signed_minimum(storage, &chain, checkpoint.size)?;
    let (mut mark, marked) = Mark::read(config.high_water.clone(), &chain)?;
    let watched = marked.as_ref().map_or(0, |marked| marked.size);
    let log = log_id(&genesis);
    let known = Known { storage, chain: &chain, log, checkpoint: &checkpoint, watched };
    let mut firsts = list_segments(storage)?;
    let kept = prune::first_kept(&firsts, minimum, checkpoint.size);
    firsts.retain(|first| kept <= *first);
    let walk = walk(&known, &firsts, minimum)?;
    if let Some(marked) = &marked {
        let root = match walk.watched_root {
            None if watched <= checkpoint.size => {
                mark::published_root(storage, watched, checkpoint.size)?
            }
            root => root,
        };
        mark::check(marked, walk.tree.size(), root)?;
    }
    config.time_after(walk.time_ms)?;
    // Everything was checked. From here on the log is mended.
    prune::remove_below(storage, minimum, kept)?;
    let mended = mend(storage, walk, &checkpoint)?;
    if marked.is_none_or(|marked| marked.size < checkpoint.size) {
        mark.advance(&note)?;
    }
    let Mended { tree, previous, active, tip, edge, recovered } = mended;
    Ok(Recovery {
        genesis,
        chain,
        minimum,
        mark,
        tree,
        previous,
        active,
        tip,
        checkpoint,
        edge,
        recovered,
    })
}

/// The keys at hand must be keys of the log.
fn check_keys(chain: &KeyChain, keys: &Keys) -> Result<Verifier, Error> {
    let genesis = chain.genesis().cloned();
    let genesis =
        genesis.ok_or_else(|| Error::NotALog(crate::statements::VERIFIER_KEY.to_owned()))?;
    for key in &keys.log {
        if !chain.is_known(key.verifier()) {
            let (expected, found) = (key.verifier().to_text(), genesis.to_text());
            return Err(Error::WrongKey { expected, found });
        }
    }
    Ok(genesis)
}

/// Walks from the published checkpoint on, or over everything there is to say
/// what is damaged.
fn walk<'a>(known: &'a Known<'a>, firsts: &[u64], minimum: u64) -> Result<Walk<'a>, Error> {
    let Some(first) = firsts.first() else { return Err(Error::NotALog(segment_path(0))) };
    if minimum < *first {
        let what = "the segment that should be here is missing";
        let path = if minimum == 0 { segment_path(0) } else { SEGMENTS.to_owned() };
        return Err(corrupt(&path, 0, Some(minimum), what));
    }
    let damage = match walk_from_checkpoint(known, firsts, minimum) {
        Err(Error::Corrupt(damage)) => damage,
        walked => return walked,
    };
    // Read everything: when the segments are good the tiles are not. They are
    // not written anew, because somebody has to look into it.
    let (before, size) = (start(minimum), *first);
    let tiles = TileEdge::from_tiles(known.storage, size, known.checkpoint.size)?;
    Walk::new(known, tiles, before).segments(firsts)?;
    Err(Error::Corrupt(damage))
}

fn walk_from_checkpoint<'a>(
    known: &'a Known<'a>,
    firsts: &[u64],
    minimum: u64,
) -> Result<Walk<'a>, Error> {
    let (storage, size) = (known.storage, known.checkpoint.size);
    let published = TileEdge::from_tiles(storage, size, size)?;
    if published.compact_range().root() != known.checkpoint.root {
        let what = "the hash tiles do not have the root in `checkpoint`";
        return Err(corrupt("tile", 0, None, what));
    }
    // From the segment with the first entry after the full bundles; from one
    // with an entry in it, in any case.
    let boundary = size - size % u64::from(TILE_WIDTH);
    let from = boundary.min(size.saturating_sub(1));
    let at = firsts.iter().rposition(|first| *first <= from).unwrap_or(0);
    let (sealed, rest) = firsts.split_at_checked(at).unwrap_or((&[], firsts));
    let mut before = start(minimum);
    for (first, end) in sealed.iter().zip(firsts.iter().skip(1)) {
        before = Some(check_sealed(storage, (*first, *end), before, known.log)?);
    }
    let first = rest.first().copied().unwrap_or(0);
    let tiles = TileEdge::from_tiles(storage, first, size)?;
    let mut walk = Walk::new(known, tiles, before);
    walk.segments(rest)?;
    Ok(walk)
}

/// What the first segment continues: nothing, or what was pruned.
fn start(minimum: u64) -> Option<Before> {
    (minimum == 0).then_some(Before { ordinal: 0, previous: Hash::ZERO })
}

struct Mended {
    tree: CompactRange,
    previous: Hash,
    active: Active,
    tip: Tip,
    edge: Resume,
    recovered: Recovered,
}

/// Takes away what was not finished, and makes sure that what was found is on
/// stable storage and not only in the memory of the system.
fn mend(
    storage: &dyn Storage,
    mut walk: Walk<'_>,
    checkpoint: &Checkpoint,
) -> Result<Mended, Error> {
    let leftovers = remove_leftovers(storage, walk.unbegun)?;
    let Some(end) = walk.end.take() else { return Err(Error::NotALog(segment_path(0))) };
    walk.note_edge(&end.position);
    let path = segment_path(end.position.segment);
    let file = storage.open(&path, Access::ReadWrite).map_err(io_error("open", &path))?;
    let active = Active {
        file,
        path,
        ordinal: end.position.ordinal,
        first: end.position.segment,
        offset: end.position.offset,
        length: end.length,
    };
    rewrite(&active, &end).map_err(io_error("write", &active.path))?;
    let size = walk.tree.size();
    let tip = Tip { size, root: walk.tree.root(), time_ms: walk.time_ms };
    let torn = end.torn || walk.unbegun.is_some() || leftovers;
    let recovered = Recovered {
        entries: size,
        bytes_dropped: u64::try_from(walk.bytes_dropped).unwrap_or(u64::MAX),
        clean: !torn && checkpoint.size == size,
    };
    let edge = walk.edge.ok_or_else(|| Error::NotALog(segment_path(0)))?;
    let (tree, previous) = (walk.tree, end.position.previous);
    Ok(Mended { tree, previous, active, tip, edge, recovered })
}

/// Removes files that a crash left; true when there were any.
fn remove_leftovers(storage: &dyn Storage, unbegun: Option<u64>) -> Result<bool, Error> {
    let mut found = false;
    let unbegun = unbegun.map(segment_path);
    for path in [Some(PUT_TEMPORARY), Some(SPARE), unbegun.as_deref()].into_iter().flatten() {
        match storage.remove(path) {
            Ok(()) => found = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("remove", path)(error)),
        }
    }
    if found {
        storage.sync_dir("").map_err(io_error("sync", "."))?;
        storage.sync_dir(SEGMENTS).map_err(io_error("sync", SEGMENTS))?;
    }
    Ok(found)
}

/// Writes the last batch again as it is, and zeros over an unfinished one.
/// After a failed sync the system may show bytes that are on no disk; writing
/// them again is what brings them there.
fn rewrite(active: &Active, end: &End) -> io::Result<()> {
    let stop = if end.torn { active.length } else { active.offset };
    let mut at = end.last_batch;
    while at < stop {
        let zeroing = active.offset <= at;
        let upto = if zeroing { stop } else { active.offset };
        let count = usize::try_from(upto - at).unwrap_or(usize::MAX).min(REWRITE_BYTES);
        let mut bytes = vec![0; count];
        let unread = !zeroing && active.file.read_at(&mut bytes, at)? != count;
        if unread || active.file.write_at(&bytes, at)? != count {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        at += u64::try_from(count).unwrap_or(u64::MAX);
    }
    active.file.sync()
}

const REWRITE_BYTES: usize = 1 << 20;
