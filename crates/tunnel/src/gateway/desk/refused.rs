//! Why the desk says no, in words for the one who asked.

use std::net::SocketAddr;

use adit_model::grant::Denied;
use adit_model::lease::Holding;
use adit_model::port::PortSet;
use jiff::Timestamp;

use crate::gateway::port::BindError;
use crate::gateway::seam::LedgerError;

/// Why a connection does not get what it asks for. The text says what, why and what to do; it is for the
/// one who asked, who learns of other principals no more than that something is in use.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The grant does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Somebody else has it, or it is kept for somebody else.
    #[error("{holding} is in use")]
    InUse {
        /// What was asked for.
        holding: Holding,
    },
    /// Another connection of the same principal has it, and is there.
    #[error("{holding} is held by another connection of yours, from {source_addr} since {since}")]
    HeldByYou {
        /// What was asked for.
        holding: Holding,
        /// Where the other connection comes from.
        source_addr: SocketAddr,
        /// Since when.
        since: Timestamp,
    },
    /// No port is free among those that may be drawn.
    #[error("no port of {ports} is free")]
    NoneFree {
        /// Those that may be drawn.
        ports: PortSet,
    },
    /// An address could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It could not be kept.
    #[error("not granted: {0}")]
    Ledger(#[from] LedgerError),
}
