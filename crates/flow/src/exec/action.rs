//! Runs one action of a component: its turn, its gateways, its work, and what it gives.

use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;
use ulid::Ulid;

use super::board::Teller;
use super::engine::new_ulid;
use super::error::JobError;
use super::limits;
use super::names::Names;
use super::report::Hop;
use super::run::Run;
use crate::expose::PublicAddress;
use crate::expr::Value;
use crate::model::component::{Action, Kind};
use crate::model::find::find;
use crate::model::job::ComponentJob;
use crate::model::{Text, Written};
use crate::render;

pub(super) mod gateways;
mod http;
mod shell;
mod streaming;
mod workflow;

/// Runs the action of a component that a job names.
///
/// What comes before a callback and after it is on the heap while it is done, so that a run that waits
/// holds none of it.
///
/// # Errors
///
/// There is no such action, or it failed.
///
/// # Cancel safety
///
/// Dropping the future ends what the action has begun.
pub(super) async fn run(
    on: &On<'_>,
    job: &ComponentJob,
    input: Arc<Value>,
) -> Result<Value, JobError> {
    let component = on.run.engine.component(&job.component)?;
    let place = on.run.engine.place(component);
    let _turn = Box::pin(turn(on, place)).await;
    let run_id = new_ulid().ok_or_else(|| JobError::new("the system has no randomness"))?;
    let mut known = Known {
        input,
        run_id,
        gateways: Vec::new(),
        response: None,
        result: None,
    };
    match &component.kind {
        Kind::HttpClient(client) => {
            let action = found(&client.actions, job)?;
            let asked = http::ask_client(on, place, client, action, &mut known);
            let mut callback = Box::pin(asked).await?;
            if let Some(callback) = &mut callback {
                known.result = Some(callback.result().await?);
            }
            Box::pin(http::give(on, component.allow_hosts(), action, &mut known)).await
        }
        Kind::HttpServer(server) => {
            let action = found(&server.actions, job)?;
            let asked = http::ask_server(on, place, server, action, &mut known);
            let mut callback = Box::pin(asked).await?;
            if let Some(callback) = &mut callback {
                known.result = Some(callback.result().await?);
            }
            Box::pin(http::give(on, component.allow_hosts(), action, &mut known)).await
        }
        Kind::Shell(shell) => {
            let action = found(&shell.actions, job)?;
            Box::pin(shell::run(on, shell, action, known)).await
        }
        Kind::Workflow(actions) => {
            let action = found(actions, job)?;
            Box::pin(workflow::run(on, action, known)).await
        }
    }
}

/// Waits until the component may do one thing more, which is done before what this gives is dropped.
/// None if there is no need to wait.
async fn turn(on: &On<'_>, place: Option<usize>) -> Option<OwnedSemaphorePermit> {
    let queue = on.run.engine.limits.queue(place?)?;
    on.teller.at(Hop::Queue);
    // It is never closed.
    queue.acquire_owned().await.ok()
}

fn found<'a, T>(actions: &'a [Action<T>], job: &ComponentJob) -> Result<&'a Action<T>, JobError> {
    let id = job.action.as_str();
    find(actions, id).map_err(|_| JobError::new(format!("Action not found: {id}")))
}

/// Whose work an action is.
#[derive(Clone, Copy)]
pub(super) struct On<'a> {
    pub(super) run: &'a Run,
    /// The job's id.
    pub(super) job: &'a str,
    pub(super) teller: &'a Teller,
}

/// What an action's texts speak of, as far as it is known.
#[derive(Clone, Debug)]
struct Known {
    input: Arc<Value>,
    /// What `context` has.
    run_id: Ulid,
    /// What `gateway:PORT` stands for, by the local port.
    gateways: Vec<(u16, PublicAddress)>,
    response: Option<Value>,
    result: Option<Value>,
}

impl Known {
    fn names(&self) -> Names<'_> {
        let mut names = vec![("input", &*self.input)];
        let others = [("response", &self.response), ("result", &self.result)];
        names.extend(
            others
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_ref()?))),
        );
        let names = Names::new(&names).having_context("run_id", &self.run_id.to_string());
        let gateways = self.gateways.iter();
        gateways.fold(names, |names, (port, address)| {
            names.having(format!("gateway:{port}"), address.value(*port))
        })
    }

    /// Waits for the gateways that an action's texts name, and keeps their addresses.
    async fn meet_gateways(&mut self, on: &On<'_>, ports: &[u16]) -> Result<(), JobError> {
        let addresses = &on.run.engine.tools.addresses;
        self.gateways.reserve_exact(ports.len());
        for port in ports {
            on.teller.at(Hop::Gateway { port: *port });
            let address = addresses.wait(*port, limits::GATEWAY_WAIT).await;
            let address = address.map_err(|error| JobError::chain(&error))?;
            self.gateways.push((*port, address));
        }
        Ok(())
    }

    /// What the action gives: its `output`, or what came of it.
    fn finish(self, output: Option<&Written>, given: Value) -> Result<Value, JobError> {
        match output {
            None => Ok(given),
            Some(written) => {
                let names = self.names();
                Ok(render::tree(written, &names.with("output", &given))?)
            }
        }
    }
}

/// Named texts as texts, in their order.
fn strings(texts: &[(String, Text)], names: &Names<'_>) -> Result<Vec<(String, String)>, JobError> {
    let strings = texts.iter().map(|(name, text)| {
        let string = render::string(text, names)?;
        Ok((name.clone(), string))
    });
    strings.collect()
}
