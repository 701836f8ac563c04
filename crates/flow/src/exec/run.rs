//! One run of a workflow: what the schedule says is done, and what comes of it is told to it.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::{AbortHandle, Abortable};
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::time::sleep_until;
use tracing::info;

use super::board::{Board, Teller, interruption};
use super::clock::{Clock, chance};
use super::engine::Inner;
use super::error::JobError;
use super::job::{self, Scope};
use super::names::{self, Names};
use super::report::{JobState, Phase, TaskId};
use super::until::until;
use super::{compare, limits};
use crate::callback::RunNumber;
use crate::expr::{Map, Value};
use crate::model::job::{Condition, Delay, If, Job, Kind, Pause, Random, Switch};
use crate::model::workflow::Workflow;
use crate::render;
use crate::schedule::{Cause, Input, JobIndex, Point, Schedule, Step, choose};

/// What all jobs of a run have in common. Clones are of the same run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) engine: Arc<Inner>,
    pub(super) board: Board,
    pub(super) number: RunNumber,
    pub(super) task: TaskId,
    /// How many workflows this one is inside.
    pub(super) depth: usize,
    /// What stands before the ids of its jobs where persons are asked: nothing, or `job/`.
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
enum End {
    Finished { output: Value, to: Option<JobIndex> },
    Delayed(std::time::Duration),
    Failed(JobError),
    Resumed(Point, Option<Value>),
    Stopped,
}

type Work<'a> = Pin<Box<dyn Future<Output = End> + Send + 'a>>;

/// The work of a job, and whose it is.
type Running<'a> = Pin<Box<dyn Future<Output = (JobIndex, End)> + Send + 'a>>;

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
        match Machine::new(run, workflow, input) {
            Ok(machine) => machine.run().await,
            Err(error) => Outcome::Failed(error),
        }
    })
}

struct Machine<'a> {
    run: &'a Run,
    workflow: &'a Workflow,
    input: Arc<Value>,
    context: Value,
    clock: Clock,
    schedule: Schedule<JobError>,
    works: FuturesUnordered<Running<'a>>,
    handles: BTreeMap<JobIndex, AbortHandle>,
    /// Inputs that persons gave.
    given: BTreeMap<JobIndex, Arc<Value>>,
    is_stopped: bool,
    /// Why the run is stopped, if not because somebody wants that.
    failure: Option<JobError>,
}

impl<'a> Machine<'a> {
    fn new(run: &'a Run, workflow: &'a Workflow, input: Arc<Value>) -> Result<Self, JobError> {
        let context = [("task_id".to_owned(), run.task.as_str().into())];
        Ok(Self {
            run,
            workflow,
            input,
            context: Value::Map(Map::from_iter(context)),
            clock: Clock::start(),
            schedule: Schedule::new(workflow).map_err(|error| JobError::chain(&error))?,
            works: FuturesUnordered::new(),
            handles: BTreeMap::new(),
            given: BTreeMap::new(),
            is_stopped: false,
            failure: None,
        })
    }

    async fn run(mut self) -> Outcome {
        let mut inputs = vec![Input::Start];
        loop {
            while let Some(input) = inputs.pop() {
                for step in self.schedule.take(input, self.clock.now(), chance()) {
                    if let Some(outcome) = self.step(step, &mut inputs) {
                        return outcome;
                    }
                }
            }
            inputs.push(self.next().await);
        }
    }

    /// Waits for what happens next.
    async fn next(&mut self) -> Input<JobError> {
        let due = self.schedule.due().map(|due| self.clock.at(due));
        let due = async {
            match due {
                Some(due) => sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        let stop = self.run.board.stop();
        let (job, end) = tokio::select! {
            biased;
            () = stop.cancelled(), if !self.is_stopped => {
                self.is_stopped = true;
                return Input::Cancel;
            }
            Some(ended) = self.works.next(), if !self.works.is_empty() => ended,
            () = due => return Input::Due,
        };
        self.handles.remove(&job);
        self.ended(job, end)
    }

    fn ended(&mut self, job: JobIndex, end: End) -> Input<JobError> {
        match end {
            End::Finished { output, to } => {
                self.done(job);
                Input::Finished { job, output, to }
            }
            End::Delayed(delay) => Input::Delayed { job, delay },
            End::Failed(error) => {
                let id = self.shown(job);
                info!("[task-{}] Job '{id}' failed: {error}", self.run.task);
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
        }
    }

    fn done(&self, job: JobIndex) {
        let mut began = None;
        self.tell(job, |report| {
            report.end(JobState::Done);
            began = report.began.zip(report.ended);
        });
        let id = self.shown(job);
        let took = began.map_or(0.0, |(began, ended)| {
            ended.saturating_duration_since(began).as_secs_f64()
        });
        let task = &self.run.task;
        info!("[task-{task}] Job '{id}' completed in {took:.2} seconds.");
    }

    /// Does what a step says; the last one says how the run ended.
    fn step(&mut self, step: Step<JobError>, inputs: &mut Vec<Input<JobError>>) -> Option<Outcome> {
        match step {
            Step::Run { job, attempt } => {
                let attempt = attempt.get();
                if attempt == 1 {
                    let id = self.shown(job);
                    info!("[task-{}] Job '{id}' started.", self.run.task);
                }
                self.tell(job, |report| {
                    report.begin(JobState::Running);
                    report.attempt = attempt;
                });
                self.begin(job, inputs);
            }
            Step::Finish { job } => {
                let end = self.output(job, &Value::Null, None);
                inputs.push(self.ended(job, end));
            }
            Step::Recover { job, error } => {
                let end = self.recovered(job, &error);
                inputs.push(self.ended(job, end));
            }
            Step::Wait { job, .. } => self.tell(job, |report| report.begin(JobState::Delayed)),
            Step::Interrupted { job, point } => self.interrupted(job, point, inputs),
            Step::Stop { job } => {
                if let Some(handle) = self.handles.remove(&job) {
                    handle.abort();
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
    fn begin(&mut self, job: JobIndex, inputs: &mut Vec<Input<JobError>>) {
        let Some(found) = self.job(job) else { return };
        let end = match &found.kind {
            Kind::Component(component) => {
                let work = job::component(self.run, component, found.output.as_ref());
                let teller = self.teller(job);
                let work = work(self.scope(job, found), teller);
                return self.spawn(job, work_of(work));
            }
            Kind::ForEach(for_each) => {
                let (scope, teller) = (self.scope(job, found), self.teller(job));
                let output = found.output.as_ref();
                let work = job::for_each(self.run, for_each, output, scope, teller);
                return self.spawn(job, work_of(work));
            }
            Kind::Filter => self.output(job, &self.input, None),
            Kind::Delay(delay) => match self.delay(job, delay) {
                Ok(delay) => End::Delayed(delay),
                Err(error) => End::Failed(error),
            },
            Kind::If(router) => self.routed(job, |names| conditional(router, names)),
            Kind::Switch(router) => self.routed(job, |names| switch(router, names)),
            Kind::Random(router) => {
                let number = chance();
                self.routed(job, |names| random(router, names, number))
            }
        };
        inputs.push(self.ended(job, end));
    }

    fn spawn(&mut self, job: JobIndex, work: Work<'a>) {
        let (handle, registration) = AbortHandle::new_pair();
        self.handles.insert(job, handle);
        let work = Abortable::new(work, registration);
        self.works.push(Box::pin(async move {
            (job, work.await.unwrap_or(End::Stopped))
        }));
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

    fn delay(&self, job: JobIndex, delay: &Delay) -> Result<std::time::Duration, JobError> {
        let jobs = self.jobs(job);
        let names = self.names(&jobs);
        match delay {
            Delay::For(setting) => Ok(render::duration(setting, &names)?),
            Delay::Until { time, timezone } => {
                let time = render::string(time, &names)?;
                let zone = timezone.as_ref().map(|zone| render::string(zone, &names));
                until(&time, zone.transpose()?.as_deref(), Timestamp::now())
            }
        }
    }

    /// What a job gives that is done here: its `output`, or nothing. `result` is what its `output`
    /// calls so.
    fn output(&self, job: JobIndex, result: &Value, to: Option<JobIndex>) -> End {
        let Some(written) = self.job(job).and_then(|job| job.output.as_ref()) else {
            let output = Value::Null;
            return End::Finished { output, to };
        };
        let jobs = self.jobs(job);
        match render::tree(written, &self.names(&jobs).with("output", result)) {
            Ok(output) => End::Finished { output, to },
            Err(error) => End::Failed(error.into()),
        }
    }

    fn recovered(&self, job: JobIndex, error: &JobError) -> End {
        let on_error = self.job(job).and_then(|job| job.on_error.as_ref());
        let Some(written) = on_error.and_then(|on_error| on_error.output.as_ref()) else {
            let (output, to) = (Value::Null, None);
            return End::Finished { output, to };
        };
        let (jobs, error) = (self.jobs(job), error.value());
        match render::tree(written, &self.names(&jobs).with("error", &error)) {
            Ok(output) => End::Finished { output, to: None },
            Err(error) => End::Failed(error.into()),
        }
    }

    fn last_output(&self, output: Value) -> Result<Value, JobError> {
        let Some(written) = &self.workflow.output else {
            return Ok(output);
        };
        let all = self.workflow.jobs.iter().filter_map(|job| {
            let index = self.schedule.job(job.id.as_str())?;
            Some((job.id.as_str(), self.schedule.output(index)?))
        });
        let jobs = names::jobs(all);
        let names = self.names(&jobs);
        Ok(render::tree(written, &names.with("output", &output))?)
    }

    /// Asks a person, unless a condition says that nobody is to be asked.
    fn interrupted(&mut self, job: JobIndex, point: Point, inputs: &mut Vec<Input<JobError>>) {
        let Some(found) = self.job(job) else { return };
        let pause = match point {
            Point::Before => found.interrupt.before.as_ref(),
            Point::After => found.interrupt.after.as_ref(),
        };
        let asked = pause.map_or(Ok(None), |pause| self.question(job, found, point, pause));
        match asked {
            Ok(None) => inputs.push(Input::Resume { job }),
            // It fails as it would if its own work had.
            Err(error) => {
                info!(
                    "[task-{}] interrupt of job '{}': {error}",
                    self.run.task,
                    self.shown(job)
                );
                self.failure = Some(error);
                inputs.push(Input::Cancel);
            }
            Ok(Some(question)) => {
                info!(
                    "[task-{}] Job '{}' waits for a person.",
                    self.run.task,
                    self.shown(job)
                );
                self.tell(job, |report| report.begin(JobState::Interrupted));
                let board = self.run.board.clone();
                let work = async move { End::Resumed(point, board.ask(question).await) };
                self.spawn(job, Box::pin(work));
            }
        }
    }

    fn question(
        &self,
        job: JobIndex,
        found: &Job,
        point: Point,
        pause: &Pause,
    ) -> Result<Option<super::report::Interruption>, JobError> {
        let jobs = self.jobs(job);
        let names = self.names(&jobs);
        let input = match &found.kind {
            Kind::Component(component) => job::input(component, &names, &self.input)?,
            Kind::ForEach(for_each) => Arc::new(render::tree(&for_each.input, &names)?),
            Kind::Delay(_) | Kind::If(_) | Kind::Switch(_) | Kind::Random(_) | Kind::Filter => {
                Arc::clone(&self.input)
            }
        };
        let mut own = Map::new();
        own.insert("input".into(), (*input).clone());
        if let Some(output) = self.schedule.held(job) {
            own.insert("output".into(), output.clone());
        }
        let own = Value::Map(own);
        let names = names.with("job", &own);
        if let Some(condition) = &pause.condition
            && !holds(condition, &names, &own)?
        {
            return Ok(None);
        }
        let message = pause.message.as_ref();
        let message = message.map(|text| render::string(text, &names));
        let metadata = pause.metadata.as_ref();
        let metadata = metadata.map(|written| render::tree(written, &names));
        let phase = match point {
            Point::Before => Phase::Before,
            Point::After => Phase::After,
        };
        Ok(Some(interruption(
            format!("{}{}", self.run.prefix, found.id.as_str()),
            phase,
            message.transpose()?,
            metadata.transpose()?.unwrap_or_default(),
        )))
    }

    fn job(&self, job: JobIndex) -> Option<&'a Job> {
        self.workflow.jobs.get(job.get())
    }

    fn shown(&self, job: JobIndex) -> String {
        let job = self.job(job);
        job.map_or_else(String::new, |job| adit_text::show(job.id.as_str()))
            .trim_matches('"')
            .to_owned()
    }

    /// What a job sees of the jobs before it.
    fn jobs(&self, job: JobIndex) -> Value {
        let wanted = self.job(job).map(names::jobs_named);
        let outputs = self.workflow.jobs.iter().filter_map(|job| {
            let id = job.id.as_str();
            let is_wanted = match &wanted {
                Some(Some(ids)) => ids.contains(id),
                Some(None) | None => true,
            };
            let output = is_wanted.then(|| self.schedule.output(self.schedule.job(id)?));
            Some((id, output??))
        });
        names::jobs(outputs)
    }

    fn names<'n>(&'n self, jobs: &'n Value) -> Names<'n> {
        Names::new(&[
            ("input", &self.input),
            ("jobs", jobs),
            ("context", &self.context),
        ])
    }

    fn scope(&self, job: JobIndex, found: &Job) -> Scope {
        Scope {
            input: Arc::clone(&self.input),
            jobs: self.jobs(job),
            context: self.context.clone(),
            item: None,
            given: self.given.get(&job).cloned(),
            id: found.id.as_str().to_owned(),
        }
    }

    /// Of a workflow inside another the jobs are not among those that are told of.
    fn teller(&self, job: JobIndex) -> Teller {
        let place = (self.run.depth == 0).then_some(job.get());
        Teller::new(&self.run.board, place)
    }

    fn tell(&self, job: JobIndex, change: impl FnOnce(&mut super::report::JobReport)) {
        if self.run.depth == 0 {
            self.run.board.job(job.get(), change);
        }
    }
}

fn work_of<'a>(work: impl Future<Output = Result<Value, JobError>> + Send + 'a) -> Work<'a> {
    Box::pin(async move {
        match work.await {
            Ok(output) => End::Finished { output, to: None },
            Err(error) => End::Failed(error),
        }
    })
}

/// Whether a condition holds; `whole` is what it looks at if it does not say.
fn holds(condition: &Condition, names: &Names<'_>, whole: &Value) -> Result<bool, JobError> {
    let input = match &condition.input {
        Some(written) => &render::tree(written, names)?,
        None => whole,
    };
    let value = match &condition.value {
        Some(written) => render::tree(written, names)?,
        None => Value::Null,
    };
    compare::holds(condition.operator, input, &value)
}

fn conditional(router: &If, names: &Names<'_>) -> Result<Option<String>, JobError> {
    let whole = names.value("input");
    for condition in &router.conditions {
        let to = if holds(condition, names, &whole)? {
            &condition.if_true
        } else {
            &condition.if_false
        };
        if let Some(to) = to {
            return Ok(Some(to.as_str().to_owned()));
        }
    }
    Ok(router.otherwise.as_ref().map(|id| id.as_str().to_owned()))
}

fn switch(router: &Switch, names: &Names<'_>) -> Result<Option<String>, JobError> {
    let input = match &router.input {
        Some(written) => render::tree(written, names)?,
        None => names.value("input"),
    };
    for case in &router.cases {
        let value = match &case.value {
            Some(written) => render::tree(written, names)?,
            None => Value::Null,
        };
        if compare::is_same(&input, &value) {
            return Ok(Some(case.then.as_str().to_owned()));
        }
    }
    Ok(router.otherwise.as_ref().map(|id| id.as_str().to_owned()))
}

/// By chance, or always the same for the same `session` and `salt`.
fn random(router: &Random, names: &Names<'_>, chance: u64) -> Result<Option<String>, JobError> {
    let chance = match &router.session {
        None => chance,
        Some(session) => {
            let mut text = render::string(session, names)?;
            if let Some(salt) = &router.salt {
                text.push('\n');
                text.push_str(&render::string(salt, names)?);
            }
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            let first = digest.as_ref().first_chunk::<8>();
            first.map_or(chance, |bytes| u64::from_be_bytes(*bytes))
        }
    };
    Ok(choose(router, chance).map(|id| id.as_str().to_owned()))
}
