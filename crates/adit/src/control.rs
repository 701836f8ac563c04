//! The control socket: how other commands reach the `adit up` of a file.
//!
//! It lies in a directory that is ours and that nobody else can enter, and both ends look at whose the other
//! process is. A lock, and not the socket's file, says whether an `up` runs: a file that a killed one
//! left behind is harmless. Its name is made from the path of the file that was started.
//!
//! A client sends one line of JSON and gets lines of JSON back. One that runs a workflow sends several:
//!
//! ```text
//! {"verb":"input","part":"{\"data\":"}          the input in parts, whose whole is JSON; or none
//! {"verb":"run","workflow":"__default__","fingerprint":"..."}
//!     {"task":{...}}                            where the run stands, after each change
//! {"verb":"resume","job":"ask","answer":"..."}  to a job that waits for a person
//! {"verb":"cancel"}                             the run is to be stopped
//!     {"output":{"json":"..."}}                 what it gives, in parts; or none
//!     {"task":{...}}                            how it ended
//! ```
//!
//! What comes piece by piece is told as it comes, no faster than the client reads:
//!
//! ```text
//!     {"streaming":{...}}                       how the run ended, in the place of an output
//!     {"piece":{"text":"..."}}                  what is printed next
//!     {"task":{...}}                            the stream is complete; or "refused", if it broke off
//! ```
//!
//! A run goes on if its client hangs up without a word. A stream that it gave does not: nobody else can
//! have the rest of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::input::INPUT;
use crate::status::Report;
use crate::task::TaskReport;

pub(crate) mod client;
pub(crate) mod conversation;
pub(crate) mod directory;
mod hex;
mod input;
pub(crate) mod lines;
mod request;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod stand;

/// How everything is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its components taken down.
    Down,
    /// With its components left as they were set up.
    Stop,
}

/// What it gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Where everything stands.
    Report(Report),
    /// It is about to end.
    Stopping {
        /// After so many seconds something is wrong.
        within_seconds: u64,
    },
    /// Where a run stands.
    Task(TaskReport),
    /// A part of what a run gives.
    Output(Part),
    /// A run has ended; what it gives comes piece by piece.
    Streaming(TaskReport),
    /// The next piece of that.
    Piece(Piece),
    /// What stands in the table of ports is kept now, but for these.
    Reloaded {
        /// Each in words.
        troubles: Vec<String>,
    },
    /// Whether each service of the table is reached.
    Checked(Vec<Checked>),
    /// The question was not understood, cannot be answered, or there are too many clients.
    Refused(String),
}

/// What a visit of a service came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Checked {
    /// The port here.
    pub(crate) port: u16,
    /// How long it took to reach it, in milliseconds; none if it was not reached.
    pub(crate) ms: Option<f64>,
    /// Why it was not.
    pub(crate) reason: Option<String>,
}

/// A part of what a run gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Part {
    /// Of a JSON text, which the parts make together.
    Json(String),
    /// Bytes, in hexadecimal.
    Bytes(String),
}

/// What is written next of what a run gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Piece {
    /// Text.
    Text(String),
    /// What is no text, in hexadecimal.
    Bytes(String),
}

/// A text in parts that fit into a line each; of nothing there is none.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let end = rest.floor_char_boundary(PART);
        let (part, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
        rest = after;
        Some(part).filter(|part| !part.is_empty())
    })
}

/// Most bytes of a line, in either direction (security rule G103).
pub(crate) const LINE: usize = 1 << 20;
/// Most bytes of a part, which may have six times that in JSON, and must fit into a line.
const PART: usize = 128 << 10;
/// Most clients at a time whose runs are told of; more are refused.
const RUNS: usize = 64;
/// Most clients at a time that watch; more are refused.
const WATCHERS: usize = 16;
/// Most clients at a time; more are hung up on. Those beyond the runs and the watchers stay for a
/// question and its answer, so that `down` and `status` find a place.
const CLIENTS: usize = RUNS + WATCHERS + 16;
/// How long either end waits for the other's line.
pub(crate) const DEADLINE: Duration = Duration::from_secs(5);
