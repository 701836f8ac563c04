//! Workflows: what can be run.

use super::job::Job;
use super::{Id, Written};

/// The id of a workflow that has none.
pub const UNNAMED: &str = "__workflow__";

/// A workflow of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// Its id; [`UNNAMED`] if it has none.
    pub id: Id,
    /// A short name.
    pub name: Option<String>,
    /// What people call it.
    pub title: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Whether it is the one that is meant where none is named.
    pub is_default: bool,
    /// Whether only other workflows and triggers may start it.
    pub is_private: bool,
    /// What it consists of, in the order of the file. Without any it gives nothing.
    pub jobs: Vec<Job>,
    /// What it gives. None is what its last jobs give.
    pub output: Option<Written>,
}
