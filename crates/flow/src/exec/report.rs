//! Where a run stands, as all who ask are told.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use crate::expr::Value;

/// What a run is called: a ULID, of which 80 bits are fresh and random each time (security rule G80).
/// Clones share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(Arc<str>);

impl TaskId {
    /// The text of an id that somebody asks for. It need not be anybody's.
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It waits for its turn.
    Pending,
    /// Its jobs run.
    Processing,
    /// A person is waited for, and nothing else runs.
    Interrupted,
    /// It is being stopped.
    Cancelling,
    /// It was stopped.
    Cancelled,
    /// It has given its output.
    Completed,
    /// It has failed.
    Failed,
}

impl Status {
    /// The word for it: `processing`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Processing => "processing",
            Self::Interrupted => "interrupted",
            Self::Cancelling => "cancelling",
            Self::Cancelled => "cancelled",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing follows.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Cancelled | Self::Completed | Self::Failed)
    }
}

/// Where a run stands.
#[derive(Clone, Debug)]
pub struct Report {
    /// The run.
    pub task_id: TaskId,
    /// The workflow's id.
    pub workflow_id: String,
    /// How it is doing.
    pub status: Status,
    /// Its jobs in the order of the file.
    pub jobs: Vec<JobReport>,
    /// Persons that are waited for.
    pub interruptions: Vec<Interruption>,
    /// What it gave; null before, and for a run that gives nothing.
    pub output: Value,
    /// Why it failed: a message for people, one line or several, without secrets.
    pub error: Option<String>,
    /// When it was asked for.
    pub since: Instant,
    /// When it ended.
    pub ended: Option<Instant>,
}

/// Where a job of a run stands.
#[derive(Clone, Debug)]
pub struct JobReport {
    /// Its id.
    pub id: String,
    /// What people call it.
    pub name: Option<String>,
    /// What it does.
    pub state: JobState,
    /// What its work waits for at the moment, if it runs.
    pub hop: Option<Hop>,
    /// When it began last.
    pub began: Option<Instant>,
    /// When it ended last.
    pub ended: Option<Instant>,
    /// Which attempt this is, from 1; 0 before the first.
    pub attempt: u32,
}

/// What a job of a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobState {
    /// It waits for others.
    Waiting,
    /// It runs.
    Running,
    /// It waits for a time: a delay, or the pause before its next attempt.
    Delayed,
    /// It waits for a person.
    Interrupted,
    /// It is done.
    Done,
    /// It has failed.
    Failed,
    /// It will not run.
    Skipped,
    /// It was stopped.
    Stopped,
}

/// What a running job waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// Its turn: its component does as much as it may.
    Queue,
    /// A gateway that is to make this local port public.
    Gateway {
        /// The local port.
        port: u16,
    },
    /// An answer.
    Request {
        /// The method.
        method: &'static str,
        /// The URL without its query.
        url: String,
    },
    /// The next question of a poll.
    Polling,
    /// A request from outside.
    Callback {
        /// The id that it will bring.
        id: String,
        /// Where the sender was told to send it, if that was a gateway's address: local port and
        /// public address.
        via: Option<(u16, String)>,
    },
    /// A program.
    Program {
        /// Its name.
        name: String,
    },
    /// Another workflow.
    Workflow {
        /// Its id.
        id: String,
    },
}

/// A person that is waited for.
#[derive(Clone, Debug)]
pub struct Interruption {
    /// The job.
    pub job_id: String,
    /// Whether the job has yet to run or has run.
    pub phase: Phase,
    /// What the person is told.
    pub message: Option<String>,
    /// What the person is shown; null if nothing.
    pub metadata: Value,
}

/// Where in a job a person is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before its work.
    Before,
    /// After it.
    After,
}
