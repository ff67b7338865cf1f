//! Finds the entry of a call, which has an identifier but no index.
//!
//! Identifiers of calls hold their time (UUID version 7), and entries are nearly in order of time: the search
//! begins near the right place. Where clocks were set back it may not be there.

use super::ReceiptError;
use audit::{FollowError, Follower, Row};
use event::{CallId, Event, Kind};
use note::Checkpoint;
use std::ops::Range;
use std::path::Path;
use tlog::Reader;
use uuid::Uuid;

/// The entry that a receipt is wanted of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The entry with this index.
    Index(u64),
    /// An entry of this call.
    Call(CallId),
}

impl Wanted {
    /// Reads an index in plain decimal or the identifier of a call in its usual form; `None` for
    /// anything else.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(index) = text.parse::<u64>() {
            return (index.to_string() == text).then_some(Self::Index(index));
        }
        let id = Uuid::try_parse(text).ok()?;
        (id.hyphenated().to_string() == text).then_some(Self::Call(CallId(id)))
    }
}

/// Which entry of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The question, or the refusal of it.
    Asked,
    /// The answer, or that its end is in doubt.
    Answered,
}

/// How far a search goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// A bounded number of entries from the time of the call on.
    Near,
    /// To the end of the log, and from its beginning when that finds nothing.
    Whole,
}

/// The index of the entry of a call, of those from `minimum` on.
pub(crate) fn find(
    directory: &Path,
    minimum: u64,
    (call, of): (CallId, Of),
    depth: Depth,
) -> Result<u64, ReceiptError> {
    let called_ms = time_ms(call);
    let start = match called_ms {
        Some(ms) => near(directory, minimum, ms.saturating_sub(SLACK_MS))?,
        None => minimum,
    };
    let mut search = Search { call, of, latest_ms: None, asked: false, to_the_end: false };
    if depth == Depth::Near {
        search.latest_ms = called_ms.map(|ms| ms.saturating_add(SLACK_MS));
    }
    let bound = match depth {
        Depth::Near => start.saturating_add(NEAR_ENTRIES_MAX),
        Depth::Whole => u64::MAX,
    };
    if let Some(index) = search.scan(directory, start..bound)? {
        return Ok(index);
    }
    if depth == Depth::Whole
        && !search.asked
        && let Some(index) = search.scan(directory, minimum..start)?
    {
        return Ok(index);
    }
    Err(match (search.asked, search.to_the_end) {
        (true, true) => ReceiptError::NoSuchRecord { call },
        (false, true) if depth == Depth::Whole || start == minimum => {
            ReceiptError::NoSuchCall { call, minimum }
        }
        _ => ReceiptError::NotFoundNear { call },
    })
}

/// What is looked for, and what a search came across.
#[derive(Debug)]
struct Search {
    call: CallId,
    of: Of,
    /// When the question should have come up; later than that, it is given up.
    latest_ms: Option<u64>,
    /// The question, while the answer was looked for.
    asked: bool,
    /// The end of the log.
    to_the_end: bool,
}

impl Search {
    fn scan(&mut self, directory: &Path, range: Range<u64>) -> Result<Option<u64>, ReceiptError> {
        let mut follower = Follower::open(directory, range.start)?;
        while follower.cursor() < range.end {
            let Row { index, event } = match follower.next_row() {
                Ok(Some(row)) => row,
                Ok(None) => {
                    self.to_the_end = true;
                    return Ok(None);
                }
                // What is no event is not of this call.
                Err(FollowError::Entry { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            if event.call == Some(self.call) {
                match self.judge(event.kind) {
                    Judged::Found => return Ok(Some(index)),
                    Judged::Vain => return Ok(None),
                    Judged::Further => {}
                }
            }
            let late = |latest| latest < event.environment.time.unix_ms();
            if !self.asked && self.latest_ms.is_some_and(late) {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn judge(&mut self, kind: Kind) -> Judged {
        match (kind, self.of) {
            (Kind::CallAsked | Kind::CallRefused, Of::Asked)
            | (Kind::CallAnswered | Kind::CallInDoubt, Of::Answered) => Judged::Found,
            // There will be no answer.
            (Kind::CallRefused, Of::Answered) => {
                (self.asked, self.to_the_end) = (true, true);
                Judged::Vain
            }
            (Kind::CallAsked, Of::Answered) => {
                self.asked = true;
                Judged::Further
            }
            _ => Judged::Further,
        }
    }
}

/// What a record of the call means for the search.
enum Judged {
    /// It is the one.
    Found,
    /// What is looked for will never be there.
    Vain,
    /// It is not the one.
    Further,
}

/// When a call was made, from its identifier.
fn time_ms(call: CallId) -> Option<u64> {
    let (seconds, nanoseconds) = call.0.get_timestamp()?.to_unix();
    Some(seconds.saturating_mul(1_000).saturating_add(u64::from(nanoseconds / 1_000_000)))
}

/// The first published entry that is not older than `wanted_ms`, where entries are in order of time.
fn near(directory: &Path, minimum: u64, wanted_ms: u64) -> Result<u64, ReceiptError> {
    let mut reader = Reader::open(directory)?;
    let note = reader.checkpoint_note()?;
    let parsed = note::Note::parse(&note).map_err(note::CheckpointError::from)?;
    let (mut low, mut high) = (minimum, Checkpoint::parse(parsed.text())?.size.max(minimum));
    while low < high {
        let middle = low + (high - low) / 2;
        // An entry without a time counts as a late one, so that the search begins before it.
        let event = Event::decode(&reader.entry(middle)?).ok();
        if event.is_some_and(|event| event.environment.time.unix_ms() < wanted_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// How much older or younger than the first record of a call the call itself may be: its record waits for
/// the policy and for room, and clocks are set.
const SLACK_MS: u64 = 60_000;
/// Entries that a search near the time of a call reads.
const NEAR_ENTRIES_MAX: u64 = 50_000;

#[cfg(test)]
mod tests {
    use super::Wanted;
    use event::CallId;
    use uuid::Uuid;

    #[test]
    fn an_entry_is_named_in_one_way() {
        let id = "019a7f3c-8d21-7c3e-9f00-0123456789ab";
        let call = CallId(Uuid::try_parse(id).unwrap());
        assert_eq!(Wanted::parse(id), Some(Wanted::Call(call)));
        assert_eq!(Wanted::parse("0"), Some(Wanted::Index(0)));
        assert_eq!(Wanted::parse(&u64::MAX.to_string()), Some(Wanted::Index(u64::MAX)));
        for bad in ["", "+1", "01", "1.0", &id.to_uppercase(), &id.replace('-', ""), "{}", "last"] {
            assert_eq!(Wanted::parse(bad), None, "{bad}");
        }
    }
}
