//! How a run is asked for.

use crate::exec::TaskId;
use crate::expr::Value;
use crate::model::find::Missing;

/// Whoever can start runs: an [`Engine`](crate::exec::Engine), for those who only do that.
pub trait Launch: Send + Sync {
    /// Starts a run of a workflow, [`DEFAULT`](crate::model::DEFAULT) included, and does not wait.
    ///
    /// # Errors
    ///
    /// There is no such workflow, or no room for the run.
    fn launch(&self, workflow: &str, input: Value) -> Result<TaskId, StartError>;
}

/// Why a run was not started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is no such workflow, or the default one cannot be told.
    #[error("Workflow {} not found.", quoted(.workflow))]
    Missing {
        /// The id that was asked for.
        workflow: String,
        /// Why there is none.
        missing: Missing,
    },
    /// There are as many runs as there may be.
    #[error("too many runs")]
    Full,
    /// Everything is about to end.
    #[error("adit is shutting down")]
    Closing,
    /// The system has no randomness, so the run could have no id that nobody guesses.
    #[error("the system has no randomness")]
    Randomness,
}

/// In single quotes, cut and safe to print.
fn quoted(id: &str) -> String {
    let id: String = id
        .chars()
        .take(SHOWN)
        .flat_map(char::escape_debug)
        .collect();
    format!("'{id}'")
}

/// How much of an id that nobody has is shown again.
const SHOWN: usize = 100;

/// Why a job that waits for a person was not told to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResumeError {
    /// There is no such run, or none any more.
    #[error("there is no such run")]
    NotFound,
    /// The job waits for nobody.
    #[error("the job waits for nobody")]
    NotWaiting,
}

/// Why a run was not told to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CancelError {
    /// There is no such run, or none any more.
    #[error("there is no such run")]
    NotFound,
    /// It has ended already.
    #[error("the run has ended already")]
    Over,
}
