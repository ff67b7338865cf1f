//! What a log notices of the world around it: a disk that hangs, a file system
//! that takes no writes, a clock that goes back.

use crate::config::Config;
use crate::error::Error;
use crate::log::Log;
use crate::log::tests::{append, config, entry, signer};
use crate::storage::{Memory, Storage as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A clock that stands where it is set.
fn clock(config: &mut Config, start: u64) -> Arc<AtomicU64> {
    let time = Arc::new(AtomicU64::new(start));
    let shared = Arc::clone(&time);
    config.clock = Arc::new(move || shared.load(Ordering::Relaxed));
    time
}

fn create(config: Config) -> (Memory, Log) {
    let storage = Memory::default();
    let log = Log::create_on(Arc::new(storage.clone()), signer(), config).unwrap();
    (storage, log)
}

#[test]
fn a_sync_that_hangs_refuses_new_entries_until_it_is_over() {
    let mut config = config();
    let uptime = Arc::new(AtomicU64::new(50));
    let shared = Arc::clone(&uptime);
    config.monotonic = Arc::new(move || shared.load(Ordering::Relaxed));
    config.sync_stall_max_ms = 100;
    let (storage, log) = create(config);
    append(&log, 0..1);
    uptime.store(100_000, Ordering::Relaxed);
    log.health().unwrap();
    storage.hold_syncs();
    let hanging = log.submit(entry(1)).unwrap();
    storage.wait_for_held_sync();
    let next = log.submit(entry(2)).unwrap();
    uptime.store(100_100, Ordering::Relaxed);
    log.health().unwrap();
    uptime.store(100_101, Ordering::Relaxed);
    assert!(matches!(log.health(), Err(Error::Stalled { waited_ms: 101 })));
    assert!(matches!(log.submit(entry(3)), Err(Error::Stalled { waited_ms: 101 })));
    storage.release_syncs();
    assert_eq!(hanging.wait().unwrap().index, 1, "it was only late");
    assert_eq!(next.wait().unwrap().index, 2);
    append(&log, 3..4);
    log.health().unwrap();
    log.close().unwrap();
}

#[test]
fn a_read_only_file_system_is_noticed_while_nothing_is_written() {
    let (storage, log) = create(config());
    append(&log, 0..1);
    log.health().unwrap();
    storage.set_read_only(true);
    assert!(matches!(log.health(), Err(Error::ReadOnly)));
    storage.set_read_only(false);
    log.health().unwrap();
    append(&log, 1..2);
}

#[test]
fn small_steps_back_of_the_clock_are_evened_out() {
    let mut config = config();
    let time = clock(&mut config, 1_000_000);
    let (storage, log) = create(config.clone());
    let mut last = 0;
    for (index, now) in (0..).zip([1_000_000, 1_000_500, 999_000, 995_500, 1_000_600, 1_000_100]) {
        time.store(now, Ordering::Relaxed);
        let batch = append(&log, index..index + 1).remove(0).batch;
        assert_eq!(batch.time_ms, now.max(last));
        last = batch.time_ms;
    }
    log.close().unwrap();
    let opened = Log::open_on(Arc::new(storage), signer(), config).unwrap();
    assert_eq!(opened.0.tip().time_ms, 1_000_600);
}

#[test]
fn a_clock_that_went_far_back_refuses_until_it_caught_up() {
    let mut config = config();
    config.clock_back_max_ms = 1_000;
    let time = clock(&mut config, 1_000_000);
    let (storage, log) = create(config.clone());
    append(&log, 0..1);
    time.store(998_999, Ordering::Relaxed);
    let back = |behind_ms, error: &Error| {
        let found = matches!(error, Error::ClockWentBack { behind_ms: found, max_ms: 1_000 }
            if *found == behind_ms);
        assert!(found, "{error}");
    };
    back(1_001, &log.health().unwrap_err());
    back(1_001, &log.submit(entry(1)).unwrap().wait().unwrap_err());
    assert_eq!(log.tip().size, 1);
    time.store(999_000, Ordering::Relaxed);
    log.health().unwrap();
    append(&log, 1..2);
    log.close().unwrap();
    time.store(1_000, Ordering::Relaxed);
    let refused = Log::open_on(Arc::new(storage.clone()), signer(), config.clone()).map(drop);
    back(999_000, &refused.unwrap_err());
    time.store(1_000_000, Ordering::Relaxed);
    Log::open_on(Arc::new(storage), signer(), config).unwrap().0.close().unwrap();
}

#[test]
fn a_full_disk_refuses_before_a_segment_is_half_made() {
    let mut config = config();
    config.free_bytes_min = 1_000;
    let (storage, log) = create(config);
    append(&log, 0..4);
    // Room for what is written, and none for another segment.
    storage.set_free_bytes(4_000);
    let mut index = 4;
    let refused = loop {
        match log.submit(entry(index)).unwrap().wait() {
            Ok(_) => index += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::DiskFull { free: 4_000, min: 5_096 }), "{refused}");
    assert_eq!(storage.list("segments").unwrap().len(), 1);
    storage.set_free_bytes(1 << 20);
    append(&log, index..index + 1);
    log.close().unwrap();
}
