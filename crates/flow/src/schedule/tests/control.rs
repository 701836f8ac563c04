//! What holds a run: delays, people, and those who no longer want it.

use super::*;

#[test]
fn a_delay_of_a_known_time_asks_nobody() {
    story(
        "    - {id: a, type: delay, duration: 3s}\n    - {id: b, depends_on: a}",
        &[("start", "wait a 3"), ("due", "run b"), ("b=1", "done 1")],
    );
}

#[test]
fn a_delay_whose_time_is_rendered_says_it_when_it_runs() {
    story(
        "    - {id: a, type: delay, duration: '${input.t}', output: x, retry: 2}",
        &[
            ("start", "run a"),
            ("a~4", "wait a 4"),
            ("a=1", ""),
            ("a!", ""),
            ("due", "finish a"),
            ("a!", "run a.2"),
            ("a~1", "wait a 5"),
            ("due", "finish a"),
            ("a=7", "done 7"),
        ],
    );
}

#[test]
fn a_person_is_waited_for_before_and_after_a_job() {
    story(
        "    - {id: a, interrupt: {before: true, after: {message: m}}, retry: 2}\n    - {id: b}\n    - {id: c, depends_on: a}",
        &[
            ("start", "ask a Before; run b"),
            ("a=1", ""),
            ("b=1", ""),
            ("a+", "run a"),
            ("a+", ""),
            // Nobody is asked twice because an attempt failed.
            ("a!", "run a.2"),
            ("a=2", "ask a After"),
            ("a=3", ""),
            ("a+", "run c"),
            ("c=4", "done 4"),
        ],
    );
}

#[test]
fn what_a_job_will_give_is_shown_while_a_person_is_waited_for() {
    let jobs = "    - {id: a, interrupt: {before: true, after: true}}";
    let mut schedule = Schedule::<()>::new(&workflow(jobs).unwrap()).unwrap();
    let job = JobIndex(0);
    let now = Duration::ZERO;
    schedule.take(Input::Start, now, 0);
    assert_eq!(schedule.interrupted(job), Some(Point::Before));
    assert_eq!((schedule.held(job), schedule.output(job)), (None, None));
    schedule.take(Input::Resume { job }, now, 0);
    assert_eq!(schedule.interrupted(job), None);
    let (output, to) = (Value::Integer(1), None);
    schedule.take(Input::Finished { job, output, to }, now, 0);
    assert_eq!(schedule.interrupted(job), Some(Point::After));
    let one = Value::Integer(1);
    assert_eq!(
        (schedule.held(job), schedule.output(job)),
        (Some(&one), None)
    );
    schedule.take(Input::Resume { job }, now, 0);
    assert_eq!(
        (schedule.held(job), schedule.output(job)),
        (None, Some(&one))
    );
}

#[test]
fn a_lead_is_kept_while_a_person_is_waited_for() {
    story(
        "    - {id: r, type: if, if_true: a, interrupt: {after: true}}\n    - {id: a}\n    - {id: b, depends_on: a}",
        &[
            ("start", "run r"),
            ("r>a", "ask r After"),
            ("r+", "run a"),
            ("a=1", "run b"),
            ("b=2", "done 2"),
        ],
    );
}

#[test]
fn cancel_stops_what_runs_and_nothing_that_waits_begins() {
    let jobs = "
    - {id: a}
    - {id: b, interrupt: {before: true}}
    - {id: c, type: delay, duration: 3s}
    - {id: d, retry: {max_attempt_count: 2, delay: 1s}}
    - {id: e, depends_on: a}
    - {id: f, on_error: {output: x}}";
    story(
        jobs,
        &[
            ("start", "run a; ask b Before; wait c 3; run d; run f"),
            ("d!", "wait d 1"),
            ("f!", "recover f no"),
            ("cancel", "stop a; stop f"),
            ("cancel", ""),
            ("b+", ""),
            ("a=1", ""),
            ("f=1", "cancelled"),
        ],
    );
    story(jobs, &[("cancel", "cancelled"), ("start", "")]);
    story(
        "    - {id: b, interrupt: {before: true}}",
        &[("start", "ask b Before"), ("cancel", "cancelled")],
    );
}
