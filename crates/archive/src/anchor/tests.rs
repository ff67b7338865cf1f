//! Rounds over a real log, with storage in memory, and the copy read back.

use super::memory::Memory;
use super::{Anchor, AnchorError, Clock, Config, ManifestRef};
use crate::s3source::{S3Source, SourceError};
use crate::sample::{Kept, SampleLog, entry, signer};
use note::{Checkpoint, Hash, Lines, Tile, TileKind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Rig {
    log: SampleLog,
    memory: Arc<Memory>,
    kept: Arc<Kept>,
    anchor: Anchor,
}

fn clock() -> Clock {
    Arc::new(|| 1_795_336_620)
}

impl Rig {
    fn new(log: SampleLog) -> Self {
        let memory = Arc::new(Memory::default());
        let kept = Arc::new(Kept::default());
        let config = Config {
            bucket: "bucket".to_owned(),
            prefix: "gw-1".to_owned(),
            retention: Duration::from_secs(3_600),
            cursor: log.path().with_file_name("anchor.json"),
        };
        let anchor = Anchor::new(log.path(), config, (memory.clone(), kept.clone()), clock());
        Self { log, memory, kept, anchor }
    }

    fn grow(&self, range: std::ops::Range<u64>) {
        self.log.append(range.map(entry));
        self.log.publish();
    }

    async fn open(&self, manifest: Option<ManifestRef>) -> Result<S3Source, SourceError> {
        let manifest = match manifest {
            Some(manifest) => manifest,
            None => S3Source::newest(self.memory.as_ref(), &clock()).await?,
        };
        S3Source::open(self.memory.clone(), clock(), manifest).await
    }

    /// Every file that the checkpoint in the copy needs is in it, and the same as in the log.
    async fn check(&self, source: &S3Source) {
        let note = source.read("checkpoint").await.unwrap();
        let checkpoint = Checkpoint::verify(&note, signer().verifier(), Lines::LogOnly).unwrap();
        assert_eq!(checkpoint.size, source.size());
        let kinds = (0..3).map(TileKind::Hashes).chain([TileKind::Entries]);
        for kind in kinds {
            let total = Tile::total(kind, checkpoint.size);
            for index in 0..total.div_ceil(256) {
                let width = u16::try_from((total - index * 256).min(256)).unwrap();
                let path = Tile { kind, index, width }.path();
                let copy = source.read(&path).await.unwrap();
                let full = self.log.path().join(&path);
                let full = if full.exists() { path } else { Tile::full(kind, index).path() };
                assert!(self.log.read(&full).starts_with(&copy), "{full}");
            }
        }
        assert_eq!(source.read("origin.vkey").await.unwrap(), self.log.read("origin.vkey"));
    }
}

#[tokio::test]
async fn a_copy_has_all_that_its_checkpoint_needs() {
    let rig = Rig::new(SampleLog::with(700));
    rig.log.write("keys/1.note", b"a statement");
    let anchored = rig.anchor.round().await.unwrap().unwrap();
    assert_eq!(anchored.size, 700);
    // Two blocks with bundle and tile; partial bundle and tiles of two levels; key, statement,
    // checkpoint.
    assert_eq!(anchored.objects, 4 + 3 + 3);
    let ManifestRef { key, sha256, version_id } = anchored.manifest.clone();
    assert_eq!(
        rig.kept.take(),
        [format!(
            "log.anchored bucket=bucket manifest={key} manifest_sha256={sha256} \
             manifest_version={version_id} objects=10 prefix=gw-1 size=700"
        )]
    );
    let source = rig.open(Some(anchored.manifest)).await.unwrap();
    assert_eq!((source.size(), source.origin()), (700, "example.com/audit"));
    rig.check(&source).await;
    assert_eq!(source.read("keys/1.note").await.unwrap().as_ref(), b"a statement");
    let error = source.read("tile/0/777").await.unwrap_err();
    assert!(matches!(error, SourceError::NotThere(_)));
    assert!(rig.anchor.round().await.unwrap().is_none(), "nothing is new");
    assert!(rig.kept.take().is_empty());
}

#[tokio::test]
async fn rounds_build_on_each_other() {
    let rig = Rig::new(SampleLog::with(100));
    let mut manifests = Vec::new();
    for end in [200, 256, 257, 1_000, 1_100] {
        let from = rig.open(None).await.map_or(100, |source| source.size());
        if manifests.is_empty() {
            manifests.push(rig.anchor.round().await.unwrap().unwrap().manifest);
        }
        rig.grow(from.max(100)..end);
        rig.memory.stores();
        let anchored = rig.anchor.round().await.unwrap().unwrap();
        assert_eq!(anchored.size, end);
        assert!(rig.memory.stores() < 16, "only what is new is stored");
        manifests.push(anchored.manifest);
        rig.check(&rig.open(None).await.unwrap()).await;
    }
    let parts = rig.memory.keys().into_iter().filter(|key| key.starts_with("parts/"));
    assert_eq!(parts.count(), 2, "as many as there are pairs of full blocks, however many rounds");
    // Every earlier manifest still opens the copy as it was then.
    for (manifest, size) in manifests.into_iter().zip([100, 200, 256, 257, 1_000, 1_100]) {
        let source = rig.open(Some(manifest)).await.unwrap();
        assert_eq!(source.size(), size);
        rig.check(&source).await;
    }
}

#[tokio::test]
async fn a_round_goes_on_where_it_was_cut() {
    let rig = Rig::new(SampleLog::with(600));
    // Two blocks of two files and their manifest; then five files of the tail and the whole manifest.
    for stores in 0..6 {
        rig.memory.fail_after(Some(stores));
        let error = rig.anchor.round().await.unwrap_err();
        assert!(matches!(error, AnchorError::Copy(_)), "{error}");
        assert!(rig.kept.take().is_empty(), "nothing is on record before all is stored");
    }
    rig.memory.fail_after(Some(6));
    assert_eq!(rig.anchor.round().await.unwrap().unwrap().objects, 5);
    rig.memory.fail_after(None);
    assert_eq!(rig.kept.take().len(), 1);
    rig.check(&rig.open(None).await.unwrap()).await;
    // Without the cursor everything is stored again, under the same names and versions.
    let keys = rig.memory.keys();
    std::fs::remove_file(rig.log.path().with_file_name("anchor.json")).unwrap();
    rig.anchor.round().await.unwrap().unwrap();
    assert_eq!(rig.memory.keys(), keys);
    assert!(rig.memory.versions.lock().unwrap().values().all(|versions| versions.len() == 1));
}

#[tokio::test]
async fn the_log_grows_between_a_cut_and_the_next_round() {
    let rig = Rig::new(SampleLog::with(600));
    // Both blocks and their manifest; then the tail fails.
    rig.memory.fail_after(Some(6));
    assert!(rig.anchor.round().await.is_err());
    rig.memory.fail_after(None);
    rig.grow(600..900);
    let anchored = rig.anchor.round().await.unwrap().unwrap();
    assert_eq!(anchored.size, 900);
    rig.check(&rig.open(Some(anchored.manifest)).await.unwrap()).await;
}

#[tokio::test]
async fn what_cannot_be_recorded_is_recorded_next_time() {
    let rig = Rig::new(SampleLog::with(10));
    rig.kept.refuses.store(true, Ordering::SeqCst);
    let error = rig.anchor.round().await.unwrap_err();
    assert!(matches!(error, AnchorError::Unrecorded(_)), "{error}");
    rig.kept.refuses.store(false, Ordering::SeqCst);
    assert_eq!(rig.anchor.round().await.unwrap().unwrap().size, 10);
    assert_eq!(rig.kept.take().len(), 1);
}

#[tokio::test]
async fn what_was_altered_is_not_copied() {
    for path in ["tile/0/000", "tile/entries/000", "tile/1/000.p/2", "checkpoint"] {
        let rig = Rig::new(SampleLog::with(600));
        let mut bytes = rig.log.read(path);
        let at = bytes.len() / 3;
        bytes[at] ^= 1;
        rig.log.write(path, &bytes);
        let error = rig.anchor.round().await.unwrap_err();
        assert!(!matches!(error, AnchorError::Copy(_)), "{path}: {error}");
        assert!(rig.memory.keys().is_empty(), "{path}");
    }
}

#[tokio::test]
async fn a_smaller_log_is_not_copied() {
    let rig = Rig::new(SampleLog::with(600));
    rig.anchor.round().await.unwrap();
    let smaller = SampleLog::with(500);
    let cursor = smaller.path().with_file_name("anchor.json");
    std::fs::copy(rig.log.path().with_file_name("anchor.json"), cursor).unwrap();
    let other = Rig::new(smaller);
    let error = other.anchor.round().await.unwrap_err();
    assert!(matches!(error, AnchorError::RolledBack { size: 500, copied: 600, .. }), "{error}");
    other.log.write("../anchor.json", b"{}");
    let error = other.anchor.round().await.unwrap_err();
    assert!(matches!(error, AnchorError::Cursor(_)), "{error}");
}

#[tokio::test]
async fn what_lies_over_a_version_is_not_read() {
    let rig = Rig::new(SampleLog::with(600));
    let anchored = rig.anchor.round().await.unwrap().unwrap();
    for key in rig.memory.keys() {
        rig.memory.lay_over(&key, b"a forgery");
    }
    let source = rig.open(Some(anchored.manifest)).await.unwrap();
    rig.check(&source).await;
    let error = rig.open(None).await.unwrap_err();
    assert!(matches!(error, SourceError::SeveralVersions(_)), "{error}");
}

#[tokio::test]
async fn what_the_storage_altered_is_seen() {
    let rig = Rig::new(SampleLog::with(600));
    let anchored = rig.anchor.round().await.unwrap().unwrap();
    rig.memory.alter("tile/0/000", b"other bytes");
    let source = rig.open(Some(anchored.manifest.clone())).await.unwrap();
    let error = source.read("tile/0/000").await.unwrap_err();
    assert!(matches!(error, SourceError::Altered { .. }), "{error}");
    let part = rig.memory.keys().into_iter().find(|key| key.starts_with("parts/")).unwrap();
    let named = rig.memory.versions.lock().unwrap()[&part][0].clone();
    let sha256 = Hash::of(&named.1).to_string();
    let named = ManifestRef { key: part.clone(), sha256, version_id: named.0 };
    let error = rig.open(Some(named)).await.unwrap_err();
    assert!(matches!(error, SourceError::Broken { .. }), "{error}");
    rig.memory.alter(&part, b"{}");
    let error = rig.open(Some(anchored.manifest.clone())).await.unwrap_err();
    assert!(matches!(error, SourceError::Altered { .. }), "{error}");
    let wrong = ManifestRef { sha256: Hash::ZERO.to_string(), ..anchored.manifest };
    assert!(matches!(rig.open(Some(wrong)).await, Err(SourceError::Altered { .. })));
    let empty = Rig::new(SampleLog::with(1));
    assert!(matches!(empty.open(None).await, Err(SourceError::Empty)));
}
