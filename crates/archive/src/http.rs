//! The published files of one log over HTTP, below `/log/` (C2SP tlog-tiles), and receipts made from them.
//!
//! Opens nothing but files whose names parse as those of a log. Knows no connection and no gateway: a
//! request in, a whole response out.

mod page;
mod readers;
mod reply;

pub use readers::{BadReader, Reader};

use self::page::Page;
use self::readers::{Lane, Readers};
use self::reply::{Content, Problem};
use crate::notices::Notices;
use crate::receipt::{Depth, Entry, Format, Receipts, Wanted};
use ::http::{HeaderMap, Method, Response, Uri};
use bytes::Bytes;
use note::{Sign, Tile, TileKind};
use std::io::{self, Read as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Semaphore;

/// The path that everything here is below.
pub const PREFIX: &str = "/log/";

/// The pages of one log. Tiles, checkpoint, keys, timestamps and receipts are for everybody; entries,
/// which say who did what, are for configured readers, whose reading is put on record first.
#[derive(Debug)]
pub struct Site {
    directory: PathBuf,
    receipts: Receipts,
    signer: Option<Arc<dyn Sign>>,
    readers: Readers,
    /// One permit for each file that is being read.
    reading: Semaphore,
    /// One permit for each receipt that is being made.
    proving: Semaphore,
}

impl Site {
    /// The pages of the log in `directory`. With a signer, which is the log's own key, there are COSE
    /// receipts as well.
    #[must_use]
    pub fn new(
        directory: &Path,
        readers: Vec<Reader>,
        signer: Option<Arc<dyn Sign>>,
        notices: Arc<dyn Notices>,
    ) -> Self {
        Self {
            directory: directory.to_owned(),
            receipts: Receipts::new(directory),
            signer,
            readers: Readers::new(readers, notices),
            reading: Semaphore::new(READING_MAX),
            proving: Semaphore::new(PROVING_MAX),
        }
    }

    /// Whether a path is one of these pages, there or not.
    #[must_use]
    pub fn has(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// Answers a request. `now` is the time of the request, by any clock that does not go back.
    pub async fn answer(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        now: Instant,
    ) -> Response<Bytes> {
        if method != Method::GET && method != Method::HEAD {
            return Problem::Method.response(method);
        }
        let path = uri.path().strip_prefix(PREFIX).unwrap_or_default();
        let answered = match Page::parse(path) {
            None => Err(Problem::NotFound(format!(
                "`{PREFIX}{}` is no page of a log: see c2sp.org/tlog-tiles\n",
                event::bounded(path, SHOWN_MAX)
            ))),
            Some(Page::Receipt(wanted)) => self.receipt(wanted, uri, headers, now).await,
            Some(page) => self.file(&page, method, headers, now).await,
        };
        match answered {
            Ok(content) => reply::reply(method, headers, &content),
            Err(problem) => problem.response(method),
        }
    }

    /// Puts on record what readers have read and is not on record yet: every reader whose last record
    /// is a minute old, or, at the end, everybody.
    ///
    /// # Errors
    /// When the log does not take a record; it is kept for the next time.
    pub async fn record_reads(
        &self,
        now: Instant,
        which: Which,
    ) -> Result<(), crate::notices::Unrecorded> {
        self.readers.flush(now, which).await
    }

    async fn file(
        &self,
        page: &Page,
        method: &Method,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<Content, Problem> {
        let entries = page.entries();
        let reader = match entries {
            Some(_) => Some(self.readers.admit(headers).ok_or(Problem::Unknown)?),
            None => None,
        };
        let Some(path) = page.file() else { return Err(Problem::NotFound(String::new())) };
        let bytes = match self.read(&path).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Problem::NotFound(self.absence(page).await));
            }
            Err(error) => {
                tracing::error!(%error, path, "a file of the log cannot be read");
                return Err(Problem::Failed);
            }
        };
        let content = Content::new(bytes, page.media_type(), page.cache_control());
        if let (Some(reader), Some(entries)) = (reader, entries)
            && method == Method::GET
            && !content.is_held(headers)
        {
            self.put_on_record(reader, entries, now).await?;
        }
        Ok(content)
    }

    async fn receipt(
        &self,
        wanted: Wanted,
        uri: &Uri,
        headers: &HeaderMap,
        now: Instant,
    ) -> Result<Content, Problem> {
        let asked =
            page::ReceiptQuery::parse(uri.query().unwrap_or_default()).ok_or(Problem::BadQuery)?;
        let formats: &[Format] = match (&self.signer, asked.entry) {
            (Some(_), Entry::Without) => &[Format::TlogProof, Format::Cose, Format::Json],
            _ => &[Format::TlogProof, Format::Json],
        };
        let format = reply::preferred(headers, formats).ok_or(Problem::NotAcceptable)?;
        let reader = match asked.entry {
            Entry::With => Some(self.readers.admit(headers).ok_or(Problem::Unknown)?),
            Entry::Without => None,
        };
        // Looking for a call reads many entries: whoever finds all places taken may come again.
        let Ok(_permit) = self.proving.try_acquire() else { return Err(Problem::Busy) };
        let (receipts, signer) = (self.receipts.clone(), self.signer.clone());
        let made = blocking(move || {
            let index = receipts.find(wanted, asked.of, Depth::Near)?;
            let bytes = match (format, signer) {
                (Format::Cose, Some(key)) => receipts.cose(index, key.as_ref())?,
                (Format::Json, _) => receipts.json(index, asked.entry)?.into_bytes(),
                _ => receipts.tlog_proof(index, asked.entry)?.into_bytes(),
            };
            Ok((index, bytes))
        });
        let (index, bytes) = made.await.ok_or(Problem::Failed)?.map_err(Problem::Receipt)?;
        if let Some(reader) = reader {
            self.put_on_record(reader, index..index + 1, now).await?;
        }
        let cache = if reader.is_some() { "private, no-cache" } else { "no-cache" };
        Ok(Content::new(bytes, format.media_type(), cache).negotiated())
    }

    async fn put_on_record(
        &self,
        reader: &Lane,
        entries: Range<u64>,
        now: Instant,
    ) -> Result<(), Problem> {
        self.readers.record(reader, entries, now).await.map_err(|error| {
            tracing::error!(%error, "entries are not given out");
            Problem::Unrecorded
        })
    }

    /// The bytes of a file of the log. Whoever asks was checked before, so that this is only a name.
    async fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        let _permit = self.reading.acquire().await.map_err(io::Error::other)?;
        let path = self.directory.join(path);
        let failed = || io::Error::other("the read failed unexpectedly");
        blocking(move || read_bounded(&path)).await.unwrap_or_else(|| Err(failed()))
    }

    /// Why a page is not there, for whoever asked.
    async fn absence(&self, page: &Page) -> String {
        let Page::Tile(tile) = page else {
            return "this log has no such file\n".to_owned();
        };
        let minimum = match tile.kind {
            TileKind::Entries => self.minimum().await,
            TileKind::Hashes(_) => 0,
        };
        let end = (tile.index + 1).saturating_mul(u64::from(note::TILE_WIDTH));
        if end <= minimum {
            return format!(
                "pruned: the entries below {minimum} are no longer kept; their hashes are\n"
            );
        }
        let full = Tile::full(tile.kind, tile.index).path();
        if !tile.is_full() && self.directory.join(&full).exists() {
            return format!("superseded: the full tile is at {PREFIX}{full}\n");
        }
        "this log has no such tile, or not yet: see its checkpoint\n".to_owned()
    }

    /// The smallest index of which entries are kept.
    async fn minimum(&self) -> u64 {
        let read = self.read("pruned").await;
        let note = read.unwrap_or_default();
        note::Pruned::parse(&note).map_or(0, |(pruned, _)| pruned.minimum)
    }
}

/// Whose reading is put on record by [`Site::record_reads`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// Of those whose last record is a minute old.
    Due,
    /// Of all.
    All,
}

/// Runs work that waits for the disk where that holds up nobody; `None` when it panicked.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// A whole regular file of at most [`FILE_BYTES_MAX`] bytes.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = match std::fs::File::open(path) {
        // A partial tile that was asked for where a file is, or the other way round.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(io::ErrorKind::NotFound.into());
        }
        opened => opened?,
    };
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut bytes =
        Vec::with_capacity(usize::try_from(found.len().min(FILE_BYTES_MAX)).unwrap_or(0));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_BYTES_MAX) {
        Ok(bytes)
    } else {
        Err(io::Error::other("longer than any file of a log"))
    }
}

/// Bytes of the largest file that is published: a bundle of 256 entries of the greatest length, each
/// with two bytes of length.
const FILE_BYTES_MAX: u64 = 256 * (65_535 + 2);
/// Files that are read at the same time; further requests wait.
const READING_MAX: usize = 16;
/// Receipts that are made at the same time; further requests are told to come again.
const PROVING_MAX: usize = 2;
/// Bytes of a path that are shown in an answer.
const SHOWN_MAX: usize = 100;

#[cfg(test)]
mod tests;
