//! Keeps what stands in a table of ports: a connection for each host, a listener for each entry.
//!
//! It is level-triggered: whoever has changed the table asks for it to be read again, and what differs is begun or
//! ended. What stays is not touched, and neither are its visitors.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adit_fleet::host::Host;
use adit_fleet::table::{Entry, Table};
use adit_tunnel::agent::listen::Shared;
use adit_tunnel::agent::network::{Network, Watcher};
use adit_tunnel::agent::supervise::Peer;
use adit_tunnel::transport::Target;
use anyhow::Context as _;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::error;

use super::place::Place;
use super::tunnel::{self, Link};
use crate::compose::service::Service;
use crate::config::Surroundings;
use crate::control::run::Workflows;
use crate::control::server::{HostTunnels, Subject};
use crate::control::{Checked, Ending};
use crate::status::Report;
use crate::tunnels::Board;

/// Who can be asked about what is kept. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Keeper {
    board: Board,
    stop: CancellationToken,
    asks: mpsc::Sender<Ask>,
}

#[derive(Debug)]
enum Ask {
    Reload(oneshot::Sender<Result<Vec<String>, String>>),
    Check(oneshot::Sender<Vec<Checked>>),
}

/// What is kept.
pub(crate) struct Kept {
    place: Place,
    surroundings: Surroundings,
    keeper: Keeper,
    asks: mpsc::Receiver<Ask>,
    network: Network,
    hosts: HashMap<Host, Tunnel>,
    /// Connections and listeners.
    tasks: JoinSet<()>,
    checks: JoinSet<()>,
}

/// One host.
struct Tunnel {
    peer: Peer,
    link: Link,
    stop: CancellationToken,
    task: AbortHandle,
    listeners: HashMap<u16, Listener>,
}

struct Listener {
    entry: Entry,
    stop: CancellationToken,
    task: AbortHandle,
}

/// Questions that wait.
const ASKS: usize = 8;
/// Services that are visited at once.
const VISITS: usize = 32;
/// Longest end: connections say goodbye in two seconds, and so does each host on the way.
const END: Duration = Duration::from_secs(40);
/// What is said to whoever asks at the end.
const ENDING: &str = "it is about to end";

impl Keeper {
    /// Of a place, and what will keep it.
    pub(crate) fn new(place: Place, surroundings: Surroundings) -> (Self, Unstarted) {
        let (sender, asks) = mpsc::channel(ASKS);
        let keeper = Self {
            board: Board::new(place.table_file(), &[]),
            stop: CancellationToken::new(),
            asks: sender,
        };
        let unstarted = Unstarted {
            place,
            surroundings,
            keeper: keeper.clone(),
            asks,
        };
        (keeper, unstarted)
    }

    /// Begins the end.
    pub(crate) fn end_all(&self) {
        self.stop.cancel();
    }

    /// Whether it has begun.
    pub(crate) fn is_ending(&self) -> bool {
        self.stop.is_cancelled()
    }

    async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Result<T, String> {
        let (answer, answered) = oneshot::channel();
        let asked = self.asks.send(ask(answer)).await;
        asked.map_err(|_| ENDING.to_owned())?;
        answered.await.map_err(|_| ENDING.to_owned())
    }
}

/// What is to be kept, before a runtime is there.
pub(crate) struct Unstarted {
    place: Place,
    surroundings: Surroundings,
    keeper: Keeper,
    asks: mpsc::Receiver<Ask>,
}

impl Unstarted {
    /// Keeps it until the end is asked for; `ready` is called once all has been begun, with what could not be. When
    /// this returns, all that it started has ended.
    ///
    /// # Errors
    ///
    /// The table cannot be read.
    pub(crate) async fn keep(self, ready: impl FnOnce(&[String])) -> anyhow::Result<()> {
        let (watcher, network) = Watcher::start();
        let watching = CancellationToken::new();
        let mut watchers = JoinSet::new();
        watchers.spawn(watcher.run(watching.clone()));
        let mut kept = Kept {
            place: self.place,
            surroundings: self.surroundings,
            keeper: self.keeper,
            asks: self.asks,
            network,
            hosts: HashMap::new(),
            tasks: JoinSet::new(),
            checks: JoinSet::new(),
        };
        let begun = kept.begin(ready).await;
        kept.end().await;
        watching.cancel();
        while watchers.join_next().await.is_some() {}
        begun
    }
}

impl Kept {
    async fn begin(&mut self, ready: impl FnOnce(&[String])) -> anyhow::Result<()> {
        let stop = self.keeper.stop.clone();
        let table = self.place.read()?;
        let troubles = tokio::select! {
            () = stop.cancelled() => return Ok(()),
            troubles = self.reconcile(&table) => troubles,
        };
        ready(&troubles);
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                Some(ended) = self.tasks.join_next() => told(ended),
                Some(ended) = self.checks.join_next() => told(ended),
                Some(ask) = self.asks.recv() => match ask {
                    Ask::Reload(answer) => {
                        let table = self.place.read().context("nothing is changed");
                        let troubles = match table {
                            Ok(table) => Ok(self.reconcile(&table).await),
                            Err(error) => Err(format!("{error:#}")),
                        };
                        // Who has asked may have gone.
                        drop(answer.send(troubles));
                    }
                    Ask::Check(answer) => {
                        let services = self.services();
                        self.checks.spawn(async move {
                            drop(answer.send(check(services).await));
                        });
                    }
                },
            }
        }
    }

    /// Begins and ends what differs; gives what cannot listen.
    async fn reconcile(&mut self, table: &Table) -> Vec<String> {
        let mut wanted: HashMap<Host, HashMap<u16, &Entry>> = HashMap::new();
        for entry in table.entries() {
            wanted
                .entry(entry.login())
                .or_default()
                .insert(entry.port, entry);
        }
        // First what goes, whose ports others may get.
        let mut ending = Vec::new();
        self.hosts.retain(|host, tunnel| {
            let of_host = wanted.get(host);
            tunnel.listeners.retain(|port, listener| {
                let stays = of_host
                    .and_then(|entries| entries.get(port))
                    .is_some_and(|entry| **entry == listener.entry);
                if !stays {
                    listener.stop.cancel();
                    tunnel.link.remove(*port);
                    ending.push(listener.task.clone());
                }
                stays
            });
            if of_host.is_none() {
                tunnel.stop.cancel();
                ending.push(tunnel.task.clone());
            }
            of_host.is_some()
        });
        while ending.iter().any(|task| !task.is_finished()) {
            match self.tasks.join_next().await {
                Some(ended) => told(ended),
                None => break,
            }
        }
        let mut begun = Vec::new();
        for entry in table.entries() {
            let host = entry.login();
            if !self.hosts.contains_key(&host) {
                let tunnel = self.connect(&host);
                self.hosts.insert(host.clone(), tunnel);
            } else if let Some(tunnel) = self.hosts.get(&host)
                && tunnel.link.has_failed()
            {
                // What was wrong may have been mended.
                tunnel.link.again.notify_one();
            }
            let Some(tunnel) = self.hosts.get_mut(&host) else {
                continue;
            };
            if tunnel.listeners.contains_key(&entry.port) {
                continue;
            }
            let forward = tunnel::forward(entry);
            let name = format!("{}:{}", entry.host, entry.service.port);
            let row = self
                .keeper
                .board
                .add_forwards(&name, &tunnel.peer, &[forward]);
            tunnel.link.add(entry.port, row.clone());
            let (bound, answer) = oneshot::channel();
            let stop = tunnel.stop.child_token();
            let listening = tunnel::listen(
                (entry.clone(), tunnel.peer.clone()),
                row,
                tunnel.link.clone(),
                self.network.subscribe(),
                bound,
                stop.clone(),
            );
            let listener = Listener {
                entry: entry.clone(),
                stop,
                task: self.tasks.spawn(listening),
            };
            tunnel.listeners.insert(entry.port, listener);
            begun.push((entry, answer));
        }
        let mut troubles = Vec::new();
        for (entry, answer) in begun {
            if let Ok(Err(error)) = answer.await {
                troubles.push(format!(
                    "{} service {}: {error}",
                    entry.host, entry.service.port
                ));
            }
        }
        troubles
    }

    fn connect(&mut self, host: &Host) -> Tunnel {
        let (link, stop) = (Link::default(), CancellationToken::new());
        let connecting = tunnel::connect(
            host.clone(),
            self.surroundings.clone(),
            link.clone(),
            self.network.subscribe(),
            stop.clone(),
        );
        Tunnel {
            peer: tunnel::peer(host, &self.surroundings),
            link,
            stop,
            task: self.tasks.spawn(connecting),
            listeners: HashMap::new(),
        }
    }

    /// All services, by their ports here.
    fn services(&self) -> Vec<(u16, Shared, Target)> {
        let mut all = Vec::new();
        for tunnel in self.hosts.values() {
            for (port, listener) in &tunnel.listeners {
                let target = tunnel::target(&listener.entry);
                all.push((*port, tunnel.link.shared.clone(), target));
            }
        }
        all
    }

    async fn end(mut self) {
        for tunnel in self.hosts.values() {
            tunnel.stop.cancel();
        }
        self.checks.shutdown().await;
        while let Some(ended) = self.tasks.join_next().await {
            told(ended);
        }
    }
}

/// A panic is a mistake of ours; it ends what that task was for and nothing else.
fn told(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "adit itself is at fault; start it anew");
    }
}

/// Visits services, some at a time, in the order of their ports.
async fn check(services: Vec<(u16, Shared, Target)>) -> Vec<Checked> {
    let places = Arc::new(Semaphore::new(VISITS));
    let mut visits = JoinSet::new();
    for (port, shared, target) in services {
        let places = Arc::clone(&places);
        visits.spawn(async move {
            // Nobody closes them.
            let _place = places.acquire().await;
            let visited = shared.visit(target).await;
            Checked {
                port,
                ms: visited.as_ref().ok().map(|took| took.as_secs_f64() * 1e3),
                reason: visited.err().map(|error| error.to_string()),
            }
        });
    }
    let mut all = visits.join_all().await;
    all.sort_by_key(|checked| checked.port);
    all
}

impl HostTunnels for Keeper {
    async fn reload(&self) -> Result<Vec<String>, String> {
        self.ask(Ask::Reload).await?
    }

    async fn check(&self) -> Result<Vec<Checked>, String> {
        self.ask(Ask::Check).await
    }
}

impl Subject for Keeper {
    fn report(&self) -> Report {
        self.board.report()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.board.changes()
    }

    fn workflows(&self) -> Option<&impl Workflows> {
        None::<&Service>
    }

    fn hosts(&self) -> Option<&impl HostTunnels> {
        Some(self)
    }

    fn within(&self, _ending: Ending) -> Duration {
        END
    }

    fn end(&self, _ending: Ending) {
        self.end_all();
    }
}
