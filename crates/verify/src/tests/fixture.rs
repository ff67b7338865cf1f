//! A writer of logs that shares nothing with the real one: it lays out segments, tiles and statements as
//! the documents say, and lets a test change any of them before it is signed.

use crate::check::{Check, Checks};
use crate::directory::Directory;
use crate::failure::Failure;
use crate::log::verify_with;
use crate::options::Options;
use crate::report::Report;
use note::{
    Action, Algorithm, Batch, Checkpoint, Epoch, Hash, Note, Sign, Signer, Statement, Tile,
    TileKind, cosign, leaf_hash, node_hash, push_bundle_entry, signature_line,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;

pub(super) const ORIGIN: &str = "example.com/audit";

/// The files of a log by their paths.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// A key with this name, always the same for a seed.
pub(super) fn signer(name: &str, seed: u8) -> Signer {
    Signer::from_seed(name, Algorithm::Ed25519, &[seed; 32]).unwrap()
}

pub(super) fn witness(seed: u8) -> Signer {
    let name = format!("witness.example/w{seed}");
    Signer::from_seed(&name, Algorithm::Ed25519Cosignature, &[seed; 32]).unwrap()
}

/// What a log is made of.
pub(super) struct Plan {
    pub(super) log: Signer,
    pub(super) epoch: Signer,
    pub(super) entries: Vec<Vec<u8>>,
    /// How many entries each batch has, and how many batches each segment.
    pub(super) batch: usize,
    pub(super) segment: usize,
    /// Changes a batch before it is signed.
    pub(super) batches: fn(usize, &mut Batch),
    /// Changes a certificate before it is signed.
    pub(super) epochs: fn(&mut Epoch),
    /// Changes what a segment is made of.
    pub(super) segments: fn(usize, &mut Segment),
    /// How many entries are published; all of them when `None`.
    pub(super) published: Option<usize>,
    /// Further keys that sign the checkpoint.
    pub(super) cosigners: Vec<Signer>,
    /// Further files.
    pub(super) files: Files,
}

/// A segment before it is laid out.
pub(super) struct Segment {
    pub(super) magic: [u8; 8],
    pub(super) version: u32,
    pub(super) ordinal: u64,
    pub(super) first: u64,
    pub(super) length: u64,
    pub(super) previous: Hash,
    pub(super) log: Hash,
    pub(super) frames: Vec<(u8, Vec<u8>)>,
}

impl Plan {
    pub(super) fn new(entries: Vec<Vec<u8>>) -> Self {
        Self {
            log: signer(ORIGIN, 1),
            epoch: signer(&format!("{ORIGIN}/batch"), 2),
            entries,
            batch: 3,
            segment: 3,
            batches: |_, _| {},
            epochs: |_| {},
            segments: |_, _| {},
            published: None,
            cosigners: Vec::new(),
            files: Files::new(),
        }
    }

    /// The usual log: events of three runs.
    pub(super) fn usual() -> Self {
        Self::new(usual_events().entries)
    }

    pub(super) fn leaves(&self) -> Vec<Hash> {
        self.entries.iter().map(|entry| leaf_hash(entry)).collect()
    }

    pub(super) fn checkpoint(&self, size: usize) -> Checkpoint {
        let root = naive_root(&self.leaves()[..size]);
        Checkpoint { origin: ORIGIN.to_owned(), size: size.try_into().unwrap(), root }
    }

    /// The checkpoint at a size, signed by the log alone.
    pub(super) fn note(&self, size: usize) -> Vec<u8> {
        self.checkpoint(size).sign(&self.log).unwrap().into_bytes()
    }

    /// All files of the log.
    pub(super) fn files(&self) -> Files {
        let mut files = self.published_files();
        files.insert("lock".to_owned(), Vec::new());
        self.lay_segments(&mut files);
        files.extend(self.files.clone());
        files
    }

    /// The files that are published.
    pub(super) fn published_files(&self) -> Files {
        let size = self.published.unwrap_or(self.entries.len());
        let mut files = Files::new();
        files.insert("origin.vkey".to_owned(), vkey_line(&self.log));
        let checkpoint = self.checkpoint(size);
        let mut note = checkpoint.sign(&self.log).unwrap();
        for cosigner in &self.cosigners {
            note += &match cosigner.verifier().algorithm() {
                Algorithm::Ed25519 => signature_line(&checkpoint.to_text(), cosigner).unwrap(),
                _ => cosign(&checkpoint.to_text(), cosigner, 1_700_000_000).unwrap(),
            };
        }
        files.insert("checkpoint".to_owned(), note.into_bytes());
        publish(&self.entries[..size], &mut files);
        files.extend(self.files.clone().into_iter().filter(|(path, _)| path != "publish.tmp"));
        files
    }

    fn lay_segments(&self, files: &mut Files) {
        let leaves = self.leaves();
        let (mut previous, mut first) = (Hash::ZERO, 0_usize);
        let key = self.epoch.verifier().clone();
        let mut epoch = Epoch { origin: ORIGIN.to_owned(), key, size: 0, time_ms: 1 };
        (self.epochs)(&mut epoch);
        let certificate = epoch.sign(&self.log).unwrap().into_bytes();
        let batches: Vec<&[Vec<u8>]> = self.entries.chunks(self.batch).collect();
        for (ordinal, group) in batches.chunks(self.segment).enumerate() {
            let (start, link) = (first, previous);
            let mut frames = vec![(3, certificate.clone())];
            for (place, entries) in group.iter().enumerate() {
                frames.extend(entries.iter().map(|entry| (1, entry.clone())));
                let size = first + entries.len();
                let mut batch = Batch {
                    first: first.try_into().unwrap(),
                    count: entries.len().try_into().unwrap(),
                    size: size.try_into().unwrap(),
                    root: naive_root(&leaves[..size]),
                    previous,
                    time_ms: 1_700_000_000_000 + u64::try_from(size).unwrap(),
                    signature: [0; 64],
                };
                (self.batches)(ordinal * self.segment + place, &mut batch);
                sign_batch(&mut batch, &self.epoch);
                let body = trailer(&batch);
                previous = Hash::of(&frame(2, &body));
                frames.push((2, body));
                first = size;
            }
            let bytes: usize = frames.iter().map(|(_, body)| body.len() + 9).sum();
            let mut segment = Segment {
                magic: *b"TLOG-SEG",
                version: 2,
                ordinal: ordinal.try_into().unwrap(),
                first: start.try_into().unwrap(),
                length: u64::try_from((bytes + 104).next_multiple_of(64) + 64).unwrap(),
                previous: link,
                log: Hash::of(&vkey_line(&self.log)),
                frames,
            };
            (self.segments)(ordinal, &mut segment);
            files.insert(format!("segments/{start:020}.seg"), segment.lay());
        }
    }
}

impl Segment {
    pub(super) fn lay(&self) -> Vec<u8> {
        let mut bytes = self.magic.to_vec();
        bytes.extend_from_slice(&self.version.to_be_bytes());
        for number in [self.ordinal, self.first, self.length] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(self.previous.as_bytes());
        bytes.extend_from_slice(self.log.as_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_be_bytes());
        for (kind, body) in &self.frames {
            bytes.extend_from_slice(&frame(*kind, body));
        }
        bytes.resize(self.length.try_into().unwrap(), 0);
        bytes
    }
}

pub(super) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    let covered = [length.as_slice(), &[kind], body].concat();
    let mut bytes = length.to_vec();
    bytes.extend_from_slice(&crc32c::crc32c(&covered).to_be_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(body);
    bytes
}

pub(super) fn trailer(batch: &Batch) -> Vec<u8> {
    let mut body = batch.first.to_be_bytes().to_vec();
    body.extend_from_slice(&batch.count.to_be_bytes());
    body.extend_from_slice(&batch.size.to_be_bytes());
    body.extend_from_slice(batch.root.as_bytes());
    body.extend_from_slice(batch.previous.as_bytes());
    body.extend_from_slice(&batch.time_ms.to_be_bytes());
    body.extend_from_slice(&batch.signature);
    body.push(0xee);
    body
}

pub(super) fn sign_batch(batch: &mut Batch, epoch: &Signer) {
    let signature = epoch.sign(batch.text(ORIGIN).as_bytes()).unwrap();
    batch.signature = signature.try_into().unwrap();
}

pub(super) fn vkey_line(key: &Signer) -> Vec<u8> {
    format!("{}\n", key.verifier().to_text()).into_bytes()
}

/// The published bundles and tiles of entries.
pub(super) fn publish(entries: &[Vec<u8>], files: &mut Files) {
    let put = |files: &mut Files, kind, index: usize, width: usize, bytes| {
        let (index, width) = (index.try_into().unwrap(), width.try_into().unwrap());
        files.insert(Tile { kind, index, width }.path(), bytes);
    };
    for (index, bundle) in entries.chunks(256).enumerate() {
        let mut bytes = Vec::new();
        bundle.iter().for_each(|entry| push_bundle_entry(&mut bytes, entry));
        put(files, TileKind::Entries, index, bundle.len(), bytes);
    }
    let mut hashes: Vec<Hash> = entries.iter().map(|entry| leaf_hash(entry)).collect();
    for level in 0.. {
        for (index, tile) in hashes.chunks(256).enumerate() {
            let bytes = tile.iter().flat_map(|hash| *hash.as_bytes()).collect();
            put(files, TileKind::Hashes(level), index, tile.len(), bytes);
        }
        hashes = hashes.chunks_exact(256).map(naive_root).collect();
        if hashes.is_empty() {
            return;
        }
    }
}

pub(super) fn naive_root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::EMPTY_ROOT,
        [leaf] => *leaf,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            node_hash(&naive_root(left), &naive_root(right))
        }
    }
}

/// The proof of inclusion of one leaf, by the definition of RFC 6962.
pub(super) fn naive_proof(leaves: &[Hash], index: usize) -> Vec<Hash> {
    if leaves.len() <= 1 {
        return Vec::new();
    }
    let half = leaves.len().next_power_of_two() / 2;
    let (left, right) = leaves.split_at(half);
    let (mut proof, other) = if index < half {
        (naive_proof(left, index), naive_root(right))
    } else {
        (naive_proof(right, index - half), naive_root(left))
    };
    proof.push(other);
    proof
}

/// A statement, signed by these keys.
pub(super) fn statement(ordinal: u64, action: Action, signers: &[&Signer]) -> (String, Vec<u8>) {
    let statement = Statement { origin: ORIGIN.to_owned(), ordinal, action, time_ms: 5 };
    (Statement::path(ordinal), sign_text(&statement.to_text(), signers))
}

pub(super) fn sign_text(text: &str, signers: &[&Signer]) -> Vec<u8> {
    let mut note = Note::sign(text, signers[0]).unwrap();
    for signer in &signers[1..] {
        note += &signature_line(text, *signer).unwrap();
    }
    note.into_bytes()
}

/// Tells events, and keeps count of their sequences.
#[derive(Default)]
pub(super) struct Teller {
    pub(super) entries: Vec<Vec<u8>>,
    run: u128,
    next_id: u128,
    ends: BTreeMap<String, (u64, Option<Hash>)>,
    /// Of the run.
    pub(super) recorded: u64,
    /// Seconds since the start of the run.
    pub(super) clock: u64,
}

impl Teller {
    /// Begins a run.
    pub(super) fn start(&mut self) {
        self.next_id += 1;
        self.run = self.next_id;
        self.next_id -= 1;
        (self.recorded, self.clock) = (0, 0);
        self.ends.clear();
        self.tell("gateway.started", "", json!({ "details": { "heartbeat_s": "30" } }));
    }

    /// Tells an event of the sequence of this session, or of the run's own.
    #[expect(clippy::needless_pass_by_value, reason = "each value is made for the call")]
    pub(super) fn tell(&mut self, kind: &str, sequence: &str, more: Value) -> u64 {
        self.next_id += 1;
        self.clock += 1;
        let (n, previous) = self.ends.get(sequence).copied().unwrap_or_default();
        let mut place = json!({ "n": n, "run": uuid(self.run) });
        if let Some(previous) = previous {
            place["previous"] = previous.to_string().into();
        }
        let mut event = json!({
            "environment": { "gateway": "g", "monotonic_us": self.clock * 1_000_000 },
            "id": uuid(self.next_id), "kind": kind, "sequence": place, "v": 1,
        });
        let fields = more.as_object().unwrap().clone();
        event.as_object_mut().unwrap().extend(fields);
        // Another crate of a build may switch on that objects keep their order.
        event.sort_all_objects();
        let entry = event.to_string().into_bytes();
        self.ends.insert(sequence.to_owned(), (n + 1, Some(leaf_hash(&entry))));
        self.recorded += 1;
        self.entries.push(entry);
        u64::try_from(self.entries.len()).unwrap() - 1
    }

    pub(super) fn asked(&mut self, call: u128, session: &str) -> u64 {
        let mut more = json!({ "call": uuid(call) });
        if !session.is_empty() {
            more["session"] = session.into();
        }
        self.tell("call.asked", session, more)
    }

    pub(super) fn answered(&mut self, call: u128, asked: u64, sequence: &str) -> u64 {
        self.tell("call.answered", sequence, json!({ "asked": asked, "call": uuid(call) }))
    }

    pub(super) fn end_session(&mut self, session: &str) {
        self.tell("session.ended", session, json!({ "session": session }));
        self.ends.remove(session);
    }

    pub(super) fn heartbeat(&mut self, open: u64, oldest: Option<u64>, sessions: u64) {
        let mut details = json!({
            "open_calls": open.to_string(), "recorded": self.recorded.to_string(),
            "sequences": sessions.to_string(),
        });
        if let Some(oldest) = oldest {
            details["oldest_open"] = oldest.to_string().into();
        }
        self.tell("log.heartbeat", "", json!({ "details": details }));
    }

    pub(super) fn stop(&mut self) {
        let details = json!({ "open_calls": "0", "recorded": self.recorded.to_string() });
        self.tell("gateway.stopped", "", json!({ "details": details }));
    }
}

/// Three runs, of which the second broke off: every kind that something has to be so of.
pub(super) fn usual_events() -> Teller {
    let mut teller = Teller::default();
    teller.start();
    let first = teller.asked(101, "s1");
    let second = teller.asked(102, "");
    teller.answered(101, first, "s1");
    teller.heartbeat(1, Some(second), 1);
    let refused = json!({ "call": uuid(103), "session": "s9" });
    teller.tell("call.refused", "", refused);
    teller.tell("call.refused", "s1", json!({ "call": uuid(104), "session": "s1" }));
    teller.answered(102, second, "");
    teller.end_session("s1");
    let again = teller.asked(105, "s1");
    teller.end_session("s1");
    teller.answered(105, again, "");
    teller.stop();
    teller.start();
    let open = teller.asked(106, "s2");
    teller.start();
    teller.tell("log.recovered", "", json!({ "details": { "calls_in_doubt": "1" } }));
    teller.tell("call.in-doubt", "", json!({ "asked": open, "call": uuid(106) }));
    teller.heartbeat(0, None, 0);
    teller.tell("policy.changed", "", json!({}));
    teller
}

pub(super) fn uuid(number: u128) -> String {
    crate::event::uuid_text(number)
}

pub(super) fn write(dir: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = dir.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// Options that let one thread do it, which is faster for small logs.
pub(super) fn options<'a>() -> Options<'a> {
    Options { threads: NonZeroUsize::new(1), ..Options::default() }
}

/// Options with the key of the usual log.
pub(super) fn pinned<'a>() -> Options<'a> {
    Options { keys: vec![signer(ORIGIN, 1).verifier().clone()], ..options() }
}

pub(super) fn judge_dir(
    dir: &Path,
    options: &Options<'_>,
    skipped: Option<Check>,
) -> Result<Report, Failure> {
    verify_with(&Directory::new(dir), options, &mut (), Checks { skipped })
}

/// Writes the files somewhere and judges them, but for one check.
pub(super) fn judge_but(
    files: &Files,
    options: &Options<'_>,
    skipped: Option<Check>,
) -> Result<Report, Failure> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), files);
    judge_dir(dir.path(), options, skipped)
}

pub(super) fn judge(files: &Files, options: &Options<'_>) -> Result<Report, Failure> {
    judge_but(files, options, None)
}
