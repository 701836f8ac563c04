//! A place at the [`door`](crate::gateway::door): taken, waited for, lost to a neighbour, given back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};

use super::sourced::Sourced;
use super::{Shared, lock};
use crate::gateway::door::{Coming, Kind};
use crate::gateway::network::Network;

/// How long a connection waits for a place at the door.
const DOOR_DEADLINE: Duration = Duration::from_secs(10);
/// How often one who has something to say looks whether a silent neighbour's time is over.
const LOOK: Duration = Duration::from_millis(100);

/// A place at the door. Given back when dropped.
pub(super) struct Place {
    shared: Arc<Shared>,
    network: Network,
    kind: Kind,
    newcomer: Arc<Newcomer>,
}

/// Somebody on the way in.
#[derive(Debug, Default)]
pub(super) struct Newcomer {
    has_spoken: AtomicBool,
    displaced: Notify,
}

/// What who waits is called by.
#[derive(Debug)]
pub(super) struct Ticket {
    newcomer: Arc<Newcomer>,
    call: oneshot::Sender<Kind>,
}

impl Newcomer {
    /// It has said something.
    pub(super) fn speaks(&self) {
        self.has_spoken.store(true, Ordering::Relaxed);
    }

    fn is_silent(self: &Arc<Self>) -> bool {
        !self.has_spoken.load(Ordering::Relaxed)
    }
}

impl Place {
    /// Takes a place, and waits for one if there is none. One that has something to say is called before those
    /// that are silent, and has the place of a neighbour who is.
    pub(super) async fn take(
        shared: &Arc<Shared>,
        network: Network,
        sourced: &mut Sourced,
    ) -> Option<Self> {
        let newcomer = Arc::new(Newcomer::default());
        let (call, called) = oneshot::channel();
        let ticket = Ticket {
            newcomer: Arc::clone(&newcomer),
            call,
        };
        let coming = lock(&shared.door).comes(network, ticket, now());
        let kind = match coming {
            Coming::In(kind) => kind,
            Coming::Full => return None,
            Coming::Waits => {
                let called = Called {
                    shared: Arc::clone(shared),
                    network,
                    call: called,
                    has_come: false,
                };
                let waited = called.wait(&newcomer, sourced);
                tokio::time::timeout(DOOR_DEADLINE, waited).await.ok()??
            }
        };
        if newcomer.is_silent() {
            sourced.announce(Arc::clone(&newcomer));
            lock(&shared.door).is_silent(network, Arc::clone(&newcomer), now());
        }
        Some(Self {
            shared: Arc::clone(shared),
            network,
            kind,
            newcomer,
        })
    }

    /// Ready when a neighbour is to have it.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn displaced(&self) {
        self.newcomer.displaced.notified().await;
    }
}

/// Somebody who waits to be called. Who goes away in the instant of the call gives the place to the next.
struct Called {
    shared: Arc<Shared>,
    network: Network,
    call: oneshot::Receiver<Kind>,
    has_come: bool,
}

impl Called {
    /// Waits for the call; `None` if whoever waits has hung up or is sent away.
    async fn wait(mut self, newcomer: &Arc<Newcomer>, sourced: &Sourced) -> Option<Kind> {
        let mut first = [0];
        let called = tokio::select! {
            biased;
            called = &mut self.call => Some(called),
            peeked = sourced.socket().peek(&mut first) => match peeked {
                Ok(1..) => None,
                Ok(0) | Err(_) => return None,
            },
        };
        let called = match called {
            Some(called) => called,
            None => self.wait_as_speaker(newcomer).await,
        };
        self.has_come = called.is_ok();
        called.ok()
    }

    async fn wait_as_speaker(
        &mut self,
        newcomer: &Arc<Newcomer>,
    ) -> Result<Kind, oneshot::error::RecvError> {
        newcomer.speaks();
        let is_own = |ticket: &Ticket| Arc::ptr_eq(&ticket.newcomer, newcomer);
        lock(&self.shared.door).speaks(is_own);
        loop {
            let silent = lock(&self.shared.door).displace(self.network, Newcomer::is_silent, now());
            if let Some(silent) = silent {
                silent.displaced.notify_one();
            }
            tokio::select! {
                biased;
                called = &mut self.call => return called,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        if self.has_come {
            return;
        }
        self.call.close();
        match self.call.try_recv() {
            Ok(kind) => give_back(&self.shared, self.network, kind),
            Err(_) => lock(&self.shared.door).gave_up(|ticket| !ticket.call.is_closed()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.shared.door)
            .is_silent_no_more(self.network, |one| Arc::ptr_eq(one, &self.newcomer));
        give_back(&self.shared, self.network, self.kind);
    }
}

/// Gives a place back, and calls whoever may come in by that.
fn give_back(shared: &Shared, network: Network, kind: Kind) {
    let mut door = lock(&shared.door);
    door.left(network, kind);
    while let Some((network, ticket, kind)) = door.next(now()) {
        if ticket.call.send(kind).is_err() {
            // It has gone in this very instant.
            door.left(network, kind);
        }
    }
}

fn now() -> std::time::Instant {
    tokio::time::Instant::now().into_std()
}
