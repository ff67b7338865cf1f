//! Reads committed entries in order, across segments, as they appear.
//!
//! Knows nothing of tiles and verifies no signature; the verifier does.

use crate::batch::Tip;
use crate::error::{Error, corrupt, io_error};
use crate::format::Header;
use crate::prune;
use crate::scan::{Head, Position, SegmentScan, Step, list_segments, segment_path};
use crate::storage::{Access, Storage};
use note::Hash;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// The entries from some index on. It is a cursor: after `None` it can be
/// asked again, and goes on where it stood without reading anything twice.
///
/// An entry is given out once the batch it is in stands whole in its segment,
/// with good checksums and chained to the batch before. Of a log that is open
/// in this process, only what is on stable storage is given out; another
/// process may see a batch a moment before it is durable.
#[derive(Debug)]
pub struct Entries {
    storage: Arc<dyn Storage>,
    /// Where the open log is, when it is open in this process.
    tip: Option<watch::Receiver<Tip>>,
    scan: Option<SegmentScan>,
    /// Where the batch in hand begins; without one, where the next begins.
    batch: Position,
    /// How many entries of the batch in hand were given out or skipped.
    given: usize,
    /// The number of entries before the end of the batch in hand.
    batch_end: u64,
    next: u64,
}

impl Entries {
    /// Starts at the entry with index `from`, which may not exist yet.
    pub(crate) fn from_index(
        storage: Arc<dyn Storage>,
        from: u64,
        tip: Option<watch::Receiver<Tip>>,
    ) -> Result<Self, Error> {
        prune::check_kept(storage.as_ref(), from)?;
        let firsts = list_segments(storage.as_ref())?;
        let segment = firsts.into_iter().rfind(|first| *first <= from);
        let segment = segment.ok_or_else(|| Error::NotALog(segment_path(0)))?;
        let (scan, head) = SegmentScan::open(storage.as_ref(), segment)?;
        let batch = scan.position().clone();
        let scan = matches!(head, Head::Header(_)).then_some(scan);
        Ok(Self { storage, tip, scan, batch, given: 0, batch_end: segment, next: from })
    }

    /// Starts at `next`, which is in the batch at this position or after it.
    pub(crate) fn resume(
        storage: Arc<dyn Storage>,
        position: Position,
        next: u64,
    ) -> Result<Self, Error> {
        let (mut scan, _) = SegmentScan::open(storage.as_ref(), position.segment)?;
        scan.resume(position.clone());
        let batch_end = position.next;
        Ok(Self {
            storage,
            tip: None,
            scan: Some(scan),
            batch: position,
            given: 0,
            batch_end,
            next,
        })
    }

    /// The index of the entry that comes next.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        self.next
    }

    /// The next entry and its index; `None` when it is not there yet.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when what is stored is not what was written;
    /// [`Error::Pruned`] when it was removed meanwhile; [`Error::Io`] when it
    /// cannot be read.
    pub fn next_entry(&mut self) -> Result<Option<(u64, &[u8])>, Error> {
        if self.batch_end <= self.next && !self.advance()? {
            return Ok(None);
        }
        let index = self.next;
        let given = self.given;
        self.given += 1;
        self.next += 1;
        let entry = self.scan.as_ref().and_then(|scan| scan.entry(given));
        Ok(entry.map(|entry| (index, entry)))
    }

    /// Where the batch begins that has the next entry in it.
    pub(crate) fn position(&self) -> Position {
        match &self.scan {
            Some(scan) if self.batch_end <= self.next => scan.position().clone(),
            _ => self.batch.clone(),
        }
    }

    /// Goes to the batch with the next entry; false when there is none yet.
    fn advance(&mut self) -> Result<bool, Error> {
        let tip = self.tip.as_ref().map(|tip| tip.borrow().size);
        if tip.is_some_and(|size| size <= self.next) {
            return Ok(false);
        }
        loop {
            let Some(scan) = &mut self.scan else {
                if !self.open_segment(self.batch.segment, None)? {
                    return Ok(false);
                }
                continue;
            };
            let before = scan.position().clone();
            let bad = match scan.step()? {
                Step::Batch(batch) if batch.size <= self.next => continue,
                Step::Batch(batch) => {
                    self.batch = before;
                    self.batch_end = batch.size;
                    self.given = usize::try_from(self.next - batch.first).unwrap_or(0);
                    return Ok(true);
                }
                Step::End => None,
                Step::Bad(bad) => Some(bad),
            };
            let path = scan.path().to_owned();
            self.batch = before.clone();
            self.batch_end = before.next.min(self.next);
            let at_start = before.segment == before.next;
            if bad.is_none() && !at_start && self.open_segment(before.next, Some(&before))? {
                continue;
            }
            if at_start {
                // A writer that starts again may remove a segment in which
                // nothing was finished, and make another of the same name.
                self.scan = None;
            }
            prune::check_kept(self.storage.as_ref(), self.next)?;
            let committed = tip.is_some_and(|size| before.next < size);
            if !committed && (bad.is_none() || !self.goes_on_after(before.next)?) {
                return Ok(false);
            }
            let (offset, what) =
                bad.map_or((before.offset, "entries are missing"), |bad| (bad.offset, bad.what));
            return Err(corrupt(&path, offset, Some(before.next), what));
        }
    }

    /// Opens a segment, and checks that it continues `before` when that is
    /// known. False when it is not there yet, or not begun.
    fn open_segment(&mut self, first: u64, before: Option<&Position>) -> Result<bool, Error> {
        let path = segment_path(first);
        match self.storage.open(&path, Access::Read) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(io_error("open", &path)(error)),
        }
        let (scan, head) = SegmentScan::open(self.storage.as_ref(), first)?;
        let Head::Header(header) = head else { return Ok(false) };
        if before.is_some_and(|before| !continues(&header, before)) {
            return Err(corrupt(&path, 0, Some(first), "the segment does not continue the log"));
        }
        self.scan = Some(scan);
        Ok(true)
    }

    /// Whether there are segments after this index.
    fn goes_on_after(&self, next: u64) -> Result<bool, Error> {
        Ok(list_segments(self.storage.as_ref())?.into_iter().any(|first| next < first))
    }
}

impl Iterator for Entries {
    type Item = Result<(u64, Vec<u8>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.next_entry() {
            Ok(entry) => entry.map(|(index, entry)| Ok((index, entry.to_vec()))),
            Err(error) => Some(Err(error)),
        }
    }
}

fn continues(header: &Header, before: &Position) -> bool {
    let previous: &Hash = &header.previous;
    header.first == before.next
        && *previous == before.previous
        && Some(header.ordinal) == before.ordinal.checked_add(1)
}
