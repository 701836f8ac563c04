//! The desk: where connections ask for leases, and the one owner of the lease table and its listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use adit_model::address::Scope;
use adit_model::lease::Lease;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use self::refused::Refused;
pub use self::row::{LeaseRow, RowState};
pub use self::settings::{Clock, Settings};
pub use self::who::{Certified, Member, Who};
use super::policy::Policy;
use super::registry::Registry;
use super::seam::{Ledger, Publish};
use crate::transport::{Bind, ConnectionEnd, Transport};

mod refused;
mod row;
mod settings;
mod who;

/// Answers connections that ask for leases, and keeps what they get.
#[derive(Debug)]
pub struct Desk {
    registry: Registry,
}

/// What the desk needs from the rest of the program.
#[derive(Debug, Clone)]
pub struct Seams {
    /// Who may do what, as it is now.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// Keeps leases.
    pub ledger: Arc<dyn Ledger>,
    /// Serves the visitors of listeners.
    pub publish: Arc<dyn Publish>,
}

/// A forward that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// The port: the one asked for, or the one that was drawn. 0 for a Unix socket.
    pub port: u16,
    /// Where it listens, as the grant has it.
    pub scope: Scope,
    /// The addresses that were truly bound; none for a Unix socket.
    pub addresses: Vec<SocketAddr>,
}

impl Desk {
    /// A desk that begins with the leases of an earlier life: their ports are bound at once.
    pub fn new(settings: Settings, seams: Seams, leases: Vec<Lease>) -> Arc<Self> {
        todo!("{settings:?} {seams:?} {leases:?}")
    }

    /// A connection has logged in. Counts those of a principal.
    ///
    /// # Errors
    /// It has too many already, or may not be here.
    pub fn join(
        self: &Arc<Self>,
        who: Who,
        transport: Arc<dyn Transport>,
    ) -> Result<Member, Refused> {
        todo!("{who:?} {transport:?}")
    }

    /// Listens for a connection: `bind` word for word as the peer asked.
    ///
    /// # Errors
    /// See [`Refused`].
    ///
    /// # Cancel safety
    /// Dropped, nothing is granted.
    pub async fn listen(&self, member: &Member, bind: &Bind) -> Result<Listening, Refused> {
        std::future::ready(()).await;
        todo!("{member:?} {bind:?}")
    }

    /// Takes a forward back: `bind` as it was asked for, with the port that was granted. Says whether there
    /// was one.
    ///
    /// # Cancel safety
    /// Done when it is first polled.
    pub async fn cancel(&self, member: &Member, bind: &Bind) -> bool {
        std::future::ready(()).await;
        todo!("{member:?} {bind:?}")
    }

    /// A connection has ended: its leases wait for their owner, unless it was closed because it may not be
    /// here any more.
    pub fn leave(&self, member: Member, end: &ConnectionEnd) {
        todo!("{member:?} {end:?}")
    }

    /// Every lease that is known, in the order of their holdings.
    pub fn rows(&self) -> Vec<LeaseRow> {
        todo!()
    }

    /// Which connection serves each lease now.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Does the desk's work until `stop`: serves listeners, ends what has expired, keeps leases in the ledger.
    /// When it returns, nothing of it is left.
    pub async fn run(&self, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
