//! Two small logs as plain files, and the changes that an input makes to them. It refuses to know
//! what the log should say about them.

use crate::script::Script;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, mpsc};
use tlog::storage::{Memory, Storage};
use tlog::{Config, Hash, Log, Signer, leaf_hash, node_hash};

/// The key of the logs: the one in the documentation of Go's `sumdb/note`, so that it is no secret.
pub(crate) const PRIVATE_KEY: &str =
    "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

/// Files by their paths.
pub(crate) type Files = BTreeMap<String, Vec<u8>>;

/// A log at rest, with what it is known to hold.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) files: Files,
    /// Everything that was ever appended.
    pub(crate) entries: Vec<Vec<u8>>,
    /// The number of entries after each batch, and the root then.
    pub(crate) batches: BTreeMap<u64, Hash>,
    /// Signed checkpoints of the log, the oldest first; the last covers everything.
    pub(crate) notes: Vec<Vec<u8>>,
    /// Whether the writer closed the log: then its checkpoint covers everything.
    pub(crate) closed: bool,
}

/// A log that was closed, and the same one as a crash leaves it: several batches after the
/// checkpoint, the last one torn.
pub(crate) static SAMPLES: LazyLock<[Sample; 2]> = LazyLock::new(samples);

pub(crate) fn signer() -> Signer {
    Signer::from_text(PRIVATE_KEY).expect("the key is well formed")
}

pub(crate) fn config() -> Config {
    config_with(Arc::new(|| TIME_MS))
}

fn config_with(clock: tlog::Clock) -> Config {
    let mut config = Config::new(clock);
    config.segment_bytes = 4096;
    config.free_bytes_min = 0;
    config
}

/// A disk in memory with these files, all of it durable.
pub(crate) fn disk(files: &Files) -> Memory {
    let memory = Memory::default();
    for (path, bytes) in files {
        let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
        memory.make_dir(dir).expect("memory does not fail");
        memory.put(path, bytes).expect("memory does not fail");
        memory.sync_dir(dir).expect("memory does not fail");
    }
    memory
}

/// The root of the tree over these entries (RFC 9162, section 2.1.1).
pub(crate) fn root(entries: &[Vec<u8>]) -> Hash {
    match entries {
        [] => Hash::EMPTY_ROOT,
        [entry] => leaf_hash(entry),
        several => {
            let (left, right) = several.split_at(several.len().next_power_of_two() / 2);
            node_hash(&root(left), &root(right))
        }
    }
}

/// What an input did to a log.
#[derive(Debug)]
pub(crate) struct Damage {
    pub(crate) sample: &'static Sample,
    pub(crate) files: Files,
    /// Whether all checksums in the segments were made to fit again: only hashes and signatures
    /// stand in the way then.
    pub(crate) mended: bool,
    /// For the choices that come after.
    pub(crate) choice: u8,
}

/// Carries out the changes that an input lists.
pub(crate) fn damage(data: &[u8]) -> Damage {
    let mut script = Script::new(data);
    let choice = script.byte();
    let sample = &SAMPLES[usize::from(choice & 1)];
    let mended = choice & 2 != 0;
    let mut files = sample.files.clone();
    let paths: Vec<&String> = sample.files.keys().collect();
    let mut changes = 0;
    while !script.is_at_end() && changes < CHANGES_MAX {
        let kind = script.byte();
        let path = *script.choose(&paths);
        change(&mut files, kind, path, &mut script, sample);
        changes += 1;
    }
    if mended {
        for (_, bytes) in files.iter_mut().filter(|(path, _)| path.starts_with("segments/")) {
            mend(bytes);
        }
    }
    Damage { sample, files, mended, choice }
}

fn change(files: &mut Files, kind: u8, path: &str, script: &mut Script<'_>, sample: &Sample) {
    let file = files.entry(path.to_owned()).or_default();
    let at = usize::from(script.number()) % (file.len() + 1);
    match kind % 9 {
        0 => {
            for (to, from) in file[at..].iter_mut().zip(script.piece()) {
                *to = *from;
            }
        }
        1 => {
            let bits = script.byte();
            if let Some(byte) = file.get_mut(at) {
                *byte ^= bits;
            }
        }
        2 => file.truncate(at),
        3 => file.extend_from_slice(script.piece()),
        4 => drop(files.remove(path)),
        5 => {
            // What a power cut leaves: sectors that were never written.
            let sector = at / SECTOR_BYTES * SECTOR_BYTES;
            let end = file.len().min(sector + SECTOR_BYTES * usize::from(script.byte()));
            file[sector.min(end)..end].fill(0);
        }
        6 => {
            let paths: Vec<&String> = sample.files.keys().collect();
            let from = *script.choose(&paths);
            files.insert(path.to_owned(), sample.files[from].clone());
        }
        7 => {
            let name = *script.choose(NEW_NAMES);
            files.insert(name.to_owned(), script.piece().to_vec());
        }
        // A rollback of the checkpoint.
        _ => drop(files.insert("checkpoint".to_owned(), script.choose(&sample.notes).clone())),
    }
}

/// Makes the checksum of the header and of every frame fit what stands there.
fn mend(segment: &mut [u8]) {
    let Some((header, mut frames)) = segment.split_at_mut_checked(HEADER_BYTES) else { return };
    let (covered, checksum) = header.split_at_mut(HEADER_BYTES - 4);
    checksum.copy_from_slice(&crc32c::crc32c(covered).to_be_bytes());
    while let Some((head, rest)) = frames.split_at_mut_checked(FRAME_BYTES) {
        let [a, b, c, d, ..] = *head else { return };
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        let Some((body, next)) = rest.split_at_mut_checked(length) else { return };
        if length == 0 {
            return;
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&[a, b, c, d, head[8]]), body);
        head[4..8].copy_from_slice(&checksum.to_be_bytes());
        frames = next;
    }
}

fn samples() -> [Sample; 2] {
    let memory = Memory::default();
    let (entered, at_clock) = mpsc::channel();
    let (go, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    // The clock runs in the committer. Held there, it lets what is submitted meanwhile become one
    // batch, so that the batches are the same in every process.
    let armed = Arc::new(AtomicBool::new(false));
    let held = Arc::clone(&armed);
    let clock = Arc::new(move || {
        if !held.load(Ordering::SeqCst) {
            return TIME_MS;
        }
        entered.send(()).ok();
        released.lock().map(|released| released.recv().ok()).ok();
        TIME_MS
    });
    let mut config = config_with(clock);
    config.monotonic = Arc::new(|| 0);
    let log = Log::create_on(Arc::new(memory.clone()), signer(), config).expect("a log is created");
    let mut sample = Sample {
        files: Files::new(),
        entries: (0..ENTRIES).map(entry).collect(),
        batches: BTreeMap::from([(0, Hash::EMPTY_ROOT)]),
        notes: vec![read(&memory, "checkpoint")],
        closed: false,
    };
    let mut next = 0;
    for (step, count) in BATCHES.into_iter().enumerate() {
        let (first, others) =
            sample.entries[next..next + count].split_first().expect("a batch has entries");
        armed.store(true, Ordering::SeqCst);
        let mut pending = vec![log.submit(first.clone()).expect("there is room")];
        at_clock.recv().expect("the clock is asked");
        pending.extend(others.iter().map(|entry| log.submit(entry.clone()).expect("room")));
        go.send(()).expect("the clock waits");
        if 1 < count {
            at_clock.recv().expect("the clock is asked");
            go.send(()).expect("the clock waits");
        }
        for pending in pending {
            let committed = pending.wait().expect("it is committed");
            sample.batches.insert(committed.tree_size(), committed.root());
        }
        armed.store(false, Ordering::SeqCst);
        next += count;
        if PUBLISHED_AFTER.contains(&step) {
            log.publish().expect("it is published");
            sample.notes.push(read(&memory, "checkpoint"));
        }
    }
    assert_eq!(next, sample.entries.len());
    let mut crashed = Sample { files: files(&memory, ""), ..sample.clone_known() };
    log.close().expect("the log is closed");
    sample.files = files(&memory, "");
    let note = read(&memory, "checkpoint");
    sample.notes.push(note.clone());
    crashed.notes.push(note);
    sample.closed = true;
    tear(&mut crashed.files);
    [sample, crashed]
}

/// Leaves only the first bytes of a further batch, as a power cut does.
fn tear(files: &mut Files) {
    let last = files.keys().rfind(|path| path.starts_with("segments/0")).cloned();
    let segment = last.and_then(|path| files.get_mut(&path)).expect("there is a segment");
    let end = segment.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let torn = [&[0, 0, 0, 40, 1, 2, 3, 4, 1][..], b"half an ent"].concat();
    segment[end..end + torn.len()].copy_from_slice(&torn);
}

impl Sample {
    fn clone_known(&self) -> Self {
        Self {
            files: Files::new(),
            entries: self.entries.clone(),
            batches: self.batches.clone(),
            notes: self.notes.clone(),
            closed: false,
        }
    }
}

fn entry(index: usize) -> Vec<u8> {
    format!("entry {index}: {}", "x".repeat(index * 97 % 400)).into_bytes()
}

fn read(memory: &Memory, path: &str) -> Vec<u8> {
    memory.read(path).expect("the file is there")
}

fn files(memory: &Memory, dir: &str) -> Files {
    let mut found = Files::new();
    for name in memory.list(dir).expect("the directory is there") {
        let path = if dir.is_empty() { name } else { format!("{dir}/{name}") };
        match memory.read(&path) {
            Ok(bytes) => drop(found.insert(path, bytes)),
            Err(_) => found.extend(files(memory, &path)),
        }
    }
    found
}

/// Names that a log may have, and names that it may not.
const NEW_NAMES: &[&str] = &[
    "publish.tmp",
    "notes.txt",
    "segments/spare.seg",
    "segments/00000000000000000007.seg",
    "segments/00000000000000000030.seg",
    "segments/18446744073709551615.seg",
    "segments/1.seg",
    "tile/0/000",
    "tile/0/000.p/29",
    "tile/0/001",
    "tile/entries/000",
    "tile/entries/000.p/x",
];

/// Milliseconds since 1970, at every commit.
const TIME_MS: u64 = 1_700_000_000_000;
const ENTRIES: usize = 30;
/// How many entries each batch has. After the first of several, which the committer takes alone, the
/// others make a batch of their own.
const BATCHES: [usize; 7] = [1, 5, 4, 1, 8, 6, 5];
/// The steps after which there is a checkpoint.
const PUBLISHED_AFTER: [usize; 2] = [1, 3];
const CHANGES_MAX: usize = 8;
const HEADER_BYTES: usize = 104;
const FRAME_BYTES: usize = 9;
const SECTOR_BYTES: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;
    use tlog::Recovered;

    fn opened(files: &Files) -> Recovered {
        let storage = Arc::new(disk(files));
        let (log, recovered) = Log::open_on(storage, signer(), config()).unwrap();
        log.close().unwrap();
        recovered
    }

    #[test]
    fn the_samples_are_logs_with_something_to_damage() {
        let [closed, crashed] = &*SAMPLES;
        assert_eq!(opened(&closed.files), Recovered { entries: 30, bytes_dropped: 0, clean: true });
        assert_eq!(
            opened(&crashed.files),
            Recovered { entries: 30, bytes_dropped: 20, clean: false }
        );
        assert_eq!(crashed.files["checkpoint"], closed.notes[2]);
        assert_eq!(closed.files["checkpoint"], closed.notes[3]);
        assert_eq!(closed.batches.keys().copied().collect::<Vec<_>>(), BATCH_ENDS);
        for (size, found) in &closed.batches {
            assert_eq!(*found, root(&closed.entries[..usize::try_from(*size).unwrap()]));
        }
        let below =
            |files: &Files, dir: &str| files.keys().filter(|path| path.starts_with(dir)).count();
        assert_eq!((below(&closed.files, "segments/"), below(&closed.files, "tile/")), (3, 6));
        assert_eq!((below(&crashed.files, "segments/"), below(&crashed.files, "tile/")), (3, 4));
    }

    #[test]
    fn checksums_that_fit_stay_as_they_are() {
        for sample in &*SAMPLES {
            assert_eq!(damage(&[u8::from(!sample.closed)]).files, sample.files);
        }
        let mended = damage(&[2]);
        assert_eq!(mended.files, SAMPLES[0].files);
        let flipped = |choice| damage(&[choice, 1, 3, 0, 120, 4]).files;
        assert_ne!(flipped(0), flipped(2), "the checksum of the changed frame is another");
    }

    const BATCH_ENDS: [u64; 13] = [0, 1, 2, 6, 7, 10, 11, 12, 19, 20, 25, 26, 30];
}
