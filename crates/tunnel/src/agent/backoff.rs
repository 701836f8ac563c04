//! How long to wait before the next attempt: pure, without a clock and without chance.
//!
//! The first attempt comes at once, and the first wait is short, since most cuts are; each further one is twice as long, up to a cap. A
//! connection that was up for a minute makes all that forgotten; one that was not does not, so that
//! a peer that accepts and hangs up at once is not hammered. Nor does it count who fell silent: that is the line's
//! doing, and took the time of its keep-alives. Waits are from the beginning of one attempt to
//! that of the next, so that on a dark line, where each attempt waits for an answer itself, nearly all the
//! time somebody listens for the line to be back. Half of each wait is by chance: a
//! thousand agents of one gateway must not come back in the same instant (sshd drops at random from
//! the tenth connection that has not logged in, `MaxStartups 10:30:100`).

use std::time::Duration;

/// Waits that grow with each failure.
#[derive(Debug, Clone)]
pub struct Backoff {
    patience: Patience,
    failures: u32,
    /// Attempts since the last that succeeded.
    retries: u32,
}

/// How long and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// The longest wait, where no person has to do something first; the first is 0.5 s whatever is said.
    pub longest: Duration,
    /// How many attempts may follow on one that failed, or on a connection that ended, until one
    /// succeeds. `None` is any number.
    pub retries: Option<u32>,
}

/// The first wait at its longest.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait before the first attempt after a good connection: enough that agents of one gateway do
/// not come in the same instant.
const SOON: Duration = Duration::from_millis(100);
/// The shortest wait after an attempt, however long that took.
const LEAST: Duration = Duration::from_millis(250);
/// The longest wait where nothing else is said.
const LONGEST: Duration = Duration::from_secs(30);
/// The wait where a person has to do something first. A server that counts failed logins against an
/// address (sshd_config(5), PerSourcePenalties: 5 s each, felt from 15 s) forgets each long before the
/// next.
const REFUSED: Duration = Duration::from_secs(300);
/// A connection that lasted this long was a good one.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

impl Default for Patience {
    /// 30 s, for ever: an agent in a field must be back soon after its gateway.
    fn default() -> Self {
        Self {
            longest: LONGEST,
            retries: None,
        }
    }
}

impl Backoff {
    /// Nothing has failed yet.
    pub const fn new(patience: Patience) -> Self {
        Self {
            patience,
            failures: 0,
            retries: 0,
        }
    }

    /// Whether there is to be another attempt after this end or failure, which is counted.
    pub const fn retries(&mut self) -> bool {
        let is_one = match self.patience.retries {
            None => true,
            Some(most) => self.retries < most,
        };
        self.retries = self.retries.saturating_add(1);
        is_one
    }

    /// An attempt has succeeded.
    pub const fn succeeded(&mut self) {
        self.retries = 0;
    }

    /// How long to wait after another end or failure: between half and all of the present wait; hardly
    /// at all after the end of a good connection.
    ///
    /// `up` is how long the connection had lasted, zero if there was none; `took` how long the attempt, which
    /// counts as a part of the wait, but for the shortest. `chance` is any random number.
    pub fn next(&mut self, up: Duration, took: Duration, chance: u64) -> Duration {
        if up >= FORGOTTEN_AFTER {
            return self.soon(Duration::MAX, chance);
        }
        let doubled = 2_u32.saturating_pow(self.failures);
        let longest = self.patience.longest.max(FIRST);
        let whole = FIRST.saturating_mul(doubled).min(longest);
        self.failures = self.failures.saturating_add(1);
        let half = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX) / 2;
        let by_chance = chance.checked_rem(half.saturating_add(1)).unwrap_or(0);
        let wait = Duration::from_nanos(half.saturating_add(by_chance));
        wait.saturating_sub(took).max(wait.min(LEAST))
    }

    /// How long to wait while an outage is young, after a peer fell silent or an attempt that reached nobody and
    /// took so long: hardly at all, but no attempt follows on another within a quarter of a second. What was learnt
    /// before is forgotten, for nobody was asked.
    pub fn soon(&mut self, took: Duration, chance: u64) -> Duration {
        self.failures = 0;
        let spread = u64::try_from(SOON.as_nanos()).unwrap_or(u64::MAX);
        let by_chance = Duration::from_nanos(chance.checked_rem(spread).unwrap_or(0));
        LEAST.saturating_sub(took).saturating_add(by_chance)
    }

    /// How long to wait after an attempt that no retry can mend by itself: five minutes, and up to half
    /// a minute more by chance. What was learnt before is kept.
    pub fn refused(&self, chance: u64) -> Duration {
        let spread = u64::try_from(LONGEST.as_nanos()).unwrap_or(u64::MAX);
        let by_chance = chance.checked_rem(spread).unwrap_or(0);
        REFUSED.saturating_add(Duration::from_nanos(by_chance))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The longest waits after failures in a row.
    fn longest(backoff: &mut Backoff, count: usize) -> Vec<u128> {
        let next = || backoff.next(Duration::ZERO, Duration::ZERO, 0).as_millis() * 2;
        std::iter::repeat_with(next).take(count).collect()
    }

    #[test]
    fn a_refusal_is_not_repeated_for_five_minutes() {
        for chance in [0, 1, u64::MAX] {
            let wait = Backoff::new(Patience::default()).refused(chance);
            assert!((300..330).contains(&wait.as_secs()), "{wait:?}");
        }
    }

    #[test]
    fn the_first_wait_is_short_and_the_others_double_up_to_the_cap() {
        let waits = longest(&mut Backoff::new(Patience::default()), 9);
        assert_eq!(
            waits,
            [
                500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000
            ]
        );
    }

    #[test]
    fn the_longest_wait_is_as_long_as_is_said_and_never_nothing() {
        for (said, longest_millis) in [(0, 500), (3, 3_000), (3_600, 64_000)] {
            let mut backoff = Backoff::new(Patience {
                longest: Duration::from_secs(said),
                retries: None,
            });
            assert_eq!(longest(&mut backoff, 8).last(), Some(&longest_millis));
        }
    }

    #[test]
    fn attempts_are_counted_from_the_last_that_succeeded() {
        let mut backoff = Backoff::new(Patience {
            retries: Some(2),
            ..Patience::default()
        });
        assert!(backoff.retries() && backoff.retries());
        assert!(!backoff.retries());
        backoff.succeeded();
        assert!(backoff.retries() && backoff.retries());
        assert!(!backoff.retries());
        let mut endless = Backoff::new(Patience::default());
        assert!((0..1_000).all(|_| endless.retries()));
    }

    #[test]
    fn a_minute_up_is_forgotten_and_less_is_not() {
        let mut backoff = Backoff::new(Patience::default());
        longest(&mut backoff, 5);
        let short = backoff.next(FORGOTTEN_AFTER - Duration::from_nanos(1), Duration::ZERO, 0);
        assert_eq!(short, Duration::from_secs(8));
        let soon = backoff.next(FORGOTTEN_AFTER, Duration::ZERO, u64::MAX);
        assert!(soon < SOON, "{soon:?}");
        assert_eq!(backoff.next(Duration::ZERO, Duration::ZERO, 0), FIRST / 2);
        assert_eq!(backoff.next(Duration::ZERO, Duration::ZERO, 0), FIRST);
    }

    #[test]
    fn a_long_attempt_was_a_wait_itself() {
        let mut backoff = Backoff::new(Patience::default());
        longest(&mut backoff, 6);
        // Half of the longest is 15 s, and by chance no more.
        for (took, wait) in [(0, 15_000), (4, 11_000), (15, 250), (60, 250)] {
            let took = Duration::from_secs(took);
            let wait = Duration::from_millis(wait);
            assert_eq!(backoff.next(Duration::ZERO, took, 0), wait);
        }
    }

    proptest! {
        #[test]
        fn half_of_a_wait_is_by_chance(failures in 0_usize..100, chance: u64) {
            let mut backoff = Backoff::new(Patience::default());
            longest(&mut backoff, failures);
            let least = backoff.clone().next(Duration::ZERO, Duration::ZERO, 0);
            let wait = backoff.next(Duration::ZERO, Duration::ZERO, chance);
            prop_assert!(least <= wait && wait <= least * 2 && wait <= LONGEST);
        }
    }
}
