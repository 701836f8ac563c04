//! The parts of a compose file while they run: who is begun after whom, and ended before whom.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_flow::controller::Controller;
use adit_flow::expose::provider::Provider;
use adit_flow::expose::{Expose as _, State as Port};
use adit_flow::listen::{self, Visitors};
use adit_flow::model::expose::ExposeConfig;
use adit_flow::process::State;
use adit_tunnel::agent::chain;
use anyhow::Context as _;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::secret;
use super::service::Inner;
use crate::expose::CallbackVisitors;

/// How long gateways are waited for before all else goes on without them. They are tried on.
const GATEWAYS: Duration = Duration::from_secs(15);
/// How long the end waits for runs where no controller says it; model-compose's own.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// What runs of a file.
pub(super) struct Running {
    inner: Arc<Inner>,
    listeners: Part,
    gateways: Part,
    components: Part,
    controller: Part,
}

/// Things of one kind, which end together. Each tells how it ended.
#[derive(Default)]
struct Part {
    tasks: JoinSet<anyhow::Result<()>>,
    stop: CancellationToken,
}

impl Running {
    pub(super) fn new(inner: Arc<Inner>) -> Self {
        Self {
            inner,
            listeners: Part::default(),
            gateways: Part::default(),
            components: Part::default(),
            controller: Part::default(),
        }
    }

    /// Begins everything that is needed.
    ///
    /// # Errors
    ///
    /// Something cannot be had that all else needs; what was begun goes on.
    ///
    /// # Cancel safety
    ///
    /// What was begun goes on until the [`end`](Self::end).
    pub(super) async fn begin(&mut self) -> anyhow::Result<()> {
        self.listen().await?;
        self.connect().await?;
        self.start().await?;
        self.open().await
    }

    /// Listeners: what cannot be bound now would leave jobs waiting for ever.
    async fn listen(&mut self) -> anyhow::Result<()> {
        let inner = &self.inner;
        let read = |source: &adit_text::SecretSource| {
            let told = secret::read(source, &inner.environment, &inner.surroundings)?;
            Ok(told.expose().clone().into_bytes().into())
        };
        for number in &inner.need.listeners {
            let Some(config) = inner.compose.callback_servers.get(*number) else {
                continue;
            };
            let visitors = inner.gateways.visitors_of(config.port.value);
            let context = listen::Context {
                hub: inner.hub.clone(),
                launch: Arc::new(inner.engine.clone()),
                visitors: Arc::new(Tunnelled(visitors)),
                replays: Arc::clone(&inner.replays),
            };
            let server = listen::Server::bind(config, &read, context).await;
            let server = server.with_context(|| format!("{}: listener", config.port.place))?;
            info!("[Listener] Listening on {}:{}", config.host, server.port());
            let stop = self.listeners.stop.clone();
            self.listeners.tasks.spawn(async move {
                server.run(stop).await;
                Ok(())
            });
        }
        Ok(())
    }

    /// Gateways, until their ports are public or that takes too long.
    async fn connect(&mut self) -> anyhow::Result<()> {
        let needed = &self.inner.need.gateways;
        for number in needed.iter().copied() {
            let (inner, stop) = (Arc::clone(&self.inner), self.gateways.stop.clone());
            self.gateways.tasks.spawn(async move {
                let config = inner.compose.exposes.get(number).map(|one| &one.value);
                let addresses = &inner.addresses;
                match config {
                    Some(ExposeConfig::Ssh(ssh)) => {
                        let kept = inner.gateways.keep(number, ssh, addresses, stop).await;
                        kept.map_err(anyhow::Error::from_boxed)
                    }
                    Some(ExposeConfig::Http(http)) => {
                        let provider = Provider {
                            keeper: &inner.keeper,
                            dir: &inner.folder,
                            children: &inner.children,
                            environment: &inner.environment,
                        };
                        let kept = provider.keep(number, http, addresses, &stop).await;
                        kept.context("gateway")
                    }
                    None => Ok(()),
                }
            });
        }
        let mut changes = self.inner.addresses.changes();
        let up = async {
            while !self.inner.addresses.are_settled(needed) {
                changes.next().await;
            }
        };
        tokio::select! {
            biased;
            failed = self.gateways.failure() => Err(failed),
            _ = timeout(GATEWAYS, up) => {
                self.tell_what_is_not_public();
                Ok(())
            }
        }
    }

    fn tell_what_is_not_public(&self) {
        for number in &self.inner.need.gateways {
            for port in self.inner.ports_of(*number) {
                match self.inner.addresses.state(port) {
                    Some(Port::Down(why)) => error!(
                        "[Gateway] port {port} is not public after {GATEWAYS:?}, and is tried on: {why}"
                    ),
                    Some(Port::Barred(why)) => {
                        error!("[Gateway] port {port} is not public: {why}");
                    }
                    Some(Port::Up(_)) | None => {}
                }
            }
        }
    }

    /// Components, until all of them accept connections.
    async fn start(&mut self) -> anyhow::Result<()> {
        let all = self.inner.components.all();
        for one in all {
            let (one, stop) = (one.clone(), self.components.stop.clone());
            let tasks = &mut self.components.tasks;
            tasks.spawn(async move { one.keep(&stop).await });
        }
        let mut states: Vec<_> = all
            .iter()
            .filter_map(|one| Some(one.server()?.state()))
            .collect();
        // The others have nothing but scripts, and are done with them.
        for _ in states.len()..all.len() {
            self.components.next().await?;
        }
        for state in &mut states {
            tokio::select! {
                biased;
                failed = self.components.failure() => return Err(failed),
                // Its owner outlives this.
                _ = state.wait_for(|state| *state == State::Ready) => {}
            }
        }
        Ok(())
    }

    /// The controller, which is the first that anybody can start a run by.
    async fn open(&mut self) -> anyhow::Result<()> {
        let inner = &self.inner;
        let config = inner.compose.controller.as_ref();
        let Some(config) = config.filter(|_| inner.need.controller) else {
            return Ok(());
        };
        let runs = Arc::new(inner.engine.clone());
        let controller = Controller::bind(config, runs, &inner.tokens).await?;
        for address in controller.addresses() {
            info!("[Controller] Listening on http://{address}");
        }
        let stop = self.controller.stop.clone();
        self.controller.tasks.spawn(async move {
            controller.run(stop).await;
            Ok(())
        });
        Ok(())
    }

    /// Tells of what fails, until `stop`: what is up stays so.
    pub(super) async fn watch(&mut self, stop: &CancellationToken) {
        loop {
            let failed = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                failed = self.gateways.failure() => failed,
                failed = self.components.failure() => failed,
                failed = self.listeners.failure() => failed,
                failed = self.controller.failure() => failed,
            };
            error!("{}", chain(failed.as_ref()));
        }
    }

    /// Ends everything, and takes components down if they are to be. Runs may end by themselves for as long as the
    /// controller gives them, unless there is a hurry.
    ///
    /// # Errors
    ///
    /// A clean script has failed.
    pub(super) async fn end(
        mut self,
        hurry: &CancellationToken,
        cleans: &AtomicBool,
    ) -> anyhow::Result<()> {
        let engine = self.inner.engine.clone();
        let config = self.inner.compose.controller.as_ref();
        let config = config.filter(|_| !self.controller.tasks.is_empty());
        let pending_period = config.map(|config| config.shutdown_pending_period);
        let patience = config.map_or(PATIENCE, |config| config.shutdown_timeout);
        let runs = async {
            tokio::select! {
                () = hurry.cancelled() => {}
                () = async {
                    sleep(pending_period.unwrap_or_default()).await;
                    engine.close(patience).await;
                } => {}
            }
            engine.close(Duration::ZERO).await;
        };
        self.controller.stop.cancel();
        let controller = async {
            tokio::select! {
                biased;
                () = self.controller.end() => return,
                () = hurry.cancelled() => {}
            }
            self.controller.tasks.shutdown().await;
        };
        tokio::join!(runs, controller);
        self.components.end().await;
        let cleaned = if cleans.load(Ordering::Relaxed) {
            self.inner.components.clean(hurry).await
        } else {
            Ok(())
        };
        self.gateways.end().await;
        self.listeners.end().await;
        cleaned
    }
}

impl Part {
    /// Waits for the next one to end.
    ///
    /// # Errors
    ///
    /// It failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    async fn next(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            Some(ended) => flat(ended),
            None => pending().await,
        }
    }

    /// Waits for the next one that fails.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    async fn failure(&mut self) -> anyhow::Error {
        loop {
            if let Err(error) = self.next().await {
                return error;
            }
        }
    }

    /// Ends all of them in order.
    async fn end(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = flat(ended) {
                warn!("{}", chain(error.as_ref()));
            }
        }
    }
}

fn flat(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Result<()> {
    ended.context("adit itself is at fault")?
}

/// Who comes through our own tunnels.
struct Tunnelled(CallbackVisitors);

impl Visitors for Tunnelled {
    fn visitor(&self, peer: std::net::SocketAddr) -> Option<std::net::SocketAddr> {
        self.0.visitor(peer)
    }

    fn over(&self, peer: std::net::SocketAddr) {
        self.0.over(peer);
    }
}

impl Inner {
    /// The local ports that a gateway makes public.
    fn ports_of(&self, gateway: usize) -> Vec<u16> {
        match self.compose.exposes.get(gateway).map(|one| &one.value) {
            Some(ExposeConfig::Ssh(ssh)) => ssh.forwards.iter().map(|one| one.port).collect(),
            Some(ExposeConfig::Http(http)) => http.ports.iter().map(|port| port.value).collect(),
            None => Vec::new(),
        }
    }
}
