//! Why the desk says no, in words for the one who asked.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use adit_model::grant::Denied;
use adit_model::host::Name;
use adit_model::lease::{Holding, SocketName};
use adit_model::port::PortSet;
use jiff::Timestamp;

use super::standing::Fallen;
use crate::control::Instance;
use crate::gateway::port::BindError;
use crate::gateway::seam::{LedgerError, Unproved};

/// Why a connection does not get what it asks for. The text says what, why and what to do; it is for the
/// one who asked, who learns of other principals no more than that something is in use.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It may not be here at all (any more).
    #[error(transparent)]
    Fallen(#[from] Fallen),
    /// The grant does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A socket's path that is none in the principal's own folder.
    #[error(
        "{path:?} is no path for a socket here: ask for NAME or {folder}/NAME, where NAME has letters, digits, \
         '.', '_' and '-'"
    )]
    Path {
        /// The path.
        path: String,
        /// The principal's folder.
        folder: String,
    },
    /// There is no folder for sockets.
    #[error("this gateway listens at no sockets ({name} was asked for); ask for a port")]
    NoSockets {
        /// The socket.
        name: SocketName,
    },
    /// Somebody else has it, or it is kept for somebody else.
    #[error("{holding} is in use; ask for another one of yours")]
    InUse {
        /// What was asked for.
        holding: Holding,
    },
    /// Another connection of the same principal has it, and is there.
    #[error(
        "{holding} is held by another connection of yours, from {source_addr}{} since {since:.0}; end that one, \
         or ask for another",
        Named(.instance.as_deref())
    )]
    HeldByYou {
        /// What was asked for.
        holding: Holding,
        /// Where the other connection comes from.
        source_addr: SocketAddr,
        /// Since when.
        since: Timestamp,
        /// Which agent it is, if it says so.
        instance: Option<Box<Instance>>,
    },
    /// It is taken over again and again, and its holder is there.
    #[error(
        "{holding} is held by your own key from {source_addr}{} since {since:.0}, and was taken over too often: \
         two machines seem to have one key. Give each a key of its own; it is not taken over for the next \
         {seconds} s",
        Named(.instance.as_deref())
    )]
    Flapping {
        /// What was asked for.
        holding: Holding,
        /// Where the holder comes from.
        source_addr: SocketAddr,
        /// Since when.
        since: Timestamp,
        /// Which agent it is, if it says so.
        instance: Option<Box<Instance>>,
        /// How long it is not taken over.
        seconds: u64,
    },
    /// The lease may not come here from where it was.
    #[error(
        "{holding} may not be taken over from {address}: it was held from elsewhere, and your grant allows that \
         from certain addresses only"
    )]
    OtherNetwork {
        /// What was asked for.
        holding: Holding,
        /// Where the connection comes from.
        address: IpAddr,
    },
    /// The same connection has it in other words.
    #[error("this connection has {holding} already, as {bind}; take that back first")]
    OtherWords {
        /// What was asked for.
        holding: Holding,
        /// The words.
        bind: String,
    },
    /// No port is free among those that may be drawn.
    #[error("no port of {ports} is free for port 0; ask for one by its number")]
    NoneFree {
        /// Those that may be drawn.
        ports: PortSet,
    },
    /// None of the names that it is given is free.
    #[error(
        "no name is free for you just now; ask for one of your own by name, as in -R app:80:localhost:3000"
    )]
    NoNameFree,
    /// As many serve the site together as may.
    #[error(
        "{places} of your connections serve it already, and no more may; end one of them first"
    )]
    NoPlaceFree {
        /// How many may.
        places: usize,
    },
    /// A domain that is not proved to be its.
    #[error("{domain} is not yours as far as this gateway can tell: {error}")]
    Unproved {
        /// The domain.
        domain: Name,
        /// Why.
        error: Unproved,
    },
    /// Another one is one too many.
    #[error("you have {limit} forwards already, and no more are allowed; take one back first")]
    TooManyLeases {
        /// How many are allowed.
        limit: u32,
    },
    /// Another one is one too many.
    #[error("you have {limit} connections already, and no more are allowed; close one first")]
    TooManyConnections {
        /// How many are allowed.
        limit: u32,
    },
    /// Something could not be bound.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// It could not be kept.
    #[error("{holding} is not granted, for it could not be kept over a restart; try again later")]
    Ledger {
        /// What was asked for.
        holding: Holding,
        /// Why.
        #[source]
        error: LedgerError,
    },
    /// It was taken away while it was being given, or asked for again and again.
    #[error("{holding} is being given to another connection of yours; try again")]
    Busy {
        /// What was asked for.
        holding: Holding,
    },
    /// The connection has ended.
    #[error("this connection has ended")]
    Gone,
    /// The gateway ends.
    #[error("the gateway is stopping; try again in a moment")]
    Stopping,
}

/// Which agent, where that is known.
struct Named<'a>(Option<&'a Instance>);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(instance) => write!(f, " (agent {instance})"),
            None => Ok(()),
        }
    }
}

impl Refused {
    /// The same, naming the agent that holds what was asked for.
    pub(super) fn held_by(mut self, agent: Option<Instance>) -> Self {
        if let Self::HeldByYou { instance, .. } | Self::Flapping { instance, .. } = &mut self {
            *instance = agent.map(Box::new);
        }
        self
    }
}
