//! What a workflow gives.

use std::collections::HashSet;

use crate::expr::{TreePath, TreeStep};
use crate::model::component::Kind as ComponentKind;
use crate::model::find::find;
use crate::model::job::{ComponentJob, Job, Kind};
use crate::model::workflow::Workflow;
use crate::model::{Compose, Id, Text, Written};
use crate::schema::Field;
use crate::schema::collect::{Fields, field, is_whole};
use crate::schema::input::{NESTING, component};

/// What a workflow gives, in the order of its jobs.
pub(super) fn of(compose: &Compose, workflow: &Workflow) -> Vec<Field> {
    let mut found = Fields::default();
    workflow_fields(compose, workflow, 0, &mut found);
    found.into_vec()
}

/// Recurses once for each workflow whose output is that of the next, at most [`NESTING`] times.
fn workflow_fields(compose: &Compose, workflow: &Workflow, depth: usize, found: &mut Fields) {
    if depth >= NESTING {
        return;
    }
    match &workflow.output {
        Some(output) if !is_whole(output, "output") => found.extend(placed(output)),
        Some(_) | None => {
            for job in terminal(workflow) {
                job_fields(compose, job, depth, found);
            }
        }
    }
}

/// The jobs that nothing waits for.
fn terminal(workflow: &Workflow) -> impl Iterator<Item = &Job> {
    let jobs = workflow.jobs.iter();
    let waited: HashSet<&str> = jobs
        .flat_map(|job| job.depends_on.iter().flatten())
        .map(Id::as_str)
        .collect();
    let jobs = workflow.jobs.iter();
    jobs.filter(move |job| !waited.contains(job.id.as_str()))
}

fn job_fields(compose: &Compose, job: &Job, depth: usize, found: &mut Fields) {
    match (&job.output, &job.kind) {
        (Some(output), _) if !is_whole(output, "output") => found.extend(placed(output)),
        (_, Kind::Component(job)) => action_fields(compose, job, depth, found),
        (
            _,
            Kind::Delay(_)
            | Kind::If(_)
            | Kind::Switch(_)
            | Kind::Random(_)
            | Kind::Filter
            | Kind::ForEach(_),
        ) => {}
    }
}

fn action_fields(compose: &Compose, job: &ComponentJob, depth: usize, found: &mut Fields) {
    let Some(component) = component(compose, &job.component) else {
        return;
    };
    let id = job.action.as_str();
    let output = match &component.kind {
        ComponentKind::HttpServer(server) => find(&server.actions, id).map(|it| it.output.as_ref()),
        ComponentKind::HttpClient(client) => find(&client.actions, id).map(|it| it.output.as_ref()),
        ComponentKind::Shell(shell) => find(&shell.actions, id).map(|it| it.output.as_ref()),
        ComponentKind::Workflow(actions) => match find(actions, id) {
            Ok(action) => match &action.output {
                Some(output) if !is_whole(output, "output") => Ok(Some(output)),
                Some(_) | None => {
                    if let Ok(next) = compose.workflow(action.call.workflow.as_str()) {
                        workflow_fields(compose, next, depth.saturating_add(1), found);
                    }
                    return;
                }
            },
            Err(missing) => Err(missing),
        },
    };
    if let Ok(Some(output)) = output {
        found.extend(placed(output));
    }
}

/// A field for each text with variables, by the place where it stands.
fn placed(output: &Written) -> Vec<Field> {
    let mut found = Vec::new();
    walk(output, &mut TreePath::default(), &mut found);
    found
}

/// Recurses at most [`adit_text::limits::DEPTH`] times.
fn walk(written: &Written, at: &mut TreePath, found: &mut Vec<Field>) {
    match written {
        Written::Plain(_) => {}
        Written::Text(text) => found.extend(at_text(text, at)),
        Written::List(items) => {
            for (position, item) in items.iter().enumerate() {
                at.push(TreeStep::Item(position));
                walk(item, at, found);
                at.pop();
            }
        }
        Written::Mapping(entries) => {
            for (key, entry) in entries {
                at.push(TreeStep::Key(key.clone()));
                walk(entry, at, found);
                at.pop();
            }
        }
    }
}

/// A variable among other text makes a text.
fn at_text(text: &Text, at: &TreePath) -> Option<Field> {
    let template = text.template();
    if template.variables().is_empty() {
        return None;
    }
    let name = Some(at.to_string()).filter(|name| !name.is_empty());
    let mut field = field(name, template.as_variable(), text.is_from_environment());
    // What is taken where something is missing on the way says nothing about what comes out.
    field.default = None;
    Some(field)
}
