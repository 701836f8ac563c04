//! How much a principal may carry: bytes a second each way, bytes a month, streams at a time.
//!
//! A [`Bucket`] is pure. One principal's streams share a [`Usage`], so it has one speed however many streams
//! it opens, and no principal waits for another. A [`Metered`] socket pays after each step for what it has
//! moved: who has spent more than there is waits until it is earned.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_model::grant::Limits;
use adit_model::id::PrincipalId;
use adit_model::month::Month;
use jiff::Timestamp;
use tokio::sync::watch;

pub use self::bucket::Bucket;
pub use self::metered::{Metered, Side};
use super::desk::Clock;
use super::policy::Policy;

mod bucket;
mod metered;

/// Seconds of a day in UTC.
const DAY: i64 = 86_400;

/// What the principals of a gateway carry.
#[derive(Debug, Clone)]
pub struct Usages {
    by_principal: Arc<Mutex<HashMap<PrincipalId, Arc<Usage>>>>,
    policy: watch::Receiver<Arc<Policy>>,
    clock: Clock,
    /// Streams of a principal whose grant sets no limit.
    streams: u32,
}

/// What one principal carries.
#[derive(Debug)]
pub struct Usage {
    principal: PrincipalId,
    clock: Clock,
    /// Streams, if the grant sets no limit.
    most_streams: u32,
    carried: Mutex<Carried>,
}

/// Bytes each way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Volume {
    /// From visitors to the principal.
    pub down: u64,
    /// From the principal to visitors.
    pub up: u64,
}

#[derive(Debug)]
struct Carried {
    policy: watch::Receiver<Arc<Policy>>,
    limits: Limits,
    /// How often they have changed.
    changes: u64,
    down: Bucket,
    up: Bucket,
    streams: u32,
    /// The day since 1970 (UTC) for which `month` was last found out.
    day: Option<i64>,
    /// The month of `volume`.
    month: Option<Month>,
    volume: Volume,
}

/// Why a principal may not have one more stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OverLimit {
    /// It has as many as it may.
    #[error("you have {most} streams open, which is your limit")]
    Streams {
        /// The limit.
        most: u32,
    },
    /// It has carried as much as it may until the month (UTC) is over.
    #[error("you have carried {most} bytes this month, which is your limit")]
    Month {
        /// The limit in bytes.
        most: u64,
    },
}

/// The right to one stream. Given back when dropped.
#[derive(Debug)]
pub struct Permit(Arc<Usage>);

impl Usages {
    /// Nothing so far. Limits are those of the policy at each moment, for streams that are open, too; months
    /// are the clock's. `streams` is how many a principal may have whose grant sets no limit, so that one key does
    /// not take all the places that there are, however many ports it has.
    pub fn new(policy: watch::Receiver<Arc<Policy>>, clock: Clock, streams: u32) -> Self {
        Self {
            by_principal: Arc::default(),
            policy,
            clock,
            streams,
        }
    }

    /// What that principal carries.
    pub fn of(&self, principal: PrincipalId) -> Arc<Usage> {
        let mut usages = self
            .by_principal
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(usages.entry(principal).or_insert_with(|| {
            let now = tokio::time::Instant::now().into_std();
            let mut policy = self.policy.clone();
            // The first look finds the limits that there are.
            policy.mark_changed();
            Arc::new(Usage {
                principal,
                clock: self.clock.clone(),
                most_streams: self.streams,
                carried: Mutex::new(Carried {
                    policy,
                    limits: Limits::default(),
                    changes: 0,
                    down: Bucket::new(None, now),
                    up: Bucket::new(None, now),
                    streams: 0,
                    day: None,
                    month: None,
                    volume: Volume::default(),
                }),
            })
        }))
    }

    /// What each principal has carried in the month of `now` (UTC), in the order of their numbers: to be kept, and
    /// given back after a restart by [`Usage::restore`].
    pub fn this_month(&self, now: Timestamp) -> Vec<(PrincipalId, Volume)> {
        let usages = (self.by_principal.lock()).unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = (usages.iter())
            .map(|(principal, usage)| (*principal, usage.of_month(now)))
            .collect();
        all.sort_unstable_by_key(|(principal, _)| *principal);
        all
    }
}

impl Usage {
    /// One more stream, if the limits of this moment allow it.
    ///
    /// # Errors
    /// A limit is reached.
    pub fn stream(self: &Arc<Self>) -> Result<Permit, OverLimit> {
        let mut carried = self.carried();
        self.look(&mut carried);
        let most = carried.limits.streams.unwrap_or(self.most_streams);
        if carried.streams >= most {
            return Err(OverLimit::Streams { most });
        }
        if let Some(most) = carried.over_month() {
            return Err(OverLimit::Month { most });
        }
        carried.streams = carried.streams.saturating_add(1);
        Ok(Permit(Arc::clone(self)))
    }

    /// Streams that are open.
    pub fn streams(&self) -> u32 {
        self.carried().streams
    }

    /// What was carried in the month of `now`, in UTC.
    pub fn of_month(&self, now: Timestamp) -> Volume {
        let mut carried = self.carried();
        carried.turn_page(now);
        carried.volume
    }

    /// It has carried so much in the month of `now` before this gateway was started.
    pub fn restore(&self, volume: Volume, now: Timestamp) {
        let mut carried = self.carried();
        carried.turn_page(now);
        let Volume { down, up } = &mut carried.volume;
        *down = down.saturating_add(volume.down);
        *up = up.saturating_add(volume.up);
    }

    /// Bytes have moved. Says how long to wait before more may, or that there is none left.
    fn moved(&self, direction: Direction, bytes: usize) -> Result<Wait, OverLimit> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut carried = self.carried();
        self.look(&mut carried);
        let Volume { down, up } = &mut carried.volume;
        let count = match direction {
            Direction::Down => down,
            Direction::Up => up,
        };
        *count = count.saturating_add(bytes);
        if let Some(most) = carried.over_month() {
            return Err(OverLimit::Month { most });
        }
        let now = tokio::time::Instant::now().into_std();
        let changes = carried.changes;
        let time = carried.bucket(direction).spend(bytes, now);
        Ok(Wait { time, changes })
    }

    /// How long to wait in all if the limits are other ones than when that was said.
    fn owed(&self, direction: Direction, known: u64) -> Option<Wait> {
        let mut carried = self.carried();
        self.look(&mut carried);
        let changes = carried.changes;
        let now = tokio::time::Instant::now().into_std();
        (changes != known).then(|| Wait {
            time: carried.bucket(direction).owed(now),
            changes,
        })
    }

    /// Takes over what has changed outside. Cheap when nothing has.
    fn look(&self, carried: &mut Carried) {
        carried.turn_page(self.clock.now());
        // When nobody is left to change it, the last one holds.
        if matches!(carried.policy.has_changed(), Ok(false)) {
            return;
        }
        let limits = {
            let policy = carried.policy.borrow_and_update();
            let principal = policy.principals.get(&self.principal);
            principal.map(|principal| principal.grant.limits)
        };
        // Who is not there any more has lost more than its speed; others see to that.
        if let Some(limits) = limits {
            carried.set(limits);
        }
    }

    fn carried(&self) -> MutexGuard<'_, Carried> {
        // Numbers are right after any panic.
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carried {
    fn set(&mut self, limits: Limits) {
        if self.limits != limits {
            self.changes = self.changes.wrapping_add(1);
        }
        let now = tokio::time::Instant::now().into_std();
        self.limits = limits;
        self.down.set(limits.down, now);
        self.up.set(limits.up, now);
    }

    fn bucket(&mut self, direction: Direction) -> &mut Bucket {
        match direction {
            Direction::Down => &mut self.down,
            Direction::Up => &mut self.up,
        }
    }

    fn turn_page(&mut self, now: Timestamp) {
        let day = now.as_second().div_euclid(DAY);
        if self.day.replace(day) == Some(day) {
            return;
        }
        let month = Some(Month::of(now));
        if self.month != month {
            self.month = month;
            self.volume = Volume::default();
        }
    }

    fn over_month(&self) -> Option<u64> {
        let Volume { down, up } = self.volume;
        let bytes = down.saturating_add(up);
        self.limits.month.filter(|most| bytes >= *most)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut carried = self.0.carried();
        carried.streams = carried.streams.saturating_sub(1);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    /// From visitors to the principal.
    Down,
    /// From the principal to visitors.
    Up,
}

/// How long a stream has to wait, under limits that have changed so often.
#[derive(Debug, Clone, Copy)]
struct Wait {
    time: Duration,
    changes: u64,
}

#[cfg(test)]
pub(super) mod tests;
