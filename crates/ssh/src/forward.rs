//! Forwards: what is asked of the far end, and its answer.

use crate::channel::Endpoint;

mod message;
pub(crate) mod requests;

/// A listener at the far end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Forward {
    /// A TCP address: the host word for word (empty for everywhere, `localhost` for loopback), and
    /// the port, 0 for any.
    Tcp(Endpoint),
    /// A Unix socket's path.
    Unix(String),
}

/// A global request that wants an answer, ours or the peer's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(u64);

/// The answer to a request for a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardAnswer {
    /// It listens. The port is what was asked for, or the one that was chosen for 0; 0 for a Unix
    /// socket.
    Granted {
        /// The port.
        port: u16,
    },
    /// It does not.
    Refused,
}
