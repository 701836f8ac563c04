//! Decides what a run of a workflow does next: pure, without a clock, chance, I/O or `async`.
//!
//! A [`Schedule`] is told what has happened ([`Input`]) and answers with what is to be done, in this
//! order ([`Step`]). It renders nothing and compares nothing: whoever runs jobs does, and says what
//! came of it. The same inputs always give the same steps.
//!
//! - A job that no other leads to runs when of each group that it waits for one is done. One that
//!   others lead to runs once for each time that one of them does, never twice at the same time.
//!   Jobs that may run at the same moment begin in the order of the file.
//! - What waits for a job that is led to again runs again after it. [`Job::max_run_count`] bounds
//!   that: one run more, and the workflow fails.
//! - A job that no longer can run is skipped, and with it what waits for nothing else.
//! - A failed job is tried again as its `retry` says; then its `on_error` counts, and without one
//!   the workflow fails. With `on_error.to` the run goes on there *instead*: for all but that job
//!   the failed one is not done.
//! - Where a person is waited for, the job stands still and the others go on.
//! - After a failure or a [`Input::Cancel`] nothing begins any more. What runs is told to stop, and
//!   the last step comes when all of it has ended; so nothing of a run is left when it is over.
//! - A run always ends: while it is not over, something runs, is due or waits for a person.
//!
//! Time is a [`Duration`] since any moment that stays the same during a run, and never goes back.
//!
//! [`Job::max_run_count`]: crate::model::job::Job::max_run_count

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use crate::expr::Value;
use crate::model::workflow::Workflow;

mod batch;
mod chance;
pub mod limits;
mod output;
mod plan;
mod possible;
mod retry;
mod round;
mod step;
mod work;

pub use batch::{Batch, BatchInput, BatchRules, BatchStep, ItemError, TooManyItems};
pub use chance::choose;
pub use plan::GraphError;
pub use step::{Cause, Input, JobIndex, Point, Step};

use plan::{Plan, Rule};
use work::{State, Work};

/// A run of a workflow: what each job does, and what has come of those that are done. `E` is why a
/// job can fail; it is handed through.
#[derive(Debug)]
pub struct Schedule<E> {
    plan: Arc<Plan>,
    work: Vec<Work>,
    /// Jobs that gave something, the last one last.
    order: Vec<usize>,
    phase: Phase<E>,
}

#[derive(Debug)]
enum Phase<E> {
    New,
    Running,
    /// Waiting for what was told to stop.
    Ending(Box<Step<E>>),
    Over,
}

impl<E> Schedule<E> {
    /// The run of a workflow that has not begun.
    ///
    /// # Errors
    ///
    /// None for the workflows of a checked file: ids that lead nowhere, ids that come twice, and
    /// jobs that can never run.
    pub fn new(workflow: &Workflow) -> Result<Self, GraphError> {
        let plan = Plan::new(workflow)?;
        let schedule = Self::of(Arc::new(plan));
        match schedule.impossible().first() {
            Some(job) => Err(GraphError::NeverRuns { job: *job }),
            None => Ok(schedule),
        }
    }

    /// Another run of the same workflow, which has not begun: the two share what never changes.
    #[must_use]
    pub fn another(&self) -> Self {
        Self::of(Arc::clone(&self.plan))
    }

    fn of(plan: Arc<Plan>) -> Self {
        Self {
            work: vec![Work::default(); plan.len()],
            plan,
            order: Vec::new(),
            phase: Phase::New,
        }
    }

    /// The job of an id.
    pub fn job(&self, id: &str) -> Option<JobIndex> {
        self.plan.job(id)
    }

    /// What a job gave when it last succeeded: `jobs.ID.output`.
    pub fn output(&self, job: JobIndex) -> Option<&Value> {
        self.work.get(job.0)?.output.as_ref()
    }

    /// What a job that is interrupted after its work will give.
    pub fn held(&self, job: JobIndex) -> Option<&Value> {
        match self.state(job) {
            Some(State::Held { output, .. }) => Some(output),
            _ => None,
        }
    }

    /// A person gives something else in the place of what a job that is interrupted after its work
    /// would.
    pub fn replace_held(&mut self, job: JobIndex, output: Value) {
        if let Some(work) = self.work.get_mut(job.0)
            && let State::Held { output: held, .. } = &mut work.state
        {
            *held = output;
        }
    }

    /// Where a job waits for a person, if it does.
    pub fn interrupted(&self, job: JobIndex) -> Option<Point> {
        match self.state(job) {
            Some(State::Asked) => Some(Point::Before),
            Some(State::Held { .. }) => Some(Point::After),
            _ => None,
        }
    }

    /// When [`Input::Due`] is wanted next. One that comes too early changes nothing.
    pub fn due(&self) -> Option<Duration> {
        self.work.iter().filter_map(|work| work.state.due()).min()
    }

    /// Whether the last step has been given.
    pub fn is_over(&self) -> bool {
        matches!(self.phase, Phase::Over)
    }

    /// Takes what has happened and says what is to be done. `chance` is any random number: it sets
    /// apart the pauses of runs that failed together.
    pub fn take(&mut self, input: Input<E>, now: Duration, chance: u64) -> Vec<Step<E>> {
        let mut steps = Vec::new();
        match input {
            Input::Start => {
                if matches!(self.phase, Phase::New) {
                    self.phase = Phase::Running;
                }
            }
            Input::Finished { job, output, to } => self.finished(job, output, to, &mut steps),
            Input::Failed { job, error } => self.failed(job, error, now, chance, &mut steps),
            Input::Delayed { job, delay } => {
                if let Some(State::Running { attempt }) = self.state(job) {
                    let attempt = *attempt;
                    self.delay(job, attempt, now.saturating_add(delay), &mut steps);
                }
            }
            Input::Due => self.go_on_with_what_is_due(now, &mut steps),
            Input::Resume { job } => self.resume(job, now, &mut steps),
            Input::Cancel => self.end(Step::Cancelled, &mut steps),
        }
        self.begin_all(now, &mut steps);
        self.close(&mut steps);
        debug_assert!(
            self.check(),
            "a run that is not over can go on: {:?}",
            self.work
        );
        steps
    }

    fn state(&self, job: JobIndex) -> Option<&State> {
        Some(&self.work.get(job.0)?.state)
    }

    fn set(&mut self, job: JobIndex, state: State) {
        if let Some(work) = self.work.get_mut(job.0) {
            work.state = state;
        }
    }

    /// Begins what may begin, in the order of the file, unless one of them has run too often: then
    /// none does.
    fn begin_all(&mut self, now: Duration, steps: &mut Vec<Step<E>>) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        let jobs = self.plan.jobs();
        let ready: Vec<JobIndex> = jobs.filter(|job| self.is_ready(*job)).collect();
        if let Some(cause) = ready.iter().find_map(|job| self.run_too_often(*job)) {
            return self.end(Step::Failed { cause }, steps);
        }
        for job in ready {
            self.begin(job, now, steps);
        }
    }

    fn run_too_often(&self, job: JobIndex) -> Option<Cause<E>> {
        let max_run_count = self.plan.rule(job)?.max_run_count;
        let has_run_enough = self.work.get(job.0)?.run_count >= max_run_count.get();
        has_run_enough.then_some(Cause::RunTooOften { job, max_run_count })
    }

    fn is_ready(&self, job: JobIndex) -> bool {
        let Some((rule, work)) = self.plan.rule(job).zip(self.work.get(job.0)) else {
            return false;
        };
        let is_wanted = rule.leaders.is_empty() || work.leads > 0;
        let is_waiting = matches!(work.state, State::Waiting);
        is_waiting && is_wanted && self.has_what_it_waits_for(job, rule)
    }

    fn has_what_it_waits_for(&self, job: JobIndex, rule: &Rule) -> bool {
        let mut groups = rule.waits_for.iter();
        groups.all(|group| group.iter().any(|one| self.is_done_for(*one, job)))
    }

    /// Whether a job is done as far as one that waits for it is concerned.
    fn is_done_for(&self, job: JobIndex, waiting: JobIndex) -> bool {
        match self.state(job) {
            Some(State::Done) => true,
            Some(State::Left) => {
                let rule = self.plan.rule(job);
                rule.and_then(|rule| rule.on_error.as_ref()?.to) == Some(waiting)
            }
            _ => false,
        }
    }

    /// Begins a run of a job.
    fn begin(&mut self, job: JobIndex, now: Duration, steps: &mut Vec<Step<E>>) {
        let Some((rule, work)) = self.plan.rule(job).zip(self.work.get_mut(job.0)) else {
            return;
        };
        work.run_count = work.run_count.saturating_add(1);
        work.leads = work.leads.saturating_sub(1);
        work.has_led = false;
        if rule.asks_before {
            work.state = State::Asked;
            let point = Point::Before;
            steps.push(Step::Interrupted { job, point });
        } else {
            self.attempt(job, NonZeroU32::MIN, now, steps);
        }
    }

    fn attempt(
        &mut self,
        job: JobIndex,
        attempt: NonZeroU32,
        now: Duration,
        steps: &mut Vec<Step<E>>,
    ) {
        if let Some(delay) = self.plan.rule(job).and_then(|rule| rule.delay) {
            return self.delay(job, attempt, now.saturating_add(delay), steps);
        }
        self.set(job, State::Running { attempt });
        steps.push(Step::Run { job, attempt });
    }

    fn delay(
        &mut self,
        job: JobIndex,
        attempt: NonZeroU32,
        until: Duration,
        steps: &mut Vec<Step<E>>,
    ) {
        self.set(job, State::Delaying { attempt, until });
        steps.push(Step::Wait { job, until });
    }

    fn go_on_with_what_is_due(&mut self, now: Duration, steps: &mut Vec<Step<E>>) {
        for job in self.plan.jobs() {
            match self.state(job) {
                Some(State::Pausing { attempt, until }) if *until <= now => {
                    let attempt = attempt.saturating_add(1);
                    self.attempt(job, attempt, now, steps);
                }
                Some(State::Delaying { attempt, until }) if *until <= now => {
                    let attempt = *attempt;
                    self.set(job, State::Running { attempt });
                    if self.plan.rule(job).is_some_and(|rule| rule.has_output) {
                        steps.push(Step::Finish { job });
                    } else {
                        self.finished(job, Value::Null, None, steps);
                    }
                }
                _ => {}
            }
        }
    }

    fn finished(
        &mut self,
        job: JobIndex,
        output: Value,
        to: Option<JobIndex>,
        steps: &mut Vec<Step<E>>,
    ) {
        let Some(rule) = self.plan.rule(job) else {
            return;
        };
        match self.state(job) {
            Some(State::Running { .. }) => {
                let to = to.filter(|to| rule.leads_to.contains(to));
                if rule.asks_after {
                    self.set(job, State::Held { output, to });
                    let point = Point::After;
                    steps.push(Step::Interrupted { job, point });
                } else {
                    self.settle(job, output, to, State::Done);
                }
            }
            Some(State::Recovering) => self.recovered(job, output),
            Some(State::Stopping) => self.set(job, State::Dropped),
            _ => {}
        }
    }

    fn failed(
        &mut self,
        job: JobIndex,
        error: E,
        now: Duration,
        chance: u64,
        steps: &mut Vec<Step<E>>,
    ) {
        let Some(rule) = self.plan.rule(job) else {
            return;
        };
        match self.state(job) {
            Some(State::Running { attempt }) => {
                let attempt = *attempt;
                if attempt < rule.retry.max_attempt_count {
                    let pause = retry::pause(&rule.retry, attempt, chance);
                    if pause.is_zero() {
                        return self.attempt(job, attempt.saturating_add(1), now, steps);
                    }
                    let until = now.saturating_add(pause);
                    self.set(job, State::Pausing { attempt, until });
                    return steps.push(Step::Wait { job, until });
                }
                match &rule.on_error {
                    None => self.fail(job, error, steps),
                    Some(on_error) if on_error.has_output => {
                        self.set(job, State::Recovering);
                        steps.push(Step::Recover { job, error });
                    }
                    Some(_) => self.recovered(job, Value::Null),
                }
            }
            Some(State::Recovering) => self.fail(job, error, steps),
            Some(State::Stopping) => self.set(job, State::Dropped),
            _ => {}
        }
    }

    fn fail(&mut self, job: JobIndex, error: E, steps: &mut Vec<Step<E>>) {
        self.set(job, State::Dropped);
        let cause = Cause::Job { job, error };
        self.end(Step::Failed { cause }, steps);
    }

    fn recovered(&mut self, job: JobIndex, output: Value) {
        let rule = self.plan.rule(job);
        let to = rule.and_then(|rule| rule.on_error.as_ref()?.to);
        let state = if to.is_some() {
            State::Left
        } else {
            State::Done
        };
        self.settle(job, output, to, state);
    }

    fn resume(&mut self, job: JobIndex, now: Duration, steps: &mut Vec<Step<E>>) {
        match self.work.get_mut(job.0).map(|work| &mut work.state) {
            Some(State::Asked) => self.attempt(job, NonZeroU32::MIN, now, steps),
            Some(State::Held { output, to }) => {
                let (output, to) = (std::mem::take(output), *to);
                self.settle(job, output, to, State::Done);
            }
            _ => {}
        }
    }

    /// The run is to end, with this step: nothing begins, and what runs is told to stop. The first
    /// reason counts.
    fn end(&mut self, last: Step<E>, steps: &mut Vec<Step<E>>) {
        if matches!(self.phase, Phase::Ending(_) | Phase::Over) {
            return;
        }
        self.phase = Phase::Ending(Box::new(last));
        for (job, work) in self.plan.jobs().zip(&mut self.work) {
            if matches!(work.state, State::Running { .. } | State::Recovering) {
                work.state = State::Stopping;
                steps.push(Step::Stop { job });
            } else if !work.state.is_settled() {
                work.state = State::Dropped;
            }
        }
    }

    /// Skips what no longer can run, and says so when the run is over.
    fn close(&mut self, steps: &mut Vec<Step<E>>) {
        if matches!(self.phase, Phase::Running) {
            for job in self.impossible() {
                self.set(job, State::Skipped);
                steps.push(Step::Skip { job });
            }
        }
        if self.work.iter().any(|work| work.state.is_active()) {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::New => self.phase = Phase::New,
            Phase::Running => steps.push(Step::Done {
                output: self.last_output(),
            }),
            Phase::Ending(last) => steps.push(*last),
            Phase::Over => {}
        }
    }

    /// Whether what must hold between two inputs does.
    fn check(&self) -> bool {
        let is_active = self.work.iter().any(|work| work.state.is_active());
        let is_ready = self.plan.jobs().any(|job| self.is_ready(job));
        match self.phase {
            Phase::Running => is_active && !is_ready,
            Phase::Ending(_) => is_active,
            Phase::New | Phase::Over => !is_active,
        }
    }
}

#[cfg(test)]
mod tests;
