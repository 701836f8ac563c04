//! What the desk does by itself: nothing of it is left when [`Desk::run`] returns.

use std::time::Duration;

use adit_model::lease::{Holding, Lease};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Desk, Job, State};

/// How often the clocks are looked at (security rule G06: at the latest a second after somebody's time is over).
const TICK: Duration = Duration::from_secs(1);
/// How long listeners have to close when the desk stops.
const CLOSE: Duration = Duration::from_secs(2);
/// How long the ledger has for one lease.
const KEEP: Duration = Duration::from_secs(10);
/// Pause after the ledger has failed.
const KEEP_PAUSE: Duration = Duration::from_secs(1);
/// How long the ledger has for all that is left when the desk stops. What it misses is still held, for it.
const KEEP_LAST: Duration = Duration::from_secs(2);

impl Desk {
    /// Does the desk's work until `stop`: serves listeners, ends what has expired, keeps leases in the ledger. When
    /// it returns, nothing of it is left; leases stay held in the ledger, for the next start. To be called once.
    ///
    /// # Cancel safety
    /// Dropped, listeners close at once, and what was not kept is not.
    pub async fn run(&self, stop: CancellationToken) {
        let watching = async {
            self.watch_over(&stop).await;
            self.stop();
        };
        let thinning = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.thin_out() => {}
            }
        };
        tokio::join!(
            watching,
            thinning,
            self.serve(&stop),
            self.keep_books(&stop)
        );
    }

    /// Looks at policy and clocks.
    async fn watch_over(&self, stop: &CancellationToken) {
        let mut policy = self.seams.policy.clone();
        let mut has_ended = false;
        loop {
            self.review();
            tokio::select! {
                () = stop.cancelled() => return,
                changed = policy.changed(), if !has_ended => has_ended = changed.is_err(),
                () = sleep(TICK) => {}
            }
        }
    }

    /// Takes nothing new from here on, and tells all listeners to close.
    fn stop(&self) {
        let mut state = self.state();
        state.is_stopping = true;
        state.jobs.clear();
        let State { listeners, .. } = &mut *state;
        for (_, listener) in listeners.drain() {
            listener.stop.cancel();
        }
        self.changed();
    }

    /// Serves listeners, each in a task of its own.
    async fn serve(&self, stop: &CancellationToken) {
        let mut serving = JoinSet::new();
        loop {
            let jobs = std::mem::take(&mut self.state().jobs);
            for job in jobs {
                let Job {
                    sockets,
                    holding,
                    stop,
                    over,
                } = job;
                let over = over.drop_guard();
                let served = self
                    .seams
                    .publish
                    .serve(sockets, holding.clone(), stop.clone());
                serving.spawn(async move {
                    let _over = over;
                    served.await;
                    (holding, stop)
                });
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.work.jobs.notified() => {}
                Some(ended) = serving.join_next() => self.served(ended),
            }
        }
        let closed = timeout(CLOSE, async {
            while serving.join_next().await.is_some() {}
        });
        if closed.await.is_err() {
            tracing::warn!(
                left = serving.len(),
                "listeners do not close in time; they are cut off"
            );
            serving.shutdown().await;
        }
    }

    /// A listener is served no more. Unless it was told to stop, it is bound again.
    fn served(&self, ended: Result<(Holding, CancellationToken), JoinError>) {
        let mut state = self.state();
        match ended {
            Ok((_, stop)) if stop.is_cancelled() => {}
            Ok((holding, _)) => tracing::error!(%holding, "a listener has ended by itself"),
            Err(error) => tracing::error!(%error, "a listener has failed"),
        }
        // What has ended untold is bound again by the next look.
        let dead: Vec<_> = state
            .listeners
            .iter()
            .filter(|(_, listener)| listener.over.is_cancelled())
            .map(|(holding, _)| holding.clone())
            .collect();
        for holding in dead {
            state.listeners.remove(&holding);
        }
    }

    /// Has the ledger keep what has changed, one lease after the other.
    async fn keep_books(&self, stop: &CancellationToken) {
        loop {
            let is_well = tokio::select! {
                () = stop.cancelled() => break,
                is_well = self.keep_all() => is_well,
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.work.unkept.notified(), if is_well => {}
                () = sleep(KEEP_PAUSE), if !is_well => {}
            }
        }
        self.put_back();
        if timeout(KEEP_LAST, self.keep_all()).await != Ok(true) {
            let left = self.state().unkept.len();
            tracing::warn!(
                left,
                "leases could not be kept as they are; they count as held at the next start"
            );
        }
    }

    /// Keeps all that is to be kept. Says whether the ledger took it.
    async fn keep_all(&self) -> bool {
        while let Some(lease) = self.next_to_keep() {
            let kept = timeout(KEEP, self.seams.ledger.keep(&lease)).await;
            let mut state = self.state();
            state.keeping = None;
            match kept {
                Ok(Ok(id)) => state.table.kept(&lease.holding, id),
                failed => {
                    let reason = match failed {
                        Ok(Err(error)) => error.to_string(),
                        _ => String::from("no answer in time"),
                    };
                    tracing::warn!(holding = %lease.holding, reason, "a lease could not be kept; tried again");
                    // What is newer stays.
                    state.unkept.entry(lease.holding.clone()).or_insert(lease);
                    return false;
                }
            }
        }
        true
    }

    fn next_to_keep(&self) -> Option<Lease> {
        let mut state = self.state();
        let holding = state.unkept.keys().next().cloned()?;
        let mut lease = state.unkept.remove(&holding)?;
        if let Some(entry) = state.table.entry(&holding)
            && entry.principal == lease.principal
        {
            // It may have got its row since.
            lease.id = entry.id;
        }
        state.keeping = Some(holding);
        Some(lease)
    }

    /// What the ledger was about to keep when it was stopped is kept again.
    fn put_back(&self) {
        let now = self.now();
        let mut state = self.state();
        if let Some(holding) = state.keeping.take()
            && let Some(lease) = state.table.lease(&holding, now)
        {
            state.unkept.entry(holding).or_insert(lease);
        }
    }
}
