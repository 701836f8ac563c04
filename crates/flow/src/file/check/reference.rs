//! Ids: each once, and each that is named is there.

use std::collections::HashMap;

use adit_text::{Place, Problem, Problems, closest, show};

use crate::file::Read;
use crate::model::component::{Action, Completion, Component, Kind as ComponentKind, Request};
use crate::model::find::{Identified, Missing};
use crate::model::job::{ComponentJob, ComponentRef, ForEach, InlineKind, Kind};
use crate::model::listener::Routes;
use crate::model::{DEFAULT, Placed, Text};

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
    for listener in &compose.listeners {
        let Routes::Triggers(triggers) = &listener.routes else {
            continue;
        };
        for trigger in triggers {
            references.workflow(&trigger.workflow);
        }
    }
}

/// Reports ids that come twice.
pub(super) fn once<'a>(
    noun: &str,
    ids: impl Iterator<Item = &'a Placed<String>>,
    problems: &mut Problems,
) {
    let mut first: HashMap<&str, &Place> = HashMap::new();
    for id in ids {
        if let Some(earlier) = first.get(id.value.as_str()) {
            let problem = if id.value.starts_with("__") {
                let message = format!("two {noun}s without an id, the other at {earlier}");
                Problem::error(&id.place, message).with_help("give each an id")
            } else {
                let shown = show(&id.value);
                let message = format!("the {noun} {shown} is there already, at {earlier}");
                Problem::error(&id.place, message)
            };
            problems.push(problem);
        } else {
            first.insert(&id.value, &id.place);
        }
    }
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
        let mut listeners = self.read.compose.listeners.iter();
        if !self.read.has_all_listeners
            || listeners.any(|one| matches!(one.routes, Routes::Callbacks(_)))
        {
            return;
        }
        for action in actions {
            if let Some(Completion::Callback(completion)) = &action.call.completion {
                let place = completion.wait_for.as_ref().map(Text::place);
                let message = "nothing takes the callback that is waited for";
                let problem = Problem::error(place.unwrap_or(&action.id.place), message);
                let help = "add a listener of type http-callback";
                self.problems.push(problem.with_help(help));
            }
        }
    }

    fn workflow(&mut self, id: &Text) {
        if !id.is_literal() || !self.read.has_all_workflows {
            return;
        }
        let compose = &self.read.compose;
        if let Err(missing) = compose.workflow(id.as_str()) {
            let shown = if id.is_from_environment() {
                "of the name that the environment gives".to_owned()
            } else {
                show(id.as_str())
            };
            let known = compose.workflows.iter().map(Identified::id);
            let problem = problem("workflow", id.as_str(), &shown, missing, id.place(), known);
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
                if !self.read.has_all_components {
                    return;
                }
                let compose = &self.read.compose;
                match compose.component(&id.value) {
                    Ok(component) => component,
                    Err(missing) => {
                        let known = compose.components.iter().map(Identified::id);
                        let (id, place) = (&id.value, &id.place);
                        let problem = problem("component", id, &show(id), missing, place, known);
                        self.problems.push(problem);
                        return;
                    }
                }
            }
        };
        if let Err(missing) = component.has_action(&job.action.value) {
            let ids = component.action_ids();
            let known = ids.iter().map(|id| id.value.as_str());
            let (id, place) = (&job.action.value, &job.action.place);
            let noun = format!("action of the component {}", show(&component.id.value));
            let problem = problem(&noun, id, &show(id), missing, place, known);
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

/// The problem that `id`, shown as `shown`, is missing.
fn problem<'a>(
    noun: &str,
    id: &str,
    shown: &str,
    missing: Missing,
    place: &Place,
    known: impl Iterator<Item = &'a str>,
) -> Problem {
    match missing {
        Missing::None => Problem::error(place, format!("there is no {noun}")),
        Missing::Ambiguous => {
            let message = format!("it is not said which {noun} is meant, and there are several");
            let help = "name one, or write \"default: true\" in it";
            Problem::error(place, message).with_help(help)
        }
        Missing::Unknown => {
            let problem = Problem::error(place, format!("there is no {noun} {shown}"));
            let known = known.filter(|known| !known.starts_with("__") && *known != DEFAULT);
            match closest(id, known) {
                Some(meant) => problem.with_help(format!("did you mean {}?", show(meant))),
                None => problem,
            }
        }
    }
}
