//! The engine: starts runs, and answers who asks for them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};
use ulid::Ulid;

use super::board::Board;
use super::error::JobError;
use super::limits;
use super::report::{Report, Status, TaskId};
use super::run::{self, Outcome, Run};
use super::start::{CancelError, Launch, ResumeError, StartError};
use super::tasks::Tasks;
use super::tools::{Limits, Tools};
use crate::callback::RunNumber;
use crate::controller::Runs;
use crate::expr::Value;
use crate::model::Compose;
use crate::model::component::Component;
use crate::model::job::ComponentRef;
use crate::model::workflow::Workflow;
use crate::schedule::{GraphError, Schedule};
use crate::stream::Pieces;

/// Runs the workflows of a file. Clones are the same.
///
/// Every run is a task of the engine's; [`close`](Self::close) ends them all.
#[derive(Clone, Debug)]
pub struct Engine(Arc<Inner>);

pub(super) struct Inner {
    pub(super) compose: Arc<Compose>,
    pub(super) tools: Tools,
    pub(super) limits: Limits,
    /// Where each component stands among all, by its address: those of the compose file never move.
    components: BTreeMap<usize, usize>,
    /// A run of each workflow of the file that has not begun, which others are made from.
    schedules: Vec<Result<Schedule<JobError>, GraphError>>,
    tasks: Mutex<Tasks>,
    /// All runs, and the programs that they have started.
    pub(super) tracker: TaskTracker,
    /// Set when nothing more may begin.
    closing: CancellationToken,
    /// Runs that may run at once; None is any number.
    places: Option<Semaphore>,
    /// The number of the next run, and of what it waits for.
    next: AtomicU64,
}

impl Engine {
    /// An engine of a checked file. It needs a runtime only to run.
    pub fn new(compose: Arc<Compose>, tools: Tools) -> Self {
        let every = compose.every_component();
        let components = every.iter().enumerate();
        let components = components.map(|(place, component)| (address(component), place));
        let most = compose.controller.as_ref();
        let most = most.and_then(|controller| controller.max_concurrent_count);
        let places =
            most.map(|most| Semaphore::new(usize::try_from(most.get()).unwrap_or(usize::MAX >> 3)));
        Self(Arc::new(Inner {
            components: components.collect(),
            schedules: compose.workflows.iter().map(Schedule::new).collect(),
            limits: Limits::new(&compose),
            compose,
            tools,
            tasks: Mutex::default(),
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            places,
            next: AtomicU64::new(0),
        }))
    }

    /// The file.
    pub fn compose(&self) -> &Compose {
        &self.0.compose
    }

    /// Starts a run of a workflow, [`DEFAULT`](crate::model::DEFAULT) included, and does not wait. A
    /// private workflow is one too: who serves strangers asks whether it is.
    ///
    /// # Errors
    ///
    /// There is no such workflow, there are too many runs, or the engine is closing.
    pub fn start(&self, workflow: &str, input: Value) -> Result<TaskId, StartError> {
        let found = self.0.compose.workflow(workflow);
        let found = found.map_err(|missing| StartError::Missing {
            workflow: workflow.to_owned(),
            missing,
        })?;
        let place = self.0.place_of(found);
        let task = new_id()?;
        let mut tasks = self.0.tasks();
        tasks.forget(now());
        if self.0.closing.is_cancelled() {
            return Err(StartError::Closing);
        }
        if tasks.running() >= limits::RUNS {
            return Err(StartError::Full);
        }
        let stop = CancellationToken::new();
        let board = Board::new(task.clone(), found, stop);
        tasks.add(task.clone(), board.clone());
        let number = RunNumber(self.0.next.fetch_add(1, Ordering::Relaxed));
        let run = Run {
            engine: Arc::clone(&self.0),
            board,
            number,
            task: task.clone(),
            programs: TaskTracker::new(),
            depth: 0,
            prefix: String::new(),
        };
        let input = Arc::new(input);
        let mut ending = Ending { run, last: None };
        // The handle is not needed: the tracker knows when it has ended, and the board how. The lock is
        // held until it is there, so that who closes the engine waits for it.
        drop(self.0.tracker.spawn(async move {
            ending.last = keep(&ending.run, place, input).await;
            drop(ending);
        }));
        drop(tasks);
        Ok(task)
    }

    /// Where a run stands.
    pub fn report(&self, task: &TaskId) -> Option<Arc<Report>> {
        Some(self.board(task)?.report())
    }

    /// Where a run stands, and each change of it.
    pub fn watch(&self, task: &TaskId) -> Option<watch::Receiver<Arc<Report>>> {
        Some(self.board(task)?.watch())
    }

    /// The last report of a run, once it is over.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing: the run goes on.
    pub async fn ended(&self, task: &TaskId) -> Option<Arc<Report>> {
        let mut reports = self.watch(task)?;
        let ended = reports.wait_for(|report| report.status.is_final()).await;
        ended.ok().map(|report| Arc::clone(&report))
    }

    /// Lets a job go on that waits for a person. What is answered takes the place of the job's input
    /// if it has yet to run, of its output if it has run; null and nothing change neither.
    ///
    /// # Errors
    ///
    /// There is no such run, or the job waits for nobody.
    pub fn resume(
        &self,
        task: &TaskId,
        job: &str,
        answer: Option<Value>,
    ) -> Result<(), ResumeError> {
        let board = self.board(task).ok_or(ResumeError::NotFound)?;
        if board.answer(job, answer) {
            Ok(())
        } else {
            Err(ResumeError::NotWaiting)
        }
    }

    /// Stops a run. It is over when what it does has ended.
    ///
    /// # Errors
    ///
    /// There is no such run, or it is over.
    pub fn cancel(&self, task: &TaskId) -> Result<(), CancelError> {
        let board = self.board(task).ok_or(CancelError::NotFound)?;
        if board.tell_to_stop() {
            Ok(())
        } else {
            Err(CancelError::Over)
        }
    }

    fn board(&self, task: &TaskId) -> Option<Board> {
        let mut tasks = self.0.tasks();
        tasks.forget(now());
        tasks.get(task).cloned()
    }

    /// A text for people, without the secrets in it. Errors of runs are told like that already; those
    /// of a stream that a run gave are not.
    pub fn masked(&self, text: &str) -> String {
        self.0.tools.secrets.mask(text).into_owned()
    }

    /// How many runs are not over.
    pub fn running(&self) -> usize {
        self.0.tasks().running()
    }

    /// Whether nothing more may begin.
    pub fn is_closing(&self) -> bool {
        self.0.closing.is_cancelled()
    }

    /// Starts nothing more. What runs goes on.
    pub fn stop_starting(&self) {
        let tasks = self.0.tasks();
        self.0.closing.cancel();
        drop(tasks);
    }

    /// Starts nothing more, waits for what runs, and stops what has not ended `within` that time.
    /// When this returns, all that was started has ended.
    pub async fn close(&self, within: Duration) {
        self.stop_starting();
        self.0.tracker.close();
        if timeout(within, self.0.tracker.wait()).await.is_err() {
            let boards: Vec<Board> = self.0.tasks().boards().cloned().collect();
            info!("stopping {} run(s) that did not end", boards.len());
            for board in boards {
                board.tell_to_stop();
            }
            self.0.tracker.wait().await;
        }
        // A program whose lines nobody has read yet ends with them.
        let over = self.0.tasks().outputs();
        for report in over {
            let_go(&report.output);
        }
        self.0.tracker.wait().await;
    }
}

/// Lets go of the streams in a value that nobody has begun to read. Recurses as deep as the value, which is
/// bounded.
fn let_go(value: &Value) {
    match value {
        Value::Handle(_) => drop(Pieces::take(value)),
        Value::List(list) => list.iter().for_each(let_go),
        Value::Map(map) => map.values().for_each(let_go),
        Value::Null
        | Value::Boolean(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Text(_)
        | Value::Bytes(_)
        | Value::Pending(_) => {}
    }
}

impl Launch for Engine {
    fn launch(&self, workflow: &str, input: Value) -> Result<TaskId, StartError> {
        self.start(workflow, input)
    }
}

impl Runs for Engine {
    fn compose(&self) -> &Compose {
        Self::compose(self)
    }

    fn start(&self, workflow: &str, input: Value) -> Result<TaskId, StartError> {
        Self::start(self, workflow, input)
    }

    fn report(&self, task: &TaskId) -> Option<Arc<Report>> {
        Self::report(self, task)
    }

    fn watch(&self, task: &TaskId) -> Option<watch::Receiver<Arc<Report>>> {
        Self::watch(self, task)
    }

    fn resume(&self, task: &TaskId, job: &str, answer: Option<Value>) -> Result<(), ResumeError> {
        Self::resume(self, task, job, answer)
    }

    fn cancel(&self, task: &TaskId) -> Result<(), CancelError> {
        Self::cancel(self, task)
    }

    fn is_closing(&self) -> bool {
        Self::is_closing(self)
    }
}

impl Inner {
    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The component of a job.
    pub(super) fn component<'c>(
        &'c self,
        component: &'c ComponentRef,
    ) -> Result<&'c Component, JobError> {
        match component {
            ComponentRef::Inline(component) => Ok(component),
            ComponentRef::Named(id) => {
                let found = self.compose.component(id.as_str());
                found.map_err(|_| JobError::new(format!("Component not found: {}", id.as_str())))
            }
        }
    }

    /// A run of a workflow of the file that has not begun.
    pub(super) fn schedule(&self, workflow: &Workflow) -> Result<Schedule<JobError>, JobError> {
        match self.schedules.get(self.place_of(workflow)) {
            Some(Ok(schedule)) => Ok(schedule.another()),
            Some(Err(error)) => Err(JobError::chain(error)),
            None => Schedule::new(workflow).map_err(|error| JobError::chain(&error)),
        }
    }

    /// The place of a workflow among those of the file.
    fn place_of(&self, workflow: &Workflow) -> usize {
        let places = self.compose.workflows.iter();
        places
            .take_while(|one| !std::ptr::eq(*one, workflow))
            .count()
    }

    /// Its place among all components of the file.
    pub(super) fn place(&self, component: &Component) -> Option<usize> {
        self.components.get(&address(component)).copied()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn address(component: &Component) -> usize {
    std::ptr::from_ref(component).addr()
}

/// By tokio's clock, which tests can stop.
fn now() -> std::time::Instant {
    Instant::now().into_std()
}

/// A run from its wait for a place to its last word; None if the file has no such workflow.
async fn keep(run: &Run, place: usize, input: Arc<Value>) -> Option<Box<Last>> {
    let workflow = run.engine.compose.workflows.get(place)?;
    let Some(_turn) = Box::pin(turn(run)).await else {
        return Some(Box::new((Status::Cancelled, Value::Null, None)));
    };
    run.board.begin();
    let began = Instant::now();
    let task = &run.task;
    let id = || adit_text::escape(workflow.id.as_str());
    info!("[task-{task}] Workflow '{}' started.", id());
    let outcome = run::workflow(run, workflow, input).await;
    run.programs.close();
    Box::pin(run.programs.wait()).await;
    let (id, took) = (id(), began.elapsed().as_secs_f64());
    Some(Box::new(match outcome {
        Outcome::Done(output) => {
            info!("[task-{task}] Workflow '{id}' completed in {took:.2} seconds.");
            (Status::Completed, output, None)
        }
        Outcome::Failed(error) => {
            let error = error.masked(&run.engine.tools.secrets);
            error!(
                "[task-{task}] Workflow '{id}' failed: {}",
                error.on_one_line()
            );
            (Status::Failed, Value::Null, Some(error.to_string()))
        }
        Outcome::Cancelled => {
            info!("[task-{task}] Workflow '{id}' was cancelled.");
            (Status::Cancelled, Value::Null, None)
        }
    }))
}

/// Waits for a place; None if the run was stopped before.
async fn turn(run: &Run) -> Option<Option<tokio::sync::SemaphorePermit<'_>>> {
    let Some(places) = &run.engine.places else {
        return Some(None);
    };
    tokio::select! {
        biased;
        () = run.board.stop().cancelled() => None,
        // It is never closed.
        place = places.acquire() => place.ok().map(Some),
    }
}

/// How a run ended, what it gave, and why it failed.
type Last = (Status, Value, Option<String>);

/// Says that a run is over, also where it panicked.
struct Ending {
    run: Run,
    last: Option<Box<Last>>,
}

impl Drop for Ending {
    fn drop(&mut self) {
        let Self { run, last } = self;
        let (status, output, error) = match last.take() {
            Some(last) => *last,
            None => (Status::Failed, Value::Null, Some(PANICKED.to_owned())),
        };
        // Whoever hears of the end finds that it no longer counts.
        run.engine.tasks().leave();
        run.board.end(status, output, error);
        run.engine.tasks().over(&run.board.report(), now());
    }
}

const PANICKED: &str = "adit itself is at fault; its log says more";

/// An id that nobody can guess (security rule G80): the time, and 80 random bits that are fresh.
fn new_id() -> Result<TaskId, StartError> {
    let id = new_ulid().ok_or(StartError::Randomness)?;
    Ok(TaskId::new(id.to_string()))
}

/// A ULID with 80 fresh random bits; None if the system has no randomness.
pub(super) fn new_ulid() -> Option<Ulid> {
    let mut random = [0; 16];
    aws_lc_rs::rand::fill(&mut random).ok()?;
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let milliseconds = since.map_or(0, |since| since.as_millis());
    let milliseconds = u64::try_from(milliseconds).unwrap_or(u64::MAX);
    Some(Ulid::from_parts(milliseconds, u128::from_ne_bytes(random)))
}
