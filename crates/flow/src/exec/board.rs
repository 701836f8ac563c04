//! Where a run stands, for those who watch, and the persons that it waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::report::{Hop, Interruption, JobReport, JobState, Report, Status, TaskId};
use crate::expr::Value;
use crate::model::workflow::Workflow;

/// What a run tells of itself and is told. Clones are of the same run.
#[derive(Clone, Debug)]
pub(super) struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shown: Mutex<Shown>,
    asked: Mutex<Asked>,
    stop: CancellationToken,
}

/// The report, and those who watch it: most runs are watched by nobody.
#[derive(Debug)]
struct Shown {
    report: Arc<Report>,
    watched: Option<watch::Sender<Arc<Report>>>,
}

/// The questions that stand, in the order in which they were asked. Several may be of one job: the
/// items of a list may each run the workflow that asks.
#[derive(Debug, Default)]
struct Asked {
    /// The number of the last one.
    last: u64,
    questions: Vec<Question>,
}

#[derive(Debug)]
struct Question {
    number: u64,
    interruption: Interruption,
    answer: oneshot::Sender<Option<Value>>,
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
            shown: Mutex::new(Shown {
                report: Arc::new(report),
                watched: None,
            }),
            asked: Mutex::default(),
            stop,
        }))
    }

    pub(super) fn report(&self) -> Arc<Report> {
        Arc::clone(&self.shown().report)
    }

    pub(super) fn watch(&self) -> watch::Receiver<Arc<Report>> {
        let mut shown = self.shown();
        let Shown { report, watched } = &mut *shown;
        let watched = watched.get_or_insert_with(|| watch::Sender::new(Arc::clone(report)));
        watched.subscribe()
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.0.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    fn change(&self, change: impl FnOnce(&mut Report)) {
        self.shown().change(change);
    }

    /// Its jobs run from now on, unless it has been told to stop.
    pub(super) fn begin(&self) {
        self.change(|report| {
            if report.status == Status::Pending {
                report.status = Status::Processing;
            }
        });
    }

    /// Tells the run to stop. False if it is over.
    pub(super) fn tell_to_stop(&self) -> bool {
        let mut shown = self.shown();
        if shown.report.status.is_final() {
            return false;
        }
        if shown.report.status != Status::Cancelling {
            shown.change(|report| report.status = Status::Cancelling);
        }
        drop(shown);
        self.0.stop.cancel();
        true
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

    /// The last word; what else is said counts no more.
    pub(super) fn end(&self, status: Status, output: Value, error: Option<String>) {
        self.change(|report| {
            report.status = status;
            report.output = output;
            report.error = error;
            report.ended = Some(now());
            report.interruptions.clear();
            for job in &mut report.jobs {
                match job.state {
                    JobState::Waiting => job.state = JobState::Skipped,
                    JobState::Running | JobState::Delayed | JobState::Interrupted => {
                        job.end(JobState::Stopped);
                    }
                    JobState::Done | JobState::Failed | JobState::Skipped | JobState::Stopped => {}
                }
            }
        });
    }

    /// Asks a person to let a job go on, and gives what they say to it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes the question back.
    pub(super) async fn ask(&self, interruption: Interruption) -> Option<Value> {
        let (asking, answer) = self.put(interruption);
        let answer = answer.await;
        drop(asking);
        match answer {
            Ok(answer) => answer,
            // Nobody has answered, and nobody will.
            Err(_) => std::future::pending().await,
        }
    }

    fn put(&self, interruption: Interruption) -> (Asking<'_>, oneshot::Receiver<Option<Value>>) {
        let (sender, answer) = oneshot::channel();
        let mut asked = self.asked();
        asked.last += 1;
        let number = asked.last;
        asked.questions.push(Question {
            number,
            interruption,
            answer: sender,
        });
        self.show(asked);
        let asking = Asking {
            board: self,
            number,
        };
        (asking, answer)
    }

    /// A person lets a job go on: the first that asks for them under this id. False if none does.
    pub(super) fn answer(&self, job: &str, answer: Option<Value>) -> bool {
        let mut asked = self.asked();
        let mut questions = asked.questions.iter();
        let place = questions.position(|question| question.interruption.job_id == job);
        let Some(place) = place else { return false };
        let question = asked.questions.remove(place);
        self.show(asked);
        question.answer.send(answer).is_ok()
    }

    fn asked(&self) -> MutexGuard<'_, Asked> {
        self.0.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows the questions that stand. The lock is held, so that none shows those of before.
    #[expect(clippy::needless_pass_by_value, reason = "the lock ends here")]
    fn show(&self, asked: MutexGuard<'_, Asked>) {
        let questions = asked.questions.iter();
        let interruptions = questions.map(|question| question.interruption.clone());
        self.change(|report| {
            report.interruptions = interruptions.collect();
            report.update_status();
        });
    }
}

impl Shown {
    /// Changes the report, and shows it to those who watch.
    fn change(&mut self, change: impl FnOnce(&mut Report)) {
        self.watched.take_if(|watched| watched.is_closed());
        change(Arc::make_mut(&mut self.report));
        if let Some(watched) = &self.watched {
            watched.send_replace(Arc::clone(&self.report));
        }
    }
}

/// A question that stands until it is dropped.
struct Asking<'b> {
    board: &'b Board,
    number: u64,
}

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut asked = self.board.asked();
        let before = asked.questions.len();
        asked
            .questions
            .retain(|question| question.number != self.number);
        if asked.questions.len() != before {
            self.board.show(asked);
        }
    }
}

impl Report {
    /// A run is interrupted while a person is waited for and nothing runs but what is around that.
    fn update_status(&mut self) {
        if !matches!(self.status, Status::Processing | Status::Interrupted) {
            return;
        }
        let asks_inside = |job: &JobReport| {
            let mut asked = self.interruptions.iter();
            asked.any(|one| {
                let inside = one.job_id.strip_prefix(job.id.as_str());
                inside.is_some_and(|inside| inside.starts_with('/'))
            })
        };
        let is_busy = self.jobs.iter().any(|job| match job.state {
            JobState::Delayed => true,
            JobState::Running => !asks_inside(job),
            JobState::Waiting
            | JobState::Interrupted
            | JobState::Done
            | JobState::Failed
            | JobState::Skipped
            | JobState::Stopped => false,
        });
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

/// By tokio's clock, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}
