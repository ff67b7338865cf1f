//! Copies of a log in object storage under Object Lock: nobody, not even its operator, can alter them
//! before a date.
//!
//! What is copied was held against the published checkpoint first. Object storage locks versions, not names:
//! manifests, themselves locked, name the version of every object, each manifest the one before, and the log
//! the last. Files that never change are stored under their own names; what belongs to one checkpoint under
//! `at/<size>/`.

mod copies;
mod cursor;
mod manifest;
mod plan;

pub use copies::{Copies, CopyError, Listed, Listing, StoredCopy, Work};
pub use cursor::{Cursor, CursorError};
pub use manifest::{BadManifest, Manifest, ManifestRef, ObjectRef, PARTS, WHOLES};

use self::plan::{Item, Plan};
use crate::notices::{Notices, Unrecorded};
use bytes::Bytes;
use event::Kind;
use note::{CheckpointError, Hash};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The time now, in seconds since 1970-01-01 UTC: requests to object storage are signed with it.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Where copies go and how long they stay.
#[derive(Debug, Clone)]
pub struct Config {
    /// The bucket, as the record names it.
    pub bucket: String,
    /// The prefix in it, as the record names it.
    pub prefix: String,
    /// How long each copy is locked.
    pub retention: Duration,
    /// The file that says how far copying has come; beside the log, not in it.
    pub cursor: PathBuf,
}

/// Copies one log, round by round.
pub struct Anchor {
    directory: PathBuf,
    config: Config,
    copies: Arc<dyn Copies>,
    notices: Arc<dyn Notices>,
    clock: Clock,
}

/// What a round stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchored {
    /// The size of the checkpoint that is now copied with everything it covers.
    pub size: u64,
    /// How many objects this round stored, manifests not counted.
    pub objects: u64,
    /// The last manifest.
    pub manifest: ManifestRef,
}

/// Why a round ended early. What it stored stays, and the next round goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum AnchorError {
    /// A file of the log cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Read {
        /// The file, in the directory of the log.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The published checkpoint is none.
    #[error("the published checkpoint: {0}")]
    Checkpoint(#[from] CheckpointError),
    /// What would be copied is not what the checkpoint says.
    #[error("{0}: nothing of it was copied; verify the log")]
    Altered(String),
    /// The log is smaller than what was copied of it.
    #[error(
        "the log has {size} entries and {copied} were copied before: it was rolled back, or `{cursor}` \
         is of another log"
    )]
    RolledBack {
        /// Entries under the published checkpoint.
        size: u64,
        /// Entries that were copied.
        copied: u64,
        /// The file that says so.
        cursor: String,
    },
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] tlog::Error),
    /// How far copying has come cannot be read or kept.
    #[error(transparent)]
    Cursor(#[from] CursorError),
    /// The storage refused or failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The copy is there but not on record; the next round records it.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    /// A task of the round ended unexpectedly.
    #[error("copying failed unexpectedly: {0}")]
    Panicked(String),
}

impl Anchor {
    /// Copies the log in `directory`.
    #[must_use]
    pub fn new(
        directory: &Path,
        config: Config,
        (copies, notices): (Arc<dyn Copies>, Arc<dyn Notices>),
        clock: Clock,
    ) -> Self {
        Self { directory: directory.to_owned(), config, copies, notices, clock }
    }

    /// Copies what the published checkpoint covers and was not copied before; `None` when there is
    /// nothing new. When it returns, everything is stored and locked, and that is on record.
    ///
    /// # Errors
    /// [`AnchorError`]; the next round goes on where this one ended.
    pub async fn round(&self) -> Result<Option<Anchored>, AnchorError> {
        let path = self.config.cursor.clone();
        let mut cursor = blocking(move || Cursor::load(&path)).await??;
        let directory = self.directory.clone();
        let plan = blocking(move || Plan::read(&directory)).await??;
        let size = plan.checkpoint.size;
        if size < cursor.size || plan.blocks() < cursor.blocks {
            let (copied, cursor) = (cursor.size, self.config.cursor.display().to_string());
            return Err(AnchorError::RolledBack { size, copied, cursor });
        }
        if size == cursor.size {
            return Ok(None);
        }
        let mut objects = 0;
        for block in cursor.blocks..plan.blocks() {
            let stored = self.store_all(plan.block(block)).await?;
            objects += count(&stored);
            cursor.open.extend(stored);
            cursor.blocks = block + 1;
            if cursor.blocks.is_multiple_of(PART_BLOCKS) {
                self.seal(&plan, &mut cursor).await?;
            }
        }
        let tail = self.store_all(plan.tail()).await?;
        objects += count(&tail);
        let manifest = self.store_manifest(&plan.whole(&cursor, tail)).await?;
        let anchored = Anchored { size, objects, manifest };
        self.notices.notice(Kind::LogAnchored, self.details(&anchored)).await?;
        (cursor.size, cursor.manifest) = (size, Some(anchored.manifest.clone()));
        self.save(&cursor).await?;
        Ok(Some(anchored))
    }

    /// Puts the blocks since the last part under a manifest of their own: later ones need not name them,
    /// and a long round is taken up again here.
    async fn seal(&self, plan: &Plan, cursor: &mut Cursor) -> Result<(), AnchorError> {
        let part = self.store_manifest(&plan.part(cursor)).await?;
        (cursor.sealed, cursor.part) = (cursor.blocks, Some(part));
        cursor.open.clear();
        self.save(cursor).await
    }

    /// Reads, checks and stores what belongs together.
    async fn store_all(&self, items: Vec<Item>) -> Result<Vec<ObjectRef>, AnchorError> {
        let directory = self.directory.clone();
        let read = blocking(move || plan::read_all(&directory, items)).await??;
        let mut running = tokio::task::JoinSet::new();
        let mut stored = BTreeMap::new();
        for (place, (item, bytes)) in read.into_iter().enumerate() {
            if running.len() == STORING_MAX
                && let Some(ended) = running.join_next().await
            {
                let (place, object) = joined(ended)??;
                stored.insert(place, object);
            }
            let (copies, clock) = (Arc::clone(&self.copies), Arc::clone(&self.clock));
            let retention = self.config.retention;
            running.spawn(async move {
                let sha256 = Hash::of(&bytes);
                let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                let copy = copies.store(&item.key, bytes, retention, clock()).await?;
                Ok::<_, AnchorError>((
                    place,
                    ObjectRef::new(item.path, item.key, sha256, length, copy),
                ))
            });
        }
        while let Some(ended) = running.join_next().await {
            let (place, object) = joined(ended)??;
            stored.insert(place, object);
        }
        Ok(stored.into_values().collect())
    }

    async fn store_manifest(&self, manifest: &Manifest) -> Result<ManifestRef, AnchorError> {
        let (key, bytes) = (manifest.key(), Bytes::from(manifest.to_json()));
        let sha256 = Hash::of(&bytes);
        let stored = self.copies.store(&key, bytes, self.config.retention, (self.clock)());
        let version_id = stored.await?.version_id;
        Ok(ManifestRef { key, sha256: sha256.to_string(), version_id })
    }

    async fn save(&self, cursor: &Cursor) -> Result<(), AnchorError> {
        let (path, cursor) = (self.config.cursor.clone(), cursor.clone());
        Ok(blocking(move || cursor.save(&path)).await??)
    }

    fn details(&self, anchored: &Anchored) -> BTreeMap<String, String> {
        BTreeMap::from([
            ("bucket".to_owned(), self.config.bucket.clone()),
            ("manifest".to_owned(), anchored.manifest.key.clone()),
            ("manifest_sha256".to_owned(), anchored.manifest.sha256.clone()),
            ("manifest_version".to_owned(), anchored.manifest.version_id.clone()),
            ("objects".to_owned(), anchored.objects.to_string()),
            ("prefix".to_owned(), self.config.prefix.clone()),
            ("size".to_owned(), anchored.size.to_string()),
        ])
    }
}

impl fmt::Debug for Anchor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Anchor").field("config", &self.config).finish_non_exhaustive()
    }
}

fn count(objects: &[ObjectRef]) -> u64 {
    u64::try_from(objects.len()).unwrap_or(u64::MAX)
}

fn joined<T>(ended: Result<T, tokio::task::JoinError>) -> Result<T, AnchorError> {
    ended.map_err(|error| AnchorError::Panicked(error.to_string()))
}

/// Runs work that waits for the disk where that holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, AnchorError> {
    joined(tokio::task::spawn_blocking(work).await)
}

/// Blocks of 256 entries under one part manifest: what is copied again at most after an interruption. Parts
/// begin at multiples of it, so that one that is made again is the same. Tests take a small one.
const PART_BLOCKS: u64 = if cfg!(test) { 2 } else { 64 };
/// Objects that are stored at the same time.
const STORING_MAX: usize = 8;

#[cfg(test)]
mod tests;

#[cfg(test)]
mod memory;
