//! What a schedule is told, and what it answers.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::expr::Value;

/// A job of the workflow, by its place in [`Workflow::jobs`](crate::model::workflow::Workflow::jobs).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobIndex(pub(super) usize);

impl JobIndex {
    /// The job at a place, from 0.
    pub(crate) const fn at(place: usize) -> Self {
        Self(place)
    }

    /// The place, from 0.
    pub const fn get(self) -> usize {
        self.0
    }
}

/// What has happened. One that does not fit what the job does now changes nothing, so one that comes
/// late does no harm.
#[derive(Clone, Debug, PartialEq)]
pub enum Input<E> {
    /// The run begins. Without it nothing else does.
    Start,
    /// A job that was told to run, to finish or to recover has done so.
    Finished {
        /// Which.
        job: JobIndex,
        /// What it gives, rendered.
        output: Value,
        /// The job that it leads to, if it is one that leads; any but its own count as none.
        to: Option<JobIndex>,
    },
    /// A job that was told to run, to finish or to recover could not.
    Failed {
        /// Which.
        job: JobIndex,
        /// Why.
        error: E,
    },
    /// A job that was told to run is a delay, and so long.
    Delayed {
        /// Which.
        job: JobIndex,
        /// From now.
        delay: Duration,
    },
    /// The time of [`Schedule::due`](super::Schedule::due) has come.
    Due,
    /// A person lets an interrupted job go on, or the condition of its interrupt does not hold.
    Resume {
        /// Which.
        job: JobIndex,
    },
    /// Nobody wants the run any more.
    Cancel,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Step<E> {
    /// Render and do it; answer with `Finished`, `Failed` or, for a delay, `Delayed`.
    Run {
        /// Which.
        job: JobIndex,
        /// From 1 in each run of the job.
        attempt: NonZeroU32,
    },
    /// The time of a delay is over: render its output; answer with `Finished` or `Failed`.
    Finish {
        /// Which.
        job: JobIndex,
    },
    /// The last attempt has failed: render what is given instead; answer with `Finished` or
    /// `Failed`, which now fails the workflow.
    Recover {
        /// Which.
        job: JobIndex,
        /// Why it failed.
        error: E,
    },
    /// Nothing now: the job goes on at a time. [`Schedule::due`](super::Schedule::due) is the
    /// earliest of all.
    Wait {
        /// Which.
        job: JobIndex,
        /// When.
        until: Duration,
    },
    /// Evaluate the interrupt's condition and, if it holds, ask a person; answer with `Resume`.
    Interrupted {
        /// Which.
        job: JobIndex,
        /// Where.
        point: Point,
    },
    /// End it at once; answer with `Finished` or `Failed` when it has ended.
    Stop {
        /// Which.
        job: JobIndex,
    },
    /// It will not run, or not again.
    Skip {
        /// Which.
        job: JobIndex,
    },
    /// The run is over, and this is what its last jobs give: the output of the workflow, unless that
    /// has one of its own to render.
    Done {
        /// What they give.
        output: Value,
    },
    /// The run is over: it failed.
    Failed {
        /// Why.
        cause: Cause<E>,
    },
    /// The run is over: nobody wanted it any more.
    Cancelled,
}

/// Where in a job a person is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Before its first attempt.
    Before,
    /// After it succeeded; [`Schedule::held`](super::Schedule::held) is what it would give.
    After,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause<E> {
    /// A job did.
    Job {
        /// Which.
        job: JobIndex,
        /// Why.
        error: E,
    },
    /// A job was to run more often than its `max_run_count` says.
    RunTooOften {
        /// Which.
        job: JobIndex,
        /// How often it may.
        max_run_count: NonZeroU32,
    },
}
