//! Verifying a log on disk that was tampered with: it fails, or nothing was changed that matters; and
//! whoever reads the files without verifying them sees no entry that checksums would not let pass.

use crate::tlog_sample::{Damage, Files, Sample, damage, signer};
use std::fs;
use std::num::NonZeroUsize;
use std::path::Path;
use tlog::Reader;
use verify::{Directory, Entries, LooksAt, Observer, Options, Report};

/// The input lists changes to the files of a log, which is then verified and read.
pub fn tlog_verify(data: &[u8]) {
    let damage = damage(data);
    let dir = tempfile::tempdir().expect("there is a place for temporary files");
    write(dir.path(), &damage.files);
    check_verify(dir.path(), &damage);
    check_reader(dir.path(), &damage);
}

fn write(dir: &Path, files: &Files) {
    for (path, bytes) in files {
        let path = dir.join(path);
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir).expect("a directory can be made");
        }
        fs::write(path, bytes).expect("a file can be written");
    }
}

/// Compares the entries with those that were written.
struct Witness {
    sample: &'static Sample,
    seen: u64,
}

impl Observer for Witness {
    fn entry(&mut self, index: u64, entry: &[u8]) {
        assert_eq!(index, self.seen, "an entry out of order");
        assert_eq!(written(self.sample, index), Some(entry), "entry {index} was never written");
        self.seen += 1;
    }
}

fn check_verify(dir: &Path, damage: &Damage) {
    let sample = damage.sample;
    let kept = damage.choice & 8 != 0;
    let options = Options {
        keys: (damage.choice & 4 != 0).then(|| signer().verifier().clone()).into_iter().collect(),
        checkpoints: sample.notes.last().filter(|_| kept).cloned().into_iter().collect(),
        entries: Entries::Opaque,
        threads: NonZeroUsize::new(1),
        ..Options::default()
    };
    let mut witness = Witness { sample, seen: 0 };
    let report = match verify::verify(&Directory::new(dir), &options, &mut witness) {
        Ok(report) => report,
        Err(failure) => {
            let untouched = damage.files == sample.files;
            assert!(!(untouched && sample.closed), "an untouched log fails: {failure}");
            return;
        }
    };
    assert_eq!(report.entries, witness.seen);
    assert_eq!(sample.batches.get(&report.entries), Some(&report.root), "no batch ends here");
    assert!(!report.live);
    assert!(sample.notes.contains(&damage.files["checkpoint"]));
    assert!(report.checkpoint_size <= report.entries);
    let all = sample.entries.len();
    assert!(!kept || usize::try_from(report.entries) == Ok(all), "a cut log passes");
    if usize::try_from(report.checkpoint_size) == Ok(all) {
        check_untouched(damage, &report);
    }
}

/// A verified log whose checkpoint covers everything has all its files as they were, but for what a
/// verification cannot miss: partial tiles of older checkpoints, and a spare segment of zeros.
fn check_untouched(damage: &Damage, report: &Report) {
    // Copies of the published files alone verify as well; they have no segments and no lock.
    let published = report.looks_at == LooksAt::Published;
    let apart = |path: &str| published && (path == "lock" || path.starts_with("segments/"));
    for (path, bytes) in &damage.files {
        let spare = path == "segments/spare.seg" && bytes.iter().all(|byte| *byte == 0);
        let same = damage.sample.files.get(path) == Some(bytes);
        assert!(same || spare, "`{path}` was changed or added");
    }
    let newest = format!(".p/{}", damage.sample.entries.len());
    for path in damage.sample.files.keys().filter(|path| !damage.files.contains_key(*path)) {
        let old = path.contains(".p/") && !path.ends_with(&newest);
        assert!(apart(path) || old || path == "segments/spare.seg", "`{path}` is missing");
    }
}

fn check_reader(dir: &Path, damage: &Damage) {
    let Ok(mut reader) = Reader::open(dir) else { return };
    let sample = damage.sample;
    for from in [0, 7] {
        let Ok(entries) = reader.entries(from) else { continue };
        for (index, entry) in entries.map_while(Result::ok).take(sample.entries.len() + 2) {
            let same = written(sample, index) == Some(entry.as_slice());
            assert!(same || damage.mended, "entry {index} was never written");
        }
    }
    let by_the_log = reader.verifier() == signer().verifier();
    if by_the_log && let Ok(note) = reader.checkpoint_note() {
        assert_eq!(reader.checkpoint().is_ok(), sample.notes.contains(&note));
    }
    for index in [0, 5, 29, 30, u64::MAX] {
        let entry = reader.entry(index);
        assert!(index < 30 || damage.mended || entry.is_err(), "entry {index} was never written");
        reader.root(index.min(1_000)).ok();
        reader.inclusion_proof(index.min(1_000), 30).ok();
        reader.consistency_proof(index.min(1_000), 30).ok();
    }
}

fn written(sample: &Sample, index: u64) -> Option<&[u8]> {
    sample.entries.get(usize::try_from(index).ok()?).map(Vec::as_slice)
}
