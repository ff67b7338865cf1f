//! Time stamps over published checkpoints (RFC 3161): asks an authority, checks the answer, keeps both.
//!
//! A stamp is stored only after it verified against the configured roots. What time it is, this does not
//! know: the authority says.

use crate::client::{Client, ClientError};
use crate::notices::{Notices, Unrecorded};
use ::http::{StatusCode, header};
use bytes::Bytes;
use event::{Kind, Time};
use note::{Checkpoint, CheckpointError, Hash, Note};
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use timestamp::{Timestamp, TimestampError};
use url::Url;

/// Where stamps are kept: the directory of the log.
///
/// **Durability.** When a put returns, the file is whole, on stable storage and under its name.
pub trait Shelf: Debug + Send + Sync {
    /// Puts a file with this content in place of any older one; makes its directory if need be.
    ///
    /// # Errors
    /// When nobody can say that it is there.
    fn put(&self, path: &str, bytes: &[u8]) -> io::Result<()>;
}

/// Which authorities are asked, and whom they must answer to.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// The addresses, in the order in which they are tried.
    pub urls: Vec<Url>,
    /// Certificates as DER, of which one must vouch for the authority: `timestamp::roots_from_pem`.
    pub roots: Vec<Vec<u8>>,
}

/// Has the checkpoints of one log stamped.
#[derive(Debug)]
pub struct Stamper {
    directory: PathBuf,
    authorities: Authorities,
    client: Client,
    shelf: Arc<dyn Shelf>,
    notices: Arc<dyn Notices>,
}

/// A checkpoint that was stamped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamped {
    /// How many entries it covers.
    pub size: u64,
    /// SHA-256 of the note, which is what was stamped.
    pub sha256: Hash,
    /// Which address answered.
    pub url: Url,
    /// What the authority said.
    pub timestamp: Timestamp,
}

/// Why there is no stamp.
#[derive(Debug, thiserror::Error)]
pub enum StampError {
    /// No authority is configured.
    #[error("no timestamp authority is configured")]
    Nobody,
    /// The published checkpoint cannot be read.
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
    /// The authority cannot be asked.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The authority answered with something else.
    #[error(
        "timestamp authority `{url}` answered with status {status} and media type `{media_type}`"
    )]
    Answer {
        /// Its address.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// The media type, cut; empty when it named none.
        media_type: String,
    },
    /// The answer is no stamp that can be trusted.
    #[error("timestamp authority `{url}`: {source}")]
    Untrusted {
        /// Its address.
        url: Url,
        /// The rule that is broken.
        source: TimestampError,
    },
    /// The stamp cannot be kept.
    #[error("cannot write `{path}`: {source}")]
    Write {
        /// The file, in the directory of the log.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The stamp is kept but not on record.
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
}

impl Stamper {
    /// Stamps the log in `directory`.
    #[must_use]
    pub fn new(
        directory: &Path,
        authorities: Authorities,
        client: Client,
        shelf: Arc<dyn Shelf>,
        notices: Arc<dyn Notices>,
    ) -> Self {
        Self { directory: directory.to_owned(), authorities, client, shelf, notices }
    }

    /// Has the published checkpoint stamped by the first authority that does; `None` when it is stamped
    /// already, or of an empty log. The nonce is new and comes from a secure random source.
    ///
    /// # Errors
    /// What the last authority did wrong, or what is wrong here. Nothing is kept of a stamp that did not
    /// verify.
    pub async fn stamp(&self, nonce: u64) -> Result<Option<Stamped>, StampError> {
        let note = self.read(CHECKPOINT).await?.unwrap_or_default();
        let parsed = Note::parse(&note).map_err(CheckpointError::from)?;
        let size = Checkpoint::parse(parsed.text())?.size;
        let kept = format!("timestamps/{size}.tsr");
        if size == 0 || self.read(&kept).await?.is_some() {
            return Ok(None);
        }
        let sha256 = Hash::of(&note);
        let (url, response, timestamp) = self.ask(sha256, nonce).await?;
        // The record comes last, so that whatever is on record is there; the stamp after its note, so
        // that a stamp always has one.
        self.put(format!("timestamps/{size}.note"), Bytes::from(note)).await?;
        self.put(kept, response).await?;
        let stamped = Stamped { size, sha256, url, timestamp };
        self.notices.notice(Kind::LogTimestamped, details(&stamped)).await?;
        Ok(Some(stamped))
    }

    async fn ask(&self, sha256: Hash, nonce: u64) -> Result<(Url, Bytes, Timestamp), StampError> {
        let mut last = StampError::Nobody;
        for url in &self.authorities.urls {
            match self.ask_one(url, sha256, nonce).await {
                Ok((response, timestamp)) => return Ok((url.clone(), response, timestamp)),
                Err(error) => {
                    tracing::warn!(%error, "a timestamp authority gave no stamp");
                    last = error;
                }
            }
        }
        Err(last)
    }

    async fn ask_one(
        &self,
        url: &Url,
        sha256: Hash,
        nonce: u64,
    ) -> Result<(Bytes, Timestamp), StampError> {
        let query = timestamp::Request::new(*sha256.as_bytes(), nonce).to_der();
        let max = timestamp::RESPONSE_BYTES_MAX;
        let answer = self.client.post(url, QUERY, Bytes::from(query), max).await?;
        let media_type = answer.headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let media_type = media_type.unwrap_or_default();
        let kind = media_type.split(';').next().unwrap_or_default().trim();
        if answer.status != StatusCode::OK || !kind.eq_ignore_ascii_case(REPLY) {
            let (status, media_type) = (answer.status.as_u16(), event::bounded(media_type, 100));
            return Err(StampError::Answer { url: url.clone(), status, media_type });
        }
        let roots = &self.authorities.roots;
        let stamp = timestamp::verify(&answer.body, *sha256.as_bytes(), Some(nonce), roots);
        let stamp = stamp.map_err(|source| StampError::Untrusted { url: url.clone(), source })?;
        Ok((answer.body, stamp))
    }

    async fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StampError> {
        let full = self.directory.join(path);
        match blocking(move || std::fs::read(full)).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StampError::Read { path: path.to_owned(), source }),
        }
    }

    async fn put(&self, path: String, bytes: Bytes) -> Result<(), StampError> {
        let (shelf, to) = (Arc::clone(&self.shelf), path.clone());
        let put = blocking(move || shelf.put(&to, &bytes)).await;
        put.map_err(|source| StampError::Write { path, source })
    }
}

/// Runs work that waits for the disk where that holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

/// What the event says: which checkpoint, by whom, when.
fn details(stamped: &Stamped) -> BTreeMap<String, String> {
    let us = stamped.timestamp.time_unix_ms.saturating_mul(1_000);
    let time = Time::from_unix_us(i64::try_from(us).unwrap_or(i64::MAX));
    BTreeMap::from([
        ("policy".to_owned(), stamped.timestamp.policy.clone()),
        ("serial".to_owned(), stamped.timestamp.serial.clone()),
        ("sha256".to_owned(), stamped.sha256.to_string()),
        ("size".to_owned(), stamped.size.to_string()),
        ("time".to_owned(), time.to_string()),
        ("tsa".to_owned(), event::bounded(&stamped.timestamp.authority, AUTHORITY_MAX)),
    ])
}

const CHECKPOINT: &str = "checkpoint";
/// Media types of RFC 3161 section 3.4.
const QUERY: &str = "application/timestamp-query";
const REPLY: &str = "application/timestamp-reply";
/// Bytes of the name of an authority in the event.
const AUTHORITY_MAX: usize = 400;

#[cfg(test)]
mod tests;
