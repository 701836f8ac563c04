//! One run of a workflow: what the schedule says is done, and what comes of it is told to it.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::OptionFuture;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::TaskTracker;
use tracing::info;

use super::board::{Board, Teller};
use super::clock::{Clock, chance};
use super::engine::Inner;
use super::error::JobError;
use super::job;
use super::limits;
use super::names::Names;
use super::report::{JobReport, JobState, TaskId};
use super::settle::{is_settled, settle};
use crate::callback::RunNumber;
use crate::expr::Value;
use crate::model::job::{Job, Kind};
use crate::model::workflow::Workflow;
use crate::schedule::{Cause, Input, JobIndex, Point, Schedule, Step};

mod ask;
mod give;
mod route;
mod works;

use works::{Work, Works};

/// What all jobs of a run have in common. Clones are of the same run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) engine: Arc<Inner>,
    pub(super) board: Board,
    pub(super) number: RunNumber,
    pub(super) task: TaskId,
    /// Programs of its jobs. One whose job was stopped ends in its own time, and the run after it.
    pub(super) programs: TaskTracker,
    /// How many workflows this one is inside.
    pub(super) depth: usize,
    /// What stands before the ids of its jobs where people see them: nothing, or `job/`.
    pub(super) prefix: String,
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Outcome {
    Done(Value),
    Failed(JobError),
    Cancelled,
}

/// How a job's work ended.
#[derive(Debug)]
enum End {
    Finished { output: Value, to: Option<JobIndex> },
    Delayed(Duration),
    Failed(JobError),
    Resumed(Point, Option<Value>),
    Stopped,
}

/// Runs a workflow to its end. The future is on the heap: workflows run workflows.
///
/// # Cancel safety
///
/// Dropping the future ends all that the run has begun.
pub(super) fn workflow<'a>(
    run: &'a Run,
    workflow: &'a Workflow,
    input: Arc<Value>,
) -> Pin<Box<dyn Future<Output = Outcome> + Send + 'a>> {
    Box::pin(async move {
        if run.depth >= limits::WORKFLOW_DEPTH {
            let most = limits::WORKFLOW_DEPTH;
            let words = format!("more than {most} workflows inside one another");
            return Outcome::Failed(JobError::new(words));
        }
        let outcome = {
            // Not in the arm of a match, where what is matched would be held as well.
            let mut machine = match Machine::new(run, workflow, input) {
                Ok(machine) => machine,
                Err(error) => return Outcome::Failed(error),
            };
            machine.run().await
        };
        let Outcome::Done(output) = outcome else {
            return outcome;
        };
        tokio::select! {
            biased;
            () = run.board.stop().cancelled() => Outcome::Cancelled,
            settled = settle(output, &run.engine.tools, None) => match settled {
                Ok(output) => Outcome::Done(output),
                Err(error) => Outcome::Failed(error),
            },
        }
    })
}

struct Machine<'a> {
    run: &'a Run,
    workflow: &'a Workflow,
    input: Arc<Value>,
    clock: Clock,
    schedule: Schedule<JobError>,
    works: Works<'a>,
    /// Of each job, when it began, until it is done.
    began: Vec<Option<Instant>>,
    /// Inputs that persons gave.
    given: BTreeMap<JobIndex, Arc<Value>>,
    /// What the schedule has to be told, the first first.
    inputs: VecDeque<Input<JobError>>,
    is_stopped: bool,
    /// Why the run is stopped, if not because somebody wants that.
    failure: Option<JobError>,
}

impl<'a> Machine<'a> {
    fn new(run: &'a Run, workflow: &'a Workflow, input: Arc<Value>) -> Result<Self, JobError> {
        Ok(Self {
            run,
            workflow,
            input,
            clock: Clock::start(),
            schedule: run.engine.schedule(workflow)?,
            works: Works::new(workflow.jobs.len()),
            began: vec![None; workflow.jobs.len()],
            given: BTreeMap::new(),
            inputs: VecDeque::from([Input::Start]),
            is_stopped: false,
            failure: None,
        })
    }

    async fn run(&mut self) -> Outcome {
        loop {
            while let Some(input) = self.inputs.pop_front() {
                for step in self.schedule.take(input, self.clock.now(), chance()) {
                    if let Some(outcome) = self.step(step) {
                        return outcome;
                    }
                }
            }
            self.inputs.shrink_to_fit();
            self.next().await;
        }
    }

    /// Waits for what happens next.
    async fn next(&mut self) {
        // On the heap: most runs have nothing that is due.
        let due = self.schedule.due();
        let due = due.map(|due| Box::pin(sleep_until(self.clock.at(due))));
        let stop = self.run.board.stop();
        tokio::select! {
            biased;
            () = stop.cancelled(), if !self.is_stopped => {
                self.is_stopped = true;
                self.inputs.push_back(Input::Cancel);
            }
            (job, end) = self.works.next() => self.end(job, end),
            Some(()) = OptionFuture::from(due) => self.inputs.push_back(Input::Due),
        }
    }

    /// A job's work, or a part of it, is over.
    fn end(&mut self, job: JobIndex, end: End) {
        let input = match end {
            End::Finished { output, to } => {
                self.done(job);
                Input::Finished { job, output, to }
            }
            End::Delayed(delay) => Input::Delayed { job, delay },
            End::Failed(error) => {
                let error = error.masked(&self.run.engine.tools.secrets);
                info!(
                    "[task-{}] Job '{}' failed: {}",
                    self.run.task,
                    self.shown(job),
                    error.on_one_line()
                );
                self.tell(job, |report| report.end(JobState::Failed));
                Input::Failed { job, error }
            }
            End::Resumed(point, answer) => {
                match (point, answer.filter(|answer| !answer.is_null())) {
                    (Point::Before, Some(input)) => {
                        self.given.insert(job, Arc::new(input));
                    }
                    (Point::After, Some(output)) => self.schedule.replace_held(job, output),
                    (_, None) => {}
                }
                if point == Point::After {
                    self.tell(job, |report| report.end(JobState::Done));
                }
                Input::Resume { job }
            }
            End::Stopped => {
                self.tell(job, |report| report.end(JobState::Stopped));
                let error = JobError::new("it was stopped");
                Input::Failed { job, error }
            }
        };
        self.inputs.push_back(input);
    }

    fn began(&mut self, job: JobIndex) {
        if let Some(began) = self.began.get_mut(job.get()) {
            *began = Some(Instant::now());
        }
        info!(
            "[task-{}] Job '{}' started.",
            self.run.task,
            self.shown(job)
        );
    }

    fn done(&mut self, job: JobIndex) {
        self.tell(job, |report| report.end(JobState::Done));
        let began = self.began.get_mut(job.get()).and_then(Option::take);
        info!(
            "[task-{}] Job '{}' completed in {:.2} seconds.",
            self.run.task,
            self.shown(job),
            began.map_or(0.0, |began| began.elapsed().as_secs_f64())
        );
    }

    /// Does what a step says; the last one says how the run ended.
    fn step(&mut self, step: Step<JobError>) -> Option<Outcome> {
        match step {
            Step::Run { job, attempt } => {
                let attempt = attempt.get();
                if attempt == 1 {
                    self.began(job);
                }
                self.tell(job, |report| {
                    if attempt == 1 {
                        report.began = None;
                    }
                    report.begin(JobState::Running);
                    report.attempt = attempt;
                });
                self.begin(job);
            }
            Step::Finish { job } => {
                let end = self.output(job, &Value::Null, None);
                self.conclude(job, end);
            }
            Step::Recover { job, error } => {
                let end = self.recovered(job, &error);
                self.conclude(job, end);
            }
            Step::Wait { job, .. } => {
                // A delay whose length is known does nothing else.
                if self.began.get(job.get()).is_none_or(Option::is_none) {
                    self.began(job);
                }
                self.tell(job, |report| report.begin(JobState::Delayed));
            }
            Step::Interrupted { job, point } => self.interrupted(job, point),
            Step::Stop { job } => {
                if self.works.stop(job) {
                    self.end(job, End::Stopped);
                }
            }
            Step::Skip { job } => self.tell(job, |report| report.state = JobState::Skipped),
            Step::Done { output } => {
                return Some(match self.last_output(output) {
                    Ok(output) => Outcome::Done(output),
                    Err(error) => Outcome::Failed(error),
                });
            }
            Step::Failed { cause } => {
                return Some(Outcome::Failed(match cause {
                    Cause::Job { error, .. } => error,
                    Cause::RunTooOften { job, max_run_count } => JobError::new(format!(
                        "job '{}' was to run more than {max_run_count} times (max_run_count)",
                        self.shown(job)
                    )),
                }));
            }
            Step::Cancelled => {
                return Some(match self.failure.take() {
                    Some(error) => Outcome::Failed(error),
                    None => Outcome::Cancelled,
                });
            }
        }
        None
    }

    /// Begins the work of a job, or does it if it is only a decision.
    fn begin(&mut self, job: JobIndex) {
        let Some(found) = self.job(job) else { return };
        let end = match &found.kind {
            Kind::Component(component) => {
                let work = job::component(self.run, component, found.output.as_ref());
                let teller = self.teller(job);
                let work = work(self.scope(job, found), teller);
                return self.works.begin(job, work_of(work));
            }
            Kind::ForEach(for_each) => {
                let (scope, teller) = (self.scope(job, found), self.teller(job));
                let output = found.output.as_ref();
                let work = job::for_each(self.run, for_each, output, scope, teller);
                return self.works.begin(job, work_of(work));
            }
            Kind::Filter => self.output(job, &self.input, None),
            Kind::Delay(delay) => match self.delay(job, delay) {
                Ok(delay) => End::Delayed(delay),
                Err(error) => End::Failed(error),
            },
            Kind::If(router) => self.routed(job, |names| route::conditional(router, names)),
            Kind::Switch(router) => self.routed(job, |names| route::switch(router, names)),
            Kind::Random(router) => {
                let number = chance();
                self.routed(job, |names| route::random(router, names, number))
            }
        };
        self.conclude(job, end);
    }

    fn routed(
        &self,
        job: JobIndex,
        route: impl FnOnce(&Names<'_>) -> Result<Option<String>, JobError>,
    ) -> End {
        let jobs = self.jobs(job);
        match route(&self.names(&jobs)) {
            Ok(to) => {
                let to = to.and_then(|id| self.schedule.job(&id));
                self.output(job, &self.input, to)
            }
            Err(error) => End::Failed(error),
        }
    }

    /// The end of what was done at once, when what it gives is read if that is elsewhere.
    fn conclude(&mut self, job: JobIndex, end: End) {
        let (output, to) = match end {
            End::Finished { output, to } if !is_settled(&output) => (output, to),
            End::Finished { .. }
            | End::Delayed(_)
            | End::Failed(_)
            | End::Resumed(..)
            | End::Stopped => return self.end(job, end),
        };
        let tools = &self.run.engine.tools;
        let work = async move {
            match settle(output, tools, None).await {
                Ok(output) => End::Finished { output, to },
                Err(error) => End::Failed(error),
            }
        };
        self.works.begin(job, Box::pin(work));
    }

    fn job(&self, job: JobIndex) -> Option<&'a Job> {
        self.workflow.jobs.get(job.get())
    }

    /// The id of a job for people, behind those of the jobs that its workflow is inside.
    fn shown(&self, job: JobIndex) -> String {
        let id = self.job(job).map_or("", |job| job.id.as_str());
        adit_text::escape(&format!("{}{id}", self.run.prefix))
    }

    /// Of a workflow inside another the jobs are not among those that are told of.
    fn teller(&self, job: JobIndex) -> Teller {
        let place = (self.run.depth == 0).then_some(job.get());
        Teller::new(&self.run.board, place)
    }

    fn tell(&self, job: JobIndex, change: impl FnOnce(&mut JobReport)) {
        if self.run.depth == 0 {
            self.run.board.job(job.get(), change);
        }
    }
}

fn work_of<'a>(work: impl Future<Output = Result<Value, JobError>> + Send + 'a) -> Work<'a> {
    Box::pin(work.map(|given| match given {
        Ok(output) => End::Finished { output, to: None },
        Err(error) => End::Failed(error),
    }))
}
