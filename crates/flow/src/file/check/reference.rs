//! Ids: each once, and each that is named is there.

use std::collections::HashMap;

use adit_text::{Place, Problem, Problems, closest, show};

use crate::file::{Part, Read};
use crate::model::callback_server::Routes;
use crate::model::component::{Action, Completion, Component, Kind as ComponentKind, Request};
use crate::model::find::{Identified, Missing};
use crate::model::job::{ComponentJob, ComponentRef, ForEach, InlineKind, Kind};
use crate::model::{Id, Text, component, job, workflow};

pub(super) fn check(read: &Read, problems: &mut Problems) {
    let compose = &read.compose;
    once(
        "component",
        compose.components.iter().map(|one| &one.id),
        problems,
    );
    once(
        "workflow",
        compose.workflows.iter().map(|one| &one.id),
        problems,
    );
    let mut references = References { read, problems };
    for component in &compose.components {
        references.component(component);
    }
    for workflow in &compose.workflows {
        once(
            "job",
            workflow.jobs.iter().map(|job| &job.id),
            references.problems,
        );
        for job in &workflow.jobs {
            match &job.kind {
                Kind::Component(job) => references.component_job(job),
                Kind::ForEach(job) => references.for_each(job),
                Kind::Delay(_) | Kind::If(_) | Kind::Switch(_) | Kind::Random(_) | Kind::Filter => {
                }
            }
        }
    }
    for listener in &compose.callback_servers {
        let Routes::Triggers(triggers) = &listener.routes else {
            continue;
        };
        for trigger in triggers {
            references.workflow(&trigger.workflow);
        }
    }
}

/// Reports ids that come twice.
pub(super) fn once<'a>(noun: &str, ids: impl Iterator<Item = &'a Id>, problems: &mut Problems) {
    let mut first: HashMap<&str, &Place> = HashMap::new();
    for id in ids {
        if let Some(earlier) = first.get(id.as_str()) {
            let problem = if is_unnamed(id) {
                let message = format!("two {noun}s without an id, the other at {earlier}");
                Problem::error(id.place(), message).with_help("give each an id")
            } else {
                let shown = id.shown();
                let message = format!("the {noun} {shown} is there already, at {earlier}");
                Problem::error(id.place(), message)
            };
            problems.push(problem);
        } else {
            first.insert(id.as_str(), id.place());
        }
    }
}

/// Whether an id stands for none.
fn is_unnamed(id: &Id) -> bool {
    let unnamed = [
        component::UNNAMED,
        component::UNNAMED_ACTION,
        job::UNNAMED,
        workflow::UNNAMED,
    ];
    unnamed.contains(&id.as_str())
}

struct References<'r> {
    read: &'r Read,
    problems: &'r mut Problems,
}

impl References<'_> {
    fn component(&mut self, component: &Component) {
        once("action", component.action_ids().into_iter(), self.problems);
        match &component.kind {
            ComponentKind::Workflow(actions) => {
                for action in actions {
                    self.workflow(&action.call.workflow);
                }
            }
            ComponentKind::HttpServer(server) => self.callbacks(&server.actions),
            ComponentKind::HttpClient(client) => self.callbacks(&client.actions),
            ComponentKind::Shell(_) => {}
        }
    }

    /// Who waits for a request from outside needs somebody who takes it.
    fn callbacks(&mut self, actions: &[Action<Request>]) {
        let mut listeners = self.read.compose.callback_servers.iter();
        if !self.read.has_all(Part::CallbackServers)
            || listeners.any(|one| matches!(one.routes, Routes::Callbacks(_)))
        {
            return;
        }
        for action in actions {
            if let Some(Completion::Callback(completion)) = &action.call.completion {
                let place = completion.wait_for.as_ref().map(Text::place);
                let message = "nothing takes the callback that is waited for";
                let problem = Problem::error(place.unwrap_or_else(|| action.id.place()), message);
                let help = "add a listener of type http-callback";
                self.problems.push(problem.with_help(help));
            }
        }
    }

    fn workflow(&mut self, id: &Text) {
        if !id.is_literal() || !self.read.has_all(Part::Workflows) {
            return;
        }
        let compose = &self.read.compose;
        if let Err(missing) = compose.workflow(id.as_str()) {
            let known = compose.workflows.iter().map(Identified::id);
            let problem = problem("workflow", &Id::new(id.clone()), missing, known);
            self.problems.push(problem);
        }
    }

    fn component_job(&mut self, job: &ComponentJob) {
        let component = match &job.component {
            ComponentRef::Inline(component) => {
                self.component(component);
                component
            }
            ComponentRef::Named(id) => {
                if !self.read.has_all(Part::Components) {
                    return;
                }
                let compose = &self.read.compose;
                match compose.component(id.as_str()) {
                    Ok(component) => component,
                    Err(missing) => {
                        let known = compose.components.iter().map(Identified::id);
                        self.problems.push(problem("component", id, missing, known));
                        return;
                    }
                }
            }
        };
        if let Err(missing) = component.has_action(job.action.as_str()) {
            let known = component.action_ids().into_iter();
            let noun = format!("action of the component {}", component.id.shown());
            let problem = problem(&noun, &job.action, missing, known);
            self.problems.push(problem);
        }
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn for_each(&mut self, job: &ForEach) {
        match &job.body.kind {
            InlineKind::Component(job) => self.component_job(job),
            InlineKind::ForEach(job) => self.for_each(job),
        }
    }
}

/// The most things that one message lists.
const LISTED: usize = 12;

/// The first few of several, and how many more there are.
pub(super) fn some(all: impl ExactSizeIterator<Item = String>) -> String {
    let more = all.len().saturating_sub(LISTED);
    let mut shown: Vec<String> = all.take(LISTED).collect();
    if more > 0 {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// The problem that what `id` names is missing. No help says which of the known ids comes close to
/// a value of the environment.
fn problem<'a>(
    noun: &str,
    id: &Id,
    missing: Missing,
    known: impl Iterator<Item = &'a Id>,
) -> Problem {
    let error = |message: String| Problem::error(id.place(), message);
    match missing {
        Missing::None => error(format!("there is no {noun}")),
        Missing::Ambiguous => {
            let message = format!("it is not said which {noun} is meant, and there are several");
            error(message).with_help("name one, or write \"default: true\" in it")
        }
        Missing::Unknown => {
            let problem = error(format!("there is no {noun} {}", id.shown()));
            with_suggestion(problem, id, known)
        }
    }
}

/// The problem with the known id that was probably meant, if there is one.
pub(super) fn with_suggestion<'a>(
    problem: Problem,
    id: &Id,
    known: impl Iterator<Item = &'a Id>,
) -> Problem {
    if id.is_from_environment() {
        return problem;
    }
    let known = known.filter(|known| !known.is_from_environment());
    let known = known
        .map(Id::as_str)
        .filter(|known| !known.starts_with("__"));
    match closest(id.as_str(), known) {
        Some(meant) => problem.with_help(format!("did you mean {}?", show(meant))),
        None => problem,
    }
}
