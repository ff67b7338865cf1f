//! Who may read entries, and the record of what they read.
//!
//! Knows digests of tokens, never a token. What is kept is one tally for each configured reader, however
//! much is read.

use super::Which;
use crate::notices::{Notices, Unrecorded};
use ::http::{HeaderMap, header};
use event::Kind;
use note::Hash;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};
use subtle::{ConditionallySelectable as _, ConstantTimeEq as _};
use tokio::sync::Mutex;

/// Somebody who may read entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    name: String,
    digest: [u8; 32],
}

/// Why a reader cannot be configured.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadReader {
    /// The name is none.
    #[error("a reader is named by 1 to 64 letters, digits, `-`, `_` or `.`, not `{0}`")]
    Name(String),
    /// The digest is none. What it says is kept out of the message: it may be the token itself.
    #[error("the digest of the reader `{0}` is not `sha256:` and 64 hexadecimal digits")]
    Digest(String),
}

impl Reader {
    /// A reader from its name in the log and the digest of its token: `sha256:` and 64 lower-case
    /// hexadecimal digits.
    ///
    /// # Errors
    /// [`BadReader`] says what is wrong.
    pub fn new(name: &str, sha256: &str) -> Result<Self, BadReader> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || 64 < name.len() || !name.chars().all(plain) {
            return Err(BadReader::Name(event::bounded(name, 64)));
        }
        let digest = sha256.strip_prefix("sha256:").and_then(event::LeafHash::parse);
        let digest = digest.ok_or_else(|| BadReader::Digest(name.to_owned()))?.0;
        Ok(Self { name: name.to_owned(), digest })
    }

    /// Its name in the log.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// All readers of a log.
#[derive(Debug)]
pub(crate) struct Readers {
    lanes: Vec<Lane>,
    notices: Arc<dyn Notices>,
}

/// One reader and what it read.
#[derive(Debug)]
pub(crate) struct Lane {
    reader: Reader,
    tally: Mutex<Tally>,
}

/// What was read since the last record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Tally {
    recorded: Option<Instant>,
    entries: Option<Range<u64>>,
    requests: u64,
}

impl Readers {
    pub(crate) fn new(readers: Vec<Reader>, notices: Arc<dyn Notices>) -> Self {
        let lane = |reader| Lane { reader, tally: Mutex::default() };
        Self { lanes: readers.into_iter().map(lane).collect(), notices }
    }

    /// The reader whose token the request carries. Every digest is compared, and each comparison takes
    /// the same time.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Option<&Lane> {
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return None };
        let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") || token.is_empty() {
            return None;
        }
        let presented = *Hash::of(token.as_bytes()).as_bytes();
        let mut found = u32::MAX;
        for (place, lane) in (0_u32..).zip(&self.lanes) {
            found.conditional_assign(&place, lane.reader.digest.ct_eq(&presented));
        }
        self.lanes.get(usize::try_from(found).ok()?)
    }

    /// Counts a read, before anything is given out. The first of a reader, and the first a minute or
    /// more after its last record, return when the record is durable.
    pub(crate) async fn record(
        &self,
        lane: &Lane,
        entries: Range<u64>,
        now: Instant,
    ) -> Result<(), Unrecorded> {
        // Held while recording, so that nobody slips past an unrecorded first read; when this future is
        // dropped meanwhile, the tally stands as before.
        let mut tally = lane.tally.lock().await;
        let with = tally.with(entries);
        *tally = if with.is_due(now) { self.write(lane, with, now).await? } else { with };
        Ok(())
    }

    /// Records what was counted and is not on record.
    pub(crate) async fn flush(&self, now: Instant, which: Which) -> Result<(), Unrecorded> {
        for lane in &self.lanes {
            let mut tally = lane.tally.lock().await;
            if 0 < tally.requests && (which == Which::All || tally.is_due(now)) {
                *tally = self.write(lane, tally.clone(), now).await?;
            }
        }
        Ok(())
    }

    async fn write(&self, lane: &Lane, tally: Tally, now: Instant) -> Result<Tally, Unrecorded> {
        let entries = tally.entries.unwrap_or(0..0);
        let details = BTreeMap::from([
            ("from".to_owned(), entries.start.to_string()),
            ("reader".to_owned(), lane.reader.name.clone()),
            ("requests".to_owned(), tally.requests.to_string()),
            ("to".to_owned(), entries.end.to_string()),
        ]);
        self.notices.notice(Kind::LogRead, details).await?;
        Ok(Tally { recorded: Some(now), ..Tally::default() })
    }
}

impl Tally {
    fn with(&self, entries: Range<u64>) -> Self {
        let entries = match &self.entries {
            Some(all) => all.start.min(entries.start)..all.end.max(entries.end),
            None => entries,
        };
        let requests = self.requests.saturating_add(1);
        Self { recorded: self.recorded, entries: Some(entries), requests }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.recorded.is_none_or(|last| RECORD_INTERVAL <= now.saturating_duration_since(last))
    }
}

/// Time between two records of one reader.
const RECORD_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::{BadReader, Reader};

    #[test]
    fn a_digest_is_of_one_form_and_never_repeated() {
        let digits = "0123456789abcdef".repeat(4);
        assert_eq!(Reader::new("auditor", &format!("sha256:{digits}")).unwrap().name(), "auditor");
        for bad in ["", "secret-token", &digits, &format!("sha256:{}", digits.to_uppercase())] {
            let error = Reader::new("auditor", bad).unwrap_err();
            assert_eq!(error, BadReader::Digest("auditor".to_owned()));
            assert!(bad.is_empty() || !error.to_string().contains(bad));
        }
        for bad in ["", "a b", "a\nb", &"x".repeat(65)] {
            let error = Reader::new(bad, &format!("sha256:{digits}")).unwrap_err();
            assert!(matches!(error, BadReader::Name(_)), "{bad}");
        }
    }
}
