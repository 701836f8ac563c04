//! Publishes who may log in, whenever the store or the files of keys have changed: in a task of its own, so that a
//! database that does not answer holds nothing else up.

use std::sync::Arc;
use std::time::Duration;

use adit_store::Store;
use adit_tunnel::gateway::policy::Policy;
use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use super::audit;
use super::control::Asked;
use super::monitor::Condition;
use super::notify;
use super::principals::{self, KeyFiles};
use super::settings::Settings;
use crate::cli::ServeArguments;

/// How often it is looked whether another process has changed the store: what is taken away is to be closed
/// within about a second (security rule G05). It is one question by a primary key.
const LOOK: Duration = Duration::from_secs(1);

/// What is published, and what of.
pub(super) struct Publisher {
    pub(super) arguments: ServeArguments,
    pub(super) settings: Settings,
    /// As they were read last. Where a file cannot be used any more, what it said counts, and the store's word goes
    /// on being heard.
    pub(super) files: KeyFiles,
    pub(super) store: Arc<Store>,
    pub(super) policy: watch::Sender<Arc<Policy>>,
    /// Whether what was read has still to be published, since the store did not answer.
    pub(super) is_behind: bool,
    /// Who is told how the store does, and the last reading.
    pub(super) condition: Arc<Condition>,
}

impl Publisher {
    /// Does what it is asked, and looks by itself, until nobody can ask any more. Told to end, it cancels `stop`.
    pub(super) async fn run(mut self, mut asks: mpsc::Receiver<Asked>, stop: CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut is_told = false;
        loop {
            tokio::select! {
                asked = asks.recv() => match asked {
                    // Whoever asked may have gone.
                    Some(Asked::Publish(done)) => drop(done.send(self.refresh().await)),
                    Some(Asked::Reload(done)) => drop(done.send(self.reload().await)),
                    Some(Asked::Stop) => stop.cancel(),
                    None => return,
                },
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
        let fixed = read.fixed_since(&self.settings);
        if !fixed.is_empty() {
            warn!("only after a restart: {}", fixed.join(", "));
        }
        (self.settings, self.files) = (read, files);
        self.is_behind = true;
        self.refresh().await
    }

    /// Publishes what has changed.
    async fn refresh(&mut self) -> anyhow::Result<()> {
        let version = self.store.version().await;
        self.condition.asked_store(version.is_ok());
        let is_old = version? != self.policy.borrow().version;
        if is_old || self.is_behind {
            let changed = principals::policy(&self.store, &self.settings, &self.files).await?;
            self.policy.send_replace(Arc::new(changed));
            self.is_behind = false;
        }
        Ok(())
    }
}
