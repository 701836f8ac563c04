//! How a gateway is, as far as that is not seen elsewhere.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// How a gateway is. One for a process; told by whoever does what is told of.
#[derive(Debug)]
pub(in crate::gateway) struct Condition {
    began: Timestamp,
    state: Mutex<State>,
    reloads: AtomicU64,
    refused_reloads: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct State {
    stage: Stage,
    /// When the store answered last.
    answered: Instant,
    /// Whether it did when it was asked last.
    is_answering: bool,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Starting,
    Serving,
    Stopping,
}

/// After how long a store that does not answer is told of: it is asked every 5 s and has 10 s for an answer.
const SILENCE: Duration = Duration::from_secs(20);

impl Condition {
    /// It starts; the store has answered.
    pub(in crate::gateway) fn starting() -> Self {
        Self {
            began: Timestamp::now(),
            state: Mutex::new(State {
                stage: Stage::Starting,
                answered: Instant::now(),
                is_answering: true,
            }),
            reloads: AtomicU64::new(0),
            refused_reloads: AtomicU64::new(0),
        }
    }

    /// Everybody is let in from now on.
    pub(in crate::gateway) fn serves(&self) {
        self.state().stage = Stage::Serving;
    }

    /// Nobody is let in any more.
    pub(in crate::gateway) fn stops(&self) {
        self.state().stage = Stage::Stopping;
    }

    /// The store was asked something, and answered or did not.
    pub(in crate::gateway) fn asked_store(&self, answers: bool) {
        let mut state = self.state();
        state.is_answering = answers;
        if answers {
            state.answered = Instant::now();
        }
    }

    /// Everything was read again, or what was read was refused.
    pub(in crate::gateway) fn reloaded(&self, done: bool) {
        let counter = if done {
            &self.reloads
        } else {
            &self.refused_reloads
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Why no work should be sent here; nothing when it may be.
    pub(super) fn unready(&self) -> Vec<String> {
        let state = *self.state();
        let mut reasons = Vec::new();
        match state.stage {
            Stage::Starting => reasons.push(String::from("the gateway is starting")),
            Stage::Serving => {}
            Stage::Stopping => reasons.push(String::from("the gateway is stopping")),
        }
        let silent = state.answered.elapsed();
        if silent >= SILENCE {
            reasons.push(format!(
                "the database has not answered for {} s",
                silent.as_secs()
            ));
        }
        reasons
    }

    /// When it began.
    pub(super) const fn began(&self) -> Timestamp {
        self.began
    }

    /// Whether the store answered last time, and how long ago it did.
    pub(super) fn store(&self) -> (bool, Duration) {
        let state = *self.state();
        (state.is_answering, state.answered.elapsed())
    }

    /// How often everything was read again, and how often that was refused.
    pub(super) fn reloads(&self) -> [u64; 2] {
        [&self.reloads, &self.refused_reloads].map(|counter| counter.load(Ordering::Relaxed))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Plain values, each right by itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_gateway_is_ready_while_it_serves_and_its_store_answers() {
        let condition = Condition::starting();
        assert_eq!(condition.unready(), ["the gateway is starting"]);
        condition.serves();
        assert!(condition.unready().is_empty());
        condition.asked_store(false);
        advance(SILENCE - Duration::from_millis(1)).await;
        assert!(condition.unready().is_empty(), "one lost answer is none");
        advance(Duration::from_millis(1)).await;
        let reasons = condition.unready();
        assert_eq!(reasons, ["the database has not answered for 20 s"]);
        assert_eq!(condition.store(), (false, SILENCE));
        condition.asked_store(true);
        assert!(condition.unready().is_empty());
        condition.stops();
        assert_eq!(condition.unready(), ["the gateway is stopping"]);
    }
}
