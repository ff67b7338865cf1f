//! Whether a server could be reached lately, as the calls to it showed. Nothing is sent to find out: no
//! message reaches a server that is not a recorded call.

use event::Status;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

/// A failure says nothing any more after this: somebody must try again to know.
const REMEMBERED: Duration = Duration::from_secs(10);

/// What the last calls to a server showed.
#[derive(Debug, Default)]
pub(crate) struct Reach {
    unreachable_at: Mutex<Option<Instant>>,
}

impl Reach {
    /// Notes how a call ended.
    pub(crate) fn note(&self, status: Status, now: Instant) {
        let found = match status {
            Status::Unreachable => Some(now),
            // These say nothing of whether the server is there.
            Status::Cancelled
            | Status::ClientGone
            | Status::NoCredential
            | Status::TransportFailure
            | Status::Unknown => return,
            _ => None,
        };
        *self.unreachable_at.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    /// Whether the last call could not reach the server, a short time ago.
    pub(crate) fn is_unreachable(&self, now: Instant) -> bool {
        let at = *self.unreachable_at.lock().unwrap_or_else(PoisonError::into_inner);
        at.is_some_and(|at| now.saturating_duration_since(at) < REMEMBERED)
    }
}

#[cfg(test)]
mod tests {
    use super::{REMEMBERED, Reach};
    use event::Status;
    use std::time::Instant;

    #[test]
    fn a_failure_is_forgotten_in_time_or_by_a_success() {
        let (reach, now) = (Reach::default(), Instant::now());
        assert!(!reach.is_unreachable(now));
        reach.note(Status::Unreachable, now);
        reach.note(Status::Cancelled, now);
        reach.note(Status::NoCredential, now);
        assert!(reach.is_unreachable(now));
        assert!(!reach.is_unreachable(now + REMEMBERED));
        reach.note(Status::ToolError, now);
        assert!(!reach.is_unreachable(now));
    }
}
