//! Where a run stands, as it is told over the control socket and shown at a terminal.

use std::time::{Duration, Instant};

use adit_flow::exec::{Hop, Interruption, JobReport, JobState, Phase, Report, Status};
use serde::{Deserialize, Serialize};

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskReport {
    /// The run's id.
    pub(crate) id: String,
    /// The workflow's id.
    pub(crate) workflow: String,
    #[serde(with = "StatusText")]
    pub(crate) status: Status,
    /// How long it has run, or did.
    pub(crate) elapsed_ms: u64,
    /// Jobs that have begun, in the order of the file; of very many those that run, first.
    pub(crate) jobs: Vec<JobLine>,
    /// Persons that are waited for.
    pub(crate) questions: Vec<AskedPerson>,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

/// A job that has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JobLine {
    /// Its id.
    pub(crate) id: String,
    /// What people call it.
    pub(crate) name: Option<String>,
    #[serde(with = "JobStateText")]
    pub(crate) state: JobState,
    /// What it waits for, while it runs.
    pub(crate) hop: Option<HopText>,
    /// How long it has run, or did.
    pub(crate) elapsed_ms: u64,
    /// Which attempt it is, from 1.
    pub(crate) attempt: u32,
}

/// What a job waits for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HopText {
    /// Its turn.
    Queue,
    /// A gateway.
    Gateway { port: u16 },
    /// An answer.
    Request { method: String, url: String },
    /// The next question of a poll.
    Polling,
    /// A request from outside.
    Callback {
        id: String,
        /// The public address that the sender was told.
        at: Option<String>,
    },
    /// A program.
    Program { name: String },
    /// Another workflow.
    Workflow { id: String },
}

/// A person that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AskedPerson {
    /// The job that waits.
    pub(crate) job: String,
    #[serde(with = "PhaseText")]
    pub(crate) phase: Phase,
    /// What they are told.
    pub(crate) message: Option<String>,
    /// What they are shown, as JSON.
    pub(crate) metadata: Option<String>,
}

/// Most jobs of a report, and most persons: it has to fit into a line of the control socket.
const JOBS: usize = 100;
const QUESTIONS: usize = 4;
/// Most bytes of a text in it, and of why a run failed.
const TEXT: usize = 300;
const LONG_TEXT: usize = 8 << 10;

impl TaskReport {
    /// What is told of a run at that moment.
    pub(crate) fn new(report: &Report, now: Instant) -> Self {
        let begun = |job: &&JobReport| job.began.is_some();
        let mut jobs: Vec<&JobReport> = report.jobs.iter().filter(begun).collect();
        if jobs.len() > JOBS {
            // Stable, so that each half stays as the file has it.
            jobs.sort_by_key(|job| job.ended.is_some());
            jobs.truncate(JOBS);
        }
        let questions = report.interruptions.iter().take(QUESTIONS);
        let error = report.error.clone();
        Self {
            id: report.task_id.to_string(),
            workflow: cut(&report.workflow_id, TEXT),
            status: report.status,
            elapsed_ms: elapsed(Some(report.since), report.ended, now),
            jobs: jobs.into_iter().map(|job| JobLine::new(job, now)).collect(),
            questions: questions.map(AskedPerson::new).collect(),
            error: error.map(|error| cut(&error, LONG_TEXT)),
        }
    }
}

impl JobLine {
    fn new(job: &JobReport, now: Instant) -> Self {
        Self {
            id: cut(&job.id, TEXT),
            name: job.name.as_deref().map(|name| cut(name, TEXT)),
            state: job.state,
            hop: job.hop.as_ref().map(HopText::new),
            elapsed_ms: elapsed(job.began, job.ended, now),
            attempt: job.attempt,
        }
    }

    /// What people call it.
    pub(crate) fn title(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.id)
    }
}

impl HopText {
    fn new(hop: &Hop) -> Self {
        match hop {
            Hop::Queue => Self::Queue,
            Hop::Gateway { port } => Self::Gateway { port: *port },
            Hop::Request { method, url } => Self::Request {
                method: (*method).to_owned(),
                url: cut(url, TEXT),
            },
            Hop::Polling => Self::Polling,
            Hop::Callback { id, via } => Self::Callback {
                id: cut(id, TEXT),
                at: via.as_ref().map(|(_, address)| cut(address, TEXT)),
            },
            Hop::Program { name } => Self::Program {
                name: cut(name, TEXT),
            },
            Hop::Workflow { id } => Self::Workflow { id: cut(id, TEXT) },
        }
    }
}

impl AskedPerson {
    fn new(asked: &Interruption) -> Self {
        let metadata = asked.metadata.to_json().ok();
        Self {
            job: cut(&asked.job_id, TEXT),
            phase: asked.phase,
            message: asked.message.as_deref().map(|text| cut(text, LONG_TEXT)),
            // A part of it would be no JSON.
            metadata: metadata.filter(|json| !asked.metadata.is_null() && json.len() <= LONG_TEXT),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Status", rename_all = "snake_case")]
enum StatusText {
    Pending,
    Processing,
    Interrupted,
    Cancelling,
    Cancelled,
    Completed,
    Failed,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "JobState", rename_all = "snake_case")]
enum JobStateText {
    Waiting,
    Running,
    Delayed,
    Interrupted,
    Done,
    Failed,
    Skipped,
    Stopped,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Phase", rename_all = "snake_case")]
enum PhaseText {
    Before,
    After,
}

/// From the beginning to the end, or to now; nothing before the beginning.
fn elapsed(began: Option<Instant>, ended: Option<Instant>, now: Instant) -> u64 {
    let elapsed = began.map_or(Duration::ZERO, |began| {
        ended.unwrap_or(now).saturating_duration_since(began)
    });
    u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
}

/// At most so many bytes of a text.
fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(most);
    let (kept, _) = text.split_at_checked(end).unwrap_or_default();
    format!("{kept}...")
}

#[cfg(test)]
pub(crate) mod tests {
    use adit_flow::exec::TaskId;
    use adit_flow::expr::Value;

    use super::*;

    /// A run of one job, that long in all.
    pub(crate) fn report(status: Status, job: JobReport, now: Instant) -> Report {
        Report {
            task_id: TaskId::new("01M807NV3HZQC4AYR6DP8W18NE"),
            workflow_id: String::from("__workflow__"),
            status,
            jobs: vec![job],
            interruptions: Vec::new(),
            output: Value::Null,
            error: None,
            since: now.checked_sub(Duration::from_secs(2)).unwrap(),
            ended: None,
        }
    }

    /// A job that began a second ago.
    pub(crate) fn job(state: JobState, now: Instant) -> JobReport {
        JobReport {
            id: String::from("__job__"),
            name: None,
            state,
            hop: Some(Hop::Callback {
                id: String::from("01M8"),
                via: Some((8090, String::from("gw.example:9834"))),
            }),
            began: now.checked_sub(Duration::from_secs(1)),
            ended: None,
            attempt: 1,
        }
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    #[test]
    fn what_is_told_is_what_is_read() {
        let now = now();
        let mut report = report(Status::Interrupted, job(JobState::Running, now), now);
        report.interruptions = vec![Interruption {
            job_id: String::from("ask"),
            phase: Phase::Before,
            message: Some(String::from("sure?")),
            metadata: Value::from_json(br#"{"b":1,"a":2}"#).unwrap(),
        }];
        let told = TaskReport::new(&report, now);
        assert_eq!(told.elapsed_ms, 2_000);
        assert_eq!(told.jobs[0].elapsed_ms, 1_000);
        assert_eq!(
            told.questions[0].metadata.as_deref(),
            Some(r#"{"b":1,"a":2}"#)
        );
        let json = serde_json::to_string(&told).unwrap();
        assert!(json.contains(r#""status":"interrupted""#), "{json}");
        let read: TaskReport = serde_json::from_str(&json).unwrap();
        assert_eq!(read, told);
    }

    #[test]
    fn the_longest_report_fits_into_a_line() {
        let now = now();
        let nasty = "\u{1}".repeat(100_000);
        let mut job = job(JobState::Running, now);
        job.id.clone_from(&nasty);
        job.name = Some(nasty.clone());
        job.hop = Some(Hop::Request {
            method: "POST",
            url: nasty.clone(),
        });
        let mut report = report(Status::Failed, job.clone(), now);
        report.jobs = vec![job; 1_000];
        report.error = Some(nasty.clone());
        report.workflow_id.clone_from(&nasty);
        let asked = Interruption {
            job_id: String::from("a"),
            phase: Phase::After,
            message: Some(nasty.clone()),
            metadata: Value::from(nasty),
        };
        report.interruptions = vec![asked; 100];
        let json = serde_json::to_string(&TaskReport::new(&report, now)).unwrap();
        // With room for what stands around it.
        assert!(json.len() < 1_000_000, "{}", json.len());
    }

    #[test]
    fn of_very_many_jobs_those_that_run_are_told() {
        let now = now();
        let mut ended = job(JobState::Done, now);
        ended.ended = Some(now);
        let mut report = report(Status::Processing, ended.clone(), now);
        report.jobs = vec![ended; JOBS];
        report.jobs.push(job(JobState::Running, now));
        let told = TaskReport::new(&report, now);
        assert_eq!(told.jobs.len(), JOBS);
        assert_eq!(told.jobs[0].state, JobState::Running);
        let mut waiting = job(JobState::Waiting, now);
        waiting.began = None;
        report.jobs = vec![waiting];
        assert_eq!(TaskReport::new(&report, now).jobs, []);
    }
}
