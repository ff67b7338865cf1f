//! What this crate reads of the answers of servers, for laws that are held against it from outside
//! (feature `testing`). Each function is one of those that the store reads with; nothing is decided here.

use crate::answer::Answer;
use crate::list::{self, Continuation, Page};
use crate::lock::Retention;
use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// What an answer says, each part as far as it can be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The version that it is about.
    pub version: Option<String>,
    /// The checksum of the whole object.
    pub sha256: Option<[u8; 32]>,
    /// The lock on the version.
    pub retention: Option<Retention>,
    /// Whether somebody holds it.
    pub held: Option<bool>,
    /// Whether it is deleted.
    pub deleted: bool,
    /// Its size in bytes.
    pub size: Option<u64>,
    /// The code of the error; empty when there is none.
    pub code: String,
    /// The error that it would make of an operation called `x`.
    pub refusal: String,
}

/// Reads an answer.
#[must_use]
pub fn read_answer(status: StatusCode, headers: HeaderMap, body: Bytes) -> Said {
    let answer = Answer { status, headers, body };
    Said {
        version: answer.version().ok().flatten().map(str::to_owned),
        sha256: answer.sha256().ok().flatten(),
        retention: answer.retention().ok().flatten(),
        held: answer.held().ok(),
        deleted: answer.deleted(),
        size: answer.size().ok(),
        code: answer.code(),
        refusal: answer.refusal("x").to_string(),
    }
}

/// Reads a page of what lies under a prefix.
///
/// # Errors
/// What is wrong with it, in words.
pub fn read_page(xml: &[u8], prefix: &str) -> Result<Page, String> {
    list::page(xml, prefix)
}

/// Name and version after which a listing goes on.
#[must_use]
pub fn goes_on_after(next: &Continuation) -> (&str, Option<&str>) {
    (&next.key, next.version.as_deref())
}

/// Whether the Object Lock configuration of a bucket says that it is enabled.
///
/// # Errors
/// What is wrong with it, in words.
pub fn lock_enabled(xml: &[u8]) -> Result<bool, String> {
    list::lock_enabled(xml)
}
