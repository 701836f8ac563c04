//! What a workflow takes.

use crate::model::component::{
    Action, Command, Completion, Component, Kind as ComponentKind, Request, Shell, Target,
};
use crate::model::find::find;
use crate::model::job::{
    ComponentJob, ComponentRef, Condition, Delay, ForEach, InlineKind, Job, Kind, OnError, Pause,
};
use crate::model::workflow::Workflow;
use crate::model::{Compose, Written};
use crate::schema::Field;
use crate::schema::collect::{Fields, is_whole};

/// What a workflow takes, in the order of its jobs.
pub(super) fn of(compose: &Compose, workflow: &Workflow) -> Vec<Field> {
    let mut search = Search {
        compose,
        seen: Vec::new(),
        found: Fields::default(),
    };
    search.workflow(workflow);
    search.found.into_vec()
}

struct Search<'c> {
    compose: &'c Compose,
    /// Workflows on the way here; one that runs itself is looked at once.
    seen: Vec<*const Workflow>,
    found: Fields,
}

impl<'c> Search<'c> {
    /// Recurses once for each workflow that hands its whole input on to the next, at most
    /// [`NESTING`] times.
    fn workflow(&mut self, workflow: &'c Workflow) {
        let this: *const Workflow = workflow;
        if self.seen.len() >= NESTING || self.seen.contains(&this) {
            return;
        }
        self.seen.push(this);
        for job in &workflow.jobs {
            self.job(job);
        }
        self.optional(workflow.output.as_ref());
    }

    fn optional(&mut self, written: Option<&Written>) {
        if let Some(written) = written {
            self.found.written(written);
        }
    }

    fn job(&mut self, job: &'c Job) {
        self.pause(job.interrupt.before.as_ref());
        match &job.kind {
            Kind::Component(job) => self.component_job(job, Origin::Workflow),
            Kind::Delay(Delay::For(time)) => self.found.setting(time),
            Kind::Delay(Delay::Until { time, timezone }) => {
                self.found.text(time);
                self.found.texts(timezone);
            }
            Kind::If(job) => {
                for condition in &job.conditions {
                    self.condition(condition);
                }
            }
            Kind::Switch(job) => {
                self.optional(job.input.as_ref());
                for case in &job.cases {
                    self.optional(case.value.as_ref());
                }
            }
            Kind::Random(job) => {
                self.found.texts(&job.session);
                self.found.texts(&job.salt);
            }
            Kind::Filter => {}
            Kind::ForEach(job) => self.for_each(job),
        }
        self.pause(job.interrupt.after.as_ref());
        self.optional(job.output.as_ref());
        self.on_error(job.on_error.as_ref());
    }

    fn on_error(&mut self, on_error: Option<&OnError>) {
        self.optional(on_error.and_then(|it| it.output.as_ref()));
    }

    fn pause(&mut self, pause: Option<&Pause>) {
        let Some(pause) = pause else { return };
        if let Some(condition) = &pause.condition {
            self.condition(condition);
        }
        self.found.texts(&pause.message);
        self.optional(pause.metadata.as_ref());
    }

    fn condition(&mut self, condition: &Condition) {
        self.optional(condition.input.as_ref());
        self.optional(condition.value.as_ref());
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn for_each(&mut self, job: &'c ForEach) {
        self.found.written(&job.input);
        match &job.body.kind {
            InlineKind::Component(job) => self.component_job(job, Origin::Item),
            InlineKind::ForEach(job) => self.for_each(job),
        }
        self.optional(job.body.output.as_ref());
        self.on_error(job.body.on_error.as_ref());
    }

    fn component_job(&mut self, job: &'c ComponentJob, origin: Origin) {
        self.found.setting(&job.repeat_count);
        match &job.input {
            Some(input) if !is_whole(input, "input") => self.found.written(input),
            Some(_) => self.action_of(job),
            None if origin == Origin::Workflow => self.action_of(job),
            None => {}
        }
    }

    /// What an action takes that gets the whole input.
    fn action_of(&mut self, job: &'c ComponentJob) {
        let Some(component) = component(self.compose, &job.component) else {
            return;
        };
        let id = job.action.as_str();
        match &component.kind {
            ComponentKind::HttpServer(server) => self.request(find(&server.actions, id).ok()),
            ComponentKind::HttpClient(client) => self.request(find(&client.actions, id).ok()),
            ComponentKind::Shell(shell) => self.command(shell, find(&shell.actions, id).ok()),
            ComponentKind::Workflow(actions) => {
                let Ok(action) = find(actions, id) else {
                    return;
                };
                match &action.call.input {
                    Some(input) if !is_whole(input, "input") => self.found.written(input),
                    Some(_) | None => {
                        if let Ok(next) = self.compose.workflow(action.call.workflow.as_str()) {
                            self.workflow(next);
                        }
                    }
                }
                self.optional(action.output.as_ref());
            }
        }
    }

    fn request(&mut self, action: Option<&Action<Request>>) {
        let Some(action) = action else { return };
        let request = &action.call;
        self.target(&request.target);
        for (_, param) in &request.params {
            self.found.written(param);
        }
        self.optional(request.body.as_ref());
        self.found.named(&request.headers);
        match &request.completion {
            Some(Completion::Polling(polling)) => {
                self.target(&polling.target);
                for (_, param) in &polling.params {
                    self.found.written(param);
                }
                self.optional(polling.body.as_ref());
                self.found.named(&polling.headers);
                self.found.setting(&polling.interval);
                self.found.setting(&polling.timeout);
            }
            Some(Completion::Callback(callback)) => {
                self.found.texts(&callback.wait_for);
                if let Some(timeout) = &callback.timeout {
                    self.found.setting(timeout);
                }
            }
            None => {}
        }
        self.optional(action.output.as_ref());
    }

    fn target(&mut self, target: &Target) {
        let (Target::Path(text) | Target::Endpoint(text)) = target;
        self.found.text(text);
    }

    fn command(&mut self, shell: &Shell, action: Option<&Action<Command>>) {
        let Some(action) = action else { return };
        for command in &action.call.commands {
            self.found.texts(command);
        }
        self.found.texts(&action.call.working_dir);
        self.found.named(&shell.env);
        self.found.named(&action.call.env);
        if let Some(timeout) = &action.call.timeout {
            self.found.setting(timeout);
        }
        self.optional(action.output.as_ref());
    }
}

/// What a job without `input` gets.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// What the workflow was given.
    Workflow,
    /// An item of a list.
    Item,
}

/// The component of a job, if it is there.
pub(super) fn component<'c>(compose: &'c Compose, at: &'c ComponentRef) -> Option<&'c Component> {
    match at {
        ComponentRef::Named(id) => compose.component(id.as_str()).ok(),
        ComponentRef::Inline(component) => Some(component),
    }
}

/// The most workflows inside one another that a schema looks into.
pub(super) const NESTING: usize = 16;
