//! How hard it is tried to be back while an outage is young: pure, without a clock and without chance.
//!
//! What is lost on a dark line is repeated by the system after 1, 3, 7 and 15 s, so who waits for one attempt is
//! back seconds after the line. So for the first minute after a connection was lost attempts overlap: a new
//! TCP connection is asked for every third of a second, as long as nobody has answered, and a login that hears
//! nothing has another begun beside it. Whoever answers and says no ends the haste: to knock harder at a door that was shut
//! is what servers penalise.

use std::time::Duration;

use tokio::time::Instant;

/// How an address that says nothing is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Not at all.
    Once,
    /// Now and then.
    Steady,
    /// Again and again: the last connection was good, and is lost since less than a minute.
    Hasty,
}

/// An outage, as long as it is young.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Haste {
    until: Option<Instant>,
}

/// How long an outage is young. Most cuts are shorter, and what is asked for meanwhile comes to 22 KB.
const YOUNG: Duration = Duration::from_secs(60);
/// From one connect to the next, by chance between these: a thousand agents behind one line that is back come
/// spread over the longer.
const SHORTEST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_millis(400);
/// The shortest for a name with several addresses, which take turns.
const SHARED: Duration = Duration::from_millis(100);
/// How long an attempt that is connected may take for its login before another is begun beside it: on a path of
/// few milliseconds, TCP has repeated what was lost three times by then (after 0.2, 0.6 and 1.4 s).
const LOGIN: Duration = Duration::from_secs(2);
/// The same in logins that took as long as the last.
const LOGINS: u32 = 3;

impl Haste {
    /// A connection that was up was lost.
    pub(super) fn begin(&mut self, now: Instant) {
        self.until = now.checked_add(YOUNG);
    }

    /// Somebody has answered, whatever he said.
    pub(super) const fn end(&mut self) {
        self.until = None;
    }

    /// Whether it is on.
    pub(super) fn is_on(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }
}

/// How long to wait before another connect to one of so many addresses that say nothing. `took` is how long a
/// connect took when the line was well: on a slow one, answers must find who asked for them.
pub(super) fn between(addresses: usize, took: Duration, chance: u64) -> Duration {
    let spread = LONGEST.saturating_sub(SHORTEST).as_nanos();
    let spread = u64::try_from(spread).unwrap_or(u64::MAX);
    let by_chance = chance.checked_rem(spread.saturating_add(1)).unwrap_or(0);
    let whole = SHORTEST.saturating_add(Duration::from_nanos(by_chance));
    let addresses = u32::try_from(addresses.max(1)).unwrap_or(u32::MAX);
    let share = whole.checked_div(addresses).unwrap_or(whole);
    let half = took.checked_div(2).unwrap_or_default();
    share.max(SHARED).max(half)
}

/// How long a login may take before another is begun beside it, after so many that were begun so before.
pub(super) fn patience(last: Duration, before: u32) -> Duration {
    let doubled = 2_u32.saturating_pow(before);
    let first = LOGIN.max(last.saturating_mul(LOGINS));
    first.saturating_mul(doubled)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn haste_lasts_a_minute_and_ends_with_an_answer() {
        let now = Instant::now();
        let mut haste = Haste::default();
        assert!(!haste.is_on(now), "nothing was lost");
        haste.begin(now);
        assert!(haste.is_on(now) && haste.is_on(now + YOUNG - Duration::from_millis(1)));
        assert!(!haste.is_on(now + YOUNG));
        haste.end();
        assert!(!haste.is_on(now));
    }

    #[test]
    fn a_login_has_three_times_its_time_and_then_twice_that() {
        let ms = Duration::from_millis;
        for (last, before, expected) in [
            (0, 0, 2_000),
            (100, 1, 4_000),
            (100, 3, 16_000),
            (1_000, 0, 3_000),
        ] {
            assert_eq!(patience(ms(last), before), ms(expected));
        }
    }

    proptest! {
        #[test]
        fn a_connect_follows_on_another_within_its_bounds(addresses in 0_usize..20, chance: u64) {
            let pause = between(addresses, Duration::ZERO, chance);
            prop_assert!(SHARED <= pause && pause <= LONGEST, "{pause:?}");
            let slow = between(addresses, Duration::from_secs(2), chance);
            prop_assert_eq!(slow, Duration::from_secs(1));
        }
    }
}
