//! Runs programs.

use std::num::NonZeroU32;
use std::sync::Arc;

use futures_util::{Stream, stream};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Known, On, gateways, streaming, strings};
use crate::exec::batch::{self, Work};
use crate::exec::clock::Clock;
use crate::exec::error::JobError;
use crate::exec::report::Hop;
use crate::exec::settle::settle;
use crate::expr::Value;
use crate::model::Written;
use crate::model::component::{Action, Command, Shell};
use crate::render;
use crate::schedule::{Batch, BatchRules};
use crate::shell::{self, Streamed};
use crate::stream::ValueSource;

/// Runs the programs of an action: for the whole input, or with a `batch_size` and a list as input for
/// each of its items, so many at once; then the action gives a list.
pub(super) async fn run(
    on: &On<'_>,
    component: &Shell,
    action: &Action<Command>,
    mut known: Known,
) -> Result<Value, JobError> {
    let ports = gateways::of_command(action);
    known.meet_gateways(on, &ports).await?;
    let items = known.input.as_list();
    let (Some(at_once), Some(items)) = (action.call.batch_size, items) else {
        return once(on, component, action, known).await;
    };
    let items: Vec<Arc<Value>> = items.iter().cloned().map(Arc::new).collect();
    let rules = BatchRules {
        at_once,
        ..BatchRules::repeat()
    };
    let batch = Batch::new(items.len(), rules).map_err(|error| JobError::chain(&error))?;
    let begin = |place: usize, _attempt: NonZeroU32| -> Work<'_> {
        let input = items.get(place).map(Arc::clone).unwrap_or_default();
        let known = Known {
            input,
            ..known.clone()
        };
        Box::pin(once(on, component, action, known))
    };
    let nothing = |_item: usize, error: &JobError| Err(error.clone());
    let outputs = batch::all(batch, &Clock::start(), begin, nothing).await?;
    Ok(Value::List(outputs))
}

async fn once(
    on: &On<'_>,
    component: &Shell,
    action: &Action<Command>,
    mut known: Known,
) -> Result<Value, JobError> {
    let rendered = rendered(on, component, action, &known)?;
    let name = rendered.commands.first().and_then(|argv| argv.first());
    on.teller
        .at(name.map(|name| Hop::Program { name: name.clone() }));
    let tools = &on.run.engine.tools;
    if action.call.is_streaming {
        let lines = rendered.stream(&tools.keeper, &tools.environment, on.job);
        let told = Told {
            lines: Some(lines),
            tracker: on.run.engine.tracker.clone(),
        };
        let lines = ValueSource::of_lines(Box::pin(lines_of(told))).into_value();
        return streamed(&known, action.output.as_ref(), lines);
    }
    let result = to_its_end(on, rendered).await?;
    let Some(output) = &action.output else {
        return Ok(result);
    };
    known.result = Some(result);
    settle(render::tree(output, &known.names())?, tools, None).await
}

/// Runs programs in a task of the run's. When this is dropped, they are told to end, and the run waits for that.
async fn to_its_end(on: &On<'_>, command: shell::Command) -> Result<Value, JobError> {
    let engine = Arc::clone(&on.run.engine);
    let stop = CancellationToken::new();
    let told = stop.clone().drop_guard();
    let programs = async move {
        let tools = &engine.tools;
        let ran = command.run(&tools.keeper, &tools.environment, &stop);
        ran.await.map_err(|error| JobError::chain(&error))
    };
    // Both know of it: a run that panics does not wait, and the engine does.
    let programs = on.run.engine.tracker.track_future(programs);
    let ran = on.run.programs.spawn(programs).await;
    drop(told);
    // Nobody aborts it, so it has panicked.
    ran.unwrap_or_else(|error| Err(JobError::chain(&error)))
}

fn rendered(
    on: &On<'_>,
    component: &Shell,
    action: &Action<Command>,
    known: &Known,
) -> Result<shell::Command, JobError> {
    let names = known.names();
    let command = &action.call;
    let mut commands = Vec::with_capacity(command.commands.len());
    for arguments in &command.commands {
        let argv = arguments.iter().map(|text| render::string(text, &names));
        commands.push(argv.collect::<Result<Vec<_>, _>>()?);
    }
    let dir = command.working_dir.as_ref();
    let dir = dir.map(|text| render::string(text, &names)).transpose()?;
    let folder = &on.run.engine.tools.folder;
    let dir = shell::folder(folder, component.base_dir.as_deref(), dir.as_deref());
    let mut env = strings(&component.env, &names)?;
    env.extend(strings(&command.env, &names)?);
    let timeout = command.timeout.as_ref();
    let timeout = timeout.map(|setting| render::duration(setting, &names));
    Ok(shell::Command {
        commands,
        dir,
        env,
        timeout: timeout.transpose()?,
    })
}

/// Lines that programs say. Dropped, a program that runs is told to end, and the engine waits for that.
struct Told {
    lines: Option<Streamed>,
    tracker: TaskTracker,
}

impl Drop for Told {
    fn drop(&mut self) {
        // Without a runtime nobody can wait, and the keeper ends it all the same.
        if let (Some(lines), Ok(runtime)) = (self.lines.take(), Handle::try_current())
            && lines.runs()
        {
            drop(self.tracker.spawn_on(lines.stop(), &runtime));
        }
    }
}

/// Each line as a value.
fn lines_of(told: Told) -> impl Stream<Item = Result<Value, String>> + Send {
    stream::unfold(Some(told), async |told| {
        let mut told = told?;
        match told.lines.as_mut()?.next().await {
            Ok(Some(line)) => Some((Ok(Value::Text(line)), Some(told))),
            Ok(None) => None,
            Err(error) => Some((Err(JobError::chain(&error).to_string()), None)),
        }
    })
}

/// The lines, or what the output makes of each of them.
fn streamed(known: &Known, output: Option<&Written>, lines: Value) -> Result<Value, JobError> {
    match output {
        Some(output) if streaming::speaks_of_chunks(output, "result")? => {
            let mapped = streaming::mapped(known, output, &lines, "result[]", None)?;
            Ok(mapped.unwrap_or(lines))
        }
        _ => Ok(lines),
    }
}
