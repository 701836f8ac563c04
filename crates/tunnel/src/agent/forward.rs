//! What a forward is: who listens for its visitors, where, and where they go.

use std::fmt;

pub use self::permit::{Permit, PermitError, Permits};
use crate::transport::{Bind, Target};

mod permit;

/// A promise: visitors of this bind reach that destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Who listens.
    pub listens: Listens,
    /// Where. An empty host is every address, `localhost` both loopback addresses; port 0 lets the
    /// end that listens choose.
    pub bind: Bind,
    /// Where visitors go, from the other end.
    pub to: Destination,
}

/// Which end of a connection listens for the visitors of a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listens {
    /// The peer, and we dial: a remote forward, `-R`.
    There,
    /// We, and the peer dials: a local forward, `-L`, or a dynamic one, `-D`.
    Here,
}

/// Where the visitors of a forward go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// All to one address.
    One(Target),
    /// Each to the one that it names by SOCKS, if that is permitted.
    Named(Permits),
}

impl fmt::Display for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.bind, self.to)
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(target) => target.fmt(f),
            Self::Named(_) => f.write_str("SOCKS"),
        }
    }
}
