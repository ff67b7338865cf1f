//! Reads a bundle directory. The only place in this crate that touches files; it knows names, sizes and
//! text, not policies.

use crate::bundle::{BUNDLE_BYTES_MAX, BUNDLE_FILES_MAX, Bundle, FILE_BYTES_MAX, Reading, Source};
use crate::problem::Problem;
use crate::vocabulary::Vocabulary;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// Names, sizes and modification times of the policy files in a directory. Equal fingerprints mean that
/// there is probably nothing to reload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint(Vec<(String, u64, Option<SystemTime>)>);

/// Looks at the policy files of a bundle directory without reading them: cheap enough to poll.
///
/// # Errors
/// When the directory cannot be read, or holds more than [`BUNDLE_FILES_MAX`] policy files.
pub fn fingerprint(directory: &Path) -> io::Result<Fingerprint> {
    let mut files = Vec::new();
    for name in names(directory)? {
        if sort_of(&name) != Sort::Policies {
            continue;
        }
        if files.len() == BUNDLE_FILES_MAX {
            return Err(io::Error::other(too_many_files()));
        }
        // A file that is gone or out of reach has a fingerprint too: the change must be noticed.
        let found = fs::metadata(directory.join(&name));
        let (bytes, time) =
            found.map_or((u64::MAX, None), |found| (found.len(), found.modified().ok()));
        files.push((name, bytes, time));
    }
    Ok(Fingerprint(files))
}

impl Bundle {
    /// Reads the files of a directory whose names end in `.cedar`, in the order of their names.
    /// Subdirectories are not read (and warned about); names that begin with a dot are passed over, as
    /// editors and mounted volumes keep things of their own there. Symbolic links are followed.
    ///
    /// # Errors
    /// Everything that is wrong with the set, warnings included.
    pub fn load(directory: &Path) -> Result<Self, Vec<Problem>> {
        read(directory)?.into_bundle()
    }

    pub(crate) fn load_with(
        words: Arc<Vocabulary>,
        directory: &Path,
    ) -> Result<Self, Vec<Problem>> {
        read_with(words, directory)?.into_bundle()
    }
}

/// Reads a directory as far as it can be read.
pub(crate) fn read(directory: &Path) -> Result<Reading, Vec<Problem>> {
    let words = Vocabulary::built_in().map_err(|problem| vec![problem])?;
    read_with(Arc::new(words), directory)
}

fn read_with(words: Arc<Vocabulary>, directory: &Path) -> Result<Reading, Vec<Problem>> {
    let names = names(directory).map_err(|error| {
        let directory = directory.display();
        vec![
            Problem::error(format!("cannot read the directory `{directory}`: {error}"))
                .with_help("name a directory that holds `.cedar` files"),
        ]
    })?;
    let mut sources = Vec::new();
    let mut problems = Vec::new();
    let mut bytes_left = BUNDLE_BYTES_MAX;
    for name in names {
        if sources.len() == BUNDLE_FILES_MAX {
            return Err(vec![Problem::error(too_many_files())]);
        }
        match source(directory, name, bytes_left) {
            Ok(Some(source)) => {
                bytes_left -= u64::try_from(source.text.len()).unwrap_or(u64::MAX).min(bytes_left);
                sources.push(source);
            }
            Ok(None) => {}
            Err(problem) => problems.push(problem),
        }
    }
    Ok(Bundle::read(words, sources, problems))
}

/// One entry of the directory: a policy file, something to pass over, or a problem.
fn source(directory: &Path, name: String, bytes_left: u64) -> Result<Option<Source>, Problem> {
    let path = directory.join(&name);
    let sort = sort_of(&name);
    if sort == Sort::Hidden {
        return Ok(None);
    }
    let unreadable =
        |error: io::Error| Problem::error(format!("cannot be read: {error}")).in_file(&name);
    let found = match fs::metadata(&path) {
        Ok(found) => found,
        Err(_) if sort != Sort::Policies => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    };
    if found.is_dir() {
        return Err(Problem::warning("the subdirectory is not read")
            .in_file(&name)
            .with_help("policy files lie in the bundle directory itself"));
    }
    match sort {
        Sort::Policies => {}
        Sort::Misspelled => {
            return Err(Problem::warning("the file is not read")
                .in_file(&name)
                .with_help("names of policy files end in `.cedar`, in lower case"));
        }
        Sort::Hidden | Sort::Other => return Ok(None),
    }
    if !found.is_file() {
        return Err(Problem::error("is not a regular file").in_file(&name));
    }
    let limit = FILE_BYTES_MAX.min(bytes_left);
    let mut bytes = Vec::new();
    // One byte more than allowed, as a file can have grown since its size was read.
    let read = File::open(&path).and_then(|file| file.take(limit + 1).read_to_end(&mut bytes));
    read.map_err(unreadable)?;
    if limit < u64::try_from(bytes.len()).unwrap_or(u64::MAX) {
        return Err(Problem::error(if limit == FILE_BYTES_MAX {
            format!("the file is larger than {FILE_BYTES_MAX} bytes")
        } else {
            format!("the files are larger than {BUNDLE_BYTES_MAX} bytes together")
        })
        .in_file(&name));
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(Source { name, text })),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let text = String::from_utf8_lossy(error.as_bytes());
            Err(Problem::error("the file is not UTF-8").at(&name, &text, good))
        }
    }
}

/// Sorted. Names that are not UTF-8 come with replacement characters; no such file can be opened, which
/// is then a problem of its own.
fn names(directory: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Hidden,
    Misspelled,
    Other,
    Policies,
}

fn sort_of(name: &str) -> Sort {
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    match extension {
        _ if name.starts_with('.') => Sort::Hidden,
        Some("cedar") => Sort::Policies,
        Some(other) if other.eq_ignore_ascii_case("cedar") => Sort::Misspelled,
        _ => Sort::Other,
    }
}

fn too_many_files() -> String {
    format!("the directory holds more than {BUNDLE_FILES_MAX} policy files")
}

#[cfg(test)]
mod tests;
