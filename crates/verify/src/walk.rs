//! What is in the directory of a log, and what must not be.
//!
//! Knows nothing of the content of files, and holds no list of them: a
//! directory of any size is walked one name at a time.

use crate::check::{Check, Checks};
use crate::directory::unreadable;
use crate::failure::Failure;
use note::{Statement, Tile};
use std::fs;
use std::io;
use std::path::Path;

/// What a file of a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One with a fixed name.
    Fixed,
    /// The segment whose first entry has this index.
    Segment,
    /// A tile or a bundle.
    Tile(Tile),
    /// A statement about keys.
    Statement,
    /// A timestamp, or the checkpoint that was stamped.
    Stamp,
}

/// A file on the way.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) kind: Kind,
    pub(crate) path: &'a str,
    /// In bytes.
    pub(crate) length: u64,
}

/// Takes what is found.
pub(crate) type Visit<'a> = dyn FnMut(Found<'_>) -> Result<(), Failure> + 'a;

/// What a file is, by its path; `None` when it is not part of a log.
pub(crate) fn kind(path: &str) -> Option<Kind> {
    if FIXED.contains(&path) {
        Some(Kind::Fixed)
    } else if parse_segment_path(path).is_some() {
        Some(Kind::Segment)
    } else if Statement::parse_path(path).is_some() {
        Some(Kind::Statement)
    } else if parse_stamp_path(path).is_some() {
        Some(Kind::Stamp)
    } else {
        Tile::parse(path).map(Kind::Tile)
    }
}

/// Walks over all files. A file or directory that is not part of a log is a
/// failure.
pub(crate) fn walk(dir: &Path, checks: Checks, visit: &mut Visit<'_>) -> Result<(), Failure> {
    walk_directory(dir, "", checks, visit)
}

fn walk_directory(
    dir: &Path,
    path: &str,
    checks: Checks,
    visit: &mut Visit<'_>,
) -> Result<(), Failure> {
    let entries = match fs::read_dir(dir.join(path)) {
        // Gone since its name was read: partial tiles make room for full ones.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_empty() => {
            return Ok(());
        }
        entries => entries.map_err(|error| unreadable(path, &error))?,
    };
    for entry in entries {
        let entry = entry.map_err(|error| unreadable(path, &error))?;
        let name = entry.file_name();
        let lossy = name.to_string_lossy();
        let child = if path.is_empty() { lossy.into_owned() } else { format!("{path}/{lossy}") };
        let metadata = match entry.metadata() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            metadata => metadata.map_err(|error| unreadable(&child, &error))?,
        };
        let kind = if name.to_str().is_some() { kind(&child) } else { None };
        if metadata.is_dir() && is_directory(&child) {
            walk_directory(dir, &child, checks, visit)?;
        } else if let (true, Some(kind)) = (metadata.is_file(), kind) {
            visit(Found { kind, path: &child, length: metadata.len() })?;
        } else {
            let what = "this is not part of a log";
            checks.fail(Failure::new(Check::UnknownFile, &child, what))?;
        }
    }
    Ok(())
}

fn is_directory(path: &str) -> bool {
    [SEGMENTS, STATEMENTS, STAMPS, TILES].contains(&path) || path.starts_with("tile/")
}

/// The path of the segment whose first entry has this index.
pub(crate) fn segment_path(first: u64) -> String {
    format!("{SEGMENTS}/{first:020}.seg")
}

/// Reads what [`segment_path`] writes.
pub(crate) fn parse_segment_path(path: &str) -> Option<u64> {
    let digits = path.strip_prefix("segments/")?.strip_suffix(".seg")?;
    let first = digits.parse().ok()?;
    (segment_path(first) == path).then_some(first)
}

/// The path of a stamped checkpoint.
pub(crate) fn stamped_path(size: u64) -> String {
    format!("{STAMPS}/{size}.note")
}

/// The path of the timestamp over it.
pub(crate) fn stamp_path(size: u64) -> String {
    format!("{STAMPS}/{size}.tsr")
}

/// The size in a path of either.
pub(crate) fn parse_stamp_path(path: &str) -> Option<u64> {
    let name = path.strip_prefix("timestamps/")?;
    let digits = name.strip_suffix(".note").or_else(|| name.strip_suffix(".tsr"))?;
    let size = digits.parse().ok()?;
    (stamped_path(size) == path || stamp_path(size) == path).then_some(size)
}

/// Held by who writes the log.
pub(crate) const LOCK: &str = "lock";
/// The line of the first key of the log.
pub(crate) const VERIFIER_KEY: &str = "origin.vkey";
/// The published checkpoint.
pub(crate) const CHECKPOINT: &str = "checkpoint";
/// What the log says of pruning.
pub(crate) const PRUNED: &str = "pruned";
/// The directory of the segments.
pub(crate) const SEGMENTS: &str = "segments";
/// A segment made ahead of need, all zeros.
pub(crate) const SPARE: &str = "segments/spare.seg";
/// A file on its way to its place.
pub(crate) const PUT_TEMPORARY: &str = "publish.tmp";
/// The directory of the timestamps.
pub(crate) const STAMPS: &str = "timestamps";
const STATEMENTS: &str = "keys";
const TILES: &str = "tile";
const FIXED: &[&str] = &[LOCK, VERIFIER_KEY, CHECKPOINT, PRUNED, PUT_TEMPORARY, SPARE];
