//! Runs another workflow.

use std::sync::Arc;

use super::{Known, On};
use crate::exec::error::JobError;
use crate::exec::report::Hop;
use crate::exec::run::{self, Outcome, Run};
use crate::expr::Value;
use crate::model::component::{Action, WorkflowCall};
use crate::render;

/// Runs a workflow inside this one: under the same id, stopped with it, and asking persons as
/// `job/its-job`.
pub(super) async fn run(
    on: &On<'_>,
    action: &Action<WorkflowCall>,
    known: Known,
) -> Result<Value, JobError> {
    let names = known.names();
    let id = render::string(&action.call.workflow, &names)?;
    let input = match &action.call.input {
        Some(written) => Arc::new(render::tree(written, &names)?),
        None => Arc::clone(&known.input),
    };
    let workflow = on.run.engine.compose.workflow(&id);
    let workflow = workflow.map_err(|_| {
        let shown = adit_text::show(&id);
        JobError::new(format!("Workflow not found: {}", shown.trim_matches('"')))
    })?;
    on.teller.at(Hop::Workflow {
        id: workflow.id.as_str().to_owned(),
    });
    let inside = Run {
        depth: on.run.depth + 1,
        prefix: format!("{}{}/", on.run.prefix, on.job),
        ..on.run.clone()
    };
    match run::workflow(&inside, workflow, input).await {
        Outcome::Done(output) => known.finish(action.output.as_ref(), output),
        Outcome::Failed(error) => Err(error),
        Outcome::Cancelled => Err(JobError::new("it was stopped")),
    }
}
