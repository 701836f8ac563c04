//! What of a workflow bears on the order of its jobs, by their places.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::time::Duration;

use super::JobIndex;
use crate::model::job::{Delay, Job, Kind, Retry};
use crate::model::workflow::Workflow;
use crate::model::{Id, Setting};

/// Why a workflow has no order; the check of its file says so first, with the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GraphError {
    /// A job waits for one that is not there, or leads to it.
    #[error("there is no job {id}")]
    Unknown {
        /// Its id, in quotes, or what stands for one that no message may quote.
        id: String,
    },
    /// Two jobs have one id.
    #[error("two jobs have the id {id}")]
    Twice {
        /// The id, as for [`Self::Unknown`].
        id: String,
    },
    /// A job waits for itself by way of others, or for a lead that never comes.
    #[error("job {} can never run", .job.get().saturating_add(1))]
    NeverRuns {
        /// The first such.
        job: JobIndex,
    },
}

#[derive(Debug)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    by_id: HashMap<String, JobIndex>,
}

/// What bears on when a job runs.
#[derive(Debug)]
pub(super) struct Rule {
    /// Of each group, one.
    pub(super) waits_for: Vec<Vec<JobIndex>>,
    /// Those that wait for it, each once, in the order of the file.
    awaited_by: Vec<JobIndex>,
    /// Jobs that it may go on with.
    pub(super) leads_to: Vec<JobIndex>,
    /// Jobs that may go on with it, each once.
    pub(super) leaders: Vec<JobIndex>,
    pub(super) max_run_count: NonZeroU32,
    pub(super) retry: Retry,
    pub(super) on_error: Option<Recovery>,
    pub(super) asks_before: bool,
    pub(super) asks_after: bool,
    /// How long it waits, if that is all it does and needs no rendering.
    pub(super) delay: Option<Duration>,
    /// Whether its output is to be rendered.
    pub(super) has_output: bool,
}

#[derive(Debug)]
pub(super) struct Recovery {
    pub(super) has_output: bool,
    pub(super) to: Option<JobIndex>,
}

impl Plan {
    pub(super) fn new(workflow: &Workflow) -> Result<Self, GraphError> {
        let mut by_id = HashMap::new();
        for (place, job) in workflow.jobs.iter().enumerate() {
            let key = job.id.as_str().to_owned();
            if by_id.insert(key, JobIndex(place)).is_some() {
                let id = job.id.shown();
                return Err(GraphError::Twice { id });
            }
        }
        let mut rules = Vec::with_capacity(workflow.jobs.len());
        for job in &workflow.jobs {
            rules.push(Rule::new(job, &by_id)?);
        }
        let mut plan = Self { rules, by_id };
        plan.link();
        Ok(plan)
    }

    /// Writes at each job who waits for it and who leads to it.
    fn link(&mut self) {
        let mut awaited_by = vec![Vec::new(); self.len()];
        let mut leaders = vec![Vec::new(); self.len()];
        let add = |lists: &mut [Vec<JobIndex>], to: JobIndex, from: JobIndex| {
            if let Some(list) = lists.get_mut(to.0)
                && list.last() != Some(&from)
            {
                list.push(from);
            }
        };
        for (job, rule) in self.jobs().zip(&self.rules) {
            for other in rule.waits_for.iter().flatten() {
                add(&mut awaited_by, *other, job);
            }
            for to in &rule.leads_to {
                add(&mut leaders, *to, job);
            }
        }
        for (rule, (awaited_by, leaders)) in self
            .rules
            .iter_mut()
            .zip(awaited_by.into_iter().zip(leaders))
        {
            rule.awaited_by = awaited_by;
            rule.leaders = leaders;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.rules.len()
    }

    /// All jobs, in the order of the file.
    pub(super) fn jobs(&self) -> impl Iterator<Item = JobIndex> + use<> {
        (0..self.rules.len()).map(JobIndex)
    }

    pub(super) fn job(&self, id: &str) -> Option<JobIndex> {
        self.by_id.get(id).copied()
    }

    pub(super) fn rule(&self, job: JobIndex) -> Option<&Rule> {
        self.rules.get(job.0)
    }

    /// Those that wait for a job.
    pub(super) fn waiting_for(&self, job: JobIndex) -> Vec<JobIndex> {
        self.rule(job)
            .map_or_else(Vec::new, |rule| rule.awaited_by.clone())
    }
}

impl Rule {
    fn new(job: &Job, by_id: &HashMap<String, JobIndex>) -> Result<Self, GraphError> {
        let find = |id: &Id| match by_id.get(id.as_str()) {
            Some(job) => Ok(*job),
            None => Err(GraphError::Unknown { id: id.shown() }),
        };
        let groups = job.depends_on.iter();
        let groups = groups.map(|group| group.iter().map(find).collect());
        let leads_to = job.routes().into_iter().map(find);
        let on_error = match &job.on_error {
            None => None,
            Some(on_error) => Some(Recovery {
                has_output: on_error.output.is_some(),
                to: on_error.to.as_ref().map(find).transpose()?,
            }),
        };
        Ok(Self {
            waits_for: groups.collect::<Result<_, _>>()?,
            awaited_by: Vec::new(),
            leads_to: leads_to.collect::<Result<_, _>>()?,
            leaders: Vec::new(),
            max_run_count: job.max_run_count,
            retry: job.retry.clone(),
            on_error,
            asks_before: job.interrupt.before.is_some(),
            asks_after: job.interrupt.after.is_some(),
            delay: if let Kind::Delay(Delay::For(Setting::Known(delay))) = &job.kind {
                Some(*delay)
            } else {
                None
            },
            has_output: job.output.is_some(),
        })
    }

    /// Those that its next run may bear on: what waits for it and what it leads to.
    pub(super) fn followers(&self) -> impl Iterator<Item = JobIndex> {
        self.awaited_by.iter().chain(&self.leads_to).copied()
    }

    /// Whether others wait for it.
    pub(super) fn is_awaited(&self) -> bool {
        !self.awaited_by.is_empty()
    }
}
