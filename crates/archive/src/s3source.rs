//! Reads a copy of a log back from object storage, by the versions that its manifests record.
//!
//! Trusts the storage with nothing: every byte is held against the SHA-256 in a manifest, and every manifest
//! against the one after it. Whether the last manifest is the last, only the log can say: give the one that its
//! `log.anchored` events name. What the files say is for a verifier to check.

use crate::anchor::{
    BadManifest, Clock, Copies, CopyError, Manifest, ManifestRef, ObjectRef, WHOLES,
};
use bytes::Bytes;
use note::{Hash, TILE_WIDTH};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// The files of a log up to one checkpoint, in object storage.
pub struct S3Source {
    copies: Arc<dyn Copies>,
    clock: Clock,
    manifest: ManifestRef,
    origin: String,
    size: u64,
    objects: BTreeMap<String, ObjectRef>,
}

/// Why a copy cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no manifest of a whole log.
    #[error("there is no copy of a log here: no object below `{WHOLES}`")]
    Empty,
    /// The newest manifest has several versions, of which nobody can say which is right.
    #[error(
        "`{0}` has several versions: something was laid over it; give the version that the log records \
         (`log.anchored`)"
    )]
    SeveralVersions(String),
    /// The file is not in the copy.
    #[error("`{0}` is not in this copy of the log")]
    NotThere(String),
    /// The object is not what was recorded.
    #[error(
        "object `{key}`, version `{version_id}`, is not what was recorded: its SHA-256 differs"
    )]
    Altered {
        /// The name of the object.
        key: String,
        /// Its version.
        version_id: String,
    },
    /// An object that should be a manifest is none.
    #[error(transparent)]
    Manifest(#[from] BadManifest),
    /// The manifests do not follow on each other.
    #[error("manifest `{key}` does not follow on the one before it: {what}")]
    Broken {
        /// The later manifest.
        key: String,
        /// What does not fit.
        what: &'static str,
    },
    /// The storage refused or failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
}

impl S3Source {
    /// The manifest of the largest checkpoint that is listed. Nothing vouches for its being the last, nor
    /// for its being of any log.
    ///
    /// # Errors
    /// [`SourceError::Empty`]; [`SourceError::SeveralVersions`]; otherwise as the storage refuses or fails.
    pub async fn newest(copies: &dyn Copies, clock: &Clock) -> Result<ManifestRef, SourceError> {
        let listed = copies.list(WHOLES, clock()).await?;
        let key = listed.iter().map(|one| &one.key).max().ok_or(SourceError::Empty)?.clone();
        let mut versions = listed.into_iter().filter(|one| one.key == key);
        let (Some(one), None) = (versions.next(), versions.next()) else {
            return Err(SourceError::SeveralVersions(key));
        };
        let bytes = copies.fetch(&one.key, &one.version_id, clock()).await?;
        let sha256 = Hash::of(&bytes).to_string();
        Ok(ManifestRef { key: one.key, sha256, version_id: one.version_id })
    }

    /// Opens the copy that a manifest names: one that the log recorded, or [`S3Source::newest`].
    ///
    /// # Errors
    /// See [`SourceError`].
    pub async fn open(
        copies: Arc<dyn Copies>,
        clock: Clock,
        manifest: ManifestRef,
    ) -> Result<Self, SourceError> {
        let whole = read_manifest(copies.as_ref(), &clock, &manifest).await?;
        let broken = |what| SourceError::Broken { key: manifest.key.clone(), what };
        let size = whole.size.ok_or_else(|| broken("it is of a part only"))?;
        if whole.blocks_to != size / u64::from(TILE_WIDTH) {
            return Err(broken("it does not name all blocks of its checkpoint"));
        }
        let origin = whole.origin.clone();
        let mut objects = by_path(whole.objects);
        let (mut blocks, mut part) = (whole.blocks_from, whole.part);
        let mut later = manifest.key.clone();
        while let Some(named) = part {
            let earlier = read_manifest(copies.as_ref(), &clock, &named).await?;
            let broken = |what| SourceError::Broken { key: later.clone(), what };
            if earlier.size.is_some() {
                return Err(broken("what it names is no part"));
            }
            if earlier.origin != origin {
                return Err(broken("they are of two logs"));
            }
            // The first block falls with every step, so that this ends.
            if earlier.blocks_to != blocks || earlier.blocks_to <= earlier.blocks_from {
                return Err(broken("blocks are missing between them"));
            }
            objects.extend(by_path(earlier.objects));
            blocks = earlier.blocks_from;
            (later, part) = (named.key, earlier.part);
        }
        if blocks != 0 {
            return Err(SourceError::Broken {
                key: later,
                what: "it is the first, and begins late",
            });
        }
        Ok(Self { copies, clock, manifest, origin, size, objects })
    }

    /// The manifest that everything is read by.
    #[must_use]
    pub fn manifest(&self) -> &ManifestRef {
        &self.manifest
    }

    /// The name of the log, as the manifests say.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The size of the checkpoint in this copy, as its manifest says.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The files that are in this copy, by their paths in the directory of the log.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().map(String::as_str)
    }

    /// A file of the log.
    ///
    /// # Errors
    /// [`SourceError::NotThere`]; [`SourceError::Altered`]; otherwise as the storage refuses or fails.
    pub async fn read(&self, path: &str) -> Result<Bytes, SourceError> {
        let object =
            self.objects.get(path).ok_or_else(|| SourceError::NotThere(path.to_owned()))?;
        let now = (self.clock)();
        let bytes = self.copies.fetch(&object.key, &object.version_id, now).await?;
        checked(bytes, &object.key, &object.version_id, &object.sha256)
    }
}

impl fmt::Debug for S3Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Source").field("manifest", &self.manifest).finish_non_exhaustive()
    }
}

fn by_path(objects: Vec<ObjectRef>) -> BTreeMap<String, ObjectRef> {
    objects.into_iter().map(|object| (object.path.clone(), object)).collect()
}

async fn read_manifest(
    copies: &dyn Copies,
    clock: &Clock,
    named: &ManifestRef,
) -> Result<Manifest, SourceError> {
    let bytes = copies.fetch(&named.key, &named.version_id, clock()).await?;
    let bytes = checked(bytes, &named.key, &named.version_id, &named.sha256)?;
    Ok(Manifest::parse(&named.key, &bytes)?)
}

fn checked(bytes: Bytes, key: &str, version_id: &str, sha256: &str) -> Result<Bytes, SourceError> {
    if Hash::of(&bytes).to_string() == sha256 {
        return Ok(bytes);
    }
    Err(SourceError::Altered { key: key.to_owned(), version_id: version_id.to_owned() })
}
