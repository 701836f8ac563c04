//! How fast messages are taken: pure.

use std::time::Duration;

/// At most [`Pace::RATE`] messages a second, and as many at once after a silence. Who sends more is not cut off,
/// since a line that stalled delivers in one breath what was sent over a minute: it waits, and what it sends then
/// fills its own window.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    /// When the allowance would be whole again.
    whole_at: Duration,
}

impl Pace {
    /// Messages a second (security rule G31).
    pub const RATE: u32 = 20;
    /// Of the second, what one message takes.
    const EACH: Duration = Duration::from_millis(50);
    /// What may be owed while the next message is taken.
    const CREDIT: Duration = Duration::from_millis(950);

    /// Takes one more message at that time, and says how long the next one has to wait from then on.
    pub fn took(&mut self, now: Duration) -> Duration {
        self.whole_at = self.whole_at.max(now).saturating_add(Self::EACH);
        self.whole_at
            .saturating_sub(now)
            .saturating_sub(Self::CREDIT)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_second_holds_twenty_messages_and_the_next_one_waits() {
        let mut pace = Pace::default();
        let now = Duration::from_secs(7);
        for _ in 1..Pace::RATE {
            assert_eq!(pace.took(now), Duration::ZERO);
        }
        assert_eq!(pace.took(now), Pace::EACH);
        let later = now + Duration::from_secs(2);
        assert_eq!(pace.took(later), Duration::ZERO);
    }

    proptest! {
        #[test]
        fn no_second_has_more_than_two_seconds_worth(gaps in proptest::collection::vec(0_u64..80, 100..400)) {
            let mut pace = Pace::default();
            let mut now = Duration::ZERO;
            let mut taken = Vec::new();
            for gap in gaps {
                now += Duration::from_millis(gap);
                taken.push(now);
                now += pace.took(now);
            }
            for (index, first) in taken.iter().enumerate() {
                let within = taken[index..].iter().take_while(|time| **time < *first + Duration::from_secs(1));
                prop_assert!(within.count() <= usize::try_from(2 * Pace::RATE).unwrap());
            }
        }
    }
}
