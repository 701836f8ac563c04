//! What a job does now, and what came of it.

use std::num::NonZeroU32;
use std::time::Duration;

use super::JobIndex;
use crate::expr::Value;

/// A job's part of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    pub(super) state: State,
    /// How often it has begun.
    pub(super) run_count: u32,
    /// How many more runs others have led to.
    pub(super) leads: u32,
    /// Whether its last run went on with another job.
    pub(super) has_led: bool,
    /// Whether what it waited for runs again while it is running.
    pub(super) is_stale: bool,
    /// What its last run gave.
    pub(super) output: Option<Value>,
}

#[derive(Clone, Debug, Default)]
pub(super) enum State {
    /// For other jobs.
    #[default]
    Waiting,
    /// For a person, before its work.
    Asked,
    /// Somebody works on it.
    Running { attempt: NonZeroU32 },
    /// A delay whose time is running.
    Delaying {
        attempt: NonZeroU32,
        until: Duration,
    },
    /// Between two attempts; `attempt` was the last.
    Pausing {
        attempt: NonZeroU32,
        until: Duration,
    },
    /// Somebody renders what it gives in place of a result.
    Recovering,
    /// For a person, after its work.
    Held { output: Value, to: Option<JobIndex> },
    /// It was told to end.
    Stopping,
    /// It has given what it gives.
    Done,
    /// It failed, and another goes on in its place.
    Left,
    /// It can no longer run.
    Skipped,
    /// The run ended without it.
    Dropped,
}

impl State {
    /// Whether something is still to come from it.
    pub(super) fn is_active(&self) -> bool {
        match self {
            Self::Asked
            | Self::Running { .. }
            | Self::Delaying { .. }
            | Self::Pausing { .. }
            | Self::Recovering
            | Self::Held { .. }
            | Self::Stopping => true,
            Self::Waiting | Self::Done | Self::Left | Self::Skipped | Self::Dropped => false,
        }
    }

    /// Whether it has come to an end, from which others that go round can wake it. One that is
    /// skipped sleeps for good: nothing that could wake it is left.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self, Self::Done | Self::Left)
    }

    /// When it goes on by itself.
    pub(super) fn due(&self) -> Option<Duration> {
        if let Self::Delaying { until, .. } | Self::Pausing { until, .. } = self {
            Some(*until)
        } else {
            None
        }
    }
}
