//! What happens while too few witnesses cosign: a state machine over what is observed.
//!
//! Knows no network and no clock; time is an argument.

use std::time::{Duration, Instant};

/// What to do without a quorum of witnesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnNoQuorum {
    /// Publish checkpoints as they are and say so.
    Warn,
    /// Publish no checkpoint until a quorum cosigns it. Calls go on.
    StopPublishing,
    /// Publish no checkpoint, and after so long without a quorum let no call through.
    FailClosedAfter(Duration),
}

/// How things stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A quorum cosigned when it was last asked, or none was asked yet.
    Fine,
    /// There is no quorum.
    Degraded {
        /// When it was first missed.
        since: Instant,
    },
    /// There was no quorum for so long that no call may go through.
    Closed {
        /// When it was first missed.
        since: Instant,
    },
}

/// Follows whether there is a quorum.
#[derive(Debug, Clone)]
pub struct Watch {
    choice: OnNoQuorum,
    missed_since: Option<Instant>,
}

impl Watch {
    /// Begins in [`State::Fine`].
    #[must_use]
    pub fn new(choice: OnNoQuorum) -> Self {
        Self { choice, missed_since: None }
    }

    /// Takes in whether a checkpoint got its quorum at `now`, and says how things stand. A quorum
    /// mends everything.
    pub fn observe(&mut self, now: Instant, quorum: bool) -> State {
        self.missed_since = match self.missed_since {
            _ if quorum => None,
            None => Some(now),
            since => since,
        };
        self.state(now)
    }

    /// How things stand at `now`, with nothing new observed: time alone can close.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        let Some(since) = self.missed_since else { return State::Fine };
        match self.choice {
            OnNoQuorum::FailClosedAfter(after) if after <= now.saturating_duration_since(since) => {
                State::Closed { since }
            }
            _ => State::Degraded { since },
        }
    }

    /// Whether a checkpoint may be published that has a quorum or has not.
    #[must_use]
    pub fn may_publish(&self, quorum: bool) -> bool {
        quorum || self.choice == OnNoQuorum::Warn
    }
}

#[cfg(test)]
mod tests {
    use super::{OnNoQuorum, State, Watch};
    use proptest::prelude::{any, prop, proptest};
    use std::time::{Duration, Instant};

    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn only_time_without_a_quorum_closes() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut watch = Watch::new(OnNoQuorum::FailClosedAfter(MINUTE));
        assert_eq!(watch.state(at(1_000)), State::Fine);
        assert_eq!(watch.observe(at(1_000), false), State::Degraded { since: at(1_000) });
        assert_eq!(watch.observe(at(1_059), false), State::Degraded { since: at(1_000) });
        assert_eq!(watch.state(at(1_060)), State::Closed { since: at(1_000) });
        assert_eq!(watch.observe(at(1_061), false), State::Closed { since: at(1_000) });
        assert_eq!(watch.observe(at(1_062), true), State::Fine);
        assert_eq!(watch.observe(at(1_063), false), State::Degraded { since: at(1_063) });
        // A clock that goes back opens nothing and closes nothing.
        assert_eq!(watch.observe(at(1), false), State::Degraded { since: at(1_063) });
    }

    #[test]
    fn at_once_is_a_time_too() {
        let mut watch = Watch::new(OnNoQuorum::FailClosedAfter(Duration::ZERO));
        let now = Instant::now();
        assert_eq!(watch.observe(now, false), State::Closed { since: now });
    }

    #[test]
    fn only_a_warning_lets_a_bare_checkpoint_out() {
        for (choice, bare) in [
            (OnNoQuorum::Warn, true),
            (OnNoQuorum::StopPublishing, false),
            (OnNoQuorum::FailClosedAfter(MINUTE), false),
        ] {
            let watch = Watch::new(choice);
            assert_eq!((watch.may_publish(true), watch.may_publish(false)), (true, bare));
        }
    }

    proptest! {
        /// Against the history itself: closed exactly when the last quorum is longer ago than allowed,
        /// counted from the first miss after it.
        #[test]
        fn the_state_is_what_the_history_says(
            steps in prop::collection::vec((0_u64..50, any::<bool>()), 1..40),
            kind in 0_u8..3,
        ) {
            let choice = match kind {
                0 => OnNoQuorum::Warn,
                1 => OnNoQuorum::StopPublishing,
                _ => OnNoQuorum::FailClosedAfter(MINUTE),
            };
            let mut watch = Watch::new(choice);
            let mut now = Instant::now();
            let mut misses: Vec<Instant> = Vec::new();
            for (seconds, quorum) in steps {
                now += Duration::from_secs(seconds);
                if quorum { misses.clear() } else { misses.push(now) }
                let wanted = match misses.first() {
                    None => State::Fine,
                    Some(since) if kind == 2 && MINUTE <= now.duration_since(*since) => {
                        State::Closed { since: *since }
                    }
                    Some(since) => State::Degraded { since: *since },
                };
                assert_eq!(watch.observe(now, quorum), wanted);
                assert_eq!(watch.state(now), wanted);
            }
        }
    }
}
