//! The control socket: how `adit status` and `adit down` reach the `adit up` of a file.
//!
//! It lies in a directory that is ours and that nobody else can enter, and both ends look at whose the other
//! process is. A lock, and not the socket's file, says whether an `up` runs: a file that a killed one
//! left behind is harmless. Its name is made from the path of the file that was started.
//!
//! A client sends one line of JSON and gets lines of JSON back.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::status::Report;

pub(crate) mod client;
pub(crate) mod directory;
pub(crate) mod server;

/// What a client asks: `{"verb":"status"}`. What is not known is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) verb: Verb,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verb {
    /// One report.
    Status,
    /// A report now, and one after each change, until the client has gone.
    Watch,
    /// Everything is to end; the answer comes before the end.
    Down,
}

/// What it gets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// Where everything stands.
    Report(Report),
    /// It is about to end.
    Stopping,
    /// The question was not understood, or there are too many clients.
    Refused(String),
}

/// Most bytes of a line, in either direction (security rule G103).
const LINE: u64 = 1 << 20;
/// Most clients at a time; more are refused.
const CLIENTS: usize = 16;
/// How long either end waits for the other's line.
const DEADLINE: Duration = Duration::from_secs(5);
