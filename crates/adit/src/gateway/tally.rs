//! Keeps in the store what principals carry, so that a limit of a month is one over a restart.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use adit_model::id::PrincipalId;
use adit_model::month::Month;
use adit_store::{Store, Usage};
use adit_tunnel::gateway::limit::{Usages, Volume};
use anyhow::Context as _;
use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How often it is written down. A gateway that is killed forgets what was carried since: at most this long and the
/// time of one write. One that is stopped forgets nothing.
const KEEP: Duration = Duration::from_secs(30);
/// How long the last write may take at a stop.
const LAST: Duration = Duration::from_secs(2);

/// What is carried, and what of it the store knows.
#[derive(Debug)]
pub(super) struct Tally {
    store: Arc<Store>,
    usages: Usages,
    /// The month of `kept`.
    month: Month,
    kept: HashMap<PrincipalId, Volume>,
    /// Whether it was told that the store does not take it.
    is_told: bool,
}

impl Tally {
    /// Gives principals back what they have carried in the month of `now`.
    ///
    /// # Errors
    ///
    /// The store does not answer.
    pub(super) async fn open(
        store: Arc<Store>,
        usages: Usages,
        now: Timestamp,
    ) -> anyhow::Result<Self> {
        let month = Month::of(now);
        let known = store.usages(month).await;
        let known = known.context("cannot read what was carried this month")?;
        let mut kept = HashMap::new();
        for Usage {
            principal,
            down,
            up,
        } in known
        {
            let volume = Volume { down, up };
            usages.of(principal).restore(volume, now);
            kept.insert(principal, volume);
        }
        Ok(Self {
            store,
            usages,
            month,
            kept,
            is_told: false,
        })
    }

    /// Writes down what has changed, now and then and once more when it is over.
    pub(super) async fn run(mut self, over: CancellationToken) {
        let mut due = interval(KEEP);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = over.cancelled() => break,
                _ = due.tick() => {}
            }
            // A write that the end comes upon is made whole or not at all, and is made again.
            tokio::select! {
                () = over.cancelled() => break,
                () = self.keep(Timestamp::now()) => {}
            }
        }
        if timeout(LAST, self.keep(Timestamp::now())).await.is_err() {
            warn!("what was carried lately is not written down: the store does not answer");
        }
    }

    async fn keep(&mut self, now: Timestamp) {
        let month = Month::of(now);
        if self.month != month {
            self.month = month;
            self.kept.clear();
        }
        let mut carried = self.usages.this_month(now);
        carried.retain(|(principal, volume)| {
            let known = self.kept.get(principal).copied().unwrap_or_default();
            known != *volume
        });
        if carried.is_empty() {
            return;
        }
        let rows: Vec<_> = (carried.iter())
            .map(|(principal, volume)| Usage {
                principal: *principal,
                down: volume.down,
                up: volume.up,
            })
            .collect();
        match self.store.keep_usages(month, &rows).await {
            Ok(()) => {
                self.kept.extend(carried);
                self.is_told = false;
            }
            // Once, however long the database is away.
            Err(error) if !self.is_told => {
                warn!(%error, "what principals carry is not written down; tried again");
                self.is_told = true;
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use adit_store::Place;
    use adit_tunnel::gateway::desk::Clock;
    use tokio::sync::watch;

    use super::*;

    const ID: PrincipalId = PrincipalId::new(7);

    fn nothing_yet() -> Usages {
        let (_, policy) = watch::channel(Arc::default());
        Usages::new(policy, Clock::system(), 8)
    }

    #[tokio::test]
    async fn what_was_carried_is_known_after_a_restart_and_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::File(folder.path().join("adit.db"));
        let now = Timestamp::now();
        let store = Arc::new(Store::open(place, now).await.unwrap());
        let volume = |down, up| Volume { down, up };
        let open = |usages: &Usages| Tally::open(Arc::clone(&store), usages.clone(), now);

        let first = nothing_yet();
        let tally = open(&first).await.unwrap();
        first.of(ID).restore(volume(5, 6), now);
        let over = CancellationToken::new();
        over.cancel();
        tally.run(over).await;

        let second = nothing_yet();
        let mut tally = open(&second).await.unwrap();
        assert_eq!(second.this_month(now), [(ID, volume(5, 6))]);
        second.of(ID).restore(volume(1, 0), now);
        for _ in 0..2 {
            tally.keep(now).await;
        }
        let third = nothing_yet();
        open(&third).await.unwrap();
        assert_eq!(third.this_month(now), [(ID, volume(6, 6))]);
        // A month has begun, and nothing was carried in it.
        let later = now + Duration::from_secs(40 * 86_400);
        tally.keep(later).await;
        assert_eq!(store.usages(Month::of(later)).await.unwrap(), []);
    }
}
