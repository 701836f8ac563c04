//! Runs one action of a component: its turn, its gateways, its work, and what it gives.

use std::sync::Arc;

use super::board::Teller;
use super::engine::new_ulid;
use super::error::JobError;
use super::limits;
use super::names::Names;
use super::report::Hop;
use super::run::Run;
use crate::expose::PublicAddress;
use crate::expr::Value;
use crate::model::component::{Action, Component, Kind};
use crate::model::find::find;
use crate::model::{Text, Written};
use crate::render;

pub(super) mod gateways;
mod http;
mod shell;
mod streaming;
mod workflow;

/// Runs an action of a component.
///
/// # Errors
///
/// There is no such action, or it failed.
///
/// # Cancel safety
///
/// Dropping the future ends what the action has begun.
pub(super) async fn run(
    run: &Run,
    component: &Component,
    id: &str,
    input: Arc<Value>,
    job: &str,
    teller: &Teller,
) -> Result<Value, JobError> {
    let place = run.engine.place(component);
    let queue = place.and_then(|place| run.engine.limits.queue(place));
    let turn = match queue {
        None => None,
        Some(queue) => {
            teller.at(Hop::Queue);
            // It is never closed.
            queue.acquire_owned().await.ok()
        }
    };
    let run_id = new_ulid().ok_or_else(|| JobError::new("the system has no randomness"))?;
    let mut known = Known {
        input,
        run_id,
        gateways: Vec::new(),
        response: None,
        result: None,
        output: None,
    };
    let on = On { run, job, teller };
    let given = match &component.kind {
        Kind::HttpClient(client) => {
            let action = found(&client.actions, id)?;
            Box::pin(http::of_client(&on, place, client, action, &mut known)).await
        }
        Kind::HttpServer(server) => {
            let action = found(&server.actions, id)?;
            Box::pin(http::of_server(&on, place, server, action, &mut known)).await
        }
        Kind::Shell(shell) => {
            let action = found(&shell.actions, id)?;
            Box::pin(shell::run(&on, shell, action, known)).await
        }
        Kind::Workflow(actions) => {
            let action = found(actions, id)?;
            Box::pin(workflow::run(&on, action, known)).await
        }
    };
    drop(turn);
    teller.at(None);
    given
}

fn found<'a, T>(actions: &'a [Action<T>], id: &str) -> Result<&'a Action<T>, JobError> {
    find(actions, id).map_err(|_| JobError::new(format!("Action not found: {id}")))
}

/// Whose work an action is.
#[derive(Clone, Copy)]
struct On<'a> {
    run: &'a Run,
    /// The job's id.
    job: &'a str,
    teller: &'a Teller,
}

/// What an action's texts speak of, as far as it is known.
#[derive(Clone, Debug)]
struct Known {
    input: Arc<Value>,
    /// What `context` has.
    run_id: String,
    /// What `gateway:PORT` stands for, by the local port.
    gateways: Vec<(u16, PublicAddress)>,
    response: Option<Value>,
    result: Option<Value>,
    output: Option<Value>,
}

impl Known {
    fn names(&self) -> Names<'_> {
        let mut names = vec![("input", &*self.input)];
        let others = [
            ("response", &self.response),
            ("result", &self.result),
            ("output", &self.output),
        ];
        names.extend(
            others
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_ref()?))),
        );
        let names = Names::new(&names).having_context("run_id", &self.run_id);
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
            Some(written) => Ok(render::tree(written, &self.names())?),
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
