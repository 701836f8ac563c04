//! What a gateway does beside its work: it is watched, it keeps its audit and what is carried, it puts away what is
//! over.
//!
//! A chore that fails is told of, and the gateway goes on without it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use adit_model::id::LeaseId;
use adit_model::lease::LeaseState;
use adit_store::Store;
use adit_tunnel::gateway::desk::Desk;
use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use super::audit::Book;
use super::monitor::{Monitor, Readings};
use super::tally::Tally;

/// The chores that are being done.
#[derive(Debug, Default)]
pub(super) struct Chores {
    tasks: JoinSet<()>,
    over: CancellationToken,
}

/// How often what is over is put away.
const TIDY: Duration = Duration::from_secs(60);

impl Chores {
    /// Keeps the audit.
    pub(super) fn keep(&mut self, book: Book) {
        let over = self.over.clone();
        self.tasks.spawn(book.run(over));
    }

    /// Answers who asks for metrics.
    pub(super) fn show(&mut self, monitor: Monitor, readings: Arc<Readings>) {
        let over = self.over.clone();
        self.tasks.spawn(async move {
            if let Err(error) = monitor.run(readings, over).await {
                warn!(%error, "there are no metrics");
            }
        });
    }

    /// Keeps what principals carry.
    pub(super) fn count(&mut self, tally: Tally) {
        let over = self.over.clone();
        self.tasks.spawn(tally.run(over));
    }

    /// Puts away what is over, every minute.
    pub(super) fn tidy(&mut self, store: Arc<Store>, desk: Arc<Desk>) {
        let over = self.over.clone();
        self.tasks.spawn(until(over, async move {
            let mut due = interval(TIDY);
            due.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                due.tick().await;
                if let Err(error) = forget(&store, &desk).await {
                    warn!(%error, "quarantines that are over stay where they are");
                }
            }
        }));
    }

    /// Waits for a chore to fail, and tells of it.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn watch(&mut self) {
        match self.tasks.join_next().await {
            Some(Err(error)) => error!(%error, "a chore of the gateway has failed"),
            Some(Ok(())) => {}
            None => std::future::pending().await,
        }
    }

    /// Ends them. When this returns, none is being done.
    pub(super) async fn end(mut self) {
        self.over.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn until(over: CancellationToken, work: impl Future<Output = ()>) {
    tokio::select! {
        () = over.cancelled() => {}
        () = work => {}
    }
}

/// Forgets quarantines whose time is over, both by the clock and by the desk, which measures it: a clock that
/// jumps gives nobody another's port.
async fn forget(store: &Store, desk: &Desk) -> anyhow::Result<()> {
    let now = Timestamp::now();
    let over = store
        .leases()
        .await?
        .into_iter()
        .filter(|lease| matches!(lease.state, LeaseState::Quarantine(until) if until <= now));
    let known: Vec<_> = desk.rows().into_iter().map(|row| row.holding).collect();
    let over: Vec<LeaseId> = over
        .filter(|lease| !known.contains(&lease.holding))
        .map(|lease| lease.id)
        .collect();
    if !over.is_empty() {
        store.forget_leases(&over, now).await?;
    }
    Ok(())
}
