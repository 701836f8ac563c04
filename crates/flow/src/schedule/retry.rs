//! How long to wait before the next attempt.

use std::num::NonZeroU32;
use std::time::Duration;

use super::limits::{JITTER_PART, LONGEST_PAUSE};
use crate::model::job::{Backoff, Retry};

/// The pause after a failed attempt, counted from 1.
///
/// A fixed one is what the file says. An exponential one doubles with each attempt and is up to a
/// quarter longer by chance, so that runs that failed together do not come back together; it is
/// never shorter than `delay` nor longer than `max_delay`.
pub(super) fn pause(retry: &Retry, attempt: NonZeroU32, chance: u64) -> Duration {
    let longest = retry
        .max_delay
        .unwrap_or_else(|| LONGEST_PAUSE.max(retry.delay));
    match retry.backoff {
        Backoff::Fixed => retry.delay.min(retry.max_delay.unwrap_or(Duration::MAX)),
        Backoff::Exponential => {
            let doubled = 2_u32.saturating_pow(attempt.get().saturating_sub(1));
            let whole = retry.delay.saturating_mul(doubled).min(longest);
            let part = u64::try_from((whole / JITTER_PART).as_nanos()).unwrap_or(u64::MAX);
            let by_chance = chance.checked_rem(part.saturating_add(1)).unwrap_or(0);
            whole
                .saturating_add(Duration::from_nanos(by_chance))
                .min(longest)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(delay: u64, backoff: Backoff, max_delay: Option<u64>) -> Retry {
        Retry {
            max_attempt_count: NonZeroU32::MAX,
            delay: Duration::from_secs(delay),
            backoff,
            max_delay: max_delay.map(Duration::from_secs),
        }
    }

    #[test]
    fn pauses_grow_as_the_file_says() {
        use Backoff::{Exponential, Fixed};
        for (delay, backoff, max_delay, seconds) in [
            (0, Exponential, None, [0, 0, 0, 0]),
            (3, Fixed, None, [3, 3, 3, 3]),
            (3, Fixed, Some(2), [2, 2, 2, 2]),
            (3, Exponential, None, [3, 6, 12, 24]),
            (3, Exponential, Some(10), [3, 6, 10, 10]),
            (1_000, Exponential, None, [1_000, 2_000, 3_600, 3_600]),
            (5_000, Exponential, None, [5_000, 5_000, 5_000, 5_000]),
        ] {
            let retry = retry(delay, backoff, max_delay);
            let pauses = [1, 2, 3, 4].map(|attempt| {
                let attempt = NonZeroU32::new(attempt).unwrap();
                pause(&retry, attempt, 0).as_secs()
            });
            assert_eq!(pauses, seconds, "{retry:?}");
        }
    }

    #[test]
    fn chance_adds_up_to_a_quarter_to_exponential_pauses_alone() {
        let quarter = Duration::from_secs(1).as_nanos();
        let chance = u64::try_from(quarter).unwrap();
        let first = NonZeroU32::MIN;
        let four = retry(4, Backoff::Exponential, None);
        assert_eq!(pause(&four, first, chance), Duration::from_secs(5));
        assert_eq!(pause(&four, first, chance + 1), Duration::from_secs(4));
        let capped = retry(4, Backoff::Exponential, Some(4));
        assert_eq!(pause(&capped, first, chance), Duration::from_secs(4));
        let fixed = retry(4, Backoff::Fixed, None);
        assert_eq!(pause(&fixed, first, chance), Duration::from_secs(4));
    }

    #[test]
    fn no_attempt_is_too_late_for_a_pause() {
        let late = retry(1, Backoff::Exponential, None);
        assert_eq!(pause(&late, NonZeroU32::MAX, u64::MAX), LONGEST_PAUSE);
    }
}
