//! Failures: further attempts, what is given instead, who goes on, and the end of a run.

use super::*;

#[test]
fn a_failure_stops_the_others_and_fails_the_run() {
    story(
        "    - {id: a}\n    - {id: b}\n    - {id: c, type: delay, duration: 9s}\n    - {id: d, depends_on: b}",
        &[
            ("start", "run a; run b; wait c 9"),
            ("a!", "stop b"),
            // What it does now no longer counts, and nothing begins after it.
            ("b=1", "failed a no"),
            ("b=1", ""),
        ],
    );
}

#[test]
fn the_first_reason_to_end_is_the_one_that_counts() {
    story(
        "    - {id: a}\n    - {id: b}\n    - {id: c}",
        &[
            ("start", "run a; run b; run c"),
            ("b!", "stop a; stop c"),
            ("cancel", ""),
            ("a!", ""),
            ("c!", "failed b no"),
        ],
    );
}

#[test]
fn a_job_is_tried_as_often_as_it_says() {
    story(
        "    - {id: a, retry: {max_attempt_count: 3, delay: 2s, backoff: exponential}}\n    - {id: b, depends_on: a}",
        &[
            ("start", "run a"),
            ("a!", "wait a 2"),
            ("a=1", ""),
            ("due", "run a.2"),
            ("a!", "wait a 6"),
            ("due", "run a.3"),
            ("a!", "failed a no"),
        ],
    );
    story(
        "    - {id: a, retry: 2}",
        &[("start", "run a"), ("a!", "run a.2"), ("a=1", "done 1")],
    );
}

#[test]
fn only_what_is_due_goes_on() {
    let jobs = "    - {id: a, type: delay, duration: 5s}\n    - {id: b, type: delay, duration: 2s}";
    let mut schedule = Schedule::<()>::new(&workflow(jobs).unwrap()).unwrap();
    let second = Duration::from_secs(1);
    schedule.take(Input::Start, second, 0);
    assert_eq!(schedule.due(), Some(second * 3));
    assert_eq!(schedule.take(Input::Due, second * 2, 0), []);
    assert_eq!(schedule.take(Input::Due, second * 3, 0), []);
    assert_eq!(schedule.due(), Some(second * 6));
    let output = Value::Null;
    assert_eq!(
        schedule.take(Input::Due, second * 9, 0),
        [Step::Done { output }]
    );
    assert_eq!(schedule.due(), None);
}

#[test]
fn an_error_that_is_ignored_gives_nothing_and_the_run_goes_on() {
    story(
        "    - {id: a, on_error: ignore}\n    - {id: b, depends_on: a}",
        &[("start", "run a"), ("a!", "run b"), ("b=2", "done 2")],
    );
}

#[test]
fn something_else_may_be_given_and_if_that_fails_the_run_does() {
    let jobs = "    - {id: a, on_error: {output: x}}\n    - {id: b, depends_on: a}";
    story(
        jobs,
        &[
            ("start", "run a"),
            ("a!", "recover a no"),
            ("a=1", "run b"),
            ("b=2", "done 2"),
        ],
    );
    story(
        jobs,
        &[
            ("start", "run a"),
            ("a!", "recover a no"),
            ("a!", "failed a no"),
        ],
    );
}

const INSTEAD: &str = "
    - {id: a, on_error: {to: instead}}
    - {id: after, depends_on: a}
    - {id: instead, depends_on: a}
    - {id: both, depends_on: [[after, instead]]}";

#[test]
fn another_job_goes_on_in_place_of_a_failed_one() {
    story(
        INSTEAD,
        &[
            ("start", "run a"),
            ("a!", "run instead; skip after"),
            ("instead=1", "run both"),
            ("both=2", "done 2"),
        ],
    );
    story(
        INSTEAD,
        &[
            ("start", "run a"),
            ("a=1", "run after; skip instead"),
            ("after=1", "run both"),
            ("both=2", "done 2"),
        ],
    );
}

#[test]
fn a_failed_job_can_lead_on_and_give_something() {
    let jobs = "    - {id: a, on_error: {to: b, output: x}}\n    - {id: b}";
    let mut schedule = Schedule::<()>::new(&workflow(jobs).unwrap()).unwrap();
    let (a, b) = (JobIndex(0), JobIndex(1));
    let now = Duration::ZERO;
    schedule.take(Input::Start, now, 0);
    let error = ();
    let steps = schedule.take(Input::Failed { job: a, error }, now, 0);
    assert_eq!(steps, [Step::Recover { job: a, error }]);
    let output = Value::Integer(1);
    let to = None;
    let steps = schedule.take(Input::Finished { job: a, output, to }, now, 0);
    let attempt = NonZeroU32::MIN;
    assert_eq!(steps, [Step::Run { job: b, attempt }]);
    assert_eq!(schedule.output(a), Some(&Value::Integer(1)));
    assert_eq!(schedule.output(b), None);
}
