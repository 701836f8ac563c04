//! Jobs, and what keeps them from being read.

use super::*;
use crate::model::job::{Backoff, Delay, InlineKind, Kind, Operator};
use crate::model::{Compose, Setting};

/// A file whose one workflow has these jobs.
fn with(jobs: &str) -> String {
    format!("{{component: {{type: shell, command: [ls]}}, workflow: {{jobs: [{jobs}]}}}}")
}

fn kinds(compose: &Compose) -> Vec<&Kind> {
    compose.workflows[0]
        .jobs
        .iter()
        .map(|job| &job.kind)
        .collect()
}

#[test]
fn what_is_wrong_with_a_job_is_told() {
    for (job, error) in [
        ("{id: a, type: switch}", "the key \"cases\" is missing"),
        (
            "{id: a, type: switch, cases: [{value: 1}]}",
            "the key \"then\" is missing",
        ),
        (
            "{id: a, type: random-router, routings: []}",
            "no weight is more than 0",
        ),
        (
            "{id: a, type: random-router, mode: weighted, routings: [{to: a, weight: 0}]}",
            "no weight is more than 0",
        ),
        (
            "{id: a, type: random-router, mode: weighted, routings: [{to: a, weight: -1}]}",
            "a weight is not negative",
        ),
        (
            "{id: a, type: random-router, routings: [{weight: 1}]}",
            "the key \"to\" is missing",
        ),
        ("{id: a, type: if}", "it leads nowhere"),
        (
            "{id: a, type: if, operator: equals, if_true: a}",
            "wanted \"eq\"",
        ),
        ("{id: a, type: delay}", "the key \"duration\" is missing"),
        ("{id: a, type: delay, duration: soon}", "wanted a duration"),
        (
            "{id: a, type: delay, mode: specific-time}",
            "the key \"time\" is missing",
        ),
        (
            "{id: a, type: for-each, do: {}}",
            "the key \"input\" is missing",
        ),
        (
            "{id: a, type: for-each, input: x}",
            "the key \"do\" is missing",
        ),
        (
            "{id: a, type: for-each, input: x, do: {on_error: {to: a}}}",
            "a job inside another leads to no other",
        ),
        (
            "{id: a, type: for-each, input: x, do: {depends_on: [a]}}",
            "unknown key \"depends_on\"",
        ),
        ("{id: a, type: pipline}", "wanted \"component\""),
        ("{id: a, retry: 0}", "wanted a whole number from 1"),
        ("{id: a, on_error: explode}", "wanted \"ignore\""),
        ("{id: a, depends_on: [[]]}", "the group names no job"),
        ("{id: a, repeat_count: 0}", "wanted a whole number from 1"),
        (
            "{id: a, max_run_count: many}",
            "wanted a whole number from 1",
        ),
        (
            "{id: a, interrupt: {before: maybe}}",
            "wanted true or false",
        ),
        (
            "{id: a, component: {type: shell}}",
            "there is no action of the component",
        ),
        ("{id: a, component: [x]}", "wanted a text"),
    ] {
        let shown = wrong(&with(job));
        assert!(shown.contains(error), "{job}: {shown}");
    }
}

#[test]
fn a_job_of_a_type_that_nobody_knows_has_one_problem() {
    let shown = wrong(&with(
        "{id: a, type: dela, duration: 5s, mode: time-interval}",
    ));
    assert_eq!(shown.matches("f.yml").count(), 1, "{shown}");
    assert!(shown.contains("did you mean \"delay\"?"), "{shown}");
}

#[test]
fn there_are_only_so_many_jobs() {
    let jobs: Vec<String> = (0..=1_000).map(|n| format!("{{id: j{n}}}")).collect();
    let shown = wrong(&with(&jobs.join(", ")));
    assert!(
        shown.contains("there are 1001 here; 1000 are the most"),
        "{shown}"
    );
    // The slowest order to find out that all of them run.
    let jobs = (0..999).map(|n| format!("{{id: j{n}, depends_on: [j{}]}}", n + 1));
    let jobs: Vec<String> = jobs.chain(["{id: j999}".to_owned()]).collect();
    compose(&with(&jobs.join(", ")));
}

#[test]
fn what_may_be_known_later_is_kept_as_text() {
    let compose = compose(&with(
        "{id: a, repeat_count: '${input.n}'}, {id: b, type: delay, duration: '${input.d}'}",
    ));
    let [Kind::Component(a), Kind::Delay(Delay::For(b))] = kinds(&compose)[..] else {
        panic!("{compose:?}");
    };
    assert!(matches!(&a.repeat_count, Setting::Rendered(text) if text.as_str() == "${input.n}"));
    assert!(matches!(b, Setting::Rendered(_)));
}

#[test]
fn jobs_inside_jobs_are_read() {
    let compose = compose(&with(
        "{id: a, type: for-each, input: '${input}', do: {type: for-each, input: '${item}', do: {input: '${item}', retry: {max_attempt_count: 2, delay: 1, backoff: exponential}}}}",
    ));
    let [Kind::ForEach(outer)] = kinds(&compose)[..] else {
        panic!("{compose:?}");
    };
    let InlineKind::ForEach(inner) = &outer.body.kind else {
        panic!("{compose:?}");
    };
    assert!(matches!(inner.body.kind, InlineKind::Component(_)));
    assert_eq!(inner.body.retry.backoff, Backoff::Exponential);
    assert_eq!(inner.batch_size.get(), 1);
}

#[test]
fn conditions_have_their_own_input_or_that_of_the_job() {
    let compose = compose(&with(
        "{id: a, type: if, input: 1, conditions: [{input: 2, operator: not-in, value: [3], if_true: b}, {operator: starts-with, if_false: b}]}, {id: b}",
    ));
    let Kind::If(job) = kinds(&compose)[0] else {
        panic!("{compose:?}");
    };
    assert_eq!(job.conditions[0].operator, Operator::NotIn);
    assert_eq!(job.conditions[1].operator, Operator::StartsWith);
    assert_ne!(job.conditions[0].input, job.conditions[1].input);
    assert!(job.conditions.iter().all(|one| one.input.is_some()));
}
