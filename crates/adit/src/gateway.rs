//! A gateway: what it is made of, how it begins, and how it ends.
//!
//! Everything is built first, then bound, then run: whatever is wrong is told before anybody is let in. What is
//! decided about a principal is decided by a [snapshot](principals) that is published whole; what is held outlives
//! connections, and in the [ledger] the process.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use adit_store::{DatabaseUrl, Place, Store};
use adit_text::SecretSource;
use adit_tunnel::gateway::accept::{self, Acceptor, Parts};
use adit_tunnel::gateway::desk::{self, Clock, Desk, Seams};
use adit_tunnel::gateway::host_keys::{self, HostKeys};
use adit_tunnel::gateway::limit::Usages;
use adit_tunnel::gateway::open::SystemResolver;
use adit_tunnel::gateway::policy::Policy;
use adit_tunnel::gateway::port;
use adit_tunnel::provider;
use adit_tunnel::transport::ssh::Memory;
use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::directory::DataDirectory;
use self::ledger::StoreLedger;
use self::settings::{Listen, Settings};
use self::stop::{Signals, Told};
use self::visitors::Visitors;
use crate::cli::ServeArguments;
use crate::files;
use crate::log::tell;

mod announce;
pub(crate) mod directory;
mod ledger;
mod notify;
mod principals;
pub(crate) mod settings;
mod source;
mod stop;
pub(crate) mod trusted;
mod visitors;

/// How often it is looked whether somebody else has changed the store: another command, while this one's socket
/// could not be reached.
const LOOK: Duration = Duration::from_secs(5);

/// A gateway that is built, and lets nobody in yet.
struct Gateway {
    arguments: ServeArguments,
    settings: Settings,
    store: Arc<Store>,
    policy: watch::Sender<Arc<Policy>>,
    desk: Arc<Desk>,
    acceptor: Acceptor,
    visitors: Arc<Visitors>,
    listeners: Vec<TcpListener>,
    host_keys: HostKeys,
}

/// Serves until a signal.
///
/// # Errors
///
/// It cannot begin, in words that say why.
pub(crate) fn run(arguments: &ServeArguments, settings: Settings) -> anyhow::Result<ExitCode> {
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
        let gateway = Gateway::build(arguments.clone(), settings, &directory).await?;
        gateway.serve(signals).await
    })
}

impl Gateway {
    async fn build(
        arguments: ServeArguments,
        settings: Settings,
        directory: &DataDirectory,
    ) -> anyhow::Result<Self> {
        let now = Timestamp::now();
        let store = Store::open(place(&settings, directory)?, now).await?;
        let epochs = store.epoch_floor(now).await?;
        let leases = store.leases().await.context("cannot read who held what")?;
        let policy = Arc::new(principals::policy(&store, &settings).await?);
        let host_keys = host_keys::load_or_make(&directory.host_keys())?;
        // Before any lease: a port of ours is nobody else's.
        let listeners = bind(&settings.ssh)?;
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
        let parts = Parts {
            policy: snapshots,
            desk: Arc::clone(&desk),
            usages,
            resolver: Arc::new(SystemResolver),
            source: source::of(&settings),
            provider: Arc::new(provider::of_this_machine()),
            memory: Memory::of_this_machine(),
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
        Ok(Self {
            arguments,
            settings,
            store,
            policy,
            desk,
            acceptor,
            visitors,
            listeners,
            host_keys,
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
        let mut tasks = JoinSet::new();
        let stop = serving.clone();
        tasks.spawn(async move { desk.run(stop).await });
        let stop = accepting.clone();
        let taking = Arc::clone(&acceptor);
        let mut accepts = JoinSet::new();
        accepts.spawn(async move { taking.run(sockets, stop).await });
        announce::started(&self.settings, &listening, &self.host_keys);
        notify::ready();
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let code = loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::Reload => {
                        notify::reloading();
                        match reload(&self.arguments, &mut self.settings, &self.store, &self.policy).await {
                            Ok(()) => info!("everything was read again"),
                            Err(error) => error!("nothing is changed: {error:#}"),
                        }
                        notify::ready();
                    }
                    Told::End(code) => break code,
                },
                _ = look.tick() => {
                    if let Err(error) = refresh(&self.settings, &self.store, &self.policy).await {
                        warn!("who may log in stays as it is: {error:#}");
                    }
                }
                // Neither ends by itself.
                Some(ended) = tasks.join_next() => ended.context("the leases are not kept any more")?,
                Some(ended) = accepts.join_next() => ended.context("nobody is let in any more")?,
            }
        };
        notify::stopping();
        let drain = self.settings.drain;
        tell(&format!(
            "stopping; visitors have {} to end",
            adit_text::duration::render(drain)
        ));
        accepting.cancel();
        // Their streams end with their connections; who is through earlier is not waited for.
        while accepts.join_next().await.is_some() {}
        serving.cancel();
        while tasks.join_next().await.is_some() {}
        self.visitors.drain(drain).await;
        drop((acceptor, self.desk));
        Ok(code)
    }
}

/// Reads the file of settings and the files of keys again, all or nothing.
async fn reload(
    arguments: &ServeArguments,
    settings: &mut Settings,
    store: &Store,
    policy: &watch::Sender<Arc<Policy>>,
) -> anyhow::Result<()> {
    let read = Settings::read(arguments)?;
    let fixed = read.fixed_since(settings);
    let changed = principals::policy(store, &read).await?;
    policy.send_replace(Arc::new(changed));
    if !fixed.is_empty() {
        warn!("only after a restart: {}", fixed.join(", "));
    }
    *settings = read;
    Ok(())
}

/// Publishes what another process has changed in the store.
async fn refresh(
    settings: &Settings,
    store: &Store,
    policy: &watch::Sender<Arc<Policy>>,
) -> anyhow::Result<()> {
    if store.version().await? == policy.borrow().version {
        return Ok(());
    }
    let changed = principals::policy(store, settings).await?;
    policy.send_replace(Arc::new(changed));
    Ok(())
}

/// Where the store is: in the data directory, unless a server is named.
fn place(settings: &Settings, directory: &DataDirectory) -> anyhow::Result<Place> {
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
        value.with_context(|| format!("the variable {name} is not set"))
    };
    let url = match &settings.database {
        Some(SecretSource::File(path)) => Some(of_file(path)?),
        Some(SecretSource::Environment(name)) => Some(variable(name)?),
        Some(SecretSource::Value(value)) => Some(value.clone()),
        None => match (std::env::var(VARIABLE), std::env::var_os(FILE_VARIABLE)) {
            (Ok(url), _) => Some(url),
            (Err(_), Some(path)) => Some(of_file(path.as_ref())?),
            (Err(_), None) => None,
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
