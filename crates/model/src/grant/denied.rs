//! Why something is not allowed, in words for the one who asked: each names the rule.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::address::Inner;
use crate::host::Name;
use crate::lease::SocketName;
use crate::name::{NameFault, NamePattern};
use crate::port::PortSet;

/// What a grant does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Denied {
    /// It comes from somewhere else than it may.
    #[error("this key may not be used from {address}")]
    Source {
        /// Where it comes from.
        address: IpAddr,
    },
    /// Its time has not come.
    #[error("this grant begins at {from}")]
    TooEarly {
        /// When it does.
        from: Timestamp,
    },
    /// Its time is over.
    #[error("this grant ended at {until}")]
    TooLate {
        /// When it was.
        until: Timestamp,
    },
    /// A text that is no address of this machine.
    #[error(
        "{asked:?} is no address to listen on: use localhost, *, 0.0.0.0, [::] or one of the machine's own"
    )]
    Address {
        /// The text.
        asked: String,
    },
    /// A text that is a name, but none of its own.
    #[error(
        "{asked:?} is no name of yours{}, nor an address to listen on: use localhost, *, 0.0.0.0, [::] or one of \
         the machine's own",
        Yours(.allowed)
    )]
    Name {
        /// The text.
        asked: String,
        /// Those that it may have.
        allowed: Vec<NamePattern>,
    },
    /// A name that is given word for word alone.
    #[error(
        "the name {name} is not to be had: {fault}; the operator may grant it in these very words"
    )]
    BadName {
        /// The name.
        name: Name,
        /// What is wrong with it.
        fault: NameFault,
    },
    /// A port that is not its own.
    #[error("port {port} is not yours; yours are {allowed}")]
    Port {
        /// The port.
        port: u16,
        /// Those that it may have.
        allowed: PortSet,
    },
    /// Any port at all.
    #[error(
        "port 0 (any free port) is not allowed to you; ask for one of your ports by its number"
    )]
    AnyPort,
    /// Any port of a name.
    #[error("say which port of {name} you offer: whoever opens it by name has to say it, too")]
    AnyService {
        /// The name.
        name: Name,
    },
    /// An address or port that no `permitlisten` names.
    #[error("no permitlisten of yours names {asked:?} with port {port}")]
    Asked {
        /// The text.
        asked: String,
        /// The port.
        port: u16,
    },
    /// A Unix socket.
    #[error("the socket {name} is not allowed to you")]
    Socket {
        /// Its name.
        name: SocketName,
    },
    /// A target.
    #[error("you may not open {host} port {port}")]
    Target {
        /// The host.
        host: String,
        /// The port.
        port: u16,
    },
    /// A target that only an exact address in the grant would allow.
    #[error("you may not open {address}: {inner}")]
    Inner {
        /// The address.
        address: IpAddr,
        /// Of which kind.
        inner: Inner,
    },
}

/// The names that somebody may have.
struct Yours<'a>(&'a [NamePattern]);

impl fmt::Display for Yours<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = " (yours: ";
        for pattern in self.0 {
            write!(f, "{before}{pattern}")?;
            before = ", ";
        }
        f.write_str(if self.0.is_empty() { "" } else { ")" })
    }
}
