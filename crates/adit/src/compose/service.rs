//! Everything of a compose file but its tunnels, from its start to its end.
//!
//! What needs others comes after them, and ends before them: listeners are bound, gateways connected,
//! components set up and started, the controller opened. Whoever runs a workflow gets as much of that as
//! the workflow can come to use, and no controller.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use adit_flow::callback::{Hub, Replays};
use adit_flow::controller::Token;
use adit_flow::exec::{Engine, Report, StartError, TaskId, Tools};
use adit_flow::expose::Addresses;
use adit_flow::expr::Value;
use adit_flow::file::Environment;
use adit_flow::http::{self, Client};
use adit_flow::model::Compose;
use adit_flow::process::{ChildEnvironment, Keeper};
use anyhow::Context as _;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::component::Components;
use super::need::Need;
use super::{Fingerprint, Loaded, secret};
use crate::config::Surroundings;
use crate::control::Ending;
use crate::control::run::Workflows;
use crate::expose::Exposes;
use crate::files;
use crate::status::ServiceReport;
use crate::tunnels::Board;

/// What runs the workflows of a file, and all that they need. Clones are the same.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

pub(super) struct Inner {
    pub(super) compose: Arc<Compose>,
    pub(super) need: Need,
    pub(super) engine: Engine,
    pub(super) hub: Hub,
    pub(super) replays: Arc<Mutex<Replays>>,
    pub(super) addresses: Addresses,
    pub(super) gateways: Exposes,
    pub(super) components: Components,
    pub(super) tokens: Vec<Option<Token>>,
    pub(super) keeper: Keeper,
    pub(super) children: ChildEnvironment,
    pub(super) environment: Environment,
    pub(super) surroundings: Surroundings,
    /// The folder that paths are from.
    pub(super) folder: PathBuf,
    fingerprint: Fingerprint,
    phase: watch::Sender<Phase>,
    /// Whether components are taken down at the end.
    cleans: AtomicBool,
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
    /// What there is to take down.
    Clean,
}

/// Whether components are set up before they are started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SetUp {
    /// Their install and build scripts are run.
    Done,
    /// They were set up before.
    Passed,
}

/// Longest end of gateways, which say goodbye as tunnels do, and of the requests at listeners.
const DOORS_END: Duration = Duration::from_secs(60);
/// Longest that clean scripts take before whoever waits for the end gives up; they are not stopped.
const CLEAN: Duration = Duration::from_secs(600);

impl Service {
    /// As much of a file as is wanted. Nothing runs yet; each gateway gets a row of `board`.
    ///
    /// # Errors
    ///
    /// A secret that the file names is not there.
    pub(crate) fn new(
        loaded: &Loaded,
        scope: Scope<'_>,
        surroundings: &Surroundings,
        board: &Board,
    ) -> anyhow::Result<Self> {
        let compose = Arc::new(loaded.compose.clone());
        let environment = loaded.environment.clone();
        let need = Need::of(&compose, scope);
        let tokens = if need.controller {
            secret::tokens(&compose, &environment, surroundings)?
        } else {
            Vec::new()
        };
        let places = need.gateways.iter().copied();
        let gateways = Exposes::new(&compose, places, &environment, surroundings, board)?;
        let folder = std::env::current_dir().context("cannot tell which folder this is")?;
        let private = &compose.private_variables;
        let children = ChildEnvironment::new(std::env::vars_os(), &environment, private);
        let keeper = Keeper {
            open_files: files::raise(),
            ..Keeper::of_this_program()
        };
        let set_up = match scope {
            Scope::All(set_up) => set_up,
            Scope::Run(_) | Scope::Clean => SetUp::Passed,
        };
        let components = Components::new(
            &compose,
            &need.components,
            set_up,
            (&keeper, &folder, &children),
        );
        let secrets = secret::masked(&compose, &environment, surroundings);
        let http = http::Config {
            secrets: Arc::new(secrets.clone()),
            ..http::Config::default()
        };
        let addresses = Addresses::new(&compose);
        let hub = Hub::new();
        let tools = Tools {
            addresses: addresses.clone(),
            hub: hub.clone(),
            http: Client::new(http)?,
            keeper: keeper.clone(),
            environment: children.clone(),
            folder: folder.clone(),
            secrets,
            services: components.servers(),
        };
        Ok(Self(Arc::new(Inner {
            engine: Engine::new(Arc::clone(&compose), tools),
            compose,
            need,
            hub,
            replays: Arc::default(),
            addresses,
            gateways,
            components,
            tokens,
            keeper,
            children,
            environment,
            surroundings: surroundings.clone(),
            folder,
            fingerprint: loaded.fingerprint.clone(),
            phase: watch::Sender::new(Phase::Starting),
            cleans: AtomicBool::new(false),
        })))
    }

    /// Changes with its phase.
    pub(crate) fn phases(&self) -> watch::Receiver<Phase> {
        self.0.phase.subscribe()
    }

    /// Where its parts stand.
    pub(crate) fn report(&self) -> ServiceReport {
        let phase = *self.0.phase.borrow();
        self.0.report(phase)
    }

    /// Has components taken down at the end.
    pub(crate) fn clean(&self) {
        self.0.cleans.store(true, Ordering::Relaxed);
    }

    /// How long its end takes at the most.
    pub(crate) fn within(&self, ending: Ending) -> Duration {
        let controller = self.0.compose.controller.as_ref();
        let runs = controller.map_or(super::run::PATIENCE, |controller| {
            let pending = controller.shutdown_pending_period;
            pending.saturating_add(controller.shutdown_timeout)
        });
        let clean = match ending {
            Ending::Down if self.0.components.can_clean() => CLEAN,
            Ending::Down | Ending::Stop => Duration::ZERO,
        };
        runs.saturating_add(clean).saturating_add(DOORS_END)
    }

    /// Keeps all of it until `stop`; once `hurry` too, its end waits for no run. When this returns, all that
    /// it started has ended.
    ///
    /// # Errors
    ///
    /// Something cannot be had that all else needs.
    pub(crate) async fn keep(
        &self,
        stop: &CancellationToken,
        hurry: &CancellationToken,
    ) -> anyhow::Result<()> {
        let mut running = super::run::Running::new(Arc::clone(&self.0));
        let begun = tokio::select! {
            biased;
            () = stop.cancelled() => Ok(()),
            begun = running.begin() => begun,
        };
        if begun.is_ok() && !stop.is_cancelled() {
            self.0.phase.send_replace(Phase::Ready);
            running.watch(stop).await;
        }
        self.0.phase.send_replace(Phase::Ending);
        let cleaned = running.end(hurry, &self.0.cleans).await;
        begun.and(cleaned)
    }

    /// Takes components down that do not run.
    ///
    /// # Errors
    ///
    /// A clean script has failed.
    pub(crate) async fn take_down(&self, stop: &CancellationToken) -> anyhow::Result<()> {
        self.0.components.clean(stop).await
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

    fn masked(&self, text: &str) -> String {
        self.0.engine.masked(text)
    }
}
