//! What variables stand for where a job or an action speaks of them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::expr::{Found, Map, Source, Sources, Step, Value};
use crate::model::job::{
    ComponentJob, Condition, Delay, ForEach, InlineKind, Interrupt, Job, Kind, OnError,
};
use crate::model::{Setting, Text, Written};

/// Values by their names; the name of a chunk has its brackets.
#[derive(Clone, Debug, Default)]
pub(super) struct Names<'v>(Vec<(Cow<'v, str>, Named<'v>)>);

/// What a name stands for. What is small and rarely read is made for the reading, so that a run that
/// waits does not hold it.
#[derive(Clone, Debug)]
enum Named<'v> {
    Held(&'v Value),
    Made(Arc<Value>),
}

impl Named<'_> {
    fn value(&self) -> &Value {
        match self {
            Self::Held(value) => value,
            Self::Made(value) => value,
        }
    }
}

impl<'v> Names<'v> {
    pub(super) fn new(names: &[(&'v str, &'v Value)]) -> Self {
        let names = names.iter();
        Self(names.map(|(name, value)| held(name, value)).collect())
    }

    /// The same with one more, which counts before one of the same name.
    pub(super) fn with(&self, name: &'v str, value: &'v Value) -> Self {
        let mut names = vec![held(name, value)];
        names.extend_from_slice(&self.0);
        Self(names)
    }

    /// With one more that is made for this, which counts after one of the same name.
    pub(super) fn having(mut self, name: impl Into<Cow<'v, str>>, value: Value) -> Self {
        self.0.push((name.into(), Named::Made(Arc::new(value))));
        self
    }

    /// With the `context` of a run or an action, whose only entry is this id.
    pub(super) fn having_context(self, name: &str, id: &str) -> Self {
        let context = Map::from_iter([(name.to_owned(), id.into())]);
        self.having("context", Value::Map(context))
    }

    /// The value of a name; null if there is none.
    pub(super) fn value(&self, name: &str) -> Value {
        let found = self.0.iter().find(|(one, _)| *one == name);
        found.map_or(Value::Null, |(_, named)| named.value().clone())
    }
}

impl Sources for Names<'_> {
    fn look_up(&self, source: &Source, _path: &[Step]) -> Option<Found<'_>> {
        let is_meant = |name: &str| {
            if source.is_chunk() {
                name.strip_suffix("[]") == Some(source.name())
            } else {
                name == source.name()
            }
        };
        let found = self.0.iter().find(|(name, _)| is_meant(name))?;
        Some(Found::whole(found.1.value()))
    }
}

fn held<'v>(name: &'v str, value: &'v Value) -> (Cow<'v, str>, Named<'v>) {
    (Cow::Borrowed(name), Named::Held(value))
}

/// The jobs whose outputs a job refers to, so that no others are copied for it. None is all of them.
pub(super) fn jobs_named(job: &Job) -> Option<BTreeSet<String>> {
    let mut found = Search {
        jobs: BTreeSet::new(),
        are_all: false,
    };
    found.any(job.output.as_ref());
    found.on_error(job.on_error.as_ref());
    found.interrupt(&job.interrupt);
    match &job.kind {
        Kind::Component(job) => found.component(job),
        Kind::Delay(Delay::For(setting)) => found.setting(setting),
        Kind::Delay(Delay::Until { time, timezone }) => {
            found.text(time);
            found.maybe(timezone.as_ref());
        }
        Kind::If(job) => job.conditions.iter().for_each(|one| found.condition(one)),
        Kind::Switch(job) => {
            found.any(job.input.as_ref());
            job.cases
                .iter()
                .for_each(|case| found.any(case.value.as_ref()));
        }
        Kind::Random(job) => {
            found.maybe(job.session.as_ref());
            found.maybe(job.salt.as_ref());
        }
        Kind::Filter => {}
        Kind::ForEach(job) => found.for_each(job),
    }
    (!found.are_all).then_some(found.jobs)
}

struct Search {
    jobs: BTreeSet<String>,
    are_all: bool,
}

impl Search {
    fn text(&mut self, text: &Text) {
        for variable in text.template().variables() {
            if variable.source().name() != "jobs" {
                continue;
            }
            match variable.path().first() {
                Some(Step::Name(name)) => {
                    self.jobs.insert(name.clone());
                }
                _ => self.are_all = true,
            }
        }
    }

    fn maybe(&mut self, text: Option<&Text>) {
        if let Some(text) = text {
            self.text(text);
        }
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn written(&mut self, written: &Written) {
        match written {
            Written::Plain(_) => {}
            Written::Text(text) => self.text(text),
            Written::List(list) => list.iter().for_each(|one| self.written(one)),
            Written::Mapping(entries) => entries.iter().for_each(|(_, one)| self.written(one)),
        }
    }

    fn any(&mut self, written: Option<&Written>) {
        if let Some(written) = written {
            self.written(written);
        }
    }

    fn setting<T>(&mut self, setting: &Setting<T>) {
        if let Setting::Rendered(text) = setting {
            self.text(text);
        }
    }

    fn condition(&mut self, condition: &Condition) {
        self.any(condition.input.as_ref());
        self.any(condition.value.as_ref());
    }

    fn on_error(&mut self, on_error: Option<&OnError>) {
        self.any(on_error.and_then(|on_error| on_error.output.as_ref()));
    }

    fn interrupt(&mut self, interrupt: &Interrupt) {
        for pause in [&interrupt.before, &interrupt.after].into_iter().flatten() {
            if let Some(condition) = &pause.condition {
                self.condition(condition);
            }
            self.maybe(pause.message.as_ref());
            self.any(pause.metadata.as_ref());
        }
    }

    fn component(&mut self, job: &ComponentJob) {
        self.any(job.input.as_ref());
        self.setting(&job.repeat_count);
    }

    /// Recurses at most [`adit_text::limits::DEPTH`] times.
    fn for_each(&mut self, job: &ForEach) {
        self.written(&job.input);
        self.any(job.body.output.as_ref());
        self.on_error(job.body.on_error.as_ref());
        match &job.body.kind {
            InlineKind::Component(job) => self.component(job),
            InlineKind::ForEach(job) => self.for_each(job),
        }
    }
}

/// `jobs`: of each of these ids its output, if it has one.
pub(super) fn jobs<'v>(outputs: impl Iterator<Item = (&'v str, &'v Value)>) -> Value {
    let jobs = outputs.map(|(id, output)| {
        let job = Map::from_iter([(String::from("output"), output.clone())]);
        (id.to_owned(), Value::Map(job))
    });
    Value::Map(jobs.collect())
}

/// Whether a value counts as given where it stands for another: not null, false, zero or empty.
pub(super) fn is_truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Boolean(boolean) => *boolean,
        Value::Integer(integer) => *integer != 0,
        Value::Float(float) => *float != 0.0,
        Value::Text(text) => !text.is_empty(),
        Value::List(list) => !list.is_empty(),
        Value::Map(map) => !map.is_empty(),
        Value::Bytes(bytes) => !bytes.is_empty(),
        Value::Handle(_) | Value::Pending(_) => true,
    }
}
