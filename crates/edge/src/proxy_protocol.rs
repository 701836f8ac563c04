//! The PROXY protocol: the line or block by which a balancer says whose connection it passes on.
//!
//! haproxy's `proxy-protocol.txt` (2020/03/05) has two versions. The first is a line:
//!
//! ```text
//! PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n
//! PROXY UNKNOWN\r\n
//! ```
//!
//! The second is 16 bytes (a signature of 12, version and command, family and transport, the length of what
//! follows) and then addresses and typed values. Both come before every byte of the visitor's own.
//!
//! A header is a claim, and who may make it is not said by it. So it is read at listeners alone that are marked for
//! it, where it is required, and from listed networks alone; anywhere else the same bytes are the visitor's and are
//! passed on like all others. Nothing is guessed. Typed values are passed over.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::visitor::{Endpoint, Visitor};

mod binary;
mod line;

/// Bytes of the longest line, with its end (section 2.1).
pub const LINE_LENGTH: usize = 107;
/// Bytes of the longest block that is taken: what every path carries in one segment (section 2.2), typed values
/// included.
pub const BLOCK_LENGTH: usize = 536;

/// Which version is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// A line of text.
    V1,
    /// A binary block.
    V2,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The balancer speaks for itself, or does not know for whom: the connection's own addresses count.
    Own,
    /// It passes on a visitor.
    Proxied {
        /// Where the visitor comes from.
        source: SocketAddr,
        /// Where the visitor came in.
        destination: SocketAddr,
    },
}

/// What has been read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Every byte so far belongs to a header that goes on.
    Partial,
    /// A header, and how many bytes it has.
    Whole(Header, usize),
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// They begin with neither version's signature.
    #[error("no header of the PROXY protocol")]
    Signature,
    /// A line of another form.
    #[error("a line of the PROXY protocol that is none")]
    Line,
    /// A block of another form.
    #[error("a block of the PROXY protocol that is none")]
    Block,
    /// Longer than [`LINE_LENGTH`] or [`BLOCK_LENGTH`].
    #[error("a header of the PROXY protocol that is too long")]
    Length,
    /// Datagrams, on a byte stream.
    #[error("a header of the PROXY protocol for datagrams")]
    Datagram,
    /// The connection ended first.
    #[error("the connection ended within the header")]
    Ended,
    /// The deadline passed first.
    #[error("no whole header in time")]
    Late,
}

/// Reads a header from the bytes that have come so far. Which version it is shows at the first byte.
///
/// # Errors
/// As soon as the bytes can be no header any more, however they go on.
pub fn read(bytes: &[u8]) -> Result<Progress, HeaderError> {
    match bytes.first() {
        None => Ok(Progress::Partial),
        Some(b'P') => line::read(bytes),
        Some(b'\r') => binary::read(bytes),
        Some(_) => Err(HeaderError::Signature),
    }
}

/// The header that tells a target who its visitor is.
pub fn write(version: Version, visitor: &Visitor) -> Vec<u8> {
    let header = match (visitor.origin, visitor.listener) {
        (Endpoint::Tcp(source), Endpoint::Tcp(destination)) => Header::Proxied {
            source,
            destination,
        },
        (Endpoint::Unix, _) | (_, Endpoint::Unix) => Header::Own,
    };
    match version {
        Version::V1 => line::write(&pair(header)).into_bytes(),
        Version::V2 => binary::write(&pair(header)),
    }
}

/// A header's addresses in one family, as both versions want them: of two families both become IPv6.
enum Pair {
    Own,
    V4(SocketPair<std::net::Ipv4Addr>),
    V6(SocketPair<Ipv6Addr>),
}

struct SocketPair<A> {
    source: A,
    destination: A,
    source_port: u16,
    destination_port: u16,
}

fn pair(header: Header) -> Pair {
    let Header::Proxied {
        source,
        destination,
    } = header
    else {
        return Pair::Own;
    };
    let (source_port, destination_port) = (source.port(), destination.port());
    match (source.ip().to_canonical(), destination.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => Pair::V4(SocketPair {
            source,
            destination,
            source_port,
            destination_port,
        }),
        (source, destination) => Pair::V6(SocketPair {
            source: as_v6(source),
            destination: as_v6(destination),
            source_port,
            destination_port,
        }),
    }
}

fn as_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// Networks of the balancers in front of a listener: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Balancers(Vec<IpNet>);

/// A listener that is for balancers, and none is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a listener for the PROXY protocol names the networks of the balancers in front of it")]
pub struct NoBalancers;

impl Balancers {
    /// Those networks.
    ///
    /// # Errors
    /// There is none.
    pub fn new(networks: Vec<IpNet>) -> Result<Self, NoBalancers> {
        if networks.is_empty() {
            return Err(NoBalancers);
        }
        Ok(Self(networks))
    }

    /// Whether a connection from there comes from one of them. A Unix socket has no network.
    pub fn contain(&self, peer: Endpoint) -> bool {
        peer.ip()
            .is_some_and(|address| crate::access::contains(&self.0, address))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}

#[cfg(test)]
mod tests;
