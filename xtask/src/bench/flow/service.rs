//! The service that workflows ask: it takes requests, and what it owes an answer for is called back by the
//! bench.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

use super::http;
use super::server::{Asked, Next, Server};
use crate::stop::Stop;

/// The number of a run, which its starter gives it.
pub(super) type Number = u32;

/// A running service.
#[derive(Debug)]
pub(super) struct Service {
    server: Server,
    seen: Arc<Seen>,
}

/// What has come, by number.
type Seen = Mutex<BTreeMap<Number, Vec<Request>>>;

/// A request: of which run, and when.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) run: String,
    pub(super) came: Instant,
}

impl Service {
    pub(super) fn start() -> anyhow::Result<Self> {
        let seen = Arc::new(Seen::default());
        let keeps = Arc::clone(&seen);
        let server = Server::start(move |asked| take(&asked, &keeps))?;
        Ok(Self { server, seen })
    }

    /// Where workflows ask it.
    pub(super) fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Waits until as many numbers have come, and gives all that has.
    pub(super) fn until(
        &self,
        stop: &Stop,
        count: u32,
        deadline: Duration,
    ) -> anyhow::Result<BTreeMap<Number, Vec<Request>>> {
        let count = usize::try_from(count)?;
        stop.until("requests of the runs", deadline, || {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            Ok((seen.len() >= count).then(|| seen.clone()))
        })
    }

    /// Forgets all.
    pub(super) fn clear(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clear();
    }
}

fn take(asked: &Asked<'_>, seen: &Seen) -> anyhow::Result<Next> {
    let body: Value = serde_json::from_slice(&asked.message.body).context("no JSON")?;
    let number = body.get("number").and_then(Value::as_u64);
    let number = Number::try_from(number.context("no number")?)?;
    let Some(run) = body.get("run").and_then(Value::as_str) else {
        bail!("no run");
    };
    let request = Request {
        run: run.to_owned(),
        came: asked.came,
    };
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(number).or_default().push(request);
    }
    http::write(asked.stream, r#"{"status":"processing"}"#)?;
    Ok(Next::Request)
}
