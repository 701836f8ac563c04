//! What is compared with: a server that does nothing but let those who wait know what came for them.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::crowd::Owed;
use super::http;
use super::server::{Asked, Next, Server};
use crate::stop::Stop;

/// It answers as adit's two ports do, without a workflow in between.
#[derive(Debug)]
pub(super) struct Direct {
    server: Server,
    waiting: Arc<Waiting>,
}

/// Who waits, by the id of the run.
type Waiting = Mutex<BTreeMap<String, TcpStream>>;

impl Direct {
    pub(super) fn start() -> anyhow::Result<Self> {
        let waiting = Arc::new(Waiting::default());
        let asks = Arc::clone(&waiting);
        let server = Server::start(move |asked| answer(&asked, &asks))?;
        Ok(Self { server, waiting })
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Waits until so many wait.
    pub(super) fn until(&self, stop: &Stop, count: u32, deadline: Duration) -> anyhow::Result<()> {
        let count = usize::try_from(count)?;
        stop.until("those who wait", deadline, || {
            let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((waiting.len() >= count).then_some(()))
        })
    }
}

/// The callbacks of so many runs.
pub(super) fn owed(runs: u32) -> Vec<Owed> {
    let owed = (0..runs).map(|number| Owed {
        number,
        run: number.to_string(),
    });
    owed.collect()
}

fn answer(asked: &Asked<'_>, waiting: &Waiting) -> anyhow::Result<Next> {
    let body: Value = serde_json::from_slice(&asked.message.body).context("no JSON")?;
    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(run) = body.get("run").and_then(Value::as_str) {
        let waits = waiting.remove(run);
        drop(waiting);
        http::write(asked.stream, "")?;
        if let Some(stream) = waits {
            let result = body.get("result").cloned().unwrap_or_default();
            let task = json!({"task_id": run, "status": "completed", "output": result});
            http::write(&stream, &task.to_string())?;
        }
        return Ok(Next::Request);
    }
    let number = body.pointer("/input/number").context("no number")?;
    let run = number.to_string();
    if body.get("wait_for_completion") == Some(&Value::Bool(false)) {
        drop(waiting);
        let task = json!({"task_id": run, "status": "pending"});
        http::write(asked.stream, &task.to_string())?;
        return Ok(Next::Request);
    }
    waiting.insert(run, asked.stream.try_clone()?);
    Ok(Next::Nothing)
}
