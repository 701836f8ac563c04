//! What a connection does when the network under it has changed.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Turn;
use crate::transport::ssh::carrier::Carrier;
use crate::transport::ssh::clock::now;
use crate::transport::{ConnectionEnd, Doubt};

/// The address that a connection goes from is not this machine's any more.
#[derive(Debug, thiserror::Error)]
#[error("this machine has lost the address {0}")]
struct AddressLost(IpAddr);

/// How long a peer may be silent at least that is asked after a change. TCP repeats what is lost on the
/// way three times within it (after 0.2, 0.6 and 1.4 s, on a path of few milliseconds: RFC 6298 with
/// Linux's least time-out of 200 ms). A peer that has been silent for longer already has as long again:
/// what was lost in an outage is repeated after as long as the outage lasted (RFC 6298 section 5.5).
const PATIENCE: Duration = Duration::from_secs(2);
/// A distant peer has this many round trips.
const ROUND_TRIPS: u32 = 4;

impl<S: Carrier> Turn<S> {
    /// The network has changed: asks the peer whether it is there, or says why the connection is over.
    pub(super) fn doubt(&mut self, doubt: &Doubt) -> Option<ConnectionEnd> {
        if let Some(own) = self.socket.local().filter(|own| doubt.lost.contains(own)) {
            return Some(ConnectionEnd::Lost(Arc::new(AddressLost(own))));
        }
        if !doubt.asks {
            return None;
        }
        let round_trip = self.engine.round_trip().unwrap_or_default();
        let now = now();
        let patience = PATIENCE
            .max(round_trip.saturating_mul(ROUND_TRIPS))
            .max(self.engine.silence(now));
        self.engine.ask_alive_within(now, patience);
        None
    }

    /// Somebody wants to know whether the peer is there.
    pub(super) fn ask_alive(&mut self, question: u64) {
        self.engine.ask_alive(now());
        self.asked_alive = Some(question);
    }

    /// Something came from the peer.
    pub(super) fn heard(&mut self) {
        if let Some(question) = self.asked_alive.take() {
            self.life.send_modify(|life| life.heard = question);
        }
    }

    /// A sign of life came back.
    pub(super) fn measured(&self) {
        let round_trip = self.engine.round_trip();
        self.life.send_modify(|life| life.round_trip = round_trip);
    }
}

/// Waits for the next change.
///
/// # Cancel safety
///
/// Cancel safe.
pub(super) async fn doubted(changes: &mut watch::Receiver<Doubt>) -> Doubt {
    if changes.changed().await.is_err() {
        // Nobody is left who could tell; the end is told by itself.
        return std::future::pending().await;
    }
    changes.borrow_and_update().clone()
}
