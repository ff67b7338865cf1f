//! A log whose bytes are intact and from which an event is missing, or stands in another place: each is
//! found at the entry where it shows.

use crate::reference::{leaf, relinked};
use crate::{Site, answered, asked, begun, config, in_session, judged, refused};
use audit::Recorder;
use event::{Event, Kind, LeafHash, Outcome, Payload, Sequence, Status};
use std::collections::BTreeMap;
use std::sync::Arc;
use tlog::storage::Memory;
use tlog::{Log, Signer};
use verify::{EventCounts, Verdict};

/// A log of these entries, verified: `Err` is the number of the entry refused, and why.
fn verified(events: &[Event]) -> Result<EventCounts, (usize, String)> {
    let memory = Memory::default();
    let (signer, _) = Signer::generate("example.com/log").unwrap();
    let log = Log::create_on(Arc::new(memory.clone()), signer, config()).unwrap();
    for event in events {
        drop(log.submit(event.encode().unwrap()).unwrap());
    }
    log.close().unwrap();
    let directory = tempfile::tempdir().unwrap();
    memory.copy_to(directory.path()).unwrap();
    judged(directory.path()).map_err(|failure| {
        assert_eq!(failure.verdict, Verdict::Incomplete, "{failure}");
        (usize::try_from(failure.entry.unwrap()).unwrap(), failure.what)
    })
}

/// Two runs: one that broke off with an open call, and one that ended in order.
async fn history() -> Vec<Event> {
    let (site, log) = Site::new();
    let last = busy(&begun(&log).await).await;
    drop(last);
    log.close().unwrap();
    let (log, recovered) = site.open();
    let second = begun(&log).await;
    assert_eq!(second.recover(&recovered).await.unwrap(), 1);
    let last = busy(&second).await;
    second.submit(&last).unwrap();
    second.end().await.unwrap();
    log.close().unwrap();
    site.rows().into_iter().map(|row| row.event).collect()
}

/// Calls in two sessions, of which one ends, and outside; the answer that is still to be given.
async fn busy(recorder: &Recorder) -> Event {
    let mut answers = Vec::new();
    for session in [Some("a"), Some("b"), None, Some("a")] {
        let call = recorder.call_id();
        let event = Event { session: session.map(str::to_owned), ..asked(recorder, call) };
        let index = recorder.record(&event).await.unwrap().index();
        answers.push(answered(recorder, call, index));
    }
    recorder.record(&in_session(refused(recorder, recorder.call_id()), "b")).await.unwrap();
    recorder.heartbeat().await.unwrap();
    recorder.record(&answers[0]).await.unwrap();
    recorder.end_session("a");
    recorder.record(&answers[3]).await.unwrap();
    recorder.record(&answers[1]).await.unwrap();
    recorder.notice(Kind::PolicyChanged, BTreeMap::new()).await.unwrap();
    answers.remove(2)
}

fn position(events: &[Event], run: usize, kind: Kind) -> usize {
    let start = events.iter().enumerate().filter(|(_, e)| e.kind == Kind::GatewayStarted);
    let start = start.map(|(at, _)| at).nth(run).unwrap();
    start + events[start..].iter().position(|event| event.kind == kind).unwrap()
}

fn without(events: &[Event], at: usize) -> Vec<Event> {
    let mut events = events.to_vec();
    events.remove(at);
    events
}

#[tokio::test]
async fn what_a_recorder_writes_is_complete_and_as_the_rule_says() {
    let events = history().await;
    let counts = verified(&events).unwrap();
    assert_eq!((counts.asked, counts.answered, counts.in_doubt, counts.open), (8, 7, 1, 0));
    assert_eq!(relinked(&events), events);
    for end in 0..events.len() {
        verified(&events[..end]).unwrap();
    }
}

#[tokio::test]
async fn no_event_can_be_left_out() {
    let events = history().await;
    // Without the last one, the log is a shorter one; checkpoints are against that.
    for at in 0..events.len() - 1 {
        let (found, what) = verified(&without(&events, at)).unwrap_err();
        assert!(at <= found, "{at}: entry {found}: {what}");
    }
}

#[tokio::test]
async fn no_event_can_stand_twice_or_elsewhere() {
    let events = history().await;
    for at in 0..events.len() {
        let mut twice = events.clone();
        twice.insert(at + 1, events[at].clone());
        assert_eq!(verified(&twice).unwrap_err().0, at + 1);
    }
    for (at, pair) in events.windows(2).enumerate() {
        let next_to_each_other = pair[1].sequence.unwrap().previous == Some(leaf(&pair[0]));
        if next_to_each_other {
            let mut swapped = events.clone();
            swapped.swap(at, at + 1);
            assert_eq!(verified(&swapped).unwrap_err().0, at);
        }
    }
}

#[tokio::test]
async fn an_event_left_out_by_who_writes_all_the_rest_anew_shows_in_the_counts() {
    let events = history().await;
    for kind in [Kind::CallRefused, Kind::PolicyChanged] {
        for run in [0, 1] {
            let at = position(&events, run, kind);
            let found = verified(&relinked(&without(&events, at)));
            if run == 0 && kind == Kind::PolicyChanged {
                // The last event of a run that broke off: nothing counts it.
                found.unwrap();
                continue;
            }
            let (found, what) = found.unwrap_err();
            let counting = [Kind::LogHeartbeat, Kind::GatewayStopped];
            assert!(counting.contains(&events[found + 1].kind), "{what}");
            assert!(what.contains("`recorded`"), "{what}");
        }
    }
}

/// A change to a good history; returns the entry at which it shows.
type Change = fn(&mut Vec<Event>) -> usize;

fn set(event: &mut Event, change: impl FnOnce(&mut Sequence)) {
    change(event.sequence.as_mut().unwrap());
}

fn relink(events: &mut Vec<Event>) {
    *events = relinked(events);
}

const CHANGES: [Change; 16] = [
    |events| {
        let mut recovered = events[position(events, 1, Kind::LogRecovered)].clone();
        recovered.sequence = events[1].sequence;
        set(&mut recovered, |sequence| sequence.run = events[0].id.0);
        events.insert(1, recovered);
        relink(events);
        1
    },
    |events| {
        set(&mut events[4], |sequence| sequence.n += 1);
        4
    },
    |events| {
        set(&mut events[4], |sequence| sequence.previous = Some(LeafHash([0; 32])));
        4
    },
    |events| {
        set(&mut events[2], |sequence| sequence.previous = Some(LeafHash([0; 32])));
        2
    },
    |events| {
        let run = events[3].id.0;
        set(&mut events[3], |sequence| sequence.run = run);
        3
    },
    |events| {
        events[3].sequence = None;
        3
    },
    |events| {
        let started = position(events, 1, Kind::GatewayStarted);
        let run = Event::notice(stamp_of(&events[3]), Kind::PolicyChanged, BTreeMap::new()).id.0;
        for event in &mut events[started..] {
            set(event, |sequence| sequence.run = run);
        }
        relink(events);
        started
    },
    |events| {
        let at = position(events, 1, Kind::LogRecovered);
        events.remove(at);
        relink(events);
        at
    },
    |events| {
        let at = position(events, 1, Kind::LogRecovered);
        events.insert(at + 2, events[at].clone());
        relink(events);
        at + 2
    },
    |events| {
        let mut again = events[0].clone();
        again.details.insert("command".to_owned(), "serve".to_owned());
        events.insert(5, again);
        relink(events);
        5
    },
    |events| {
        let last = events.len();
        let mut more = events[position(events, 1, Kind::PolicyChanged)].clone();
        more.details.insert("policy_set".to_owned(), "sha256:00".to_owned());
        events.push(more);
        relink(events);
        last
    },
    |events| {
        let at = position(events, 1, Kind::CallInDoubt);
        let open = &events[at];
        events[at] = Event::answered(
            stamp_of(open),
            event::Answered {
                call: open.call.unwrap(),
                asked: open.asked.unwrap(),
                outcome: Outcome::new(Status::Ok, 1),
                payload: Payload::default(),
                session: None,
            },
        );
        events[at].sequence = events[0].sequence;
        let run = events[at - 1].sequence.unwrap().run;
        set(&mut events[at], |sequence| sequence.run = run);
        relink(events);
        at
    },
    |events| {
        let ended = position(events, 0, Kind::SessionEnded);
        let more = position(events, 0, Kind::PolicyChanged);
        let n = events[ended].sequence.unwrap().n + 1;
        let previous = Some(leaf(&events[ended]));
        events[more].session = Some("a".to_owned());
        set(&mut events[more], |sequence| (sequence.n, sequence.previous) = (n, previous));
        more
    },
    |events| count(events, "open_calls", Some("3")),
    |events| count(events, "oldest_open", None),
    |events| count(events, "sequences", Some("02")),
];

/// Another count in the first heartbeat.
fn count(events: &mut Vec<Event>, key: &str, value: Option<&str>) -> usize {
    let at = position(events, 0, Kind::LogHeartbeat);
    events[at].details.remove(key);
    events[at].details.extend(value.map(|value| (key.to_owned(), value.to_owned())));
    relink(events);
    at
}

fn stamp_of(event: &Event) -> event::Stamp {
    event::Stamp { id: event.id, environment: event.environment.clone() }
}

#[tokio::test]
async fn what_does_not_follow_is_found_where_it_is() {
    let good = history().await;
    for change in CHANGES {
        let mut events = good.clone();
        let entry = change(&mut events);
        let (found, what) = verified(&events).unwrap_err();
        assert_eq!(found, entry, "{what}");
    }
}
