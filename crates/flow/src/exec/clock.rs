//! Time and chance, for the pure parts that take them as arguments.

use std::time::Duration;

use tokio::time::Instant;

/// Time since a run began, and random numbers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            began: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(super) fn at(&self, since: Duration) -> Instant {
        // What cannot be counted is never.
        self.began
            .checked_add(since)
            .unwrap_or_else(|| self.began + FAR)
    }
}

/// Any number. Where the system has no randomness it is zero: pauses are then those of the file.
pub(super) fn chance() -> u64 {
    let mut bytes = [0; 8];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return 0;
    }
    u64::from_le_bytes(bytes)
}

/// A century.
const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
