//! Asks persons whether jobs may go on.

use std::sync::Arc;

use tracing::info;

use super::route::holds;
use super::{End, Machine};
use crate::exec::error::JobError;
use crate::exec::job;
use crate::exec::report::{Interruption, JobState, Phase};
use crate::expr::{Map, Value};
use crate::model::job::{Job, Kind, Pause};
use crate::render;
use crate::schedule::{Input, JobIndex, Point};

impl Machine<'_> {
    /// Asks a person, unless a condition says that nobody is to be asked.
    pub(super) fn interrupted(&mut self, job: JobIndex, point: Point) {
        let Some(found) = self.job(job) else { return };
        if point == Point::Before {
            // What was given for an earlier run of the job is not for this one.
            self.given.remove(&job);
        }
        let pause = match point {
            Point::Before => found.interrupt.before.as_ref(),
            Point::After => found.interrupt.after.as_ref(),
        };
        let asked = pause.map_or(Ok(None), |pause| self.question(job, found, point, pause));
        match asked {
            Ok(None) => self.inputs.push_back(Input::Resume { job }),
            // Nobody can say that it may go on, so nothing does.
            Err(error) => {
                let error = error.masked(&self.run.engine.tools.secrets);
                info!(
                    "[task-{}] Job '{}' cannot ask: {}",
                    self.run.task,
                    self.shown(job),
                    error.on_one_line()
                );
                self.tell(job, |report| report.end(JobState::Failed));
                self.failure = Some(error);
                self.inputs.push_back(Input::Cancel);
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
                self.works.begin(job, Box::pin(work));
            }
        }
    }

    fn question(
        &self,
        job: JobIndex,
        found: &Job,
        point: Point,
        pause: &Pause,
    ) -> Result<Option<Interruption>, JobError> {
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
        Ok(Some(Interruption {
            job_id: format!("{}{}", self.run.prefix, found.id.as_str()),
            phase,
            message: message.transpose()?,
            metadata: metadata.transpose()?.unwrap_or_default(),
        }))
    }
}
