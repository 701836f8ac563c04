//! Runs workflows: the schedule's steps done, and what comes of them told.
//!
//! An [`Engine`] has the workflows of a file. What it runs is a [task](TaskId); where that stands is a
//! [`Report`], which can be watched.

mod action;
mod batch;
mod board;
mod clock;
mod compare;
mod engine;
mod error;
mod job;
pub mod limits;
mod names;
mod report;
mod run;
mod settle;
mod start;
mod tasks;
mod tools;
mod until;

pub use action::gateways::gateways_of;
pub use engine::Engine;
pub use report::{Hop, Interruption, JobReport, JobState, Phase, Report, Status, TaskId};
pub use start::{CancelError, Launch, ResumeError, StartError};
pub use tools::Tools;

#[cfg(test)]
mod tests;
