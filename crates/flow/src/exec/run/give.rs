//! What jobs see of a run, and what those give that are done here.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::{End, Machine};
use crate::exec::error::JobError;
use crate::exec::job::Scope;
use crate::exec::names::{self, Names};
use crate::exec::until::until;
use crate::expr::Value;
use crate::model::job::{Delay, Job};
use crate::render;
use crate::schedule::JobIndex;

impl<'a> Machine<'a> {
    pub(super) fn delay(&self, job: JobIndex, delay: &Delay) -> Result<Duration, JobError> {
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
    pub(super) fn output(&self, job: JobIndex, result: &Value, to: Option<JobIndex>) -> End {
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

    pub(super) fn recovered(&self, job: JobIndex, error: &JobError) -> End {
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

    pub(super) fn last_output(&self, output: Value) -> Result<Value, JobError> {
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

    /// What a job sees of the jobs before it: nothing if it speaks of none.
    pub(super) fn jobs(&self, job: JobIndex) -> Value {
        let wanted = self.job(job).map(names::jobs_named);
        if let Some(Some(ids)) = &wanted
            && ids.is_empty()
        {
            return Value::Null;
        }
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

    pub(super) fn names<'n>(&'n self, jobs: &'n Value) -> Names<'n> {
        let names = Names::new(&[("input", &self.input), ("jobs", jobs)]);
        names.having_context("task_id", self.run.task.as_str())
    }

    pub(super) fn scope(&self, job: JobIndex, found: &'a Job) -> Scope<'a> {
        Scope {
            input: Arc::clone(&self.input),
            jobs: self.jobs(job),
            task: &self.run.task,
            item: None,
            given: self.given.get(&job).cloned(),
            id: found.id.as_str(),
        }
    }
}
