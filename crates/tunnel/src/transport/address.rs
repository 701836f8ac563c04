//! Where listeners are, where streams lead and where they come from, as the protocol has them.

use std::fmt;
use std::net::SocketAddr;

use adit_ssh::printable::Printable;

/// The address that a peer asks for, kept word for word: OpenSSH compares it as text.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Bind {
    /// A TCP port: `localhost`, an empty text (every address) or an address, and a port, 0 for any.
    Tcp {
        /// The text of the address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket of that path.
    Unix {
        /// The path.
        path: String,
    },
}

/// An address that is dialled.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Target {
    /// A host by name or address, and its port.
    Tcp {
        /// The name or address.
        host: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket of that path.
    Unix {
        /// The path.
        path: String,
    },
}

/// Who caused a byte stream. The other end's word: for logs, never for access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// A numeric address, or nothing for a Unix socket.
    pub host: String,
    /// A port, or 0.
    pub port: u16,
}

impl Bind {
    /// The same with another port, for a grant of port 0. A Unix socket has none.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        match self {
            Self::Tcp { host, .. } => Self::Tcp {
                host: host.clone(),
                port,
            },
            Self::Unix { .. } => self.clone(),
        }
    }

    /// The port; `None` for a Unix socket.
    pub const fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp { port, .. } => Some(*port),
            Self::Unix { .. } => None,
        }
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.is_empty() => write!(f, "*:{port}"),
            Self::Tcp { host, port } => write_host(f, host, *port),
            Self::Unix { path } => Printable::new(path.as_bytes()).fmt(f),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write_host(f, host, *port),
            Self::Unix { path } => Printable::new(path.as_bytes()).fmt(f),
        }
    }
}

/// Writes `host:port`, an IPv6 address in brackets. The host may be a peer's word, so it is escaped.
fn write_host(f: &mut fmt::Formatter<'_>, host: &str, port: u16) -> fmt::Result {
    let host = Printable::new(host.as_bytes());
    let host = host.as_str();
    if host.contains(':') {
        write!(f, "[{host}]:{port}")
    } else {
        write!(f, "{host}:{port}")
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_host(f, &self.host, self.port)
    }
}

impl From<SocketAddr> for Origin {
    fn from(addr: SocketAddr) -> Self {
        Self {
            host: addr.ip().to_string(),
            port: addr.port(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_people_write_them_and_a_peers_word_is_escaped() {
        for (host, expected) in [
            ("localhost", "localhost:80"),
            ("::1", "[::1]:80"),
            ("", "*:80"),
            ("a\x1b[2J\nb", "a\\u{1b}[2J\\u{a}b:80"),
        ] {
            let host = host.to_owned();
            assert_eq!(Bind::Tcp { host, port: 80 }.to_string(), expected);
        }
        let host = String::from("\r\nforged line");
        let origin = Origin { host, port: 5 };
        assert_eq!(origin.to_string(), "\\u{d}\\u{a}forged line:5");
    }
}
