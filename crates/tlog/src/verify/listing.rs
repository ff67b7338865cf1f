//! What is in the directory of a log, and what must be.
//!
//! Knows nothing of the content of files.

use crate::publish::CHECKPOINT;
use crate::scan::{SEGMENTS, SPARE, parse_segment_path};
use crate::statements::VERIFIER_KEY;
use crate::storage::{LOCK, PUT_TEMPORARY};
use crate::verify::failure::{Failure, FailureKind};
use note::Tile;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::Path;

/// The files of a log, by what they are.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// The segments by the index of their first entry, with their lengths in
    /// bytes.
    pub(super) segments: BTreeMap<u64, u64>,
    pub(super) tiles: BTreeSet<Tile>,
    /// The files with a fixed name, with their lengths in bytes.
    fixed: BTreeMap<String, u64>,
}

impl Listing {
    /// Lists the tiles, then the segments, then the rest. A file or directory
    /// that is not part of a log is a failure.
    pub(super) fn read(dir: &Path) -> Result<Self, Failure> {
        let mut listing = Self::default();
        for top in ["tile", SEGMENTS, ""] {
            if top.is_empty() || dir.join(top).exists() {
                listing.directory(dir, top)?;
            }
        }
        Ok(listing)
    }

    /// Whether a file with a fixed name is there.
    pub(super) fn has(&self, path: &str) -> bool {
        self.fixed.contains_key(path)
    }

    /// The files that every log has.
    pub(super) fn check_fixed_files(&self) -> Result<(), Failure> {
        for path in [LOCK, VERIFIER_KEY, CHECKPOINT] {
            if !self.has(path) {
                return Err(missing(path));
            }
        }
        if self.fixed.get(LOCK) != Some(&0) {
            let what = "the file must be empty";
            return Err(Failure::new(FailureKind::Altered, LOCK, what).at(0));
        }
        Ok(())
    }

    fn directory(&mut self, dir: &Path, path: &str) -> Result<(), Failure> {
        let entries = match fs::read_dir(dir.join(path)) {
            // Gone since its name was read: partial tiles make room for full
            // ones. A tile that has to be there is missed later.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_empty() => {
                return Ok(());
            }
            entries => entries.map_err(|error| unreadable(path, &error))?,
        };
        for entry in entries {
            let entry = entry.map_err(|error| unreadable(path, &error))?;
            let name = entry.file_name();
            let unknown = || {
                let name = name.to_string_lossy();
                let path =
                    if path.is_empty() { name.into_owned() } else { format!("{path}/{name}") };
                Failure::new(FailureKind::Altered, &path, "this is not part of a log")
            };
            let name = name.to_str().ok_or_else(unknown)?;
            let child = if path.is_empty() { name.to_owned() } else { format!("{path}/{name}") };
            let metadata = match entry.metadata() {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(|error| unreadable(&child, &error))?,
            };
            if metadata.is_dir() {
                match child.as_str() {
                    // Listed on their own, in a fixed order.
                    "tile" | SEGMENTS if path.is_empty() => {}
                    _ if child.starts_with("tile/") => self.directory(dir, &child)?,
                    _ => return Err(unknown()),
                }
            } else if !metadata.is_file() || !self.file(&child, metadata.len()) {
                return Err(unknown());
            }
        }
        Ok(())
    }

    /// Notes a file; false when it is not part of a log.
    fn file(&mut self, path: &str, length: u64) -> bool {
        if FIXED.contains(&path) {
            self.fixed.insert(path.to_owned(), length);
            true
        } else if let Some(first) = parse_segment_path(path) {
            self.segments.insert(first, length);
            true
        } else {
            Tile::parse(path).is_some_and(|tile| self.tiles.insert(tile))
        }
    }
}

/// Whether a writer holds the log. Takes the lock for an instant, if it can,
/// and no harm is done: a writer that comes just then tries again.
pub(super) fn is_live(dir: &Path) -> Result<bool, Failure> {
    let path = dir.join(LOCK);
    let metadata = match fs::symlink_metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let any = [VERIFIER_KEY, CHECKPOINT, SEGMENTS];
            if any.iter().any(|name| dir.join(name).exists()) {
                return Err(missing(LOCK));
            }
            let what = "there is no log in this directory";
            return Err(Failure::new(FailureKind::Unreadable, LOCK, what));
        }
        Err(error) => return Err(unreadable(LOCK, &error)),
    };
    if !metadata.is_file() {
        return Err(Failure::new(FailureKind::Altered, LOCK, "this is not a file"));
    }
    let file = File::open(path).map_err(|error| unreadable(LOCK, &error))?;
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(unreadable(LOCK, &error)),
    }
}

/// Reads a whole file.
pub(super) fn read(dir: &Path, path: &str) -> Result<Vec<u8>, Failure> {
    match fs::read(dir.join(path)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(missing(path)),
        read => read.map_err(|error| unreadable(path, &error)),
    }
}

pub(super) fn missing(path: &str) -> Failure {
    Failure::new(FailureKind::Missing, path, "the file is missing")
}

fn unreadable(path: &str, error: &io::Error) -> Failure {
    let path = if path.is_empty() { "." } else { path };
    Failure::new(FailureKind::Unreadable, path, format!("it cannot be read: {error}"))
}

const FIXED: &[&str] = &[LOCK, VERIFIER_KEY, CHECKPOINT, PUT_TEMPORARY, SPARE];
