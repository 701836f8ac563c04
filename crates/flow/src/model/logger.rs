//! Loggers: where a file wants its logs.

use std::path::PathBuf;

/// Where logs go, and which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logger {
    /// The least that is logged.
    pub level: Level,
    /// A file, as it was written; None is the terminal.
    pub file: Option<PathBuf>,
}

/// How much a log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// All of it.
    Debug,
    /// What changes.
    Info,
    /// What is worse than it should be.
    Warning,
    /// What a person must act on.
    Error,
    /// What ends the program.
    Critical,
}
