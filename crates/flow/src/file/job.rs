//! `job:`: what a workflow consists of.

use std::num::NonZeroU32;

use adit_text::{Fields, Node, Problem, Problems};

use super::field::{self, Switched};
use super::{Grammar, Key, component, route};
use crate::model::job::{
    Backoff, ComponentJob, ComponentRef, Delay, ForEach, Inline, InlineKind, Interrupt, Job, Kind,
    OnError, Pause, Retry, UNNAMED,
};
use crate::model::{DEFAULT, Id, Setting};

/// How often a job may be run in one run where nothing else is said; model-compose's own.
const MAX_RUN_COUNT: u32 = 25;

/// The keys of a job that a workflow has none of, so that it is the job itself.
pub(super) const FLAT: [&str; 28] = [
    "type",
    "component",
    "action",
    "input",
    "repeat_count",
    "depends_on",
    "max_run_count",
    "interrupt",
    "retry",
    "on_error",
    "hook",
    "mode",
    "duration",
    "time",
    "timezone",
    "conditions",
    "otherwise",
    "operator",
    "value",
    "if_true",
    "if_false",
    "cases",
    "routings",
    "session",
    "salt",
    "batch_size",
    "streaming",
    "do",
];

#[derive(Clone, Copy)]
enum Type {
    Component,
    Delay,
    If,
    Switch,
    Random,
    Filter,
    ForEach,
}

/// Whether jobs stand as a mapping with their ids as keys: one whose values are all mappings, and
/// no key of it one of a job's.
pub(super) fn is_by_id(node: &Node) -> bool {
    node.as_mapping().is_some_and(|mapping| {
        let mut entries = mapping.entries().iter();
        let is_job = FLAT.iter().chain(&["id", "name", "output"]);
        !mapping.entries().is_empty()
            && !is_job.into_iter().any(|key| mapping.entry(key).is_some())
            && entries.all(|entry| entry.node.as_mapping().is_some())
    })
}

/// Reads a job; `above` is its id if that stands as a key.
pub(super) fn read(
    node: &Node,
    above: Option<Key<'_>>,
    grammar: Grammar<'_>,
    problems: &mut Problems,
) -> Option<Job> {
    let mut fields = node.fields(problems)?;
    let id = field::id(&mut fields, above, UNNAMED);
    let name = fields.optional("name", field::owned);
    let job = body(&mut fields, id, name, grammar);
    grammar.finish(fields);
    job
}

/// The one job that a workflow itself is.
pub(super) fn flat(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<Job> {
    let id = field::implied(UNNAMED, fields.place());
    body(fields, id, None, grammar)
}

fn body(
    fields: &mut Fields<'_, '_>,
    id: Id,
    name: Option<String>,
    grammar: Grammar<'_>,
) -> Option<Job> {
    let kinds = [
        ("component", Type::Component),
        ("action", Type::Component),
        ("delay", Type::Delay),
        ("if", Type::If),
        ("switch", Type::Switch),
        ("random-router", Type::Random),
        ("filter", Type::Filter),
        ("for-each", Type::ForEach),
    ];
    let has_type = fields.node("type").is_some();
    let kind = fields.choice("type", &kinds);
    let depends_on = fields.optional("depends_on", depends_on);
    let max_run_count = fields.optional("max_run_count", field::count);
    let interrupt = fields.optional("interrupt", |node, problems| {
        interrupt(node, grammar, problems)
    });
    let (retry, on_error) = attempts(fields, grammar);
    let reason = "adit runs no Python; a component before or after the job can do it";
    field::without_effect(fields, "hook", reason);
    let output = field::any(fields, "output");
    let kind = match kind {
        None if has_type => {
            // What it would have is not known, so nothing of it is unknown.
            for key in FLAT {
                fields.node(key);
            }
            None
        }
        None | Some(Type::Component) => component_job(fields, grammar)
            .map(Box::new)
            .map(Kind::Component),
        Some(Type::Delay) => delay(fields).map(Kind::Delay),
        Some(Type::If) => route::conditional(fields, grammar).map(Kind::If),
        Some(Type::Switch) => route::switch(fields, grammar).map(Kind::Switch),
        Some(Type::Random) => route::random(fields, grammar).map(Kind::Random),
        Some(Type::Filter) => Some(Kind::Filter),
        Some(Type::ForEach) => for_each(fields, grammar).map(Box::new).map(Kind::ForEach),
    };
    let usual = NonZeroU32::new(MAX_RUN_COUNT).unwrap_or(NonZeroU32::MIN);
    Some(Job {
        id,
        name,
        depends_on: depends_on.unwrap_or_default(),
        max_run_count: max_run_count.unwrap_or(usual),
        interrupt: interrupt.unwrap_or_default(),
        retry,
        on_error,
        output,
        kind: kind?,
    })
}

/// Ids, or groups of ids of which one is enough.
fn depends_on(node: &Node, problems: &mut Problems) -> Option<Vec<Vec<Id>>> {
    node.one_or_many(problems, |node, problems| {
        let group = node.one_or_many(problems, field::name)?;
        if group.is_empty() && node.as_sequence() == Some(&[]) {
            problems.push(Problem::error(node.place(), "the group names no job"));
            return None;
        }
        Some(group)
    })
}

fn attempts(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> (Retry, Option<OnError>) {
    let retry = fields.optional("retry", |node, problems| retry(node, grammar, problems));
    let on_error = fields.optional("on_error", |node, problems| {
        on_error(node, grammar, problems)
    });
    (retry.unwrap_or_default(), on_error)
}

/// A number of attempts, or what is in it.
fn retry(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Retry> {
    let usual = Retry::default();
    if node.as_mapping().is_none() {
        return Some(Retry {
            max_attempt_count: field::count(node, problems)?,
            ..usual
        });
    }
    let mut fields = node.fields(problems)?;
    let max_attempt_count = fields.optional("max_attempt_count", field::count);
    let delay = fields.optional("delay", field::duration);
    let backoffs = [
        ("fixed", Backoff::Fixed),
        ("exponential", Backoff::Exponential),
    ];
    let backoff = fields.choice("backoff", &backoffs);
    let max_delay = fields.optional("max_delay", field::duration);
    grammar.finish(fields);
    Some(Retry {
        max_attempt_count: max_attempt_count.unwrap_or(usual.max_attempt_count),
        delay: delay.unwrap_or(usual.delay),
        backoff: backoff.unwrap_or(usual.backoff),
        max_delay,
    })
}

/// `ignore`, or what is in it.
fn on_error(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<OnError> {
    if node.as_mapping().is_none() {
        return node
            .choice(&[("ignore", ())], problems)
            .map(|()| OnError::default());
    }
    let mut fields = node.fields(problems)?;
    let output = field::any(&mut fields, "output");
    let to = fields.optional("to", field::name);
    grammar.finish(fields);
    Some(OnError { output, to })
}

fn interrupt(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Interrupt> {
    let mut fields = node.fields(problems)?;
    let before = fields.optional("before", |node, problems| pause(node, grammar, problems));
    let after = fields.optional("after", |node, problems| pause(node, grammar, problems));
    grammar.finish(fields);
    Some(Interrupt {
        before: before.and_then(Switched::on),
        after: after.and_then(Switched::on),
    })
}

/// `true`, `false`, or what is in it.
fn pause(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Switched<Pause>> {
    field::switched(node, problems, Pause::default(), |node, problems| {
        let mut fields = node.fields(problems)?;
        let condition = fields.optional("condition", |node, problems| {
            route::condition(node, grammar, problems)
        });
        let message = fields.optional("message", field::text);
        let metadata = field::any(&mut fields, "metadata");
        grammar.finish(fields);
        Some(Pause {
            condition,
            message,
            metadata,
        })
    })
}

fn component_job(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<ComponentJob> {
    let is_named = fields.node("component").is_some();
    let component = fields.optional("component", |node, problems| {
        if node.as_mapping().is_some() {
            return component::read(node, None, grammar, problems)
                .map(Box::new)
                .map(ComponentRef::Inline);
        }
        field::name(node, problems).map(ComponentRef::Named)
    });
    let usual = |fields: &Fields<'_, '_>| field::implied(DEFAULT, fields.place());
    let component = match component {
        None if !is_named => Some(ComponentRef::Named(usual(fields))),
        component => component,
    };
    let action = fields.optional("action", field::name);
    let input = field::any(fields, "input");
    let repeat_count = fields.optional("repeat_count", |node, problems| {
        field::setting(node, problems, field::count)
    });
    Some(ComponentJob {
        component: component?,
        action: action.unwrap_or_else(|| usual(fields)),
        input,
        repeat_count: repeat_count.unwrap_or(Setting::Known(NonZeroU32::MIN)),
    })
}

#[derive(Clone, Copy)]
enum Mode {
    For,
    Until,
}

fn delay(fields: &mut Fields<'_, '_>) -> Option<Delay> {
    let modes = [("time-interval", Mode::For), ("specific-time", Mode::Until)];
    let mode = fields.choice("mode", &modes).unwrap_or(Mode::For);
    match mode {
        Mode::For => {
            let duration = fields.required("duration", |node, problems| {
                field::setting(node, problems, field::duration)
            });
            duration.map(Delay::For)
        }
        Mode::Until => {
            let time = fields.required("time", field::text);
            let timezone = fields.optional("timezone", field::text);
            time.map(|time| Delay::Until { time, timezone })
        }
    }
}

fn for_each(fields: &mut Fields<'_, '_>, grammar: Grammar<'_>) -> Option<ForEach> {
    fields.required("input", |_, _| Some(()));
    let input = field::any(fields, "input");
    let batch_size = fields.optional("batch_size", field::count);
    if fields.boolean("streaming") == Some(true) {
        field::without_effect(fields, "streaming", "a for-each gives the whole list");
    }
    let body = fields.required("do", |node, problems| inline(node, grammar, problems));
    Some(ForEach {
        input: input?,
        batch_size: batch_size.unwrap_or(NonZeroU32::MIN),
        body: body?,
    })
}

/// A job inside another. Recurses at most [`adit_text::limits::DEPTH`] times.
fn inline(node: &Node, grammar: Grammar<'_>, problems: &mut Problems) -> Option<Inline> {
    let mut fields = node.fields(problems)?;
    let kinds = [
        ("component", Type::Component),
        ("action", Type::Component),
        ("for-each", Type::ForEach),
    ];
    let kind = fields.choice("type", &kinds).unwrap_or(Type::Component);
    for key in ["id", "name"] {
        fields.node(key);
    }
    let (retry, on_error) = attempts(&mut fields, grammar);
    if on_error.as_ref().is_some_and(|error| error.to.is_some()) {
        fields.refuse("on_error", "a job inside another leads to no other");
    }
    let output = field::any(&mut fields, "output");
    let kind = match kind {
        Type::ForEach => for_each(&mut fields, grammar)
            .map(Box::new)
            .map(InlineKind::ForEach),
        Type::Component | Type::Delay | Type::If | Type::Switch | Type::Random | Type::Filter => {
            component_job(&mut fields, grammar)
                .map(Box::new)
                .map(InlineKind::Component)
        }
    };
    grammar.finish(fields);
    Some(Inline {
        retry,
        on_error,
        output,
        kind: kind?,
    })
}
