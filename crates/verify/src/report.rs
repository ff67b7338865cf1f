//! What was verified.

use crate::content::EventCounts;
use crate::failure::Verdict;
use crate::keys::Ring;
use crate::source::Source;
use note::{Checkpoint, Hash, Seen};

/// What was verified, of a log in which nothing is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What it comes to: one of the first three.
    pub verdict: Verdict,
    /// What was looked at.
    pub looks_at: LooksAt,
    /// Where the log is.
    pub source: String,
    /// The name of the log.
    pub origin: String,
    /// The id of its first key, eight hexadecimal digits.
    pub key_id: String,
    /// All its keys.
    pub keys: Vec<KeyReport>,
    /// The number of entries.
    pub entries: u64,
    /// The root of the tree over them, recomputed.
    pub root: Hash,
    /// The smallest index that is kept; entries before it are pruned, and only
    /// their leaf hashes were verified.
    pub minimum: u64,
    /// The number of batches; 0 where only published files were read.
    pub batches: u64,
    /// When the first batch was committed, in milliseconds since 1970-01-01
    /// UTC by the writer's clock.
    pub first_time_ms: Option<u64>,
    /// When the last batch was committed.
    pub last_time_ms: Option<u64>,
    /// The number of entries the published checkpoint covers.
    pub checkpoint_size: u64,
    /// The ids of the log's keys that signed it.
    pub checkpoint_signers: Vec<String>,
    /// How many of its signature lines nobody here can judge.
    pub other_lines: usize,
    /// The witnesses of the policy that cosigned it.
    pub witnesses: Vec<Seen>,
    /// The number of entries that each given checkpoint covers.
    pub given_sizes: Vec<u64>,
    /// The other copy, when there was one.
    pub compared: Option<String>,
    /// What the events are, when they were judged.
    pub counts: Option<EventCounts>,
    /// The timestamps over checkpoints.
    pub stamps: Vec<StampReport>,
    /// Whether a writer had the log open. Then this speaks of the entries that
    /// were there, not of the end that was being written.
    pub live: bool,
    /// What is no failure, and worth to know.
    pub remarks: Vec<String>,
}

/// What was looked at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LooksAt {
    /// Every byte of every file, segments and published files.
    #[default]
    Segments,
    /// Every entry, from the published bundles and tiles; there were no
    /// segments.
    Published,
    /// Some entries and all hash tiles.
    SampledTiles {
        /// How many entries.
        entries: u64,
        /// By this seed.
        seed: u64,
    },
    /// Some entries, each by its proof of inclusion.
    SampledProofs {
        /// How many entries.
        entries: u64,
        /// By this seed.
        seed: u64,
    },
}

/// A key of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyReport {
    /// The verifier key line.
    pub key: String,
    /// The smallest checkpoint that it signs.
    pub first: u64,
    /// The largest; `None` when there is none.
    pub last: Option<u64>,
    /// It is revoked: what it signed beyond counts for nothing.
    pub revoked: bool,
    /// What is known from elsewhere leads to it.
    pub trusted: bool,
}

/// A timestamp over a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampReport {
    /// The size of the checkpoint that was stamped.
    pub size: u64,
    /// When, in milliseconds since 1970-01-01 UTC by the authority's clock;
    /// `None` when it was not judged, as no roots were given.
    pub time_ms: Option<u64>,
    /// The authority, when it was judged.
    pub authority: Option<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            verdict: Verdict::Unproven,
            looks_at: LooksAt::default(),
            source: String::new(),
            origin: String::new(),
            key_id: String::new(),
            keys: Vec::new(),
            entries: 0,
            root: Hash::EMPTY_ROOT,
            minimum: 0,
            batches: 0,
            first_time_ms: None,
            last_time_ms: None,
            checkpoint_size: 0,
            checkpoint_signers: Vec::new(),
            other_lines: 0,
            witnesses: Vec::new(),
            given_sizes: Vec::new(),
            compared: None,
            counts: None,
            stamps: Vec::new(),
            live: false,
            remarks: Vec::new(),
        }
    }
}

impl Report {
    pub(crate) fn remark(&mut self, remark: String) {
        self.remarks.push(remark);
    }

    /// What the log says of itself.
    pub(crate) fn describe(
        &mut self,
        source: &dyn Source,
        ring: &Ring,
        checkpoint: &Checkpoint,
        minimum: u64,
    ) {
        self.source = source.name();
        self.origin.clone_from(&ring.origin);
        self.key_id = ring.genesis_id();
        self.keys = ring
            .held()
            .iter()
            .map(|held| KeyReport {
                key: held.key.to_text(),
                first: held.first,
                last: (held.last != u64::MAX).then_some(held.last),
                revoked: held.revoked,
                trusted: held.trusted,
            })
            .collect();
        self.checkpoint_size = checkpoint.size;
        self.entries = checkpoint.size;
        self.root = checkpoint.root;
        self.minimum = minimum;
        self.remarks.extend(ring.remarks.iter().cloned());
    }

    /// What was not looked at, for a human.
    #[must_use]
    pub fn not_looked_at(&self) -> Vec<&'static str> {
        let mut list: Vec<&'static str> = Vec::new();
        match self.looks_at {
            LooksAt::Segments => {}
            LooksAt::Published => {
                list.push("segments: the signed batches, and entries after the checkpoint");
            }
            LooksAt::SampledTiles { .. } | LooksAt::SampledProofs { .. } => {
                list.push("all other entries, and with them whether events are missing");
                list.push("segments: the signed batches, and entries after the checkpoint");
            }
        }
        if matches!(self.looks_at, LooksAt::SampledProofs { .. }) {
            list.push("all other hash tiles");
        }
        if self.minimum != 0 {
            list.push("entries that are pruned: only their leaf hashes are there");
        }
        if self.stamps.iter().any(|stamp| stamp.time_ms.is_none()) {
            list.push("timestamps: no roots of authorities were given");
        }
        list
    }
}
