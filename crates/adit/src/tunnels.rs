//! Keeps the tunnels of a file, each in a task of its own, and knows where they stand.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::forward::Forward;
use adit_tunnel::agent::health::{Finding, HealthBoard};
use adit_tunnel::agent::meter::Meter;
use adit_tunnel::agent::network::{Network, Watcher};
use adit_tunnel::agent::probe::{Prober, Probing};
use adit_tunnel::agent::supervise::{self, Event, Instruments, Peer, TunnelConfig};
use adit_tunnel::agent::target::{Checks, Kind};
use adit_tunnel::transport::Target;
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::status::{News, Report, Status, TunnelState, When};
use crate::tell::tell;

/// A tunnel with its name.
pub(crate) struct Tunnel {
    pub(crate) name: String,
    pub(crate) config: TunnelConfig,
    /// How often a path that works is probed.
    pub(crate) probe: Duration,
    /// Whose targets are checked.
    pub(crate) checks: Vec<Check>,
}

/// The check of a forward's target.
pub(crate) struct Check {
    /// The forward's place in the tunnel.
    pub(crate) number: usize,
    pub(crate) kind: Kind,
    pub(crate) target: Target,
    /// How often, while it is well.
    pub(crate) every: Duration,
}

/// Where all tunnels of one `up` stand. Clones show the same.
#[derive(Debug, Clone)]
pub(crate) struct Board(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: PathBuf,
    since: SystemTime,
    /// By the numbers of their rows.
    statuses: Mutex<BTreeMap<usize, Status>>,
    changes: watch::Sender<u64>,
    /// The number of the next row.
    next: AtomicUsize,
}

/// The place of one tunnel on a board.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    board: Board,
    number: usize,
}

/// How long a tunnel that only a person can mend is left alone, as one that was up before is
/// (`backoff`).
const REFUSED: Duration = Duration::from_secs(300);

/// How often it is looked whether visitors were served, which is as good as a check.
const SERVED: Duration = Duration::from_secs(20);

impl Board {
    /// Of tunnels that nothing has happened to yet, of that file.
    pub(crate) fn new(config: PathBuf, tunnels: &[Tunnel]) -> Self {
        let now = SystemTime::now();
        let statuses = tunnels
            .iter()
            .map(|tunnel| status(&tunnel.name, &tunnel.config, now))
            .enumerate();
        Self(Arc::new(Inner {
            config,
            since: now,
            statuses: Mutex::new(statuses.collect()),
            changes: watch::Sender::new(0),
            next: AtomicUsize::new(tunnels.len()),
        }))
    }

    /// Where everything stands.
    pub(crate) fn report(&self) -> Report {
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            config: self.0.config.clone(),
            pid: std::process::id(),
            since: When(self.0.since),
            tunnels: self.statuses().values().map(Status::report).collect(),
            service: None,
        }
    }

    /// Changes with each state.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Adds one more, behind the others, that nothing has happened to yet.
    pub(crate) fn add(&self, name: &str, config: &TunnelConfig) -> Row {
        self.add_forwards(name, &config.peer.peer, &config.forwards)
    }

    /// The same of some forwards of a tunnel.
    pub(crate) fn add_forwards(&self, name: &str, peer: &Peer, forwards: &[Forward]) -> Row {
        let mut statuses = self.statuses();
        // A number is given once, so that who is late with news of a row that is gone changes no other.
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        statuses.insert(number, Status::new(name, peer, forwards, SystemTime::now()));
        drop(statuses);
        self.changed();
        Row {
            board: self.clone(),
            number,
        }
    }

    fn row(&self, number: usize) -> Row {
        Row {
            board: self.clone(),
            number,
        }
    }

    /// Whether every forward is up, or waits for an address of this machine.
    pub(crate) fn is_ready(&self) -> bool {
        self.statuses().values().all(Status::is_ready)
    }

    /// Whether any tunnel was ever logged in.
    pub(crate) fn was_connected(&self) -> bool {
        self.statuses().values().any(Status::was_connected)
    }

    /// The first tunnel that failed, and why, if `all` did or one is enough.
    pub(crate) fn failure(&self, all: bool) -> Option<String> {
        let statuses = self.statuses();
        let has_failed = |status: &&Status| status.state() == TunnelState::Failed;
        if all && !statuses.values().all(|status| has_failed(&status)) {
            return None;
        }
        let report = statuses.values().find(has_failed)?.report();
        let why = report.last_error.map(|trouble| trouble.what);
        Some(format!("{}: {}", report.name, why.unwrap_or_default()))
    }

    fn statuses(&self) -> MutexGuard<'_, BTreeMap<usize, Status>> {
        let statuses = self.0.statuses.lock();
        statuses.unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one tunnel's status.
    fn change(&self, number: usize, change: impl FnOnce(&mut Status) -> News) -> News {
        let news = self.statuses().get_mut(&number).map_or(News::None, change);
        if news == News::State {
            self.changed();
        }
        news
    }

    fn changed(&self) {
        let changes = &self.0.changes;
        changes.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Row {
    /// Takes what happened to the tunnel.
    pub(crate) fn apply(&self, event: &Event<'_>) -> News {
        let now = SystemTime::now();
        self.board
            .change(self.number, |status| status.apply(event, now))
    }

    /// The tunnel has come to nothing.
    pub(crate) fn failed(&self, error: String) -> News {
        let now = SystemTime::now();
        self.board
            .change(self.number, |status| status.failed(error, now))
    }

    /// It is shown no more.
    pub(crate) fn remove(&self) {
        self.board.statuses().remove(&self.number);
        self.board.changed();
    }

    /// Where its forwards' visitors are counted.
    pub(crate) fn meters(&self) -> Vec<Arc<Meter>> {
        let statuses = self.board.statuses();
        let status = statuses.get(&self.number);
        status.map_or_else(Vec::new, Status::meters)
    }
}

fn status(name: &str, config: &TunnelConfig, now: SystemTime) -> Status {
    Status::new(name, &config.peer.peer, &config.forwards, now)
}

/// Keeps all tunnels until `stop`. When this returns, all that it started has ended.
///
/// One tunnel's error leaves the others alone: what only a person can mend is told, shown, and tried
/// again every five minutes.
///
/// # Errors
///
/// The system has no randomness.
pub(crate) async fn keep(
    tunnels: Vec<Tunnel>,
    board: &Board,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let prober = Arc::new(Prober::new().ok().context("the system has no randomness")?);
    let (mut tasks, mut numbers) = (JoinSet::new(), HashMap::new());
    let (watcher, network) = Watcher::start();
    let watching = stop.clone();
    for (number, tunnel) in tunnels.into_iter().enumerate() {
        let (row, stop, prober) = (board.row(number), stop.clone(), Arc::clone(&prober));
        let network = network.subscribe();
        let task = tasks.spawn(async move {
            keep_one(tunnel, (&prober, network), &row, &stop).await;
        });
        numbers.insert(task.id(), number);
    }
    tasks.spawn(watcher.run(watching));
    while let Some(ended) = tasks.join_next_with_id().await {
        let Err(error) = ended else { continue };
        error!(%error, "tunnel's task panicked");
        if let Some(number) = numbers.get(&error.id()) {
            let words = String::from("adit itself is at fault; start it anew");
            board.row(*number).failed(words);
        }
    }
    Ok(())
}

async fn keep_one(
    tunnel: Tunnel,
    (prober, network): (&Prober, Network),
    row: &Row,
    stop: &CancellationToken,
) {
    let Tunnel {
        name,
        config,
        probe,
        checks,
    } = tunnel;
    let peer = config.peer.peer.clone();
    let meters = row.meters();
    let health = HealthBoard::default();
    let checking = check(&name, checks, (row, &meters), (&config.forwards, &health));
    let events = |event: Event<'_>| {
        let news = row.apply(&event);
        tell(Some(&name), &peer, &event, news);
    };
    let keeping = async {
        loop {
            let ran = async {
                let connect = SshConnect::new(&config.peer, Memory::of_this_machine())
                    .map_err(|error| chain(&error))?;
                let instruments = Instruments {
                    probing: Some(Probing {
                        prober,
                        interval: probe,
                    }),
                    meters: meters.clone(),
                    network: Some(network.subscribe()),
                    health: health.follow(),
                    ..Instruments::default()
                };
                let forwards = config.forwards.clone();
                let ran = supervise::run(&connect, forwards, instruments, &events, stop.clone());
                ran.await.map_err(|error| chain(&error))
            };
            let Err(error) = Box::pin(ran).await else {
                return;
            };
            error!(
                tunnel = name,
                error, "tunnel failed; trying again in five minutes"
            );
            row.failed(error);
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(REFUSED) => {}
            }
        }
    };
    tokio::select! {
        biased;
        () = keeping => {}
        never = checking => match never {},
    }
}

/// Checks the targets of a tunnel's forwards, for ever, whether it is connected or not.
async fn check(
    name: &str,
    checks: Vec<Check>,
    (row, meters): (&Row, &[Arc<Meter>]),
    (forwards, board): (&[Forward], &HealthBoard),
) -> Infallible {
    let mut all = Checks::new();
    let mut served = Vec::new();
    for Check {
        number,
        kind,
        target,
        every,
    } in checks
    {
        all.add(number, kind, target, every);
        if let Some(meter) = meters.get(number) {
            served.push((number, meter, meter.read()));
        }
    }
    loop {
        let (forward, health) = tokio::select! {
            news = all.step() => news,
            () = sleep(SERVED), if !served.is_empty() => {
                for (number, meter, before) in &mut served {
                    let now = meter.read();
                    if now.to_target > before.to_target && now.to_visitor > before.to_visitor {
                        all.served(*number);
                    }
                    *before = now;
                }
                continue;
            }
        };
        let is_well = health.is_well();
        if let Some(of) = forwards.get(forward) {
            board.write(Finding {
                forward: of.bind.clone(),
                is_well,
                words: health.to_string(),
            });
        }
        row.board.change(row.number, |status| {
            status.checked(forward, is_well, health.to_string(), SystemTime::now())
        });
        if is_well {
            info!(tunnel = name, forward, "{health}");
        } else {
            warn!(tunnel = name, forward, "{health}");
        }
    }
}
