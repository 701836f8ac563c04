//! The wall clock, as far as it can be believed: it is set by people and by the network.

use std::time::Duration;

use jiff::Timestamp;

use super::super::lease::Now;

/// Watches the wall clock beside the one that only goes forward.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Wall {
    last: Option<Now>,
    /// How far it was set back altogether, in jumps.
    behind: Duration,
}

/// What is not taken for a jump backward: clocks are disciplined by less (security rule G06).
const JUMP: Duration = Duration::from_secs(60);

impl Wall {
    /// Looks at both clocks. How far the wall clock was set back since the last look, if that is a jump.
    pub(super) fn see(&mut self, now: Now) -> Option<Duration> {
        let last = self.last.replace(now)?;
        let passed = now.ticks.saturating_sub(last.ticks);
        let expected = last.wall.saturating_add(passed).unwrap_or(last.wall);
        let back = Duration::try_from(expected.duration_since(now.wall)).unwrap_or_default();
        (back > JUMP).then(|| {
            self.behind = self.behind.saturating_add(back);
            back
        })
    }

    /// How far it was set back so far.
    pub(super) const fn behind(self) -> Duration {
        self.behind
    }

    /// The time for somebody who came when the clock had been set back by `behind`: what has expired for them
    /// does not become valid again, and lasts no longer, because the clock was set back meanwhile.
    pub(super) fn time_for(self, behind: Duration, now: Now) -> Timestamp {
        let since = self.behind.saturating_sub(behind);
        now.wall.saturating_add(since).unwrap_or(now.wall)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(ticks: u64, wall: i64) -> Now {
        Now {
            ticks: Duration::from_secs(ticks),
            wall: Timestamp::from_second(wall).unwrap(),
        }
    }

    #[test]
    fn a_clock_that_is_set_back_is_not_believed_by_who_was_there_before() {
        let mut wall = Wall::default();
        assert_eq!(wall.see(now(0, 10_000)), None);
        assert_eq!(wall.see(now(10, 10_010)), None);
        assert_eq!(wall.see(now(11, 9_960)), None, "51 s are no jump");
        assert_eq!(wall.see(now(12, 6_361)), Some(Duration::from_secs(3_600)));
        let later = now(13, 6_362);
        assert_eq!(wall.see(later), None);
        assert_eq!(
            wall.time_for(Duration::ZERO, later),
            Timestamp::from_second(9_962).unwrap()
        );
        assert_eq!(wall.time_for(wall.behind(), later), later.wall);
        assert_eq!(wall.see(now(14, 90_000)), None, "forward is believed");
    }
}
