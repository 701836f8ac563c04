//! Who connects to a public address.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use adit_model::lease::Holding;

/// One end of what a visitor came in by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// An address and a port.
    Tcp(SocketAddr),
    /// A Unix socket: whoever may open its file. It has no address.
    Unix,
}

impl Endpoint {
    /// An address as it is on the wire: an IPv4 address that came in over an IPv6 socket counts as what it is.
    pub fn tcp(address: SocketAddr) -> Self {
        Self::Tcp(SocketAddr::new(address.ip().to_canonical(), address.port()))
    }

    /// Its address, if it has one.
    pub fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

/// A visitor who was let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Visitor {
    /// What is served there.
    pub holding: Holding,
    /// Where the visitor comes from; as the balancer in front says, if there is one.
    pub origin: Endpoint,
    /// Where the visitor came in; as the balancer in front says, if there is one.
    pub listener: Endpoint,
    /// The balancer that the visitor came through.
    pub via: Option<Endpoint>,
}
