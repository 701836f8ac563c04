//! When agents are to come back, if many come at once: pure.
//!
//! Who has not logged in cannot be told anything, and waits at the [`door`](super::door) instead. Who has is told how
//! long to stay away should it have to come again: all of them after a stop of this gateway, and while there is a
//! queue at the door those who come out of it. The times are spread so that no more come back than can log in.

use std::time::Duration;

/// Logins a second that the times are spread for: half of what two cores do (issue 5 asks for 500, other work
/// goes on beside).
const RATE: u32 = 250;
/// Connections that wait at the door before it is called a storm: those are gone within two seconds.
const STORM: usize = 500;
/// The least time: a gateway that stops is not back sooner.
const LEAST: Duration = Duration::from_secs(1);
/// The longest: then it is full again whatever was said.
const LONGEST: Duration = Duration::from_secs(60);

/// For an agent that is sent away because the gateway stops, with so many connections there. `chance` is any
/// random number.
pub(super) fn after_stop(connections: usize, chance: u64) -> Duration {
    spread(connections, chance)
}

/// For one that has just logged in, while so many wait at the door.
pub(super) fn in_storm(waiting: usize, chance: u64) -> Option<Duration> {
    (waiting >= STORM).then(|| spread(waiting, chance))
}

/// A time between the least and the one by which so many have logged in.
fn spread(connections: usize, chance: u64) -> Duration {
    let many = Duration::from_secs(u64::try_from(connections).unwrap_or(u64::MAX));
    let whole = many
        .checked_div(RATE)
        .unwrap_or(LONGEST)
        .min(LONGEST.saturating_sub(LEAST));
    let nanos = u64::try_from(whole.as_nanos()).unwrap_or(u64::MAX);
    let by_chance = chance.checked_rem(nanos.saturating_add(1)).unwrap_or(0);
    LEAST.saturating_add(Duration::from_nanos(by_chance))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_few_come_back_at_once_and_many_over_as_long_as_they_need() {
        assert_eq!(after_stop(0, u64::MAX), LEAST);
        assert_eq!(
            after_stop(1, 3_999_999),
            Duration::from_nanos(1_003_999_999)
        );
        // 2,000 agents within 10 s (issue 5).
        let mut waits: Vec<_> = (0..2_000_u64)
            .map(|agent| after_stop(2_000, 6_364_136_223_846_793_005_u64.wrapping_mul(agent)))
            .collect();
        waits.sort();
        assert!(waits.last() < Some(&Duration::from_secs(9)));
        for from in 1..8 {
            let second = Duration::from_secs(from)..Duration::from_secs(from + 1);
            let count = waits.iter().filter(|wait| second.contains(wait)).count();
            assert!((150..400).contains(&count), "{count} in second {from}");
        }
    }

    #[test]
    fn a_short_queue_is_no_storm() {
        assert_eq!(in_storm(STORM - 1, 7), None);
        assert!(in_storm(STORM, 7).is_some());
    }

    proptest! {
        #[test]
        fn nobody_is_kept_away_for_more_than_a_minute(connections: usize, chance: u64) {
            let wait = after_stop(connections, chance);
            prop_assert!((LEAST..=LONGEST).contains(&wait));
        }
    }
}
