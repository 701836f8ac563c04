//! What a gateway has said about coming back, and what becomes of it: bounded here, whoever says it.

use std::time::Duration;

use tokio::time::Instant;

use super::wait::After;
use crate::agent::backoff::Backoff;
use crate::agent::control::Successor;
use crate::control::ToAgent;

/// What counts once the connection has ended.
#[derive(Debug, Default)]
pub(super) struct Advice {
    /// Before that nobody comes back.
    retry_at: Option<Instant>,
    /// Another machine has what was ours.
    is_superseded: bool,
}

/// The shortest time to stay away that a gateway can ask for (security rule G32).
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest (security rule G32): who says ten years has made a mistake, or is no friend.
const LONGEST: Duration = Duration::from_secs(300);
/// By chance a wait is longer by up to one part of so many.
const SPREAD: f64 = 4.0;

impl Advice {
    /// A gateway says when to come back. Gives the wait as it is taken. It knows who has what was ours, and asks that
    /// one before it gives us anything.
    pub(super) fn retry_after(&mut self, seconds: u32, chance: u64) -> Duration {
        let asked = Duration::from_secs(seconds.into()).clamp(SHORTEST, LONGEST);
        let spread = u64::try_from(asked.div_f64(SPREAD).as_nanos()).unwrap_or(u64::MAX);
        let by_chance = chance.checked_rem(spread.saturating_add(1)).unwrap_or(0);
        let wait = asked
            .saturating_add(Duration::from_nanos(by_chance))
            .min(LONGEST);
        self.retry_at = Instant::now().checked_add(wait);
        self.is_superseded = false;
        wait
    }

    /// What another connection had is ours again.
    pub(super) const fn returned(&mut self) {
        self.is_superseded = false;
    }

    /// Another connection has what was ours. If that was another tunnel of this process, it is for whoever set both
    /// up, and changes nothing here.
    pub(super) fn superseded(&mut self, by: &Successor) {
        self.is_superseded |= !by.is_ours();
    }

    /// The wait that follows on what was to be waited anyway. Advice counts once.
    pub(super) fn apply(
        self,
        (delay, after): (Duration, After),
        backoff: &Backoff,
        chance: u64,
    ) -> (Duration, After) {
        if self.is_superseded {
            // Back at once, it would take it over again, and the other one after it, for ever.
            return (backoff.refused(chance), After::Refusal);
        }
        let left = self
            .retry_at
            .map(|at| at.saturating_duration_since(Instant::now()));
        match left.filter(|left| *left > delay) {
            Some(left) => (left, After::Told),
            None => (delay, after),
        }
    }
}

/// Takes a takeover out of a message.
pub(super) fn successor(message: &ToAgent) -> Option<Successor> {
    let ToAgent::Superseded {
        holding,
        by,
        from,
        since,
    } = message
    else {
        return None;
    };
    Some(Successor {
        holding: holding.shown(),
        by: *by,
        from: from.shown(),
        since: since.shown(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::backoff::Patience;

    /// G32.
    #[tokio::test(start_paused = true)]
    async fn retry_after_is_clamped_and_has_jitter() {
        for (said, least, most) in [
            (0, 1_000, 1_250),
            (8, 8_000, 10_000),
            (300, 300_000, 300_000),
            (315_360_000, 300_000, 300_000),
            (u32::MAX, 300_000, 300_000),
        ] {
            let wait = |chance| Advice::default().retry_after(said, chance).as_millis();
            assert_eq!(wait(0), least, "{said}");
            let longest = (0..500).map(|chance| wait(chance * 7_919_111)).max();
            assert!((least..=most).contains(&longest.unwrap()), "{said}");
            assert!(least == most || longest > Some(least), "{said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn advice_never_makes_a_wait_shorter_and_is_over_when_its_time_is() {
        let backoff = Backoff::new(Patience::default());
        let usual = (Duration::from_secs(4), After::Failure);
        let mut advice = Advice::default();
        advice.retry_after(1, 0);
        assert_eq!(advice.apply(usual, &backoff, 0), usual);
        let mut advice = Advice::default();
        advice.retry_after(10, 0);
        let told = (Duration::from_secs(10), After::Told);
        assert_eq!(advice.apply(usual, &backoff, 0), told);
        let mut advice = Advice::default();
        advice.retry_after(10, 0);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(advice.apply(usual, &backoff, 0), usual);
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_superseded_by_another_machine_stays_away_for_minutes() {
        let backoff = Backoff::new(Patience::default());
        let mut advice = Advice::default();
        let message = ToAgent::Superseded {
            holding: crate::control::Text::new("port 8080"),
            by: None,
            from: crate::control::Text::new("192.0.2.7:22\x1b"),
            since: crate::control::Text::new("2026-11-22T00:00:00Z"),
        };
        let successor = successor(&message).unwrap();
        assert!(!successor.to_string().contains('\x1b'));
        advice.superseded(&successor);
        let (delay, after) = advice.apply((Duration::ZERO, After::Failure), &backoff, 0);
        assert_eq!((delay, after), (Duration::from_secs(300), After::Refusal));
        // Unless the gateway says better: it asks the other one before it gives us anything.
        let usual = (Duration::ZERO, After::Failure);
        let mut advice = Advice::default();
        advice.superseded(&successor);
        advice.retry_after(15, 0);
        let told = (Duration::from_secs(15), After::Told);
        assert_eq!(advice.apply(usual, &backoff, 0), told);
        let mut advice = Advice::default();
        advice.superseded(&successor);
        advice.returned();
        assert_eq!(advice.apply(usual, &backoff, 0), usual);
    }
}
