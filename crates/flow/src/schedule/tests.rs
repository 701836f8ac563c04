//! What a schedule does, told as stories: an input, and the steps that it brings.
//!
//! ```text
//! start      the run begins               a>b   job a is done and leads to b
//! a=1        job a is done and gives 1    a~5   job a is a delay of 5 s
//! a!         job a fails                  a+    job a may go on
//! due        the next time has come       cancel
//! ```

use adit_text::Problems;

use super::*;
use crate::file::{Dialect, Environment, Files, Source};

mod control;
mod order;
mod recovery;
mod simulation;

/// A workflow of these jobs, from a file without errors.
pub(super) fn workflow(jobs: &str) -> Result<Workflow, String> {
    let text =
        format!("components: [{{id: c, type: shell, command: [ls]}}]\nworkflow:\n  jobs:\n{jobs}");
    let source = Source {
        name: "f.yml",
        bytes: text.as_bytes(),
        dialect: Dialect::Adit,
    };
    let mut problems = Problems::new();
    let files = Files::parse(&[source], &Environment::default(), &mut problems).unwrap();
    let compose = files.compose(&mut problems);
    let compose = compose.ok_or_else(|| problems.to_string())?;
    Ok(compose.workflows.into_iter().next().unwrap())
}

/// Tells a story of the jobs of a workflow.
fn story(jobs: &str, story: &[(&str, &str)]) {
    let workflow = workflow(jobs).unwrap_or_else(|problems| panic!("{problems}\n{jobs}"));
    let mut schedule = Schedule::new(&workflow).unwrap();
    let mut now = Duration::ZERO;
    for (at, (said, wanted)) in story.iter().enumerate() {
        if *said == "due" {
            now = schedule.due().expect("something is due");
        }
        let input = input(&schedule, said);
        let steps = schedule.take(input, now, 0);
        let ids = |job: JobIndex| workflow.jobs[job.get()].id.as_str();
        let steps: Vec<String> = steps.iter().map(|step| show(step, ids)).collect();
        assert_eq!(steps.join("; "), *wanted, "at {at}, {said}:\n{jobs}");
    }
    let is_told_to_the_end = story.last().is_some_and(|(_, wanted)| {
        let ends = ["done", "failed", "too often", "cancelled"];
        let last = wanted.rsplit("; ").next().unwrap_or_default();
        ends.iter().any(|end| last.starts_with(end))
    });
    assert!(!is_told_to_the_end || schedule.is_over());
}

fn input(schedule: &Schedule<&'static str>, said: &str) -> Input<&'static str> {
    let job = |id: &str| schedule.job(id).unwrap_or(JobIndex(usize::MAX));
    let finished = |id: &str, output, to| Input::Finished {
        job: job(id),
        output,
        to,
    };
    match said {
        "start" => return Input::Start,
        "due" => return Input::Due,
        "cancel" => return Input::Cancel,
        _ => {}
    }
    if let Some(id) = said.strip_suffix('!') {
        let error = "no";
        return Input::Failed {
            job: job(id),
            error,
        };
    }
    if let Some(id) = said.strip_suffix('+') {
        return Input::Resume { job: job(id) };
    }
    if let Some((id, to)) = said.split_once('>') {
        return finished(id, Value::Null, Some(job(to)));
    }
    if let Some((id, seconds)) = said.split_once('~') {
        let delay = Duration::from_secs(seconds.parse().unwrap());
        return Input::Delayed {
            job: job(id),
            delay,
        };
    }
    let (id, output) = said.split_once('=').expect("a word of the story");
    finished(id, Value::from_json(output.as_bytes()).unwrap(), None)
}

fn show<'w>(step: &Step<&str>, id: impl Fn(JobIndex) -> &'w str) -> String {
    match step {
        Step::Run { job, attempt } if attempt.get() == 1 => format!("run {}", id(*job)),
        Step::Run { job, attempt } => format!("run {}.{attempt}", id(*job)),
        Step::Finish { job } => format!("finish {}", id(*job)),
        Step::Recover { job, error } => format!("recover {} {error}", id(*job)),
        Step::Wait { job, until } => format!("wait {} {}", id(*job), until.as_secs()),
        Step::Interrupted { job, point } => format!("ask {} {point:?}", id(*job)),
        Step::Stop { job } => format!("stop {}", id(*job)),
        Step::Skip { job } => format!("skip {}", id(*job)),
        Step::Done { output } => format!("done {}", output.to_json().unwrap()),
        Step::Failed { cause } => match cause {
            Cause::Job { job, error } => format!("failed {} {error}", id(*job)),
            Cause::RunTooOften { job, max_run_count } => {
                format!("too often {} {max_run_count}", id(*job))
            }
        },
        Step::Cancelled => "cancelled".to_owned(),
    }
}
