//! What the next run puts on record after an end that was not in order.

use crate::{Site, answered, asked, begun, refused};
use event::{CallId, Kind, Status};

/// A run that passes three calls on and answers the second; in order or not at its end.
async fn run(log: &tlog::Log, in_order: bool) -> Vec<CallId> {
    let recorder = begun(log).await;
    let calls: Vec<_> = (0..3).map(|_| recorder.call_id()).collect();
    let mut indexes = Vec::new();
    for call in &calls {
        indexes.push(recorder.record(&asked(&recorder, *call)).await.unwrap().index());
    }
    let ends: &[usize] = if in_order { &[1, 0, 2] } else { &[1] };
    for end in ends {
        recorder.record(&answered(&recorder, calls[*end], indexes[*end])).await.unwrap();
    }
    recorder.record(&refused(&recorder, recorder.call_id())).await.unwrap();
    if in_order {
        recorder.end().await.unwrap();
    }
    log.close().unwrap();
    calls
}

#[tokio::test]
async fn open_calls_are_in_doubt_after_an_unclean_end() {
    let (site, log) = Site::new();
    let calls = run(&log, false).await;
    let before = u64::try_from(site.rows().len()).unwrap();
    let (log, recovered) = site.open();
    let second = begun(&log).await;
    assert_eq!(second.recover(&recovered).await.unwrap(), 2);
    second.heartbeat().await.unwrap();
    log.close().unwrap();
    let rows = site.rows();
    let new: Vec<_> = rows.iter().filter(|row| before <= row.index).collect();
    let kinds: Vec<_> = new.iter().map(|row| row.event.kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::GatewayStarted,
            Kind::LogRecovered,
            Kind::CallInDoubt,
            Kind::CallInDoubt,
            Kind::LogHeartbeat
        ]
    );
    let details = &new[1].event.details;
    assert_eq!(details["calls_in_doubt"], "2");
    assert_eq!(details["entries"], before.to_string());
    assert_eq!(details["bytes_dropped"], "0");
    assert_eq!(details["oldest_open"], "1");
    for (row, (call, index)) in new[2..4].iter().zip([(calls[0], 1), (calls[2], 3)]) {
        assert_eq!((row.event.call, row.event.asked), (Some(call), Some(index)));
        assert_eq!(row.event.outcome.as_ref().unwrap().status, Status::Unknown);
    }
    let counts = crate::verified(&site);
    assert_eq!((counts.asked, counts.answered, counts.in_doubt), (3, 1, 2));
    assert_eq!((counts.refused, counts.other, counts.open), (1, 4, 0));
}

#[tokio::test]
async fn nothing_is_added_after_an_end_in_order() {
    let (site, log) = Site::new();
    run(&log, true).await;
    let before = site.rows().len();
    let (log, recovered) = site.open();
    assert_eq!(begun(&log).await.recover(&recovered).await.unwrap(), 0);
    log.close().unwrap();
    assert_eq!(site.rows().len(), before + 1);
    crate::verified(&site);
}

#[tokio::test]
async fn nothing_is_added_to_a_new_log() {
    let (site, log) = Site::new();
    log.close().unwrap();
    let (log, recovered) = site.open();
    assert_eq!(begun(&log).await.recover(&recovered).await.unwrap(), 0);
    log.close().unwrap();
    assert_eq!(site.rows().len(), 1);
}

#[tokio::test]
async fn a_call_is_in_doubt_once() {
    let (site, log) = Site::new();
    run(&log, false).await;
    for expected in [2, 0, 0] {
        let (log, recovered) = site.open();
        // The run after it crashes at once.
        assert_eq!(begun(&log).await.recover(&recovered).await.unwrap(), expected);
        log.submit(b"x".to_vec()).unwrap().await.unwrap();
        log.close().unwrap();
    }
    let mut follower = audit::Follower::open(&site.path(), 0).unwrap();
    let mut in_doubt = 0;
    loop {
        match follower.next_row() {
            Ok(Some(row)) => in_doubt += usize::from(row.event.kind == Kind::CallInDoubt),
            Ok(None) => break,
            Err(_not_an_event) => {}
        }
    }
    assert_eq!(in_doubt, 2);
}

#[tokio::test]
async fn more_open_calls_than_the_queue_holds_are_all_recorded() {
    let (site, log) = Site::new();
    let first = begun(&log).await;
    for _ in 0..200 {
        first.submit(&asked(&first, first.call_id())).unwrap();
    }
    log.close().unwrap();
    let signer = tlog::Signer::from_text(&site.key).unwrap();
    let small = tlog::Config { queue_entries: 4, ..crate::config() };
    let (log, recovered) = tlog::Log::open(&site.path(), signer, small).unwrap();
    assert_eq!(begun(&log).await.recover(&recovered).await.unwrap(), 200);
    log.close().unwrap();
    let counts = crate::verified(&site);
    assert_eq!((counts.asked, counts.in_doubt, counts.open), (200, 200, 0));
}

#[tokio::test]
async fn recovery_is_the_second_thing_of_a_run_or_refused() {
    let (site, log) = Site::new();
    run(&log, false).await;
    let (log, recovered) = site.open();
    let late = crate::recorder(&log);
    late.recover(&recovered).await.unwrap_err();
    late.begin(std::collections::BTreeMap::new()).await.unwrap();
    late.record(&refused(&late, late.call_id())).await.unwrap();
    late.recover(&recovered).await.unwrap_err();
    log.close().unwrap();
}

#[tokio::test]
async fn open_calls_are_found_far_behind_the_end() {
    let (site, log) = Site::new();
    let first = begun(&log).await;
    let mut asked_at = Vec::new();
    for _ in 0..2 {
        let receipt = first.record(&asked(&first, first.call_id())).await.unwrap();
        asked_at.push(receipt.index());
    }
    first.heartbeat().await.unwrap();
    // More than the recovery looks at first, and more than it looks at then.
    for _ in 0..5_000 {
        if first.submit(&refused(&first, first.call_id())).is_err() {
            first.record(&refused(&first, first.call_id())).await.unwrap();
        }
    }
    let receipt = first.record(&asked(&first, first.call_id())).await.unwrap();
    asked_at.push(receipt.index());
    log.close().unwrap();
    let (log, recovered) = site.open();
    assert_eq!(begun(&log).await.recover(&recovered).await.unwrap(), 3);
    log.close().unwrap();
    let rows = site.rows();
    let in_doubt = rows.iter().filter(|row| row.event.kind == Kind::CallInDoubt);
    assert_eq!(in_doubt.map(|row| row.event.asked.unwrap()).collect::<Vec<_>>(), asked_at);
    crate::verified(&site);
}
