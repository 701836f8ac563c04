//! Where a run stands, for those who watch, and the persons that it waits for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::{Hop, Interruption, JobReport, JobState, Phase, Report, Status, TaskId};
use crate::expr::Value;
use crate::model::workflow::Workflow;

/// What a run tells of itself and is told. Clones are of the same run.
#[derive(Clone, Debug)]
pub(super) struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    report: watch::Sender<Arc<Report>>,
    /// Who waits for a person, by job.
    asked: Mutex<BTreeMap<String, oneshot::Sender<Option<Value>>>>,
    stop: CancellationToken,
}

impl Board {
    pub(super) fn new(task_id: TaskId, workflow: &Workflow, stop: CancellationToken) -> Self {
        let jobs = workflow.jobs.iter().map(|job| JobReport {
            id: job.id.as_str().to_owned(),
            name: job.name.clone(),
            state: JobState::Waiting,
            hop: None,
            began: None,
            ended: None,
            attempt: 0,
        });
        let report = Report {
            task_id,
            workflow_id: workflow.id.as_str().to_owned(),
            status: Status::Pending,
            jobs: jobs.collect(),
            interruptions: Vec::new(),
            output: Value::Null,
            error: None,
            since: now(),
            ended: None,
        };
        Self(Arc::new(Inner {
            report: watch::Sender::new(Arc::new(report)),
            asked: Mutex::default(),
            stop,
        }))
    }

    pub(super) fn report(&self) -> Arc<Report> {
        Arc::clone(&self.0.report.borrow())
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<Report>> {
        self.0.report.subscribe()
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    fn change(&self, change: impl FnOnce(&mut Report)) {
        self.0
            .report
            .send_modify(|report| change(Arc::make_mut(report)));
    }

    pub(super) fn status(&self, status: Status) {
        self.change(|report| report.status = status);
    }

    /// A job of the run's own workflow, by its place.
    pub(super) fn job(&self, place: usize, change: impl FnOnce(&mut JobReport)) {
        self.change(|report| {
            if let Some(job) = report.jobs.get_mut(place) {
                change(job);
            }
            report.update_status();
        });
    }

    /// The last word.
    pub(super) fn end(&self, status: Status, output: Value, error: Option<String>) {
        self.change(|report| {
            report.status = status;
            report.output = output;
            report.error = error;
            report.ended = Some(now());
            report.interruptions.clear();
        });
        self.asked().clear();
    }

    /// Asks a person to let a job go on, and gives what they say to it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the question back.
    pub(super) async fn ask(&self, interruption: Interruption) -> Option<Value> {
        let (sender, answer) = oneshot::channel();
        let job = interruption.job_id.clone();
        self.asked().insert(job.clone(), sender);
        self.change(|report| {
            report.interruptions.push(interruption);
            report.update_status();
        });
        let question = Question { board: self, job };
        let answer = answer.await.unwrap_or_default();
        drop(question);
        answer
    }

    /// A person lets a job go on. False if it does not wait for one.
    pub(super) fn answer(&self, job: &str, answer: Option<Value>) -> bool {
        let sender = self.asked().remove(job);
        sender.is_some_and(|sender| sender.send(answer).is_ok())
    }

    fn asked(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, oneshot::Sender<Option<Value>>>> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A question that stands until it is dropped.
struct Question<'b> {
    board: &'b Board,
    job: String,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        self.board.asked().remove(&self.job);
        self.board.change(|report| {
            report.interruptions.retain(|one| one.job_id != self.job);
            report.update_status();
        });
    }
}

impl Report {
    /// A run is interrupted while a person is waited for and nothing runs.
    fn update_status(&mut self) {
        if !matches!(self.status, Status::Processing | Status::Interrupted) {
            return;
        }
        let is_busy = self
            .jobs
            .iter()
            .any(|job| matches!(job.state, JobState::Running | JobState::Delayed));
        self.status = if self.interruptions.is_empty() || is_busy {
            Status::Processing
        } else {
            Status::Interrupted
        };
    }
}

impl JobReport {
    /// It begins to do something.
    pub(super) fn begin(&mut self, state: JobState) {
        self.state = state;
        self.hop = None;
        self.ended = None;
        self.began.get_or_insert_with(now);
    }

    /// It is over.
    pub(super) fn end(&mut self, state: JobState) {
        self.state = state;
        self.hop = None;
        self.ended = Some(now());
    }
}

/// A job as its own work sees it: what it waits for is shown, and forgotten when it goes on.
#[derive(Clone, Debug)]
pub(super) struct Teller {
    board: Board,
    place: Option<usize>,
}

impl Teller {
    /// A job of the run's own workflow. One of a workflow inside that tells nothing.
    pub(super) fn new(board: &Board, place: Option<usize>) -> Self {
        Self {
            board: board.clone(),
            place,
        }
    }

    pub(super) fn at(&self, hop: impl Into<Option<Hop>>) {
        if let Some(place) = self.place {
            let hop = hop.into();
            self.board.job(place, |job| job.hop = hop);
        }
    }
}

/// The question of a job.
pub(super) fn interruption(
    job_id: String,
    phase: Phase,
    message: Option<String>,
    metadata: Value,
) -> Interruption {
    Interruption {
        job_id,
        phase,
        message,
        metadata,
    }
}

/// By tokio's clock, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
