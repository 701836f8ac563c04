//! Everything of a compose file but its tunnels, from its start to its end.
//!
//! What needs others comes after them, and ends before them.

use std::sync::Arc;
use std::time::Duration;

use adit_flow::callback::Hub;
use adit_flow::exec::{Engine, Report, StartError, TaskId, Tools};
use adit_flow::expose::Addresses;
use adit_flow::expr::Value;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{Fingerprint, Loaded};
use crate::control::Ending;
use crate::control::run::Workflows;

/// What runs the workflows of a file, and all that they need. Clones are the same.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

struct Inner {
    engine: Engine,
    addresses: Addresses,
    fingerprint: Fingerprint,
    phase: watch::Sender<Phase>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is being set up.
    Starting,
    /// Runs can be started.
    Ready,
    /// No run is started any more.
    Ending,
}

/// How much of it is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope<'a> {
    /// All of it.
    All(SetUp),
    /// What a run of this workflow can come to use.
    Run(&'a str),
}

/// Whether components are set up before they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// Their install and build scripts are run.
    Done,
    /// They were set up before.
    Passed,
}

impl Service {
    /// That of a file. Nothing runs yet.
    pub(crate) fn new(loaded: &Loaded) -> Self {
        let compose = Arc::new(loaded.compose.clone());
        let addresses = Addresses::new(&compose);
        let tools = Tools::new(&compose, addresses.clone(), Hub::new());
        Self(Arc::new(Inner {
            engine: Engine::new(compose, tools),
            addresses,
            fingerprint: loaded.fingerprint.clone(),
            phase: watch::Sender::new(Phase::Starting),
        }))
    }

    /// Changes with its phase.
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// How long its end takes at the most.
    pub(crate) fn within(&self, ending: Ending) -> Duration {
        let _ = ending;
        Duration::from_secs(60)
    }

    /// Keeps all of it until `stop`. When this returns, all that it started has ended.
    ///
    /// # Errors
    ///
    /// Something that everything else needs cannot be had.
    pub(crate) async fn keep(
        &self,
        scope: Scope<'_>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        self.0.phase.send_replace(Phase::Ready);
        stop.cancelled().await;
        self.0.phase.send_replace(Phase::Ending);
        self.0.engine.close(Duration::from_secs(30)).await;
        Ok(())
    }
}

impl Workflows for Service {
    fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        self.0.fingerprint == *fingerprint
    }

    async fn ready(&self) -> bool {
        let mut phases = self.phases();
        let phase = phases.wait_for(|phase| *phase != Phase::Starting).await;
        phase.is_ok_and(|phase| *phase == Phase::Ready)
    }

    fn start(&self, workflow: &str, input: Value) -> Result<TaskId, StartError> {
        self.0.engine.start(workflow, input)
    }

    fn watch(&self, task: &TaskId) -> Option<watch::Receiver<Arc<Report>>> {
        self.0.engine.watch(task)
    }

    fn resume(&self, task: &TaskId, job: &str, answer: Option<Value>) -> bool {
        self.0.engine.resume(task, job, answer).is_ok()
    }

    fn cancel(&self, task: &TaskId) {
        // One that is over needs none.
        self.0.engine.cancel(task).ok();
    }
}
