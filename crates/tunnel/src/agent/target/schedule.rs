//! When a target is checked next: pure, without a clock.
//!
//! A service that fell is looked at again soon, since most come back within seconds, and then less and less
//! often. One that nobody listens for hears nothing of it, so it is never left alone for longer than one
//! that is well; one that is there and in trouble is not to be bothered, and some log or count each visit.

use std::time::Duration;

use super::Health;

/// The waits between the checks of one target.
#[derive(Debug, Clone)]
pub struct Schedule {
    interval: Duration,
    failures: u32,
}

/// The first wait after a failure; twice as long after each further one.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest wait for a target that was there to notice, unless its interval is longer.
const LONGEST: Duration = Duration::from_secs(300);
/// The shortest interval. Whoever asks for none at all does not mean a loop without a pause.
const SHORTEST: Duration = Duration::from_secs(1);

impl Schedule {
    /// Checks a target that is well each `interval`, a second at least.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval: interval.max(SHORTEST),
            failures: 0,
        }
    }

    /// How long to wait after a check that found this.
    pub fn next(&mut self, health: &Health) -> Duration {
        if health.is_well() {
            self.failures = 0;
            return self.interval;
        }
        let doubled = AGAIN.saturating_mul(2_u32.saturating_pow(self.failures));
        self.failures = self.failures.saturating_add(1);
        let most = if health.was_heard() {
            self.interval.max(LONGEST)
        } else {
            self.interval
        };
        doubled.min(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(interval: u64, health: &Health, count: usize) -> Vec<u64> {
        let mut schedule = Schedule::new(Duration::from_secs(interval));
        (0..count)
            .map(|_| schedule.next(health).as_secs())
            .collect()
    }

    fn well() -> Health {
        Health::Well {
            round_trip: Duration::ZERO,
            detail: String::new(),
        }
    }

    #[test]
    fn waits_double_up_to_a_limit_that_depends_on_who_is_bothered() {
        assert_eq!(waits(60, &well(), 3), [60, 60, 60]);
        assert_eq!(waits(60, &Health::Refused, 6), [5, 10, 20, 40, 60, 60]);
        assert_eq!(
            waits(60, &Health::Hangs, 8),
            [5, 10, 20, 40, 80, 160, 300, 300]
        );
        assert_eq!(waits(1_000, &Health::Hangs, 10)[9], 1_000);
        assert_eq!(waits(0, &Health::Refused, 2), [1, 1]);
        assert_eq!(waits(60, &Health::Refused, 100)[99], 60);
    }

    #[test]
    fn a_target_that_is_well_again_begins_anew() {
        let mut schedule = Schedule::new(Duration::from_secs(60));
        schedule.next(&Health::HangsUp);
        schedule.next(&Health::HangsUp);
        schedule.next(&well());
        assert_eq!(schedule.next(&Health::HangsUp), AGAIN);
    }
}
