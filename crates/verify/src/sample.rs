//! Looks at some entries instead of all: what a log says of itself is verified
//! whole, its hashes as far as they are at hand, and of its entries so many.

use crate::bundles;
use crate::check::{Check, Checks};
use crate::event::Facts;
use crate::failure::{Failure, Verdict};
use crate::log::{Claims, Verification};
use crate::options::{Entries, Sample};
use crate::report::{LooksAt, Report};
use crate::source::Source;
use crate::tiles::{Reader, TileCheck, WIDTH, needed, read_needed};
use crate::tree::{Tree, root_with, roots};
use crate::walk::STAMPS;
use note::{Hash, TILE_WIDTH, Tile, TileKind, leaf_hash, tile_hash};
use std::collections::BTreeSet;

/// Verifies a log by sample.
pub(crate) fn verify(
    verification: &Verification<'_>,
    sample: Sample,
    claims: &mut Claims,
    report: &mut Report,
) -> Result<(), Failure> {
    let Verification { source, checks, .. } = *verification;
    let size = claims.checkpoint.size;
    let chosen = choose(sample, claims.minimum, size);
    let (entries, seed) = (u64::try_from(chosen.len()).unwrap_or(u64::MAX), sample.seed());
    if source.directory().is_some() {
        report.looks_at = LooksAt::SampledTiles { entries, seed };
        all_tiles(verification, claims)?;
    } else {
        report.looks_at = LooksAt::SampledProofs { entries, seed };
        by_proofs(source, checks, claims)?;
    }
    if source.list(STAMPS).is_ok_and(|listed| listed.is_none()) {
        report.remark("timestamps were not looked at: an address does not tell them".to_owned());
    }
    claims.marks.end(size)?;
    let events = verification.options.entries == Entries::Events;
    let mut entries = Sampled { source, checks, events, bundle: None };
    for index in chosen {
        let leaf = entries.leaf(index, size)?;
        proven(source, claims, (index, leaf), checks)?;
    }
    Ok(())
}

/// Rebuilds the tree from the leaf hashes of the tiles, and compares all other
/// tiles with it.
fn all_tiles(verification: &Verification<'_>, claims: &mut Claims) -> Result<(), Failure> {
    let Verification { source, checks, live, .. } = *verification;
    let size = claims.checkpoint.size;
    // No bundle is compared here: all are below the end.
    let mut tiles = TileCheck::new((source, checks, live), size, u64::MAX);
    let mut tree = Tree::default();
    claims.marks.compare(&tree)?;
    for index in 0..size.div_ceil(WIDTH) {
        let kind = TileKind::Hashes(0);
        let width = needed(kind, index, size).unwrap_or(TILE_WIDTH);
        let (tile, bytes) = read_needed(source, Tile { kind, index, width })?;
        for at in 0..u64::from(width) {
            let Some(leaf) = tile_hash(&bytes, at) else {
                let what = "the tile is too short";
                return Err(Failure::needed(Verdict::Altered, &tile.path(), what));
            };
            tree.push(leaf);
            claims.marks.compare(&tree)?;
            tiles.push_leaf(leaf)?;
        }
    }
    tiles.end(None)
}

/// Holds the promised roots against those that the tiles have: each through
/// nodes that lead to the root of the checkpoint as well.
fn by_proofs(source: &dyn Source, checks: Checks, claims: &mut Claims) -> Result<(), Failure> {
    let (size, root) = (claims.checkpoint.size, claims.checkpoint.root);
    let mut reader = Reader::new(source, size);
    let promised: Vec<u64> = claims.marks.list().iter().map(|mark| mark.size).collect();
    for (at, old) in promised.into_iter().enumerate().filter(|(_, old)| *old <= size) {
        let found = roots(size, old, &mut |level, index| reader.node(level, index))?;
        checks.require(Check::SampleProof, found.new == root, || {
            let what = "the tiles do not have the root of the checkpoint";
            Failure::new(Check::SampleProof, "tile", what)
        })?;
        claims.marks.judge(at, found.old.unwrap_or(root))?;
    }
    Ok(())
}

/// An entry is in the log when its leaf hash and the nodes beside its way up
/// have the root.
fn proven(
    source: &dyn Source,
    claims: &Claims,
    (index, leaf): (u64, Hash),
    checks: Checks,
) -> Result<(), Failure> {
    let (size, root) = (claims.checkpoint.size, claims.checkpoint.root);
    let mut reader = Reader::new(source, size);
    let found = root_with(size, (index, leaf), &mut |level, at| reader.node(level, at))?;
    checks.require(Check::SampleProof, found == root, || {
        let path = Tile::full(TileKind::Entries, index / WIDTH).path();
        let what = "the entry is not the one whose hash the tiles have, or they do not have the \
                    root";
        Failure::new(Check::SampleProof, &path, what).entry(index)
    })
}

/// Entries as they are needed, a bundle at a time.
struct Sampled<'a> {
    source: &'a dyn Source,
    checks: Checks,
    events: bool,
    bundle: Option<(Tile, Vec<u8>, Vec<std::ops::Range<usize>>)>,
}

impl Sampled<'_> {
    /// The leaf hash of an entry, from its bytes.
    fn leaf(&mut self, index: u64, size: u64) -> Result<Hash, Failure> {
        let (kind, place) = (TileKind::Entries, index / WIDTH);
        if self.bundle.as_ref().is_none_or(|(tile, ..)| tile.index != place) {
            let width = needed(kind, place, size).unwrap_or(TILE_WIDTH);
            let (tile, bytes) = read_needed(self.source, Tile { kind, index: place, width })?;
            let exact = bundles::entries(&bytes, tile.width);
            self.checks.require(Check::BundleForm, exact.is_some(), || {
                let what = "the bundle does not hold its entries and nothing else";
                Failure::new(Check::BundleForm, &tile.path(), what).entry(place * WIDTH)
            })?;
            let ranges = exact.or_else(|| bundles::first_entries(&bytes, width));
            self.bundle = Some((tile, bytes, ranges.unwrap_or_default()));
        }
        let Some((tile, bytes, ranges)) = &self.bundle else { return Ok(Hash::ZERO) };
        let at = usize::try_from(index % WIDTH).unwrap_or(0);
        let entry = ranges.get(at).and_then(|range| bytes.get(range.clone())).unwrap_or_default();
        if self.events
            && let Err(error) = Facts::read(entry)
        {
            let what = format!("the entry is no event in canonical form: {}", error.what);
            let failure = Failure::new(Check::EventForm, &tile.path(), what).entry(index);
            self.checks.fail(failure)?;
        }
        Ok(leaf_hash(entry))
    }
}

/// The entries to look at, in order: without repetition, and every entry as
/// likely as any other (Floyd's method).
fn choose(sample: Sample, minimum: u64, size: u64) -> BTreeSet<u64> {
    let kept = size.saturating_sub(minimum);
    let (count, mut state) = (sample.count(kept), sample.seed());
    let mut chosen = BTreeSet::new();
    for last in kept - count..kept {
        let candidate = below(&mut state, last + 1);
        if !chosen.insert(minimum + candidate) {
            chosen.insert(minimum + last);
        }
    }
    chosen
}

/// A number below `bound`, by the generator `SplitMix64`. The bias is below one in 2^64.
fn below(state: &mut u64, bound: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    let product = u128::from(mixed) * u128::from(bound);
    u64::try_from(product >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::choose;
    use crate::options::Sample;

    #[test]
    fn samples_are_within_repeatable_and_of_the_right_number() {
        for (size, count) in [(0, 5), (1, 5), (1000, 10), (1000, 1000), (1000, 2000)] {
            let sample = Sample::Entries { count, seed: 7 };
            let chosen = choose(sample, 0, size);
            assert_eq!(chosen.len(), usize::try_from(count.min(size)).unwrap());
            assert!(chosen.iter().all(|index| *index < size));
            assert_eq!(chosen, choose(sample, 0, size));
        }
        let one = choose(Sample::Entries { count: 10, seed: 1 }, 500, 1000);
        assert_ne!(one, choose(Sample::Entries { count: 10, seed: 2 }, 500, 1000));
        assert!(one.iter().all(|index| (500..1000).contains(index)));
        assert_eq!(Sample::Percent { percent: 10, seed: 0 }.count(1000), 100);
        assert_eq!(Sample::Percent { percent: 1, seed: 0 }.count(5), 1);
        // Every entry is chosen by some seed.
        let all: std::collections::BTreeSet<u64> =
            (0..200).flat_map(|seed| choose(Sample::Entries { count: 2, seed }, 0, 20)).collect();
        assert_eq!(all.len(), 20);
    }
}
