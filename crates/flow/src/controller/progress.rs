//! Where a run stands, as those read it who [follow](super::follow) it.

use std::time::Instant;

use serde::Serialize;

use super::task::{Interrupt, Shown, interrupts};
use crate::exec::{Hop, JobReport, JobState, Report};
use crate::expr::Value;

/// The longest output that a report has with it. A longer one is had from `/tasks/ID`.
const OUTPUT_BYTES: usize = 1 << 20;

/// Where a run stands.
#[derive(Debug, Serialize)]
pub(super) struct Progress<'a> {
    task_id: &'a str,
    workflow_id: &'a str,
    status: &'static str,
    /// Since it was asked for.
    seconds: f64,
    jobs: Vec<Job<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    interrupts: Vec<Interrupt<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Shown<'a>>,
    /// Whether there is an output that is too long to be told here.
    #[serde(skip_serializing_if = "is_false")]
    output_left_out: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Job<'a> {
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    waits_for: Option<Waits<'a>>,
}

/// What a job waits for.
#[derive(Debug, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum Waits<'a> {
    Queue,
    Gateway {
        port: u16,
    },
    Request {
        method: &'static str,
        url: &'a str,
    },
    Polling,
    Callback {
        id: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<&'a str>,
    },
    Program {
        name: &'a str,
    },
    Workflow {
        id: &'a str,
    },
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

impl<'a> Progress<'a> {
    pub(super) fn of(report: &'a Report, now: Instant) -> Self {
        let output = output(&report.output);
        Self {
            task_id: report.task_id.as_str(),
            workflow_id: &report.workflow_id,
            status: report.status.as_str(),
            seconds: between(report.since, report.ended.unwrap_or(now)),
            jobs: report.jobs.iter().map(|job| Job::of(job, now)).collect(),
            interrupts: interrupts(report),
            output_left_out: output.is_none() && !report.output.is_null(),
            output,
            error: report.error.as_deref(),
        }
    }
}

/// An output, if it is there, all of it can be written, and it is not too long.
fn output(output: &Value) -> Option<Shown<'_>> {
    if matches!(
        output,
        Value::Null | Value::Bytes(_) | Value::Handle(_) | Value::Pending(_)
    ) {
        return None;
    }
    let json = serde_json::to_vec(&Shown(output)).ok()?;
    (json.len() <= OUTPUT_BYTES).then_some(Shown(output))
}

impl<'a> Job<'a> {
    fn of(job: &'a JobReport, now: Instant) -> Self {
        Self {
            id: &job.id,
            name: job.name.as_deref(),
            state: state(job.state),
            seconds: job
                .began
                .map(|began| between(began, job.ended.unwrap_or(now))),
            attempt: job.attempt,
            waits_for: job.hop.as_ref().map(Waits::of),
        }
    }
}

impl<'a> Waits<'a> {
    fn of(hop: &'a Hop) -> Self {
        match hop {
            Hop::Queue => Self::Queue,
            Hop::Gateway { port } => Self::Gateway { port: *port },
            Hop::Request { method, url } => Self::Request { method, url },
            Hop::Polling => Self::Polling,
            Hop::Callback { id, via } => Self::Callback {
                id,
                port: via.as_ref().map(|(port, _)| *port),
                address: via.as_ref().map(|(_, address)| address.as_str()),
            },
            Hop::Program { name } => Self::Program { name },
            Hop::Workflow { id } => Self::Workflow { id },
        }
    }
}

fn state(state: JobState) -> &'static str {
    match state {
        JobState::Waiting => "waiting",
        JobState::Running => "running",
        JobState::Delayed => "delayed",
        JobState::Interrupted => "interrupted",
        JobState::Done => "done",
        JobState::Failed => "failed",
        JobState::Skipped => "skipped",
        JobState::Stopped => "stopped",
    }
}

/// Seconds, to the millisecond.
fn between(from: Instant, to: Instant) -> f64 {
    let seconds = to.saturating_duration_since(from).as_secs_f64();
    (seconds * 1000.0).round() / 1000.0
}

/// The moment, on the clock that reports have.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
