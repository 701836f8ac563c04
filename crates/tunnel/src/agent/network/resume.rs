//! Notices that the machine was asleep.
//!
//! Linux tells whoever has a timer on the time of day that is to be cancelled when that time is set
//! (timerfd_create(2), `TFD_TIMER_CANCEL_ON_SET`), and a resume counts as that (`timekeeping_resume`
//! calls `timerfd_resume`). So nobody has to wake to find out. Whether it was a sleep or a person who set
//! the clock is told by two clocks: one stands still in a sleep and one runs on.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// A timer that never comes, but is cancelled when the machine resumes.
#[derive(Debug)]
pub(super) struct Resume {
    timer: AsyncFd<OwnedFd>,
    asleep: Duration,
}

/// The two clocks are read one after the other, so a little difference is no sleep.
const LEAST: Duration = Duration::from_millis(100);

impl Resume {
    /// Sets the timer. Has to be called within a runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let never = Itimerspec {
            it_interval: zero,
            it_value: Timespec {
                tv_sec: i64::MAX,
                ..zero
            },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, flags, &never)?;
        Ok(Self {
            timer: super::pollable(timer)?,
            asleep: time_asleep(),
        })
    }

    /// Waits until the machine has resumed, and says how long it had slept.
    ///
    /// # Errors
    ///
    /// The timer cannot be waited for any more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn resumed(&mut self) -> io::Result<Duration> {
        loop {
            let mut ready = self.timer.readable().await?;
            let mut count = [0; 8];
            match ready.try_io(|timer| Ok(rustix::io::read(timer.get_ref(), &mut count)?)) {
                Err(_) | Ok(Ok(_)) => continue,
                Ok(Err(error)) if Errno::from_io_error(&error) == Some(Errno::CANCELED) => {}
                Ok(Err(error)) => return Err(error),
            }
            let before = std::mem::replace(&mut self.asleep, time_asleep());
            let slept = self.asleep.saturating_sub(before);
            if slept >= LEAST {
                return Ok(slept);
            }
        }
    }
}

/// How long the machine has slept since it was started.
fn time_asleep() -> Duration {
    let awake = duration(clock_gettime(ClockId::Monotonic));
    duration(clock_gettime(ClockId::Boottime)).saturating_sub(awake)
}

fn duration(time: Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_machine_that_is_awake_wakes_nobody() {
        let mut resume = Resume::new().unwrap();
        let slept = timeout(Duration::from_millis(50), resume.resumed()).await;
        assert!(slept.is_err(), "{slept:?}");
        assert!(time_asleep().saturating_sub(resume.asleep) < LEAST);
    }
}
