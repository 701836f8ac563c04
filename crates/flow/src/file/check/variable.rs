//! Variables: each is looked up where it stands, among sources that are known there.
//!
//! What nobody knows is null at run time and no error, so that a typing mistake would be found in a
//! request that went out empty. Here it is a warning, in every dialect. An address that is asked for
//! in vain (`${gateway:8090.public_address}` where no gateway makes port 8090 public) is an error:
//! a stranger would be told to call back at `http:///callback`.

use adit_text::Problems;

use crate::file::{Part, Read};
use crate::model::callback_server::{CallbackServer, Route, Routes};
use crate::model::component::{
    Action, Command, Completion, Component, HttpClient, Kind as ComponentKind, Polling, Request,
    Target,
};
use crate::model::expose::ExposeConfig;
use crate::model::job::{
    ComponentJob, ComponentRef, Condition, Delay, ForEach, InlineKind, Job, Kind, OnError, Pause,
};
use crate::model::workflow::Workflow;
use crate::model::{Compose, Setting, Text, Written};
use judge::Known;
use scope::{ACTION, CALLBACK, INTERRUPT, JOB, NOWHERE, ON_ERROR, OUTPUT, Scope};

mod judge;
mod scope;

pub(super) fn check(read: &Read, problems: &mut Problems) {
    let compose = &read.compose;
    let mut variables = Variables {
        known: Known {
            ports: read.has_all(Part::Exposes).then(|| ports(compose)),
            jobs: Vec::new(),
        },
        problems,
    };
    for server in &compose.callback_servers {
        variables.callback_server(server);
    }
    for component in &compose.components {
        variables.component(component);
    }
    for workflow in &compose.workflows {
        variables.workflow(workflow);
    }
}

/// The local ports that gateways make public.
fn ports(compose: &Compose) -> Vec<u16> {
    let mut ports = Vec::new();
    for expose in &compose.exposes {
        match &expose.value {
            ExposeConfig::Ssh(ssh) => ports.extend(ssh.forwards.iter().map(|one| one.port)),
            ExposeConfig::Http(http) => ports.extend(http.ports.iter().map(|port| port.value)),
        }
    }
    ports
}

struct Variables<'v> {
    known: Known<'v>,
    problems: &'v mut Problems,
}

impl<'v> Variables<'v> {
    fn callback_server(&mut self, server: &CallbackServer) {
        match &server.routes {
            Routes::Callbacks(callbacks) => {
                for callback in callbacks {
                    self.route(&callback.route);
                    self.texts(&callback.identify_by, CALLBACK);
                    self.texts(&callback.status, CALLBACK);
                    self.all(&callback.result, CALLBACK);
                }
            }
            Routes::Triggers(triggers) => {
                for trigger in triggers {
                    self.route(&trigger.route);
                    self.text(&trigger.workflow, CALLBACK);
                    self.all(&trigger.input, CALLBACK);
                }
            }
        }
    }

    fn route(&mut self, route: &Route) {
        self.setting(&route.bulk, CALLBACK);
        self.texts(&route.item, CALLBACK);
    }

    fn component(&mut self, component: &Component) {
        match &component.kind {
            ComponentKind::HttpServer(server) => {
                self.named(&server.headers, NOWHERE);
                self.requests(&server.actions);
            }
            ComponentKind::HttpClient(HttpClient {
                base_url,
                headers,
                actions,
                ..
            }) => {
                self.texts(base_url, ACTION);
                self.named(headers, NOWHERE);
                self.requests(actions);
            }
            ComponentKind::Shell(shell) => {
                self.named(&shell.env, ACTION);
                shell.actions.iter().for_each(|action| self.command(action));
            }
            ComponentKind::Workflow(actions) => {
                for action in actions {
                    self.text(&action.call.workflow, ACTION);
                    self.all(action.call.input.iter().chain(&action.output), ACTION);
                }
            }
        }
    }

    fn requests(&mut self, actions: &[Action<Request>]) {
        for action in actions {
            let call = &action.call;
            self.target(&call.target);
            self.named(&call.headers, ACTION);
            self.all(call.params.iter().map(|(_, value)| value), ACTION);
            self.all(call.body.iter().chain(&action.output), ACTION);
            match &call.completion {
                Some(Completion::Polling(polling)) => self.polling(polling),
                Some(Completion::Callback(callback)) => {
                    self.texts(&callback.wait_for, ACTION);
                    let timeout = callback.timeout.iter();
                    timeout.for_each(|one| self.setting(one, ACTION));
                }
                None => {}
            }
        }
    }

    fn polling(&mut self, polling: &Polling) {
        self.target(&polling.target);
        self.named(&polling.headers, ACTION);
        self.all(polling.params.iter().map(|(_, value)| value), ACTION);
        self.all(&polling.body, ACTION);
        self.texts(&polling.status, ACTION);
        self.setting(&polling.interval, ACTION);
        self.setting(&polling.timeout, ACTION);
    }

    fn command(&mut self, action: &Action<Command>) {
        let call = &action.call;
        self.texts(call.commands.iter().flatten(), ACTION);
        self.texts(&call.working_dir, ACTION);
        self.named(&call.env, ACTION);
        let timeout = call.timeout.iter();
        timeout.for_each(|one| self.setting(one, ACTION));
        self.all(&action.output, ACTION);
    }

    fn target(&mut self, target: &Target) {
        match target {
            Target::Path(text) | Target::Endpoint(text) => self.text(text, ACTION),
        }
    }

    fn workflow(&mut self, workflow: &'v Workflow) {
        self.known.jobs = workflow.jobs.iter().map(|job| &job.id).collect();
        self.all(&workflow.output, OUTPUT);
        for job in &workflow.jobs {
            self.job(job);
        }
    }

    fn job(&mut self, job: &Job) {
        self.all(&job.output, OUTPUT);
        self.on_error(job.on_error.as_ref(), false);
        let pauses = [&job.interrupt.before, &job.interrupt.after];
        pauses.into_iter().flatten().for_each(|one| self.pause(one));
        match &job.kind {
            Kind::Component(job) => self.component_job(job, false),
            Kind::Delay(Delay::For(time)) => self.setting(time, JOB),
            Kind::Delay(Delay::Until { time, timezone }) => {
                self.texts([time].into_iter().chain(timezone), JOB);
            }
            Kind::If(job) => {
                let conditions = job.conditions.iter();
                conditions.for_each(|one| self.condition(one, JOB));
            }
            Kind::Switch(job) => {
                let cases = job.cases.iter().filter_map(|case| case.value.as_ref());
                self.all(job.input.iter().chain(cases), JOB);
            }
            Kind::Random(job) => self.texts(job.session.iter().chain(&job.salt), JOB),
            Kind::Filter => {}
            Kind::ForEach(job) => self.for_each(job),
        }
    }

    fn for_each(&mut self, outermost: &ForEach) {
        let mut job = outermost;
        let mut is_per_item = false;
        loop {
            self.all([&job.input], JOB.per_item(is_per_item));
            is_per_item = true;
            self.all(&job.body.output, OUTPUT.per_item(is_per_item));
            self.on_error(job.body.on_error.as_ref(), is_per_item);
            match &job.body.kind {
                InlineKind::Component(job) => return self.component_job(job, is_per_item),
                InlineKind::ForEach(inner) => job = inner,
            }
        }
    }

    fn component_job(&mut self, job: &ComponentJob, is_per_item: bool) {
        let scope = JOB.per_item(is_per_item);
        self.all(&job.input, scope);
        self.setting(&job.repeat_count, scope);
        if let ComponentRef::Inline(component) = &job.component {
            self.component(component);
        }
    }

    fn on_error(&mut self, on_error: Option<&OnError>, is_per_item: bool) {
        let output = on_error.and_then(|it| it.output.as_ref());
        self.all(output, ON_ERROR.per_item(is_per_item));
    }

    fn pause(&mut self, pause: &Pause) {
        let conditions = pause.condition.iter();
        conditions.for_each(|one| self.condition(one, INTERRUPT));
        self.texts(&pause.message, INTERRUPT);
        self.all(&pause.metadata, INTERRUPT);
    }

    fn condition(&mut self, condition: &Condition, scope: Scope) {
        self.all(condition.input.iter().chain(&condition.value), scope);
    }

    fn named(&mut self, texts: &[(String, Text)], scope: Scope) {
        self.texts(texts.iter().map(|(_, text)| text), scope);
    }

    fn texts<'t>(&mut self, texts: impl IntoIterator<Item = &'t Text>, scope: Scope) {
        texts.into_iter().for_each(|text| self.text(text, scope));
    }

    fn setting<T>(&mut self, setting: &Setting<T>, scope: Scope) {
        match setting {
            Setting::Known(_) => {}
            Setting::Rendered(text) => self.text(text, scope),
        }
    }

    fn all<'w>(&mut self, all: impl IntoIterator<Item = &'w Written>, scope: Scope) {
        all.into_iter().for_each(|one| self.written(one, scope));
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn written(&mut self, written: &Written, scope: Scope) {
        match written {
            Written::Plain(_) => {}
            Written::Text(text) => self.text(text, scope),
            Written::List(all) => self.all(all, scope),
            Written::Mapping(all) => self.all(all.iter().map(|(_, one)| one), scope),
        }
    }

    fn text(&mut self, text: &Text, scope: Scope) {
        for problem in self.known.problems(text, scope) {
            // A text may stand in several places: the input of an "if" is each of its conditions'.
            if !self.problems.iter().any(|earlier| *earlier == problem) {
                self.problems.push(problem);
            }
        }
    }
}

#[cfg(test)]
mod tests;
