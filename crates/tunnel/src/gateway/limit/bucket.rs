//! Bytes that are earned with time and spent as they move. Pure.

use std::time::{Duration, Instant};

/// Bytes that are earned with time and spent as they move.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Bytes a second; `None` for no limit.
    rate: Option<u64>,
    /// Bytes that may be spent; below zero what was spent too much.
    level: i128,
    at: Instant,
}

/// What a bucket holds at most, as a time at its rate: a burst that short goes at full speed.
const BURST: Duration = Duration::from_millis(250);
/// Least that a bucket holds, in bytes: one read of a stream.
pub(super) const BURST_LEAST: u64 = 65_536;
const NANOS: i128 = 1_000_000_000;

impl Bucket {
    /// A full one.
    pub fn new(rate: Option<u64>, now: Instant) -> Self {
        let mut bucket = Self {
            rate,
            level: 0,
            at: now,
        };
        bucket.level = bucket.most();
        bucket
    }

    /// Has another rate from here on.
    pub fn set(&mut self, rate: Option<u64>, now: Instant) {
        if self.rate != rate {
            self.earn(now);
            self.rate = rate;
            self.level = self.level.min(self.most());
        }
    }

    /// Spends what was moved, and says how long to wait before more is.
    pub fn spend(&mut self, bytes: u64, now: Instant) -> Duration {
        let Some(rate) = self.rate else {
            return Duration::ZERO;
        };
        self.earn(now);
        self.level = self.level.saturating_sub(i128::from(bytes));
        self.debt(rate)
    }

    /// How long it takes from now until nothing is owed.
    pub(super) fn owed(&mut self, now: Instant) -> Duration {
        self.earn(now);
        self.rate.map_or(Duration::ZERO, |rate| self.debt(rate))
    }

    fn debt(&self, rate: u64) -> Duration {
        let owed = self.level.saturating_neg().max(0);
        let nanos = owed
            .saturating_mul(NANOS)
            .checked_div(i128::from(rate.max(1)))
            .unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    fn earn(&mut self, now: Instant) {
        let nanos = now.saturating_duration_since(self.at).as_nanos();
        let nanos = i128::try_from(nanos).unwrap_or(i128::MAX);
        let rate = i128::from(self.rate.unwrap_or(0));
        let earned = rate.saturating_mul(nanos).checked_div(NANOS).unwrap_or(0);
        if earned > 0 {
            self.level = self.level.saturating_add(earned).min(self.most());
            self.at = now;
        }
    }

    fn most(&self) -> i128 {
        let millis = u64::try_from(BURST.as_millis()).unwrap_or(u64::MAX);
        let burst = self
            .rate
            .unwrap_or(0)
            .saturating_mul(millis)
            .checked_div(1_000);
        i128::from(burst.unwrap_or(0).max(BURST_LEAST))
    }
}
