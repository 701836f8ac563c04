//! Listeners that come and go beside their tunnel, whose connection they share.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{ListenError, Listeners};
use crate::agent::direct::OPEN_DEADLINE;
use crate::agent::forward::Forward;
use crate::agent::meter::Meter;
use crate::agent::network::Network;
use crate::agent::supervise::Event;
use crate::transport::{OpenError, Origin, StreamHead, StreamKind, Target, Transport};

/// The connection of a tunnel that is up now, if one is. Clones are of the same tunnel.
#[derive(Debug, Clone)]
pub struct Shared(watch::Sender<Option<Arc<dyn Transport>>>);

/// Why a target was not reached through a tunnel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VisitError {
    /// There is no connection.
    #[error("there is no connection")]
    Away,
    /// The peer does not say whether it reaches the target.
    #[error("the peer did not answer within {} s", OPEN_DEADLINE.as_secs())]
    Silent,
    /// The peer says no, or the connection ended.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Default for Shared {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl Shared {
    pub(super) fn sender(&self) -> watch::Sender<Option<Arc<dyn Transport>>> {
        self.0.clone()
    }

    /// Visits a target by the peer, says nothing to it and leaves: how long it took until the target was reached.
    ///
    /// # Errors
    ///
    /// It was not reached.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future is the cancel.
    pub async fn visit(&self, target: Target) -> Result<Duration, VisitError> {
        let transport = self.0.borrow().clone();
        let transport = transport.ok_or(VisitError::Away)?;
        let began = Instant::now();
        let head = StreamHead {
            kind: StreamKind::Direct(target),
            origin: Origin {
                host: String::from("127.0.0.1"),
                port: 0,
            },
        };
        let opened = timeout(OPEN_DEADLINE, transport.open(head)).await;
        drop(opened.map_err(|_| VisitError::Silent)??);
        Ok(began.elapsed())
    }
}

/// A forward that listens beside a tunnel. Dropped, it is closed, and its visitors are reset.
#[derive(Debug)]
pub struct Beside {
    pub(super) listeners: Listeners,
    shared: Shared,
}

impl Beside {
    /// Binds what the forward stands for, or nothing, and lets visitors in, who wait for the tunnel's connection. An
    /// address that this machine does not have is waited for.
    ///
    /// # Errors
    ///
    /// An address cannot be had; who has it is named where that can be known.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes what was bound.
    pub async fn start(
        forward: Forward,
        meter: Arc<Meter>,
        shared: &Shared,
        network: &Network,
    ) -> Result<Self, ListenError> {
        let listeners = Listeners::start(vec![(0, forward, meter)], network, shared).await?;
        Ok(Self {
            listeners,
            shared: shared.clone(),
        })
    }

    /// Tells of its standing, as forward 0, until `stop`. When this returns, nothing of it is left: visitors who are
    /// there are reset.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes everything at once.
    pub async fn keep(self, events: &(dyn Fn(Event<'_>) + Send + Sync), stop: &CancellationToken) {
        let Self { listeners, shared } = self;
        let mut connections = shared.0.subscribe();
        let mut changes = listeners.standings.changes();
        let mut last: Option<Arc<dyn Transport>> = None;
        loop {
            let now = connections.borrow_and_update().clone();
            let is_same = match (&last, &now) {
                (Some(last), Some(now)) => Arc::ptr_eq(last, now),
                (None, None) => true,
                (Some(_), None) | (None, Some(_)) => false,
            };
            if !is_same {
                // Also where the next connection has come before the end of the last was seen.
                listeners.standings.are_away();
                if now.is_none() {
                    listeners.standings.tell_away(events);
                }
            }
            last = now;
            listeners.tell(events);
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = changes.next() => {}
                // There is a sender in `shared`.
                _ = connections.changed() => {}
            }
        }
        listeners.close().await;
    }
}
