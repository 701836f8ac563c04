//! Variables: each is looked up where it stands, among sources that are known there.
//!
//! What nobody knows is null at run time and no error, so that a typing mistake would be found in a
//! request that went out empty. Here it is a warning, in every dialect. An address that is asked for
//! in vain (`${gateway:8090.public_address}` where no gateway makes port 8090 public) is an error:
//! a stranger would be told to call back at `http:///callback`.

use std::ops::Range;

use adit_text::{Problem, Problems, closest, show};

use super::reference::{some, with_suggestion};
use crate::expr::{Step, Stray, Variable};
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
use crate::model::{Compose, Id, Setting, Text, Written};

pub(super) fn check(read: &Read, problems: &mut Problems) {
    let compose = &read.compose;
    let mut variables = Variables {
        ports: read.has_all(Part::Exposes).then(|| ports(compose)),
        jobs: Vec::new(),
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

/// Which sources are known in some place.
#[derive(Clone, Copy)]
struct Scope {
    names: &'static [&'static str],
    /// Whether public addresses are.
    has_addresses: bool,
    /// Whether it is inside a job that is done for each item of a list.
    is_per_item: bool,
}

impl Scope {
    const fn of(names: &'static [&'static str]) -> Self {
        Self {
            names,
            has_addresses: false,
            is_per_item: false,
        }
    }

    /// The same place in a job that is done for each item.
    fn per_item(self, is_per_item: bool) -> Self {
        Self {
            is_per_item,
            ..self
        }
    }

    fn names(self) -> impl Iterator<Item = &'static str> {
        let per_item: &[&str] = if self.is_per_item { PER_ITEM } else { &[] };
        self.names.iter().chain(per_item).copied()
    }
}

/// What a job asks for before it is done.
const JOB: Scope = Scope::of(&["input", "jobs", "context"]);
/// What it gives, and what its workflow does.
const OUTPUT: Scope = Scope::of(&["input", "jobs", "context", "output"]);
/// What it gives instead, when it has failed.
const ON_ERROR: Scope = Scope::of(&["input", "jobs", "context", "error"]);
/// What a person is shown before it and after.
const INTERRUPT: Scope = Scope::of(&["input", "jobs", "context", "output", "job"]);
const PER_ITEM: &[&str] = &["item", "index"];
const CALLBACK: Scope = Scope::of(&["body", "item", "query"]);
const ACTION: Scope = Scope {
    has_addresses: true,
    ..Scope::of(&["input", "context", "response", "result", "output"])
};
/// What is not rendered.
const NOWHERE: Scope = Scope::of(&[]);

/// What a source begins with that is a public address, if a port follows.
const ADDRESS: &str = "gateway:";

struct Variables<'v> {
    /// The ports that are public, if all of them are known.
    ports: Option<Vec<u16>>,
    /// The ids of the workflow's jobs.
    jobs: Vec<&'v Id>,
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
        self.jobs = workflow.jobs.iter().map(|job| &job.id).collect();
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
        if text.is_literal() {
            return;
        }
        let template = text.template();
        for variable in template.variables() {
            let problem = match scope.names {
                [] => Some(unfilled(text)),
                _ => self.judge(text, variable, scope),
            };
            if let Some(problem) = problem {
                self.problems.push(problem);
            }
        }
        // Others of the same text are probably there for the same reason.
        if let Some(stray) = template.strays().first() {
            self.problems.push(no_variable(text, stray));
        }
    }

    /// What is wrong with a variable.
    fn judge(&self, text: &Text, variable: &Variable, scope: Scope) -> Option<Problem> {
        let source = variable.source();
        let name = source.name();
        if let Some(port) = name
            .strip_prefix(ADDRESS)
            .and_then(|port| port.parse().ok())
        {
            return self.address(text, variable, port, scope);
        }
        let is_streamed = scope.has_addresses && matches!(name, "response" | "result");
        if !scope.names().any(|known| known == name) || (source.is_chunk() && !is_streamed) {
            return Some(unknown(text, variable, scope));
        }
        match variable.path() {
            [Step::Name(id), ..] if name == "jobs" => self.job_id(text, variable, id),
            _ => None,
        }
    }

    /// Whether a public address is there; no problem if there is something to fall back on.
    fn address(
        &self,
        text: &Text,
        variable: &Variable,
        port: u16,
        scope: Scope,
    ) -> Option<Problem> {
        let is_needed = variable.default().is_none();
        if !scope.has_addresses {
            let message = "an address is known in actions of components alone";
            let problem = if is_needed {
                Problem::error(text.place(), message)
            } else {
                Problem::warning(text.place(), message)
            };
            return Some(problem.with_help("move it into the component's action"));
        }
        let ports = self.ports.as_ref()?;
        if ports.contains(&port) || !is_needed {
            return None;
        }
        let port = if is_foreign(text, &variable.span()) {
            "that the environment names".to_owned()
        } else {
            port.to_string()
        };
        let message = format!("no gateway makes port {port} public, so this has no address");
        let problem = Problem::error(text.place(), message);
        Some(if ports.is_empty() {
            problem.with_help("add a gateway")
        } else {
            let known = some(ports.iter().map(u16::to_string));
            problem.with_help(format!("public are: {known}"))
        })
    }

    /// Whether a job is there whose output is asked for.
    fn job_id(&self, text: &Text, variable: &Variable, id: &str) -> Option<Problem> {
        if self.jobs.iter().any(|job| job.as_str() == id) {
            return None;
        }
        let warning = |message: &str| Problem::warning(text.place(), message);
        if is_foreign(text, &variable.span()) {
            return Some(warning("the environment names no job of this workflow"));
        }
        let problem = warning(&format!("there is no job {} in this workflow", show(id)));
        let id = Id::new(Text::implied(id, text.place()));
        Some(with_suggestion(problem, &id, self.jobs.iter().copied()))
    }
}

/// Whether a value of the environment is part of what stands here, so that no message may quote it.
fn is_foreign(text: &Text, here: &Range<usize>) -> bool {
    let mut literals = text.literals().iter();
    literals.any(|literal| literal.start < here.end && here.start < literal.end)
}

/// A source that is none here.
fn unknown(text: &Text, variable: &Variable, scope: Scope) -> Problem {
    let warning = |message: &str| Problem::warning(text.place(), message);
    if is_foreign(text, &variable.span()) {
        return warning("a variable that the environment names is not known here");
    }
    let source = variable.source();
    let problem = warning(&format!("{} is not known here", show(&source.to_string())));
    if source.name() == "env" {
        let help = "write ${env.NAME} or ${env.NAME | default}; \"as\" takes string, integer, number or boolean";
        return problem.with_help(help);
    }
    problem.with_help(match closest(source.name(), scope.names()) {
        Some(meant) if meant != source.name() => format!("did you mean {}?", show(meant)),
        _ => {
            let address = scope.has_addresses.then_some("gateway:PORT");
            let known: Vec<&str> = scope.names().chain(address).collect();
            format!("known are: {}", known.join(", "))
        }
    })
}

/// A variable where none is filled in.
fn unfilled(text: &Text) -> Problem {
    let message = "variables are not filled in here, so this stays as it is";
    Problem::warning(text.place(), message).with_help("move it into the action")
}

/// What looks like a variable and is none.
fn no_variable(text: &Text, stray: &Stray) -> Problem {
    let message = format!(
        "\"${{\" begins no variable here and stays: {}",
        stray.reason
    );
    Problem::warning(text.place(), message)
}

#[cfg(test)]
mod tests;
