//! How many things are kept and for how long, where that may change while they are kept. Knows nothing of
//! the things.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Bounds on what is kept. Both are read on their own: nothing depends on them changing together.
#[derive(Debug)]
pub(crate) struct Bounds {
    most: AtomicUsize,
    age_us: AtomicU64,
}

impl Bounds {
    pub(crate) fn new(most: usize, age: Duration) -> Self {
        Self { most: AtomicUsize::new(most), age_us: AtomicU64::new(us(age)) }
    }

    /// Others from now on. What is there already and has no room any more goes when room is next made.
    pub(crate) fn set(&self, most: usize, age: Duration) {
        self.most.store(most, Ordering::Relaxed);
        self.age_us.store(us(age), Ordering::Relaxed);
    }

    /// How many are kept.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// For how long one is kept.
    pub(crate) fn age(&self) -> Duration {
        Duration::from_micros(self.age_us.load(Ordering::Relaxed))
    }
}

/// Half a million years are for ever.
fn us(age: Duration) -> u64 {
    u64::try_from(age.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Bounds;
    use std::time::Duration;

    #[test]
    fn bounds_are_those_that_were_set_last() {
        let bounds = Bounds::new(3, Duration::from_micros(5));
        assert_eq!((bounds.most(), bounds.age()), (3, Duration::from_micros(5)));
        bounds.set(4, Duration::MAX);
        assert_eq!((bounds.most(), bounds.age()), (4, Duration::from_micros(u64::MAX)));
    }
}
