//! The beat of tasks that look after something at fixed intervals until they are stopped.

use std::time::Duration;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// Fixed intervals until a stop. Work that takes longer than an interval puts the next one off.
#[derive(Debug)]
pub(crate) struct Cadence {
    ticks: Interval,
    stop: CancellationToken,
}

impl Cadence {
    /// Begins at once.
    pub(crate) fn new(interval: Duration, stop: CancellationToken) -> Self {
        Self::of(tokio::time::interval(interval), stop)
    }

    /// Begins after the first interval.
    pub(crate) fn later(interval: Duration, stop: CancellationToken) -> Self {
        let first = tokio::time::Instant::now() + interval;
        Self::of(tokio::time::interval_at(first, interval), stop)
    }

    fn of(mut ticks: Interval, stop: CancellationToken) -> Self {
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, stop }
    }

    /// Waits for the next time; false when it is over.
    pub(crate) async fn next(&mut self) -> bool {
        tokio::select! {
            () = self.stop.cancelled() => false,
            _ = self.ticks.tick() => true,
        }
    }
}
