//! The jobs whose work takes time: components, and items of lists.

use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;

use super::action::{self, On};
use super::batch::{self, Work};
use super::board::Teller;
use super::clock::Clock;
use super::error::JobError;
use super::names::{Names, is_truthy};
use super::report::TaskId;
use super::run::Run;
use super::settle::{is_settled, settle};
use crate::expr::Value;
use crate::model::Written;
use crate::model::component::Hosts;
use crate::model::job::{ComponentJob, ForEach, InlineKind};
use crate::render;
use crate::schedule::{Batch, BatchRules};

/// What a job's texts speak of, as it was when the job began.
#[derive(Clone, Debug)]
pub(super) struct Scope<'a> {
    /// The workflow's input.
    pub(super) input: Arc<Value>,
    pub(super) jobs: Value,
    /// The run, for `context`.
    pub(super) task: &'a TaskId,
    /// The item of a list and its place.
    pub(super) item: Option<(Arc<Value>, usize)>,
    /// The input that a person gave in the place of the job's own.
    pub(super) given: Option<Arc<Value>>,
    /// The job's id.
    pub(super) id: &'a str,
}

impl Scope<'_> {
    pub(super) fn names(&self) -> Names<'_> {
        let names = Names::new(&[("input", &self.input), ("jobs", &self.jobs)]);
        let names = names.having_context("task_id", self.task.as_str());
        match &self.item {
            Some((item, place)) => {
                let index = i128::try_from(*place).unwrap_or_default();
                names
                    .with("item", item)
                    .having("index", Value::Integer(index))
            }
            None => names,
        }
    }
}

/// What a component's job gives its action: its `input`, or the workflow's if that is missing or
/// empty.
pub(super) fn input(
    job: &ComponentJob,
    names: &Names<'_>,
    usual: &Arc<Value>,
) -> Result<Arc<Value>, JobError> {
    if let Some(written) = &job.input {
        let value = render::tree(written, names)?;
        if is_truthy(&value) {
            return Ok(Arc::new(value));
        }
    }
    Ok(Arc::clone(usual))
}

/// Runs the action of a component, once or several times at once, and gives what the job gives.
pub(super) fn component<'a>(
    run: &'a Run,
    job: &'a ComponentJob,
    output: Option<&'a Written>,
) -> impl FnOnce(Scope<'a>, Teller) -> Pin<Box<dyn Future<Output = Result<Value, JobError>> + Send + 'a>>
{
    move |scope, teller| {
        Box::pin(async move {
            // On the heap, so that it is gone while the action waits.
            let (input, count) = Box::pin(given(run, job, &scope)).await?;
            let on = On {
                run,
                job: scope.id,
                teller: &teller,
            };
            let given = if count == 1 {
                action::run(&on, job, input).await
            } else {
                let again = |_item, _attempt| -> Work<'_> {
                    let input = Arc::clone(&input);
                    Box::pin(action::run(&on, job, input))
                };
                Box::pin(several(count, again)).await
            };
            teller.at(None);
            let hosts = run.engine.component(&job.component)?.allow_hosts();
            Box::pin(finish(run, output, &scope, given?, hosts)).await
        })
    }
}

/// What the action gets, and how often it is run.
async fn given(
    run: &Run,
    job: &ComponentJob,
    scope: &Scope<'_>,
) -> Result<(Arc<Value>, u32), JobError> {
    let usual = scope.item.as_ref().map_or(&scope.input, |(item, _)| item);
    let (given, count) = {
        let names = scope.names();
        let given = match &scope.given {
            Some(given) => Arc::clone(given),
            None => input(job, &names, usual)?,
        };
        (given, render::count(&job.repeat_count, &names)?.get())
    };
    if is_settled(&given) {
        return Ok((given, count));
    }
    let hosts = run.engine.component(&job.component)?.allow_hosts();
    let settled = settle((*given).clone(), &run.engine.tools, hosts).await?;
    Ok((Arc::new(settled), count))
}

/// The work of an action that is run several times at once.
async fn several<'a>(
    count: u32,
    again: impl Fn(usize, NonZeroU32) -> Work<'a>,
) -> Result<Value, JobError> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let batch = Batch::new(count, BatchRules::repeat()).map_err(|error| JobError::chain(&error))?;
    let nothing = |_item: usize, error: &JobError| Err(error.clone());
    let outputs = batch::all(batch, &Clock::start(), again, nothing).await?;
    Ok(Value::List(outputs))
}

/// What a job gives of what its work gave.
async fn finish(
    run: &Run,
    output: Option<&Written>,
    scope: &Scope<'_>,
    given: Value,
    hosts: Option<&Hosts>,
) -> Result<Value, JobError> {
    let given = match output {
        None => given,
        Some(written) => {
            let names = scope.names();
            render::tree(written, &names.with("output", &given))?
        }
    };
    settle(given, &run.engine.tools, hosts).await
}

/// Does a job for each item of a list, some at once, and gives a list in the order of the items.
/// Recurses at most [`adit_text::limits::DEPTH`] times.
pub(super) fn for_each<'a>(
    run: &'a Run,
    job: &'a ForEach,
    output: Option<&'a Written>,
    scope: Scope<'a>,
    teller: Teller,
) -> Pin<Box<dyn Future<Output = Result<Value, JobError>> + Send + 'a>> {
    Box::pin(async move {
        let items = match &scope.given {
            Some(given) => (**given).clone(),
            None => render::tree(&job.input, &scope.names())?,
        };
        let items = settle(items, &run.engine.tools, None).await?;
        let Value::List(items) = items else {
            return Err(JobError::new(format!(
                "the input of a for-each is a list, found {}",
                items.kind()
            )));
        };
        let items: Vec<Arc<Value>> = items.into_iter().map(Arc::new).collect();
        let batch = Batch::new(items.len(), BatchRules::for_each(job));
        let batch = batch.map_err(|error| JobError::chain(&error))?;
        let scopes = |place: usize| {
            let item = items.get(place).map(Arc::clone).unwrap_or_default();
            Scope {
                item: Some((item, place)),
                given: None,
                ..scope.clone()
            }
        };
        let begin = |place: usize, _attempt| -> Work<'_> {
            let (scope, teller) = (scopes(place), teller.clone());
            let output = job.body.output.as_ref();
            match &job.body.kind {
                InlineKind::Component(job) => component(run, job, output)(scope, teller),
                InlineKind::ForEach(job) => for_each(run, job, output, scope, teller),
            }
        };
        let recover = |place: usize, error: &JobError| {
            let on_error = job.body.on_error.as_ref();
            let Some(written) = on_error.and_then(|on_error| on_error.output.as_ref()) else {
                return Ok(Value::Null);
            };
            let error = error.clone().masked(&run.engine.tools.secrets);
            let (scope, error) = (scopes(place), error.value());
            Ok(render::tree(written, &scope.names().with("error", &error))?)
        };
        let outputs = batch::all(batch, &Clock::start(), begin, recover).await?;
        finish(run, output, &scope, Value::List(outputs), None).await
    })
}
