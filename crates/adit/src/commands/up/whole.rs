//! All that one `adit up` runs, and the order in which it ends.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use adit_tunnel::agent::chain;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::stop_file;
use crate::compose::Loaded;
use crate::compose::service::{Phase, Scope, Service, SetUp};
use crate::config::Surroundings;
use crate::control::Ending;
use crate::control::run::Workflows;
use crate::control::server::{HostTunnels, Subject};
use crate::detach::LetGo;
use crate::hosts::keeper::Keeper;
use crate::signal::signalled;
use crate::status::Report;
use crate::tunnels::{Board, Tunnel, keep};

/// All that runs. Clones are the same.
#[derive(Clone)]
pub(super) struct Whole {
    board: Board,
    service: Option<Service>,
    /// Begins the end.
    stop: CancellationToken,
    /// Lets the end wait for nobody.
    hurry: CancellationToken,
}

/// Longest end of tunnels: connections say goodbye in two seconds, and so does each host on the way.
const TUNNELS_END: Duration = Duration::from_secs(40);

impl Whole {
    /// What a file says, of that name. Nothing runs yet.
    ///
    /// # Errors
    ///
    /// A secret that the file names is not there.
    pub(super) fn new(
        name: PathBuf,
        loaded: &Loaded,
        set_up: SetUp,
        surroundings: &Surroundings,
    ) -> anyhow::Result<Self> {
        let board = Board::new(name, &loaded.tunnels);
        let service = if loaded.has_compose() {
            let scope = Scope::All(set_up);
            Some(Service::new(loaded, scope, surroundings, &board)?)
        } else {
            None
        };
        Ok(Self {
            board,
            service,
            stop: CancellationToken::new(),
            hurry: CancellationToken::new(),
        })
    }

    /// Keeps it until a signal, or somebody who asks for the end. When this returns, all that it
    /// started has ended.
    ///
    /// # Errors
    ///
    /// Something that only a person can mend was in the way before it was up.
    pub(super) async fn serve(
        &self,
        tunnels: Vec<Tunnel>,
        let_go: Option<LetGo>,
    ) -> anyhow::Result<ExitCode> {
        let mut signal = std::pin::pin!(signalled()?);
        // What runs may need the tunnels, which therefore end last.
        let last = CancellationToken::new();
        let mut kept = std::pin::pin!(self.keep_tunnels(tunnels, &last));
        let mut served = std::pin::pin!(self.keep_service());
        let mut marked = std::pin::pin!(self.stop_file());
        let mut changes = self.board.changes();
        let mut phases = self.service.as_ref().map(Service::phases);
        let (mut is_kept, mut is_served, mut is_begun) = (false, false, false);
        let mut end = Ok(ExitCode::SUCCESS);
        while !(is_kept && is_served) {
            tokio::select! {
                biased;
                ended = &mut kept, if !is_kept => {
                    // It ends by itself only if it could not begin.
                    is_kept = true;
                    end = ended.and(end);
                    self.stop.cancel();
                }
                ended = &mut served, if !is_served => {
                    is_served = true;
                    match ended {
                        // A signal to all of a terminal's processes ends programs before it is seen here.
                        Err(error) if self.stop.is_cancelled() => error!("{}", chain(error.as_ref())),
                        ended => end = ended.and(end),
                    }
                    self.stop.cancel();
                    last.cancel();
                }
                code = &mut signal => {
                    signal.set(signalled()?);
                    if self.stop.is_cancelled() {
                        self.hurry.cancel();
                    } else {
                        end = Ok(code);
                        self.stop.cancel();
                        if self.service.is_some() {
                            info!("stopping; interrupt again to wait for no run");
                        }
                    }
                }
                () = &mut marked, if !self.stop.is_cancelled() => {
                    info!("stopping, as the file .stop asks for");
                    self.stop.cancel();
                }
                // Whoever writes the changes outlives this.
                _ = changes.changed(), if !self.stop.is_cancelled() => {
                    is_begun = is_begun || self.board.was_connected();
                    // Whoever waits for all of them to be up waits in vain once one has failed.
                    let waits_for_all = let_go.as_ref().is_some_and(|let_go| !let_go.is_done());
                    if (!is_begun || waits_for_all)
                        && let Some(failure) = self.board.failure(!waits_for_all)
                    {
                        end = Err(anyhow::anyhow!(failure));
                        self.stop.cancel();
                    }
                }
                () = changed(&mut phases), if !self.stop.is_cancelled() => {}
            }
            if let Some(let_go) = &let_go
                && self.is_ready()
            {
                let_go.ready();
            }
        }
        end
    }

    /// Whether there is nothing left to do before it is up.
    fn is_ready(&self) -> bool {
        let mut services = self.service.iter();
        services.all(|service| *service.phases().borrow() == Phase::Ready)
            && self.board.is_ready()
            && !self.stop.is_cancelled()
    }

    async fn keep_tunnels(
        &self,
        tunnels: Vec<Tunnel>,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
        if tunnels.is_empty() {
            stop.cancelled().await;
            return Ok(());
        }
        keep(tunnels, &self.board, stop).await
    }

    async fn keep_service(&self) -> anyhow::Result<()> {
        let Some(service) = &self.service else {
            self.stop.cancelled().await;
            return Ok(());
        };
        service.keep(&self.stop, &self.hurry).await
    }

    /// Waits for the file by which model-compose is stopped, where there is what it would run.
    async fn stop_file(&self) {
        match &self.service {
            Some(_) => stop_file::asked().await,
            None => std::future::pending().await,
        }
    }
}

/// Waits for the next phase, if there are any.
async fn changed(phases: &mut Option<watch::Receiver<Phase>>) {
    let is_changed = match phases {
        Some(phases) => phases.changed().await.is_ok(),
        None => false,
    };
    if !is_changed {
        std::future::pending::<()>().await;
    }
}

impl Subject for Whole {
    fn report(&self) -> Report {
        Report {
            service: self.service.as_ref().map(Service::report),
            ..self.board.report()
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.board.changes()
    }

    fn workflows(&self) -> Option<&impl Workflows> {
        self.service.as_ref()
    }

    fn hosts(&self) -> Option<&impl HostTunnels> {
        None::<&Keeper>
    }

    fn within(&self, ending: Ending) -> Duration {
        let service = self.service.as_ref();
        let service = service.map_or(Duration::ZERO, |service| service.within(ending));
        TUNNELS_END.saturating_add(service)
    }

    fn end(&self, ending: Ending) {
        if let (Ending::Down, Some(service)) = (ending, &self.service) {
            service.clean();
        }
        self.stop.cancel();
    }
}
