//! Publishes who may log in, whenever the store or the files of keys have changed: in a task of its own, so that a
//! database that does not answer holds nothing else up.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use adit_store::Store;
use adit_tunnel::gateway::accept::Acceptor;
use adit_tunnel::gateway::host_keys::{self, HostKeys};
use adit_tunnel::gateway::policy::Policy;
use anyhow::Context as _;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::audit;
use super::certificates::Shelf;
use super::control::Asked;
use super::monitor::Condition;
use super::order::Hands;
use super::principals::{self, KeyFiles};
use super::settings::Settings;
use super::visitors::Visitors;
use super::withdrawn::Withdrawn;
use crate::cli::ServeArguments;
use crate::notify;

/// How often it is looked whether another process has changed the store: what is taken away is to be closed
/// within about a second (security rule G05). It is one question by a primary key.
const LOOK: Duration = Duration::from_secs(1);

/// How often it is looked whether a certificate has to be renewed.
const RENEW: Duration = Duration::from_secs(3_600);

/// What is published, and what of.
pub(super) struct Publisher {
    pub(super) arguments: ServeArguments,
    pub(super) settings: Settings,
    /// As they were read last. Where a file cannot be used any more, what it said counts, and the store's word goes
    /// on being heard.
    pub(super) files: KeyFiles,
    pub(super) store: Arc<Store>,
    pub(super) policy: watch::Receiver<Arc<Policy>>,
    /// Who is shown the host keys.
    pub(super) acceptor: Arc<Acceptor>,
    /// The folder of the host keys, and what was in it.
    pub(super) host_keys: (PathBuf, HostKeys),
    /// The file of the secret that names are given by.
    pub(super) names: PathBuf,
    /// Certificates of names.
    pub(super) shelf: Arc<Shelf>,
    /// For whom the rules are.
    pub(super) visitors: Arc<Visitors>,
    /// Whether what was read has still to be published, since the store did not answer.
    pub(super) is_behind: bool,
    /// What the store does not know yet.
    pub(super) withdrawn: Arc<Withdrawn>,
    /// Who is told how the store does, and the last reading.
    pub(super) condition: Arc<Condition>,
}

impl Publisher {
    /// Does what it is asked, and looks by itself, until nobody can ask any more. Told to end, it cancels `stop`.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Asked>, stop: CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut renew = interval(RENEW);
        renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        loop {
            tokio::select! {
                asked = asks.recv() => match asked {
                    // Whoever asked may have gone.
                    Some(Asked::Publish(done)) => drop(done.send(self.refresh().await)),
                    Some(Asked::Reload(done)) => drop(done.send(self.reload().await)),
                    Some(Asked::HostKeys(done)) => drop(done.send(self.renew_host_keys().await)),
                    Some(Asked::Stop) => stop.cancel(),
                    None => return,
                },
                _ = renew.tick() => self.renew_certificates(),
                _ = look.tick() => match self.refresh().await {
                    Ok(()) => is_told = false,
                    // Once, however long the database is away.
                    Err(error) if !is_told => {
                        warn!("who may log in stays as it is: {error:#}");
                        is_told = true;
                    }
                    Err(_) => {}
                },
            }
        }
    }

    /// Reads the file of settings and the files of keys again, all or nothing, and logs which.
    async fn reload(&mut self) -> anyhow::Result<()> {
        notify::reloading();
        let read = self.read_again().await;
        self.condition.reloaded(read.is_ok());
        match &read {
            Ok(()) => {
                info!(target: audit::TARGET, what = "gateway.reload", "everything was read again");
            }
            Err(error) if self.is_behind => error!("it counts when the store answers: {error:#}"),
            Err(error) => error!("nothing is changed: {error:#}"),
        }
        notify::ready();
        read
    }

    async fn read_again(&mut self) -> anyhow::Result<()> {
        let read = Settings::read(&self.arguments)?;
        let files = KeyFiles::read(&read)?;
        let host_keys = self.read_host_keys().await?;
        let fixed = read.fixed_since(&self.settings);
        if !fixed.is_empty() {
            warn!("only after a restart: {}", fixed.join(", "));
        }
        // It is the last that can fail.
        self.shelf.fill(&read, Timestamp::now())?;
        self.visitors.set_rules(&read.rules);
        self.show(host_keys);
        (self.settings, self.files) = (read, files);
        self.is_behind = true;
        self.refresh().await?;
        principals::tell_of_anonymous(&self.settings, &self.policy.borrow());
        Ok(())
    }

    /// A certificate of our own authority is renewed long before it is over.
    fn renew_certificates(&self) {
        let now = Timestamp::now();
        if !self.shelf.is_old(now) {
            return;
        }
        match self.shelf.fill(&self.settings, now) {
            Ok(()) => info!("the certificate of names was renewed"),
            Err(error) => error!("the certificate of names is not renewed: {error:#}"),
        }
    }

    /// Reads the host keys again, which somebody has changed.
    async fn renew_host_keys(&mut self) -> anyhow::Result<()> {
        let host_keys = self.read_host_keys().await?;
        self.show(host_keys);
        Ok(())
    }

    /// Keys that are missing are made, which takes a while.
    async fn read_host_keys(&self) -> anyhow::Result<HostKeys> {
        let folder = self.host_keys.0.clone();
        let read = spawn_blocking(move || host_keys::load_or_make(&folder)).await;
        Ok(read.context("reading the host keys failed")??)
    }

    /// Shows those to clients from here on. That others are shown is for the audit, whoever has changed them.
    fn show(&mut self, host_keys: HostKeys) {
        if host_keys.public() == self.host_keys.1.public() {
            // A certificate may be another.
            self.acceptor.set_host_keys(&host_keys);
            return;
        }
        let keys: Vec<_> = host_keys
            .standings()
            .map(|(key, standing)| {
                let (kind, fingerprint) = (key.key_type().name(), key.fingerprint());
                format!("{standing} {kind} {fingerprint}")
            })
            .collect();
        info!(target: audit::TARGET, what = "host_key.change", keys = keys.join(", "), "the host keys are others");
        self.acceptor.set_host_keys(&host_keys);
        self.host_keys.1 = host_keys;
    }

    /// Publishes what has changed.
    async fn refresh(&mut self) -> anyhow::Result<()> {
        let version = self.store.version().await;
        self.condition.asked_store(version.is_ok());
        let is_old = version? != self.policy.borrow().version;
        self.settle().await;
        if is_old || self.is_behind {
            let changed = principals::policy(&self.store, &self.settings, &self.files).await?;
            self.withdrawn.publish(changed);
            self.is_behind = false;
        }
        Ok(())
    }

    /// Tells the store what it does not know yet.
    async fn settle(&mut self) {
        let hands = Hands {
            store: &self.store,
            desk: None,
            reports: None,
            who: "",
            leases: self.settings.leases,
            ports: None,
            host_keys: &self.host_keys.0,
            names: &self.names,
        };
        self.is_behind |= self.withdrawn.settle(hands).await;
    }
}
