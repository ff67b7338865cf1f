//! What an earlier run left open, found without reading more of the log than since the last event that
//! says so itself. It only reads; `Recorder::recover` records.

use crate::pairing::Pairing;
use event::{CallId, Event, Kind};
use std::ops::Range;
use tlog::{Error, Reader};

/// What the end of a log tells of the run that wrote it.
#[derive(Debug)]
pub(crate) struct Left {
    /// Whether the log is empty or the run ended with `gateway.stopped`.
    pub(crate) in_order: bool,
    /// The calls without an end, with the index of their `call.asked`, in that order.
    pub(crate) open: Vec<(CallId, u64)>,
}

/// Reads the end of the first `entries` entries of a log.
///
/// # Errors
/// When they cannot be read. Entries that are no events are passed over: a log that pairs badly is
/// still served, and `verify` tells of it.
pub(crate) fn left_open(reader: &Reader, entries: u64) -> Result<Left, Error> {
    let start = start(reader, entries)?;
    let mut pairing = Pairing::default();
    let mut last = None;
    each(reader, start..entries, |index, event| {
        last = Some((index, event.kind));
        pairing.take(index, event);
    })?;
    let stopped = last.is_some_and(|last| last == (entries - 1, Kind::GatewayStopped));
    Ok(Left { in_order: entries == 0 || stopped, open: pairing.into_open() })
}

/// Where to begin to read: no call that was asked before is open. Looks at the end first, and then at
/// ever larger pieces before it.
fn start(reader: &Reader, entries: u64) -> Result<u64, Error> {
    let (mut end, mut piece) = (entries, PIECE_ENTRIES);
    while end > 0 {
        let begin = end.saturating_sub(piece);
        let mut found = None;
        each(reader, begin..end, |index, event| found = known_start(index, event).or(found))?;
        if let Some(start) = found {
            return Ok(start);
        }
        end = begin;
        piece = piece.saturating_mul(2).min(PIECE_ENTRIES_MAX);
    }
    Ok(0)
}

/// What an event says of where the oldest call is that is open at that moment.
fn known_start(index: u64, event: &Event) -> Option<u64> {
    // The beginning of a run says nothing: recovery may not have been over.
    let says = matches!(event.kind, Kind::GatewayStopped | Kind::LogHeartbeat | Kind::LogRecovered);
    let oldest = event.details.get("oldest_open").map(|oldest| oldest.parse::<u64>());
    match oldest {
        _ if !says => None,
        None => Some(index),
        Some(oldest) => oldest.ok().map(|oldest| oldest.min(index)),
    }
}

fn each(
    reader: &Reader,
    range: Range<u64>,
    mut take: impl FnMut(u64, &Event),
) -> Result<(), Error> {
    // Calls that were asked before what is kept were closed long ago, or are nobody's any more.
    let mut entries = reader.entries(range.start.max(reader.minimum()?))?;
    while entries.cursor() < range.end {
        let Some((index, entry)) = entries.next_entry()? else { break };
        if let Ok(event) = Event::decode(entry) {
            take(index, &event);
        }
    }
    Ok(())
}

/// Entries that are looked at first.
const PIECE_ENTRIES: u64 = 1_024;

/// Entries of the largest piece: about what a segment holds, and each piece means reading a segment.
const PIECE_ENTRIES_MAX: u64 = 65_536;

#[cfg(test)]
mod tests {
    use super::start;
    use crate::{Clock, Place, Recorder};
    use event::{Event, Kind};
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use tlog::storage::Memory;
    use tlog::{Config, Log, Signer};

    /// A kind, and what it says of the oldest open call.
    type Entry = (Kind, Option<&'static str>);

    const PLAIN: Entry = (Kind::PolicyChanged, None);
    const BEAT: Entry = (Kind::LogHeartbeat, None);
    const STARTED: Entry = (Kind::GatewayStarted, None);
    const STOPPED: Entry = (Kind::GatewayStopped, None);
    const RECOVERED: Entry = (Kind::LogRecovered, None);

    fn saying(entry: Entry, oldest: &'static str) -> Entry {
        (entry.0, Some(oldest))
    }

    fn start_in(entries: &[Entry]) -> u64 {
        let mut config = Config::new(Arc::new(|| 0));
        (config.segment_bytes, config.queue_entries) = (1 << 20, entries.len() + 1);
        let (signer, _) = Signer::generate("example.com/log").unwrap();
        let log = Log::create_on(Arc::new(Memory::default()), signer, config).unwrap();
        let place = Place { gateway: "gw".to_owned(), region: None };
        let recorder = Recorder::new(log.clone(), place, Clock::start());
        let mut last = None;
        for (kind, oldest) in entries {
            let oldest = oldest.map(|oldest| ("oldest_open".to_owned(), oldest.to_owned()));
            let details = BTreeMap::from_iter(oldest);
            let event = Event::notice(recorder.stamp(None, None), *kind, details);
            last = Some(log.submit(event.encode().unwrap()).unwrap());
        }
        last.map(|last| last.wait().unwrap());
        start(&log.reader(), u64::try_from(entries.len()).unwrap()).unwrap()
    }

    #[test]
    fn reading_begins_at_the_last_event_that_knows_where() {
        for (expected, entries) in [
            (0, vec![]),
            (0, vec![STARTED, PLAIN]),
            (2, vec![STARTED, PLAIN, BEAT, PLAIN, PLAIN]),
            (1, vec![STARTED, PLAIN, saying(BEAT, "1"), PLAIN]),
            (3, vec![STARTED, PLAIN, saying(BEAT, "1"), BEAT, PLAIN]),
            (2, vec![STARTED, PLAIN, STOPPED, STARTED, PLAIN]),
            (1, vec![STARTED, PLAIN, saying(STOPPED, "1"), STARTED, PLAIN]),
            // The beginning of a run says nothing of the run before, and recovery may not be over.
            (1, vec![STARTED, PLAIN, saying(BEAT, "1"), STARTED]),
            (1, vec![STARTED, PLAIN, BEAT, STARTED, saying(RECOVERED, "1"), PLAIN]),
            (4, vec![STARTED, PLAIN, BEAT, STARTED, RECOVERED, PLAIN]),
            // What cannot be read does not count, and nothing lies in the future.
            (0, vec![STARTED, PLAIN, saying(BEAT, "x"), PLAIN]),
            (2, vec![STARTED, PLAIN, saying(BEAT, "9"), PLAIN]),
        ] {
            assert_eq!(start_in(&entries), expected, "{entries:?}");
        }
    }

    #[test]
    fn the_last_one_counts_however_far_behind_the_end() {
        for behind in [1_022, 1_023, 1_024, 3_071, 3_072, 5_000] {
            let mut entries = vec![STARTED, saying(BEAT, "0"), BEAT];
            entries.resize(entries.len() + behind, PLAIN);
            assert_eq!(start_in(&entries), 2, "{behind}");
        }
    }
}
