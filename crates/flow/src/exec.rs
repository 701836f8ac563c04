//! Runs workflows: the schedule's steps done, and what comes of them told.
//!
//! An [`Engine`] has the workflows of a file. What it runs is a [task](TaskId); where that stands is a
//! [`Report`], which can be watched.

mod report;
mod start;

pub use report::{Hop, Interruption, JobReport, JobState, Phase, Report, Status, TaskId};
pub use start::{CancelError, Launch, ResumeError, StartError};
