//! How often something may be asked: a rate with a burst, in the order in which it was asked.
//!
//! [`Rate`] is pure: a bucket that holds `burst` requests and gets one more every `period / requests`
//! (the generic cell rate algorithm), and a least time between two. [`Gate`] is the line before it.
//! In any time `t` at most `burst + t * requests / period` pass.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};

use crate::model::component::RateLimit;

/// A rate and what has passed of late. Times are since any one moment and do not go back.
#[derive(Clone, Debug)]
pub struct Rate {
    /// How long one request takes to come back into the bucket; rounded up, so that the rate is
    /// never exceeded.
    each: Duration,
    /// How far ahead of its steady pace the rate may be: the time of all but one of a burst.
    ahead: Duration,
    /// The least time between two.
    apart: Duration,
    /// When the bucket is full again.
    full_at: Duration,
    /// Not before this time, for the sake of `apart`.
    next: Duration,
}

impl Rate {
    /// A full bucket.
    pub fn new(limit: RateLimit) -> Self {
        let requests = u128::from(limit.requests.get());
        let burst = limit.burst.unwrap_or(limit.requests).get();
        let each = Duration::from_nanos_u128(limit.period.as_nanos().div_ceil(requests));
        Self {
            each,
            ahead: each.saturating_mul(burst.saturating_sub(1)),
            apart: limit.interval.unwrap_or(Duration::ZERO),
            full_at: Duration::ZERO,
            next: Duration::ZERO,
        }
    }

    /// The earliest time at which one may pass, `now` or later.
    pub fn earliest(&self, now: Duration) -> Duration {
        let refilled = self.full_at.saturating_sub(self.ahead);
        now.max(refilled).max(self.next)
    }

    /// Lets one pass if it may pass now.
    ///
    /// # Errors
    ///
    /// It may not yet; the error is when it may.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        let earliest = self.earliest(now);
        if earliest > now {
            return Err(earliest);
        }
        self.full_at = self.full_at.max(now).saturating_add(self.each);
        self.next = now.saturating_add(self.apart);
        Ok(())
    }
}

/// A line of those who wait for a rate: first come, first served.
#[derive(Debug)]
pub struct Gate {
    start: Instant,
    rate: Mutex<Rate>,
    /// Who is first in the line. Permits are given in the order in which they were asked for.
    first: Semaphore,
}

impl Gate {
    /// Nobody waits.
    pub fn new(limit: RateLimit) -> Self {
        Self {
            start: Instant::now(),
            rate: Mutex::new(Rate::new(limit)),
            first: Semaphore::new(1),
        }
    }

    /// Waits until one more may pass.
    ///
    /// # Cancel safety
    ///
    /// Whoever stops waiting leaves the line and takes nothing from those behind.
    pub async fn pass(&self) {
        // The semaphore is never closed; without a place in the line the rate still holds.
        let _first = self.first.acquire().await.ok();
        loop {
            let now = self.start.elapsed();
            let taken = self
                .rate
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take(now);
            match taken {
                Ok(()) => return,
                Err(earliest) => sleep(earliest.saturating_sub(now)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use adit_testkit::seeded::{SeededRandom, for_each_seed};
    use tokio::task::JoinSet;

    use super::*;

    fn limit(requests: u32, period: u64, burst: Option<u32>, interval: u64) -> RateLimit {
        RateLimit {
            requests: NonZeroU32::new(requests).unwrap(),
            period: Duration::from_millis(period),
            burst: burst.map(|burst| NonZeroU32::new(burst).unwrap()),
            interval: (interval > 0).then(|| Duration::from_millis(interval)),
        }
    }

    /// When each of several passes that all ask at once, in milliseconds.
    fn passes(limit: RateLimit, count: usize) -> Vec<u128> {
        let mut rate = Rate::new(limit);
        let mut now = Duration::ZERO;
        let mut times = Vec::new();
        for _ in 0..count {
            now = rate.earliest(now);
            rate.take(now).unwrap();
            times.push(now.as_millis());
        }
        times
    }

    #[test]
    fn a_burst_passes_at_once_and_the_rest_at_the_rate() {
        assert_eq!(passes(limit(2, 1000, None, 0), 5), [0, 0, 500, 1000, 1500]);
        assert_eq!(passes(limit(2, 1000, Some(1), 0), 4), [0, 500, 1000, 1500]);
        assert_eq!(passes(limit(10, 1000, Some(3), 0), 5), [0, 0, 0, 100, 200]);
    }

    #[test]
    fn an_interval_holds_within_a_burst() {
        assert_eq!(passes(limit(2, 1000, None, 200), 4), [0, 200, 500, 1000]);
        assert_eq!(passes(limit(2, 1000, None, 900), 3), [0, 900, 1800]);
    }

    #[test]
    fn a_pause_fills_the_bucket_and_no_more() {
        let mut rate = Rate::new(limit(2, 1000, None, 0));
        let now = Duration::from_secs(100);
        assert!(rate.take(now).is_ok());
        assert!(rate.take(now).is_ok());
        assert_eq!(rate.take(now), Err(now + Duration::from_millis(500)));
    }

    #[test]
    fn a_simulated_rate_is_never_exceeded_and_never_idle() {
        for_each_seed(|seed| {
            let mut random = SeededRandom::new(seed);
            let requests = u32::try_from(random.below(20) + 1).unwrap();
            let period = random.below(5_000) + 1;
            let burst = random
                .chance(1, 2)
                .then(|| u32::try_from(random.below(10) + 1).unwrap());
            let interval = if random.chance(1, 3) {
                random.below(300)
            } else {
                0
            };
            let limit = limit(requests, period, burst, interval);
            let mut rate = Rate::new(limit);
            let mut now = Duration::ZERO;
            let mut passed: Vec<Duration> = Vec::new();
            for _ in 0..100 {
                if random.chance(1, 3) {
                    now += Duration::from_millis(random.below(2_000));
                }
                // An ask in vain changes nothing.
                let earliest = rate.earliest(now);
                if earliest > now {
                    assert_eq!(rate.take(now), Err(earliest));
                    let too_early = earliest.checked_sub(Duration::from_nanos(1)).unwrap();
                    assert!(rate.take(too_early).is_err());
                }
                assert_eq!(rate.take(earliest), Ok(()));
                now = earliest;
                passed.push(now);
            }
            let burst = u128::from(limit.burst.unwrap_or(limit.requests).get());
            for (first, from) in passed.iter().enumerate() {
                for (count, to) in passed[first..].iter().enumerate() {
                    let within = (*to - *from).as_nanos();
                    let most = burst + within * u128::from(requests) / limit.period.as_nanos();
                    let count = u128::try_from(count).unwrap() + 1;
                    assert!(count <= most, "{count} passed in {within} ns");
                }
            }
            for pair in passed.windows(2) {
                assert!(pair[1] - pair[0] >= Duration::from_millis(interval));
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_pass_in_their_order() {
        let gate = Arc::new(Gate::new(limit(2, 1000, None, 0)));
        let start = Instant::now();
        let mut waiting = JoinSet::new();
        for number in 0..6 {
            let gate = Arc::clone(&gate);
            waiting.spawn(async move {
                gate.pass().await;
                (number, start.elapsed().as_millis())
            });
            tokio::task::yield_now().await;
        }
        let mut order = Vec::new();
        while let Some(passed) = waiting.join_next().await {
            order.push(passed.unwrap());
        }
        // Tokio's clock wakes at whole milliseconds, up to one late.
        let due = [0, 0, 500, 1000, 1500, 2000];
        for ((number, at), (expected, due)) in order.iter().zip(due.iter().enumerate()) {
            assert_eq!(*number, expected);
            assert!((*due..*due + 10).contains(at), "{number} passed at {at}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_takes_nothing_from_the_others() {
        let gate = Gate::new(limit(1, 1000, None, 0));
        gate.pass().await;
        let start = Instant::now();
        let gone = tokio::time::timeout(Duration::from_millis(300), gate.pass()).await;
        assert!(gone.is_err());
        gate.pass().await;
        let waited = start.elapsed();
        assert!(waited >= Duration::from_millis(990), "{waited:?}");
        assert!(waited <= Duration::from_millis(1_010), "{waited:?}");
    }
}
