//! The one place where the clocks are read. Everything else takes time as an argument.

use event::Time;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall clock and monotonic clock of one run of the program.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Wall-clock time now.
    #[must_use]
    pub fn now(&self) -> Time {
        Time::from_unix_us(wall_us())
    }

    /// Microseconds since this clock was started, by the monotonic clock.
    #[must_use]
    pub fn monotonic_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

#[expect(clippy::disallowed_methods, reason = "the edge: time is stamped here and passed on")]
fn wall_us() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| i64::try_from(d.as_micros()).unwrap_or(i64::MAX))
}
