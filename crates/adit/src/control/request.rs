//! What is asked over the control socket.

use serde::{Deserialize, Serialize};

use crate::compose::Fingerprint;

/// What a client asks: `{"verb":"status"}`. What is not known is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Request {
    /// One report.
    Status {},
    /// A report now, and one after each change, until the client has gone.
    Watch {},
    /// Everything is to end, and components are to be taken down; the answer comes before the end.
    Down {},
    /// Everything is to end; the answer comes before the end.
    Stop {},
    /// The table of ports is to be read again.
    Reload {},
    /// Each service of the table is to be visited.
    Check {},
    /// A part of the input of a run.
    Input {
        /// It goes on where the part before it ended.
        part: String,
    },
    /// A workflow is to be run.
    Run {
        /// Its id.
        workflow: String,
        /// What the client has read; a run by another configuration is not what it asks for.
        fingerprint: Fingerprint,
    },
    /// A job that waits for a person may go on.
    Resume {
        /// The job.
        job: String,
        /// What the person says to it, as JSON.
        answer: Option<String>,
    },
    /// The run is to be stopped.
    Cancel {},
}
