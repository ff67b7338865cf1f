//! The work of a verification, spread over threads: one cuts the log into
//! blocks, some read and hash them, and the caller judges them in order.
//!
//! Knows nothing of what is right: a failure travels in its place among the
//! blocks, so that the first thing that is wrong is the one that is told.

use crate::event::{Facts, FormError};
use crate::failure::Failure;
use note::{Batch, Hash, Tile};
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// What there is to do.
#[derive(Debug)]
pub(crate) enum Work {
    /// A part of a segment, whole batches.
    Block(Block),
    /// A bundle to be read.
    Bundle(Tile),
    /// The first so many leaf hashes of a tile, where entries are pruned.
    Leaves(Tile, u16),
    /// Here the log goes no further.
    Failed(Failure),
}

/// A part of a file, cut into entries.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) path: Arc<str>,
    /// The index of its first entry.
    pub(crate) first: u64,
    pub(crate) bytes: Vec<u8>,
    /// Where the entries are in the bytes.
    pub(crate) entries: Vec<Range<usize>>,
    /// Where the entries are in the file.
    pub(crate) places: Vec<u64>,
    pub(crate) batches: Vec<BatchEnd>,
}

/// The end of a batch in a block.
#[derive(Debug)]
pub(crate) struct BatchEnd {
    /// How many entries of the block come before it.
    pub(crate) entries: usize,
    pub(crate) batch: Batch,
    /// Where the trailer is in the file.
    pub(crate) offset: u64,
    pub(crate) epoch: Arc<EpochKey>,
}

/// A key that signs batches, by its certificate.
#[derive(Debug)]
pub(crate) struct EpochKey {
    pub(crate) key: note::Verifier,
    pub(crate) certificate: Vec<u8>,
    /// A trusted key of the log certified it.
    pub(crate) trusted: bool,
}

/// A block that was read and hashed.
#[derive(Debug, Default)]
pub(crate) struct Done {
    pub(crate) block: Block,
    /// One for each entry; or alone, where the entries are pruned.
    pub(crate) leaves: Vec<Hash>,
    /// One for each entry, when they are judged as events.
    pub(crate) events: Vec<Result<Facts, FormError>>,
    /// For each batch, whether its signature is good.
    pub(crate) signed: Vec<bool>,
    /// The published bundle that the entries are from.
    pub(crate) bundle: Option<Tile>,
    /// The tile with their leaf hashes, as it is published.
    pub(crate) hashes: Option<(Tile, Vec<u8>)>,
}

impl Default for Block {
    fn default() -> Self {
        let (bytes, entries, places) = (Vec::new(), Vec::new(), Vec::new());
        Self { path: "".into(), first: 0, bytes, entries, places, batches: Vec::new() }
    }
}

impl Block {
    pub(crate) fn entry(&self, position: usize) -> &[u8] {
        let range = self.entries.get(position).cloned().unwrap_or_default();
        self.bytes.get(range).unwrap_or_default()
    }
}

/// Runs the three parts side by side until the log ends or `judge` fails.
///
/// # Errors
/// The first failure, in the order of the log.
pub(crate) fn run(
    threads: usize,
    cut: impl FnOnce(&mut dyn FnMut(Work) -> bool) + Send,
    hash: impl Fn(Work) -> Result<Done, Failure> + Sync,
    judge: &mut dyn FnMut(Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if threads <= 1 {
        return run_here(cut, hash, judge);
    }
    let hash = &hash;
    thread::scope(|scope| {
        let mut inputs: Vec<SyncSender<Work>> = Vec::with_capacity(threads);
        let mut outputs: Vec<Receiver<Result<Done, Failure>>> = Vec::with_capacity(threads);
        for _ in 0..threads {
            let (input, work) = sync_channel::<Work>(QUEUE_BLOCKS);
            let (done, output) = sync_channel(DONE_BLOCKS);
            scope.spawn(move || {
                while let Ok(work) = work.recv() {
                    if done.send(hash(work)).is_err() {
                        return;
                    }
                }
            });
            inputs.push(input);
            outputs.push(output);
        }
        scope.spawn(move || {
            let mut inputs = inputs.iter().cycle();
            cut(&mut |work| inputs.next().is_some_and(|input| input.send(work).is_ok()));
        });
        for output in outputs.iter().cycle() {
            // Each thread is given every block in turn, so the order is theirs.
            let Ok(done) = output.recv() else { return Ok(()) };
            judge(done?)?;
        }
        Ok(())
    })
}

/// The three parts on this thread alone, which is faster for a small log.
fn run_here(
    cut: impl FnOnce(&mut dyn FnMut(Work) -> bool),
    hash: impl Fn(Work) -> Result<Done, Failure>,
    judge: &mut dyn FnMut(Done) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut judged = Ok(());
    cut(&mut |work| {
        if judged.is_ok() {
            judged = hash(work).and_then(&mut *judge);
        }
        judged.is_ok()
    });
    judged
}

/// How many blocks may wait before each thread, and behind it. A block is about
/// a quarter of a MiB, and a bundle of the longest entries 16 MiB.
const QUEUE_BLOCKS: usize = 4;
const DONE_BLOCKS: usize = 2;
