//! Logs whose bytes are intact and whose content is not: each is refused at the entry that is wrong.

use crate::{Site, answered, asked, begun, recorder, refused};
use audit::{Recorder, verify};
use event::{Event, Kind, SCHEMA_VERSION};
use std::collections::BTreeMap;
use tlog::verify::{Expected, FailureKind};

/// A log of these entries, verified: `Err` is the number of the entry refused, and why.
async fn verified(
    entries: impl FnOnce(&Recorder) -> Vec<Vec<u8>>,
) -> Result<audit::EventCounts, (Option<u64>, String)> {
    let (site, log) = Site::new();
    for entry in entries(&recorder(&log)) {
        log.submit(entry).unwrap().await.unwrap();
    }
    log.close().unwrap();
    match verify(&site.path(), &Expected::default(), &mut |_| {}) {
        Ok(verified) => Ok(verified.counts),
        Err(failure) => {
            assert_eq!(failure.kind, FailureKind::Rejected, "{failure}");
            Err((failure.entry, failure.what))
        }
    }
}

fn encoded(events: &[Event]) -> Vec<Vec<u8>> {
    events.iter().map(|event| event.encode().unwrap()).collect()
}

/// A good entry before and after the one in question.
fn between(recorder: &Recorder, entry: Vec<u8>) -> Vec<Vec<u8>> {
    let good = || refused(recorder, recorder.call_id()).encode().unwrap();
    vec![good(), entry, good()]
}

#[tokio::test]
async fn a_log_of_good_entries_is_counted() {
    let counts = verified(|recorder| {
        let calls = [recorder.call_id(), recorder.call_id(), recorder.call_id()];
        encoded(&[
            Event::notice(recorder.stamp(None, None), Kind::GatewayStarted, BTreeMap::new()),
            asked(recorder, calls[0]),
            asked(recorder, calls[1]),
            answered(recorder, calls[1], 2),
            refused(recorder, recorder.call_id()),
            asked(recorder, calls[2]),
            Event::in_doubt(recorder.stamp(None, None), calls[0], 1),
        ])
    })
    .await
    .unwrap();
    assert_eq!((counts.asked, counts.answered, counts.in_doubt), (3, 1, 1));
    assert_eq!((counts.refused, counts.other, counts.open), (1, 1, 1));
}

#[tokio::test]
async fn entries_that_are_no_events_are_refused() {
    for entry in [&b"x"[..], b"{}", b"null", b"\xff\xfe", b"{\"v\":1}"] {
        let (index, what) =
            verified(|recorder| between(recorder, entry.to_vec())).await.unwrap_err();
        assert_eq!(index, Some(1));
        assert!(what.contains("entry is not an event"), "{what}");
    }
}

#[tokio::test]
async fn entries_in_another_form_than_the_canonical_are_refused() {
    type Change = fn(&str) -> String;
    let changes: [Change; 5] = [
        |text| format!("{text} "),
        |text| text.replacen(':', ": ", 1),
        |text| text.replacen('{', "{\"zzz\":1,", 1),
        |text| text.replacen("\"v\":1", "\"v\":1,\"v\":1", 1),
        |text| text.replacen("anonymous", "\\u0061nonymous", 1),
    ];
    for change in changes {
        let (index, what) = verified(|recorder| {
            let good = refused(recorder, recorder.call_id()).encode().unwrap();
            let text = String::from_utf8(good).unwrap();
            let changed = change(&text);
            assert_ne!(changed, text);
            between(recorder, changed.into_bytes())
        })
        .await
        .unwrap_err();
        assert_eq!(index, Some(1));
        let expected = ["entry is not in canonical form", "entry is not an event"];
        assert!(expected.iter().any(|words| what.contains(words)), "{what}");
    }
}

#[tokio::test]
async fn entries_of_a_later_schema_are_refused_by_name() {
    let (index, what) = verified(|recorder| {
        let mut event = refused(recorder, recorder.call_id());
        event.v = SCHEMA_VERSION + 1;
        between(recorder, event.encode().unwrap())
    })
    .await
    .unwrap_err();
    assert_eq!(index, Some(1));
    assert!(what.contains("schema version 2"), "{what}");
}

/// Logs in which the calls do not fit together, with the entry at which that shows, and words of why.
type Unfit = (u64, &'static str, fn(&Recorder) -> Vec<Event>);

const UNFIT: [Unfit; 9] = [
    (0, "answered but not open", |r| vec![answered(r, r.call_id(), 0)]),
    (1, "answered but not open", |r| vec![asked(r, r.call_id()), answered(r, r.call_id(), 0)]),
    (2, "answered but not open", |r| {
        let call = r.call_id();
        vec![asked(r, call), answered(r, call, 0), answered(r, call, 0)]
    }),
    (2, "answered but not open", |r| {
        let call = r.call_id();
        let in_doubt = Event::in_doubt(r.stamp(None, None), call, 0);
        vec![asked(r, call), answered(r, call, 0), in_doubt]
    }),
    (2, "not where its answer says", |r| {
        let call = r.call_id();
        vec![asked(r, r.call_id()), asked(r, call), answered(r, call, 0)]
    }),
    (1, "not where its answer says", |r| {
        let call = r.call_id();
        vec![asked(r, call), Event { asked: None, ..answered(r, call, 0) }]
    }),
    (1, "already asked in entry 0", |r| {
        let call = r.call_id();
        vec![asked(r, call), asked(r, call)]
    }),
    (0, "names no call", |r| vec![Event { call: None, ..asked(r, r.call_id()) }]),
    (0, "names no call", |r| vec![Event { call: None, ..refused(r, r.call_id()) }]),
];

#[tokio::test]
async fn calls_that_do_not_fit_together_are_refused() {
    for (entry, words, events) in UNFIT {
        let found = verified(|recorder| encoded(&events(recorder))).await.unwrap_err();
        assert_eq!(found.0, Some(entry), "{}", found.1);
        assert!(found.1.contains(words), "{}", found.1);
    }
}

#[tokio::test]
async fn the_observer_is_told_how_far_it_is() {
    let (site, log) = Site::new();
    let recorder = begun(&log).await;
    for _ in 0..5 {
        recorder.record(&refused(&recorder, recorder.call_id())).await.unwrap();
    }
    log.close().unwrap();
    let mut told = Vec::new();
    verify(&site.path(), &Expected::default(), &mut |progress| told.push(progress.entries))
        .unwrap();
    assert_eq!(told.last(), Some(&6));
    assert!(told.is_sorted());
}
