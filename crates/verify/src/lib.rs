#![doc = include_str!("../README.md")]

mod bundles;
mod canonical;
mod check;
pub mod command;
mod content;
mod cose;
mod cut;
mod directory;
mod event;
mod failure;
mod http;
mod keys;
mod log;
mod marks;
mod options;
mod pass;
mod pipeline;
pub mod receipt;
mod report;
mod sample;
mod segment;
mod sequence;
mod source;
mod stamps;
mod tail;
mod tiles;
mod tree;
mod walk;
mod words;

pub use check::Check;
pub use content::EventCounts;
pub use directory::Directory;
pub use failure::{Evidence, Failure, Verdict};
pub use http::Http;
pub use log::verify;
pub use options::{Entries, Observer, Options, Progress, Sample};
pub use report::{KeyReport, LooksAt, Report, StampReport};
pub use source::{READ_BYTES_MAX, Source, SourceError, open};
pub use words::{failure_json, proven_json, proven_text, report_json, report_text, time};

#[cfg(test)]
mod tests;
