//! The items of a `for-each` and the repetitions of a job: some at once, results in their order.
//!
//! Pure like [`Schedule`](super::Schedule), and of the same manner. An item that pauses between two
//! attempts keeps its place among those that run at once.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::limits::{ITEMS, ITEMS_AT_ONCE};
use super::retry;
use crate::expr::Value;
use crate::model::job::{ForEach, Retry};

/// How the items of a batch are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchRules {
    /// How many at once; [`ITEMS_AT_ONCE`] bounds it.
    pub at_once: NonZeroU32,
    /// How often each is tried.
    pub retry: Retry,
    /// What happens when an item's last attempt has failed.
    pub on_error: ItemError,
}

/// What happens when an item's last attempt has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemError {
    /// The batch fails.
    Fails,
    /// The item gives null.
    IsNull,
    /// The item gives something that is to be rendered.
    IsRendered,
}

impl BatchRules {
    /// Those of a `for-each`.
    pub fn for_each(job: &ForEach) -> Self {
        Self {
            at_once: job.batch_size,
            retry: job.body.retry.clone(),
            on_error: match &job.body.on_error {
                None => ItemError::Fails,
                Some(on_error) if on_error.output.is_some() => ItemError::IsRendered,
                Some(_) => ItemError::IsNull,
            },
        }
    }

    /// Those of a `repeat_count`: all at once, each tried once. The job's own `retry` does all of
    /// them again.
    pub fn repeat() -> Self {
        Self {
            at_once: NonZeroU32::MAX,
            retry: Retry::default(),
            on_error: ItemError::Fails,
        }
    }
}

/// More than [`ITEMS`] items.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there are {count} items; {ITEMS} are the most")]
pub struct TooManyItems {
    /// How many.
    pub count: usize,
}

/// What has happened to a batch. One that does not fit changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchInput<E> {
    /// It begins.
    Start,
    /// An item that was told to run or to recover has done so.
    Finished {
        /// Which, from 0.
        item: usize,
        /// What it gives.
        output: Value,
    },
    /// An item that was told to run or to recover could not.
    Failed {
        /// Which.
        item: usize,
        /// Why.
        error: E,
    },
    /// The time of [`Batch::due`] has come.
    Due,
    /// Nobody wants it any more.
    Cancel,
}

/// What is to be done for a batch.
#[derive(Clone, Debug, PartialEq)]
pub enum BatchStep<E> {
    /// Do it; answer with `Finished` or `Failed`.
    Run {
        /// Which, from 0.
        item: usize,
        /// From 1.
        attempt: NonZeroU32,
    },
    /// Render what it gives instead; answer with `Finished` or `Failed`, which now fails the batch.
    Recover {
        /// Which.
        item: usize,
        /// Why it failed.
        error: E,
    },
    /// Nothing now: it is tried again at a time.
    Wait {
        /// Which.
        item: usize,
        /// When.
        until: Duration,
    },
    /// End it at once; answer with `Finished` or `Failed` when it has ended.
    Stop {
        /// Which.
        item: usize,
    },
    /// All is over, and this is what the items give, in their order.
    Done {
        /// One for each.
        outputs: Vec<Value>,
    },
    /// All is over: an item failed.
    Failed {
        /// Which.
        item: usize,
        /// Why.
        error: E,
    },
    /// All is over: nobody wanted it any more.
    Cancelled,
}

/// Items that are done by the same rules.
#[derive(Debug)]
pub struct Batch<E> {
    rules: BatchRules,
    outputs: Vec<Value>,
    /// The first that has not begun.
    next: usize,
    /// Those that have begun and are not over.
    begun: BTreeMap<usize, State>,
    phase: Phase<E>,
}

#[derive(Debug)]
enum Phase<E> {
    New,
    Running,
    Ending(BatchStep<E>),
    Over,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Running {
        attempt: NonZeroU32,
    },
    Pausing {
        attempt: NonZeroU32,
        until: Duration,
    },
    Recovering,
    Stopping,
}

impl<E> Batch<E> {
    /// So many items.
    ///
    /// # Errors
    ///
    /// There are more than [`ITEMS`].
    pub fn new(count: usize, rules: BatchRules) -> Result<Self, TooManyItems> {
        if count > ITEMS {
            return Err(TooManyItems { count });
        }
        Ok(Self {
            rules,
            outputs: vec![Value::Null; count],
            next: 0,
            begun: BTreeMap::new(),
            phase: Phase::New,
        })
    }

    /// When [`BatchInput::Due`] is wanted next.
    pub fn due(&self) -> Option<Duration> {
        let times = self.begun.values().filter_map(|state| match state {
            State::Pausing { until, .. } => Some(*until),
            State::Running { .. } | State::Recovering | State::Stopping => None,
        });
        times.min()
    }

    /// Takes what has happened and says what is to be done. `chance` is any random number.
    pub fn take(&mut self, input: BatchInput<E>, now: Duration, chance: u64) -> Vec<BatchStep<E>> {
        let mut steps = Vec::new();
        match input {
            BatchInput::Start => {
                if matches!(self.phase, Phase::New) {
                    self.phase = Phase::Running;
                }
            }
            BatchInput::Finished { item, output } => self.finished(item, output),
            BatchInput::Failed { item, error } => {
                if let Some(state) = self.begun.get(&item).copied() {
                    self.failed(item, state, error, now, chance, &mut steps);
                }
            }
            BatchInput::Due => self.try_what_is_due(now, &mut steps),
            BatchInput::Cancel => self.end(BatchStep::Cancelled, &mut steps),
        }
        self.begin(&mut steps);
        self.close(&mut steps);
        steps
    }

    fn begin(&mut self, steps: &mut Vec<BatchStep<E>>) {
        let at_once = usize::try_from(self.rules.at_once.get()).unwrap_or(ITEMS_AT_ONCE);
        let at_once = at_once.min(ITEMS_AT_ONCE);
        let is_running = matches!(self.phase, Phase::Running);
        while is_running && self.begun.len() < at_once && self.next < self.outputs.len() {
            let item = self.next;
            self.next = self.next.saturating_add(1);
            self.attempt(item, NonZeroU32::MIN, steps);
        }
    }

    fn attempt(&mut self, item: usize, attempt: NonZeroU32, steps: &mut Vec<BatchStep<E>>) {
        self.begun.insert(item, State::Running { attempt });
        steps.push(BatchStep::Run { item, attempt });
    }

    fn try_what_is_due(&mut self, now: Duration, steps: &mut Vec<BatchStep<E>>) {
        for (item, state) in &mut self.begun {
            if let State::Pausing { attempt, until } = *state
                && until <= now
            {
                let attempt = attempt.saturating_add(1);
                *state = State::Running { attempt };
                steps.push(BatchStep::Run {
                    item: *item,
                    attempt,
                });
            }
        }
    }

    fn finished(&mut self, item: usize, output: Value) {
        match self.begun.get(&item) {
            Some(State::Running { .. } | State::Recovering) => self.settle(item, output),
            Some(State::Stopping) => {
                self.begun.remove(&item);
            }
            Some(State::Pausing { .. }) | None => {}
        }
    }

    fn failed(
        &mut self,
        item: usize,
        state: State,
        error: E,
        now: Duration,
        chance: u64,
        steps: &mut Vec<BatchStep<E>>,
    ) {
        match (state, self.rules.on_error) {
            (State::Running { attempt }, _) if attempt < self.rules.retry.max_attempt_count => {
                let pause = retry::pause(&self.rules.retry, attempt, chance);
                if pause.is_zero() {
                    return self.attempt(item, attempt.saturating_add(1), steps);
                }
                let until = now.saturating_add(pause);
                self.begun.insert(item, State::Pausing { attempt, until });
                steps.push(BatchStep::Wait { item, until });
            }
            (State::Running { .. }, ItemError::IsNull) => self.settle(item, Value::Null),
            (State::Running { .. }, ItemError::IsRendered) => {
                self.begun.insert(item, State::Recovering);
                steps.push(BatchStep::Recover { item, error });
            }
            (State::Running { .. }, ItemError::Fails) | (State::Recovering, _) => {
                self.begun.remove(&item);
                self.end(BatchStep::Failed { item, error }, steps);
            }
            (State::Stopping, _) => {
                self.begun.remove(&item);
            }
            (State::Pausing { .. }, _) => {}
        }
    }

    fn settle(&mut self, item: usize, output: Value) {
        self.begun.remove(&item);
        if let Some(place) = self.outputs.get_mut(item) {
            *place = output;
        }
    }

    /// All is to end, with this step. The first reason counts.
    fn end(&mut self, last: BatchStep<E>, steps: &mut Vec<BatchStep<E>>) {
        if matches!(self.phase, Phase::Ending(_) | Phase::Over) {
            return;
        }
        self.phase = Phase::Ending(last);
        self.begun.retain(|item, state| {
            let runs = !matches!(state, State::Pausing { .. });
            if runs {
                *state = State::Stopping;
                steps.push(BatchStep::Stop { item: *item });
            }
            runs
        });
    }

    fn close(&mut self, steps: &mut Vec<BatchStep<E>>) {
        if !self.begun.is_empty() {
            return;
        }
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::New => self.phase = Phase::New,
            Phase::Running => steps.push(BatchStep::Done {
                outputs: std::mem::take(&mut self.outputs),
            }),
            Phase::Ending(last) => steps.push(last),
            Phase::Over => {}
        }
    }
}

#[cfg(test)]
mod tests;
