//! A gateway: what it is made of, how it begins, and how it ends.
//!
//! Everything is built first, then bound, then run: whatever is wrong is told before anybody is let in. What is
//! decided about a principal is decided by a [snapshot](principals) that is published whole; what is held outlives
//! connections, and in the [ledger] the process.

use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;

use adit_store::Store;
use adit_tunnel::budget::Budget;
use adit_tunnel::gateway::accept::{self, Acceptor, Parts};
use adit_tunnel::gateway::desk::{Clock, Desk, Seams};
use adit_tunnel::gateway::host_keys::{self, HostKeys};
use adit_tunnel::gateway::limit::Usages;
use adit_tunnel::gateway::open::SystemResolver;
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
use self::certificates::Shelf;
use self::chores::Chores;
use self::control::{Asked, Subject};
use self::directory::DataDirectory;
use self::enroll::StoreEnroll;
use self::ledger::StoreLedger;
use self::monitor::{Condition, Monitor, Readings};
use self::names::{Known, Names, Registrar};
pub(crate) use self::parts::place;
use self::parts::{addresses, bind, desk_settings, registrar, site};
use self::principals::KeyFiles;
use self::publisher::Publisher;
use self::settings::Settings;
use self::stop::{Signals, Told};
use self::tally::Tally;
use self::visitors::Visitors;
use self::withdrawn::{Journal, Withdrawn};
use crate::cli::ServeArguments;
use crate::files;
use crate::log::tell;
use crate::notify::{self, Watchdog};

mod activation;
mod announce;
pub(crate) mod audit;
mod capacity;
mod certificates;
mod chores;
pub(crate) mod control;
pub(crate) mod directory;
mod enroll;
mod ledger;
mod monitor;
pub(crate) mod names;
pub(crate) mod order;
mod parts;
mod principals;
mod publisher;
pub(crate) mod settings;
mod source;
mod stop;
mod tally;
pub(crate) mod trusted;
mod visitors;
mod withdrawn;

/// Asks of commands that wait for the loop: one of each of their clients.
const ASKS: usize = 16;

/// A gateway that is built, and lets nobody in yet.
struct Gateway {
    settings: Settings,
    publisher: Publisher,
    desk: Arc<Desk>,
    acceptor: Arc<Acceptor>,
    visitors: Arc<Visitors>,
    names: Option<Arc<Names>>,
    registrar: Option<Arc<Registrar>>,
    listeners: Vec<TcpListener>,
    host_keys: HostKeys,
    control: UnixListener,
    monitor: Option<Monitor>,
    tally: Tally,
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
        let journal = Journal::open(directory.path())?;
        let mut policy = principals::policy(&store, &settings, &files).await?;
        journal.apply(&mut policy);
        principals::tell_of_anonymous(&settings, &policy);
        let policy = Arc::new(policy);
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
        let is_behind = !journal.is_empty();
        let withdrawn = Arc::new(Withdrawn::new(journal, policy));
        let visitors = Visitors::new(&settings);
        let shelf = Arc::new(Shelf::open(directory.certificates(), &settings, now)?);
        let names = Names::bind(&settings, &visitors, &shelf)?.map(Arc::new);
        let registrar = registrar(&settings, names.as_deref(), directory, &shelf, &leases)?;
        let seams = Seams {
            policy: snapshots.clone(),
            ledger: Arc::new(StoreLedger::new(Arc::clone(&store))),
            publish: Arc::<Visitors>::clone(&visitors) as _,
        };
        let desk = Desk::new(
            desk_settings(&settings, directory, registrar.clone(), epochs),
            seams,
            leases,
        );
        let usages = Usages::new(snapshots.clone(), Clock::system(), visitors.share());
        let tally = Tally::open(Arc::clone(&store), usages.clone(), now).await?;
        visitors.lead_by(Arc::clone(&desk), snapshots.clone(), usages.clone());
        let memory = Memory::of_this_machine();
        let budget = memory.budget.clone();
        let parts = Parts {
            policy: snapshots.clone(),
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
                anonymous: !settings.anonymous.is_empty(),
                connections: settings.caps.connections,
                drain: settings.drain,
                enroll: Some(Arc::new(StoreEnroll::new(Arc::clone(&store)))),
                site: site(&settings, names.as_deref()),
                ..accept::Settings::with_host_keys(host_keys.clone())
            },
            parts,
        );
        let acceptor = Arc::new(acceptor.ok().context("the system has no randomness")?);
        let condition = Arc::new(Condition::starting());
        let publisher = Publisher {
            arguments,
            settings: settings.clone(),
            files,
            store,
            policy: snapshots.clone(),
            acceptor: Arc::clone(&acceptor),
            host_keys: (directory.host_keys(), host_keys.clone()),
            names: directory.names(),
            shelf,
            visitors: Arc::clone(&visitors),
            is_behind,
            withdrawn,
            condition: Arc::clone(&condition),
        };
        Ok(Self {
            settings,
            publisher,
            desk,
            acceptor,
            visitors,
            names,
            registrar,
            listeners,
            host_keys,
            control,
            monitor,
            tally,
            condition,
            budget,
        })
    }

    /// What tells how it is.
    fn readings(&self) -> Readings {
        Readings {
            acceptor: Arc::clone(&self.acceptor),
            desk: Arc::clone(&self.desk),
            visitors: Arc::clone(&self.visitors),
            policy: self.publisher.policy.clone(),
            names: self.names.clone(),
            condition: Arc::clone(&self.condition),
            budget: self.budget.clone(),
            caps: self.settings.caps,
        }
    }

    /// What names are known from.
    fn known(&self) -> Option<Known> {
        let registrar = self.registrar.clone()?;
        Some(Known {
            desk: Arc::clone(&self.desk),
            registrar,
            policy: self.publisher.policy.clone(),
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
        let (acceptor, desk) = (Arc::clone(&self.acceptor), Arc::clone(&self.desk));
        let metrics = self.monitor.as_ref().map(Monitor::address);
        let (readings, known) = (Arc::new(self.readings()), self.known());
        let mut chores = Chores::default();
        chores.keep(Book::open(Arc::clone(&self.publisher.store)));
        chores.count(self.tally);
        chores.tidy(Arc::clone(&self.publisher.store), Arc::clone(&self.desk));
        if let Some(monitor) = self.monitor.take() {
            chores.show(monitor, Arc::clone(&readings));
        }
        let mut tasks = JoinSet::new();
        let stop = serving.clone();
        tasks.spawn(async move { desk.run(stop).await });
        let stop = accepting.clone();
        let taking = Arc::clone(&acceptor);
        let mut naming = JoinSet::new();
        let at_names = self.names.take();
        if let (Some(names), Some(known)) = (at_names.clone(), known) {
            let (stop, drain) = (accepting.clone(), self.settings.drain);
            naming.spawn(async move { names.run(&known, &stop, drain).await });
        }
        let mut accepts = JoinSet::new();
        accepts.spawn(async move { taking.run(sockets, stop).await });
        let (asks, asked) = mpsc::channel(ASKS);
        let subject = Subject {
            store: Arc::clone(&self.publisher.store),
            desk: Arc::clone(&self.desk),
            reports: acceptor.reports().clone(),
            leases: self.settings.leases,
            ports: self.settings.defaults.ports.clone(),
            host_keys: self.publisher.host_keys.0.clone(),
            names: self.publisher.names.clone(),
            readings,
            withdrawn: Arc::clone(&self.publisher.withdrawn),
            asks: asks.clone(),
        };
        let told_to_end = CancellationToken::new();
        let mut answers = JoinSet::new();
        answers.spawn(subject.serve(self.control));
        answers.spawn(self.publisher.run(asked, told_to_end.clone()));
        capacity::report(self.settings.caps, self.visitors.most(), &self.budget);
        let at_http = at_names.as_deref().map_or_else(Vec::new, Names::addresses);
        self.condition.serves();
        announce::started(
            &self.settings,
            &listening,
            &at_http,
            metrics,
            &self.host_keys,
        );
        info!(target: audit::TARGET, what = "gateway.start", version = env!("CARGO_PKG_VERSION"), "the gateway has started");
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
                () = told_to_end.cancelled() => break notify::told_to_end(),
                () = watchdog.tell() => {}
                () = chores.watch() => {}
                // None of them ends by itself.
                Some(ended) = tasks.join_next() => ended.context("the leases are not kept any more")?,
                Some(ended) = accepts.join_next() => ended.context("nobody is let in any more")?,
                Some(ended) = naming.join_next() => ended.context("names are not served any more")??,
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
        while let Some(ended) = naming.join_next().await {
            ended.context("visitors of names were not served to their end")??;
        }
        // Their streams end with their connections; who is through earlier is not waited for.
        while accepts.join_next().await.is_some() {}
        serving.cancel();
        while tasks.join_next().await.is_some() {}
        self.visitors.drain(drain).await;
        chores.end().await;
        drop((acceptor, self.acceptor, self.desk));
        Ok(code)
    }
}
