//! Who runs when: dependencies, routes, skips, rounds, and what a run gives.

use super::*;

#[test]
fn a_workflow_without_jobs_gives_nothing() {
    let mut empty = workflow("    - {id: a}").unwrap();
    empty.jobs.clear();
    let mut schedule = Schedule::<()>::new(&empty).unwrap();
    let steps = schedule.take(Input::Start, Duration::ZERO, 0);
    let output = Value::Null;
    assert_eq!(steps, [Step::Done { output }]);
}

#[test]
fn jobs_that_wait_for_nobody_begin_at_once_in_the_order_of_the_file() {
    story(
        "    - {id: b}\n    - {id: c, depends_on: a}\n    - {id: a}",
        &[
            ("start", "run b; run a"),
            ("a=1", "run c"),
            ("c=2", ""),
            ("b=3", "done 3"),
        ],
    );
}

#[test]
fn nothing_happens_before_the_start_nor_after_the_end() {
    story(
        "    - {id: a}",
        &[
            ("a=1", ""),
            ("a!", ""),
            ("start", "run a"),
            ("start", ""),
            ("a+", ""),
            ("nobody=1", ""),
            ("a=1", "done 1"),
            ("a=2", ""),
            ("cancel", ""),
        ],
    );
}

#[test]
fn all_groups_are_waited_for_and_one_of_each_is_enough() {
    story(
        "    - {id: a}\n    - {id: b}\n    - {id: c}\n    - {id: d, depends_on: [[a, b], c]}",
        &[
            ("start", "run a; run b; run c"),
            ("b=1", ""),
            ("c=1", "run d"),
            // The other of the group does not run it again.
            ("a=1", ""),
            ("d=4", "done 4"),
        ],
    );
}

const SWITCH: &str = "
    - {id: r, type: switch, cases: [{value: 1, then: a}], otherwise: b}
    - {id: a}
    - {id: b}
    - {id: after-a, depends_on: [a]}
    - {id: after-b, depends_on: [b]}
    - {id: either, depends_on: [[a, b]]}";

#[test]
fn a_branch_that_is_not_taken_is_skipped_with_what_waits_for_it() {
    story(
        SWITCH,
        &[
            ("start", "run r"),
            ("r>a", "run a; skip b; skip after-b"),
            ("a=1", "run after-a; run either"),
            ("either={\"x\":1}", ""),
            ("after-a={\"y\":2}", "done {\"y\":2,\"x\":1}"),
        ],
    );
    story(
        SWITCH,
        &[
            ("start", "run r"),
            ("r>b", "run b; skip a; skip after-a"),
            ("b=1", "run after-b; run either"),
        ],
    );
    story(
        SWITCH,
        &[
            ("start", "run r"),
            (
                "r=5",
                "skip a; skip b; skip after-a; skip after-b; skip either; done 5",
            ),
        ],
    );
}

#[test]
fn a_job_leads_only_where_the_file_says() {
    story(
        SWITCH,
        &[
            ("start", "run r"),
            (
                "r>either",
                "skip a; skip b; skip after-a; skip after-b; skip either; done null",
            ),
        ],
    );
}

#[test]
fn one_that_is_led_to_waits_for_its_dependencies_too() {
    story(
        "    - {id: r, type: if, if_true: a}\n    - {id: a, depends_on: [r, b]}\n    - {id: b}",
        &[
            ("start", "run r; run b"),
            ("r>a", ""),
            ("b=1", "run a"),
            ("a=2", "done 2"),
        ],
    );
}

#[test]
fn each_lead_is_one_run_and_no_two_are_at_once() {
    story(
        "    - {id: r, type: if, if_true: a}\n    - {id: s, type: if, if_true: a}\n    - {id: a}\n    - {id: b, depends_on: a}",
        &[
            ("start", "run r; run s"),
            ("r>a", "run a"),
            ("s>a", ""),
            // What waits for it waits for the last of them.
            ("a=1", "run a"),
            ("a=2", "run b"),
            ("b=3", "done 3"),
        ],
    );
}

const ROUND: &str = "
    - {id: begin, type: if, if_true: work}
    - {id: work, max_run_count: 3}
    - {id: side, depends_on: work}
    - {id: check, type: if, if_false: work, otherwise: end, depends_on: work}
    - {id: end, depends_on: side}";

#[test]
fn what_waits_for_a_job_that_runs_again_runs_again() {
    story(
        ROUND,
        &[
            ("start", "run begin"),
            ("begin>work", "run work"),
            ("work=1", "run side; run check"),
            ("side=1", ""),
            ("check>work", "run work"),
            ("work=2", "run side; run check"),
            // The one beside is still at the second round when the third begins.
            ("check>work", "run work"),
            ("work=3", "run check"),
            ("side=2", "run side"),
            ("check>end", ""),
            ("side=3", "run end"),
            ("end=4", "done 4"),
        ],
    );
}

#[test]
fn going_round_too_often_fails_the_run() {
    story(
        ROUND,
        &[
            ("start", "run begin"),
            ("begin>work", "run work"),
            ("work=1", "run side; run check"),
            ("check>work", "run work"),
            ("work=2", "run check"),
            ("check>work", "run work"),
            ("work=3", "run check"),
            ("check>work", "stop side"),
            ("side=1", "too often work 3"),
        ],
    );
}

#[test]
fn a_job_may_lead_to_itself() {
    story(
        "    - {id: b, type: if, if_true: a}\n    - {id: a, type: if, if_true: a, max_run_count: 2}",
        &[
            ("start", "run b"),
            ("b>a", "run a"),
            ("a>a", "run a"),
            ("a=1", "done 1"),
        ],
    );
}

#[test]
fn the_last_jobs_give_the_output_together() {
    let jobs = "    - {id: a}\n    - {id: b}\n    - {id: c}";
    for (outputs, together) in [
        // Keys stand as in the file; the job that is done last wins.
        (
            ["c={\"z\":1,\"k\":1}", "b={\"y\":2}", "a={\"k\":3,\"x\":3}"],
            "done {\"k\":3,\"x\":3,\"y\":2,\"z\":1}",
        ),
        (
            ["a={\"k\":3}", "b={\"y\":2}", "c={\"z\":1,\"k\":1}"],
            "done {\"k\":1,\"y\":2,\"z\":1}",
        ),
        (["a={\"k\":3}", "c=null", "b=null"], "done {\"k\":3}"),
        (["a={\"k\":3}", "c=1", "b={\"y\":2}"], "done {\"y\":2}"),
        (["a=1", "c=2", "b=3"], "done 3"),
        (["a=null", "b=null", "c=null"], "done null"),
    ] {
        let [first, second, third] = outputs;
        story(
            jobs,
            &[
                ("start", "run a; run b; run c"),
                (first, ""),
                (second, ""),
                (third, together),
            ],
        );
    }
}

#[test]
fn a_thousand_jobs_run_one_after_the_other_and_all_at_once() {
    let one = workflow("    - {id: a}\n    - {id: b, depends_on: a}").unwrap();
    let id = |place: usize| {
        let text = format!("    - {{id: j{place}}}");
        workflow(&text).unwrap().jobs[0].id.clone()
    };
    let ids: Vec<_> = (0..1_000).map(id).collect();
    let jobs = |waits_for: &dyn Fn(usize) -> Vec<usize>| {
        let mut workflow = one.clone();
        let job = |(place, id): (usize, &crate::model::Id)| crate::model::job::Job {
            id: id.clone(),
            depends_on: waits_for(place)
                .iter()
                .map(|one| vec![ids[*one].clone()])
                .collect(),
            ..one.jobs[0].clone()
        };
        workflow.jobs = ids.iter().enumerate().map(job).collect();
        workflow
    };
    // The first waits for the second, and so on; the first waits for all; the last does.
    let chain = jobs(&|place| (place + 1..1_000).take(1).collect());
    let join = jobs(&|place| {
        if place == 0 {
            (1..1_000).collect()
        } else {
            Vec::new()
        }
    });
    let last = jobs(&|place| {
        if place == 999 {
            (0..999).collect()
        } else {
            Vec::new()
        }
    });
    for workflow in [chain, join, last] {
        let mut schedule = Schedule::<()>::new(&workflow).unwrap();
        let now = Duration::ZERO;
        let mut left = schedule.take(Input::Start, now, 0);
        let mut run_count = 0;
        while let Some(step) = left.pop() {
            if let Step::Run { job, .. } = step {
                run_count += 1;
                let (output, to) = (Value::Null, None);
                left.extend(schedule.take(Input::Finished { job, output, to }, now, 0));
            }
        }
        assert!(schedule.is_over());
        assert_eq!(run_count, 1_000);
    }
}

#[test]
fn graphs_without_an_order_are_refused() {
    let good = workflow("    - {id: a}\n    - {id: b, depends_on: a}").unwrap();
    let mut cut = good.clone();
    cut.jobs.remove(0);
    let id = "\"a\"".to_owned();
    assert_eq!(new_error(&cut), GraphError::Unknown { id: id.clone() });
    let mut twice = good.clone();
    twice.jobs.push(good.jobs[0].clone());
    assert_eq!(new_error(&twice), GraphError::Twice { id });
    let mut circle = good;
    circle.jobs[0].depends_on = vec![vec![circle.jobs[1].id.clone()]];
    let job = JobIndex(0);
    assert_eq!(new_error(&circle), GraphError::NeverRuns { job });
}

fn new_error(workflow: &Workflow) -> GraphError {
    Schedule::<()>::new(workflow).expect_err("it is refused")
}
