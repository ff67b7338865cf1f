//! What a person wants to know of a bundle directory before using it. It decides nothing.

use crate::load;
use crate::problem::{Problem, Severity};
use std::path::Path;

/// What there is to say about a bundle directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// In the order of file, line and column; those of the set as a whole first.
    pub problems: Vec<Problem>,
    /// How many policies were found.
    pub policies: usize,
    /// Digest of the files that could be read; none when the directory cannot be.
    pub digest: Option<String>,
}

impl Report {
    /// Whether a gateway would use the set: there may be warnings, but no errors.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.problems.iter().all(|problem| problem.severity != Severity::Error)
    }
}

/// Reads a bundle directory as the gateway would and tells everything that is wrong or suspicious.
#[must_use]
pub fn check(directory: &Path) -> Report {
    match load::read(directory) {
        Ok(reading) => Report {
            problems: reading.problems,
            policies: reading.policies,
            digest: Some(reading.digest),
        },
        Err(problems) => Report { problems, policies: 0, digest: None },
    }
}
