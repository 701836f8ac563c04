//! Finding by id what a file has, [`DEFAULT`] included.

use super::component::{Action, Component, Kind};
use super::job::{ComponentRef, ForEach, InlineKind, Kind as JobKind};
use super::workflow::Workflow;
use super::{Compose, DEFAULT, Id};

/// What can be asked for by an id.
pub trait Identified {
    /// Its id.
    fn id(&self) -> &Id;

    /// Whether it is the one that is meant where none is named.
    fn is_default(&self) -> bool;
}

impl Identified for Workflow {
    fn id(&self) -> &Id {
        &self.id
    }

    fn is_default(&self) -> bool {
        self.is_default
    }
}

impl Identified for Component {
    fn id(&self) -> &Id {
        &self.id
    }

    fn is_default(&self) -> bool {
        self.is_default
    }
}

impl<T> Identified for Action<T> {
    fn id(&self) -> &Id {
        &self.id
    }

    fn is_default(&self) -> bool {
        self.is_default
    }
}

/// Why nothing was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is none with this id.
    Unknown,
    /// There is none at all.
    None,
    /// There are several, and none of them says `default: true`.
    Ambiguous,
}

/// The one with this id. [`DEFAULT`] is the only one, or else the first that says so.
///
/// # Errors
///
/// There is none; see [`Missing`].
pub fn find<'a, T: Identified>(all: &'a [T], id: &str) -> Result<&'a T, Missing> {
    if id != DEFAULT {
        return all
            .iter()
            .find(|one| one.id().as_str() == id)
            .ok_or(Missing::Unknown);
    }
    match all {
        [] => Err(Missing::None),
        [only] => Ok(only),
        _ => {
            let mut all = all.iter();
            all.find(|one| one.is_default()).ok_or(Missing::Ambiguous)
        }
    }
}

impl Compose {
    /// The workflow with this id, [`DEFAULT`] included.
    ///
    /// # Errors
    ///
    /// There is none; see [`Missing`].
    pub fn workflow(&self, id: &str) -> Result<&Workflow, Missing> {
        find(&self.workflows, id)
    }

    /// The component with this id, [`DEFAULT`] included.
    ///
    /// # Errors
    ///
    /// There is none; see [`Missing`].
    pub fn component(&self, id: &str) -> Result<&Component, Missing> {
        find(&self.components, id)
    }
}

impl Compose {
    /// All components, those of jobs of their own behind those of the file, in the order of the file.
    pub fn every_component(&self) -> Vec<&Component> {
        let mut every: Vec<&Component> = self.components.iter().collect();
        let jobs = self.workflows.iter().flat_map(|workflow| &workflow.jobs);
        for job in jobs {
            match &job.kind {
                JobKind::Component(job) => every.extend(inline(&job.component)),
                JobKind::ForEach(job) => every.extend(inside(job)),
                JobKind::Delay(_)
                | JobKind::If(_)
                | JobKind::Switch(_)
                | JobKind::Random(_)
                | JobKind::Filter => {}
            }
        }
        every
    }
}

fn inline(component: &ComponentRef) -> Option<&Component> {
    match component {
        ComponentRef::Inline(component) => Some(component),
        ComponentRef::Named(_) => None,
    }
}

/// Recurses at most [`adit_text::limits::DEPTH`] times.
fn inside(job: &ForEach) -> Option<&Component> {
    match &job.body.kind {
        InlineKind::Component(job) => inline(&job.component),
        InlineKind::ForEach(job) => inside(job),
    }
}

impl Component {
    /// Whether it has an action with this id, [`DEFAULT`] included.
    ///
    /// # Errors
    ///
    /// There is none; see [`Missing`].
    pub fn has_action(&self, id: &str) -> Result<(), Missing> {
        match &self.kind {
            Kind::HttpServer(server) => find(&server.actions, id).map(drop),
            Kind::HttpClient(client) => find(&client.actions, id).map(drop),
            Kind::Shell(shell) => find(&shell.actions, id).map(drop),
            Kind::Workflow(actions) => find(actions, id).map(drop),
        }
    }

    /// The ids of its actions, in the order of the file.
    pub fn action_ids(&self) -> Vec<&Id> {
        match &self.kind {
            Kind::HttpServer(server) => server.actions.iter().map(|one| &one.id).collect(),
            Kind::HttpClient(client) => client.actions.iter().map(|one| &one.id).collect(),
            Kind::Shell(shell) => shell.actions.iter().map(|one| &one.id).collect(),
            Kind::Workflow(actions) => actions.iter().map(|one| &one.id).collect(),
        }
    }
}
