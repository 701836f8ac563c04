//! A gateway: what it is made of, how it begins, and how it ends.
//!
//! Everything is built first, then bound, then run: whatever is wrong is told before anybody is let in. What is
//! decided about a principal is decided by a [snapshot](principals) that is published whole; what is held outlives
//! connections, and in the [ledger] the process.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use adit_store::{DatabaseUrl, Place, Store};
use adit_text::SecretSource;
use adit_tunnel::budget::Budget;
use adit_tunnel::gateway::accept::{self, Acceptor, Parts};
use adit_tunnel::gateway::desk::{self, Clock, Desk, Seams};
use adit_tunnel::gateway::host_keys::{self, HostKeys};
use adit_tunnel::gateway::limit::Usages;
use adit_tunnel::gateway::open::SystemResolver;
use adit_tunnel::gateway::port;
use adit_tunnel::provider;
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;
use jiff::Timestamp;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::info;

use self::audit::Book;
use self::chores::Chores;
use self::control::{Asked, Subject};
use self::directory::DataDirectory;
use self::ledger::StoreLedger;
use self::monitor::{Condition, Monitor, Readings};
use self::notify::Watchdog;
use self::principals::KeyFiles;
use self::publisher::Publisher;
use self::settings::{Listen, Settings};
use self::stop::{Signals, Told};
use self::visitors::Visitors;
use crate::cli::ServeArguments;
use crate::files;
use crate::log::tell;

mod activation;
mod announce;
pub(crate) mod audit;
mod capacity;
mod chores;
pub(crate) mod control;
pub(crate) mod directory;
mod ledger;
mod monitor;
mod notify;
pub(crate) mod order;
mod principals;
mod publisher;
pub(crate) mod settings;
mod source;
mod stop;
pub(crate) mod trusted;
mod visitors;

/// Asks of commands that wait for the loop: one of each of their clients.
const ASKS: usize = 16;

/// A gateway that is built, and lets nobody in yet.
struct Gateway {
    settings: Settings,
    publisher: Publisher,
    desk: Arc<Desk>,
    acceptor: Acceptor,
    visitors: Arc<Visitors>,
    listeners: Vec<TcpListener>,
    host_keys: HostKeys,
    control: UnixListener,
    monitor: Option<Monitor>,
    condition: Arc<Condition>,
    budget: Budget,
}

/// Serves until a signal.
///
/// # Errors
///
/// It cannot begin, in words that say why.
pub(crate) fn run(arguments: &ServeArguments, settings: Settings) -> anyhow::Result<ExitCode> {
    let given = activation::sockets()?;
    files::raise();
    let directory = DataDirectory::open(&settings.data)?;
    let _lock = directory.lock()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        // From here on a signal ends it in order, however far it has come.
        let signals = Signals::listen()?;
        let gateway = Gateway::build(arguments.clone(), settings, &directory, given).await?;
        gateway.serve(signals).await
    })
}

impl Gateway {
    async fn build(
        arguments: ServeArguments,
        settings: Settings,
        directory: &DataDirectory,
        given: Vec<TcpListener>,
    ) -> anyhow::Result<Self> {
        let now = Timestamp::now();
        let store = Store::open(place(&settings, directory)?, now).await?;
        let epochs = store.epoch_floor(now).await?;
        let leases = store.leases().await.context("cannot read who held what")?;
        let files = KeyFiles::read(&settings)?;
        let policy = Arc::new(principals::policy(&store, &settings, &files).await?);
        let host_keys = host_keys::load_or_make(&directory.host_keys())?;
        // Before any lease: a port of ours is nobody else's.
        activation::check(&given, &settings.defaults.ports)?;
        let listeners = if given.is_empty() {
            bind(&settings.ssh)?
        } else {
            given
        };
        let control = control::bind(&directory.control())?;
        let monitor = settings.metrics.map(Monitor::bind).transpose()?;
        let store = Arc::new(store);
        let (policy, snapshots) = watch::channel(policy);
        let visitors = Visitors::new(&settings);
        let seams = Seams {
            policy: snapshots.clone(),
            ledger: Arc::new(StoreLedger::new(Arc::clone(&store))),
            publish: Arc::<Visitors>::clone(&visitors) as _,
        };
        let desk = Desk::new(
            desk::Settings {
                grace: settings.leases.grace,
                port_quarantine: settings.leases.port_quarantine,
                name_quarantine: settings.leases.name_quarantine,
                sockets: Some(directory.sockets()),
                epochs,
                ..desk::Settings::with_ports(settings.defaults.ports.clone())
            },
            seams,
            leases,
        );
        let usages = Usages::new(snapshots.clone(), Clock::system());
        visitors.lead_by(Arc::clone(&desk), snapshots.clone(), usages.clone());
        let memory = Memory::of_this_machine();
        let budget = memory.budget.clone();
        let parts = Parts {
            policy: snapshots,
            desk: Arc::clone(&desk),
            usages,
            resolver: Arc::new(SystemResolver),
            source: source::of(&settings),
            provider: Arc::new(provider::of_this_machine()),
            memory,
            clock: Clock::system(),
        };
        let acceptor = Acceptor::new(
            accept::Settings {
                ends_useless: settings.ends_refused,
                connections: settings.caps.connections,
                drain: settings.drain,
                ..accept::Settings::with_host_keys(host_keys.clone())
            },
            parts,
        );
        let acceptor = acceptor.ok().context("the system has no randomness")?;
        let condition = Arc::new(Condition::starting());
        let publisher = Publisher {
            arguments,
            settings: settings.clone(),
            files,
            store,
            policy,
            is_behind: false,
            condition: Arc::clone(&condition),
        };
        Ok(Self {
            settings,
            publisher,
            desk,
            acceptor,
            visitors,
            listeners,
            host_keys,
            control,
            monitor,
            condition,
            budget,
        })
    }

    async fn serve(mut self, mut signals: Signals) -> anyhow::Result<ExitCode> {
        let listening = addresses(&self.listeners)?;
        let sockets = std::mem::take(&mut self.listeners);
        let sockets = sockets.into_iter().map(tokio::net::TcpListener::from_std);
        let sockets: Vec<_> = sockets
            .collect::<Result<_, _>>()
            .context("cannot listen for connections")?;
        let (accepting, serving) = (CancellationToken::new(), CancellationToken::new());
        let (acceptor, desk) = (Arc::new(self.acceptor), Arc::clone(&self.desk));
        let metrics = self.monitor.as_ref().map(Monitor::address);
        let mut chores = Chores::default();
        chores.keep(Book::open(Arc::clone(&self.publisher.store)));
        chores.tidy(Arc::clone(&self.publisher.store), Arc::clone(&self.desk));
        if let Some(monitor) = self.monitor.take() {
            let readings = Readings {
                acceptor: Arc::clone(&acceptor),
                desk: Arc::clone(&self.desk),
                visitors: Arc::clone(&self.visitors),
                policy: self.publisher.policy.subscribe(),
                condition: Arc::clone(&self.condition),
                budget: self.budget.clone(),
                caps: self.settings.caps,
            };
            chores.show(monitor, readings);
        }
        let mut tasks = JoinSet::new();
        let stop = serving.clone();
        tasks.spawn(async move { desk.run(stop).await });
        let stop = accepting.clone();
        let taking = Arc::clone(&acceptor);
        let mut accepts = JoinSet::new();
        accepts.spawn(async move { taking.run(sockets, stop).await });
        let (asks, asked) = mpsc::channel(ASKS);
        let subject = Subject {
            store: Arc::clone(&self.publisher.store),
            desk: Arc::clone(&self.desk),
            leases: self.settings.leases,
            asks: asks.clone(),
        };
        let told_to_end = CancellationToken::new();
        let mut answers = JoinSet::new();
        answers.spawn(subject.serve(self.control));
        answers.spawn(self.publisher.run(asked, told_to_end.clone()));
        capacity::report(self.settings.caps, self.visitors.most(), &self.budget);
        announce::started(&self.settings, &listening, metrics, &self.host_keys);
        info!(target: audit::TARGET, what = "gateway.start", version = env!("CARGO_PKG_VERSION"), "the gateway has started");
        self.condition.serves();
        notify::ready();
        let mut watchdog = Watchdog::as_told();
        let code = loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::Reload => {
                        let (done, _) = oneshot::channel();
                        // Full, it is being done.
                        drop(asks.try_send(Asked::Reload(done)));
                    }
                    Told::End(code) => break code,
                },
                () = told_to_end.cancelled() => break ExitCode::SUCCESS,
                () = watchdog.tell() => {}
                () = chores.watch() => {}
                // None of them ends by itself.
                Some(ended) = tasks.join_next() => ended.context("the leases are not kept any more")?,
                Some(ended) = accepts.join_next() => ended.context("nobody is let in any more")?,
                Some(ended) = answers.join_next() => ended.context("commands are not answered any more")?,
            }
        };
        let drain = self.settings.drain;
        self.condition.stops();
        // Connections are waited for, and then the visitors of Unix sockets.
        notify::stopping(drain.saturating_mul(2));
        info!(target: audit::TARGET, what = "gateway.stop", "the gateway stops");
        tell(&format!(
            "stopping; visitors have {} to end",
            adit_text::duration::render(drain)
        ));
        answers.shutdown().await;
        accepting.cancel();
        // Their streams end with their connections; who is through earlier is not waited for.
        while accepts.join_next().await.is_some() {}
        serving.cancel();
        while tasks.join_next().await.is_some() {}
        self.visitors.drain(drain).await;
        chores.end().await;
        drop((acceptor, self.desk));
        Ok(code)
    }
}

/// Where the store is: in the data directory, unless a server is named.
pub(crate) fn place(settings: &Settings, directory: &DataDirectory) -> anyhow::Result<Place> {
    /// Names a database server; one in a file is named by the other.
    const VARIABLE: &str = "ADIT_DATABASE_URL";
    const FILE_VARIABLE: &str = "ADIT_DATABASE_URL_FILE";
    /// Longest URL.
    const LENGTH: u64 = 8_192;
    let of_file = |path: &std::path::Path| {
        let bytes = trusted::read(path, LENGTH);
        let bytes = bytes.with_context(|| format!("cannot use {}", path.display()))?;
        String::from_utf8(bytes).with_context(|| format!("{} is no text", path.display()))
    };
    let variable = |name: &str| {
        let value = std::env::var(name);
        value.with_context(|| format!("the variable {name} cannot be used"))
    };
    let url = match &settings.database {
        Some(SecretSource::File(path)) => Some(of_file(path)?),
        Some(SecretSource::Environment(name)) => Some(variable(name)?),
        Some(SecretSource::Value(value)) => Some(value.clone()),
        None => match (std::env::var_os(VARIABLE), std::env::var_os(FILE_VARIABLE)) {
            (Some(_), _) => Some(variable(VARIABLE)?),
            (None, Some(path)) => Some(of_file(path.as_ref())?),
            (None, None) => None,
        },
    };
    Ok(match url {
        Some(url) => Place::Url(url.trim().parse::<DatabaseUrl>()?),
        None => Place::File(directory.path().join("adit.db")),
    })
}

/// Binds everywhere or nowhere.
fn bind(listens: &[Listen]) -> anyhow::Result<Vec<TcpListener>> {
    let mut all = Vec::new();
    for listen in listens {
        let wanted = || format!("cannot listen at {listen}");
        if listen.port == 0 {
            // Any free one: of one address, since another might not have the same.
            let address = listen.scope.addresses().into_iter().next();
            let address = address.with_context(wanted)?;
            let socket = TcpListener::bind((address, 0)).with_context(wanted)?;
            socket.set_nonblocking(true).with_context(wanted)?;
            all.push(socket);
        } else {
            let bound = port::bind(listen.scope, listen.port);
            all.extend(bound.with_context(wanted)?.sockets);
        }
    }
    Ok(all)
}

fn addresses(listeners: &[TcpListener]) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses = listeners.iter().map(TcpListener::local_addr);
    let addresses: Result<Vec<_>, _> = addresses.collect();
    addresses.context("cannot tell where it listens")
}
