//! How much a principal may carry: bytes a second each way, bytes a month, streams at a time.
//!
//! A [`Bucket`] is pure. One principal's streams share a [`Usage`], so it has one speed however many streams
//! it opens, and no principal waits for another. A [`Metered`] socket pays after each step for what it has
//! moved: who has spent more than there is waits until it is earned.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use adit_model::grant::Limits;
use adit_model::id::PrincipalId;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::watch;
use tokio::time::Sleep;

use super::after;
use super::desk::Clock;
use super::policy::Policy;

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
const BURST_LEAST: u64 = 65_536;
const NANOS: i128 = 1_000_000_000;
/// Seconds of a day in UTC.
const DAY: i64 = 86_400;
/// How soon a stream that waits notices that its limits have changed.
const LOOK: Duration = Duration::from_secs(1);

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
    fn owed(&mut self, now: Instant) -> Duration {
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

/// What the principals of a gateway carry.
#[derive(Debug, Clone)]
pub struct Usages {
    by_principal: Arc<Mutex<HashMap<PrincipalId, Arc<Usage>>>>,
    policy: watch::Receiver<Arc<Policy>>,
    clock: Clock,
}

/// What one principal carries.
#[derive(Debug)]
pub struct Usage {
    principal: PrincipalId,
    clock: Clock,
    carried: Mutex<Carried>,
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
    /// Year and month of `bytes`, in UTC.
    month: (i16, i8),
    bytes: u64,
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
    /// are the clock's.
    pub fn new(policy: watch::Receiver<Arc<Policy>>, clock: Clock) -> Self {
        Self {
            by_principal: Arc::default(),
            policy,
            clock,
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
                carried: Mutex::new(Carried {
                    policy,
                    limits: Limits::default(),
                    changes: 0,
                    down: Bucket::new(None, now),
                    up: Bucket::new(None, now),
                    streams: 0,
                    day: None,
                    month: (0, 0),
                    bytes: 0,
                }),
            })
        }))
    }

    /// Bytes that each principal has carried in the month of `now` (UTC): to be kept, and given back after
    /// a restart by [`Usage::restore`].
    pub fn this_month(&self, now: Timestamp) -> Vec<(PrincipalId, u64)> {
        let usages = (self.by_principal.lock()).unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = (usages.iter())
            .map(|(principal, usage)| (*principal, usage.month_bytes(now)))
            .collect();
        all.sort_unstable();
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
        if let Some(most) = carried
            .limits
            .streams
            .filter(|most| carried.streams >= *most)
        {
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

    /// Bytes carried in the month of `now`, in UTC.
    pub fn month_bytes(&self, now: Timestamp) -> u64 {
        let mut carried = self.carried();
        carried.turn_page(now);
        carried.bytes
    }

    /// It has carried so many bytes in the month of `now` before this gateway was started.
    pub fn restore(&self, bytes: u64, now: Timestamp) {
        let mut carried = self.carried();
        carried.turn_page(now);
        carried.bytes = carried.bytes.saturating_add(bytes);
    }

    /// Bytes have moved. Says how long to wait before more may, or that there is none left.
    fn moved(&self, direction: Direction, bytes: usize) -> Result<Wait, OverLimit> {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let mut carried = self.carried();
        self.look(&mut carried);
        carried.bytes = carried.bytes.saturating_add(bytes);
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
        let date = now.to_zoned(jiff::tz::TimeZone::UTC).date();
        let month = (date.year(), date.month());
        if self.month != month {
            self.month = month;
            self.bytes = 0;
        }
    }

    fn over_month(&self) -> Option<u64> {
        self.limits.month.filter(|most| self.bytes >= *most)
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

/// What a [`Metered`] socket stands on the side of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// What is read from the socket comes from a visitor, or goes out of the gateway for the principal.
    Visitor,
    /// What is read from it comes from the principal.
    Principal,
}

/// A socket whose bytes count for a principal, and go no faster than it may.
pub struct Metered<S> {
    socket: S,
    permit: Permit,
    side: Side,
    reading: Pause,
    writing: Pause,
}

/// How long a stream has to wait, under limits that have changed so often.
#[derive(Debug, Clone, Copy)]
struct Wait {
    time: Duration,
    changes: u64,
}

/// A wait that is over until something is paid for.
#[derive(Default)]
struct Pause(Option<Paused>);

struct Paused {
    /// Until then, or until it is time to look at the limits.
    sleep: Pin<Box<Sleep>>,
    until: tokio::time::Instant,
    changes: u64,
}

impl Pause {
    fn poll(&mut self, usage: &Usage, direction: Direction, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(paused) = &mut self.0 {
            ready!(paused.sleep.as_mut().poll(cx));
            if paused.until <= tokio::time::Instant::now() {
                self.0 = None;
                break;
            }
            if let Some(wait) = usage.owed(direction, paused.changes) {
                paused.until = after(wait.time);
                paused.changes = wait.changes;
            }
            paused.sleep.as_mut().reset(paused.until.min(after(LOOK)));
        }
        Poll::Ready(())
    }

    fn pay(&mut self, usage: &Usage, direction: Direction, bytes: usize) -> io::Result<()> {
        let wait = usage.moved(direction, bytes).map_err(io::Error::other)?;
        if !wait.time.is_zero() {
            let until = after(wait.time);
            self.0 = Some(Paused {
                sleep: Box::pin(tokio::time::sleep_until(until.min(after(LOOK)))),
                until,
                changes: wait.changes,
            });
        }
        Ok(())
    }
}

impl<S> Metered<S> {
    /// Counts what that socket moves.
    pub fn new(socket: S, permit: Permit, side: Side) -> Self {
        Self {
            socket,
            permit,
            side,
            reading: Pause::default(),
            writing: Pause::default(),
        }
    }

    /// The socket itself.
    pub const fn socket(&self) -> &S {
        &self.socket
    }

    /// The same. What is read or written past the meter counts for nobody.
    pub const fn socket_mut(&mut self) -> &mut S {
        &mut self.socket
    }

    const fn directions(&self) -> (Direction, Direction) {
        match self.side {
            Side::Visitor => (Direction::Down, Direction::Up),
            Side::Principal => (Direction::Up, Direction::Down),
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Metered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Metered").field(&self.socket).finish()
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let (reads, _) = this.directions();
        ready!(this.reading.poll(&this.permit.0, reads, cx));
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(cx, buffer))?;
        let count = buffer.filled().len().saturating_sub(before);
        Poll::Ready(this.reading.pay(&this.permit.0, reads, count))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let (_, writes) = this.directions();
        ready!(this.writing.poll(&this.permit.0, writes, cx));
        let count = ready!(Pin::new(&mut this.socket).poll_write_vectored(cx, slices))?;
        this.writing.pay(&this.permit.0, writes, count)?;
        Poll::Ready(Ok(count))
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
pub(super) mod tests;
