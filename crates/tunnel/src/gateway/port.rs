//! Binds what a lease listens at: every address of its scope, or none and the reason.
//!
//! Every address means those of every family that the host has: without IPv6 at all, `*` is the IPv4 addresses and
//! says so. Any other failure undoes what was bound before it (security rules of design invariant 2; a stock sshd
//! reports success if one family came about, and its visitors of the other are somebody else's).

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::sync::Arc;

use adit_model::address::Scope;
use socket2::{Domain, Protocol, Socket, Type};

#[cfg(unix)]
pub mod unix;

/// What was bound for a port.
#[derive(Debug)]
pub struct Bound<T = TcpListener> {
    /// One for each address, non-blocking, listening.
    pub sockets: Vec<T>,
    /// The addresses.
    pub addresses: Vec<SocketAddr>,
}

/// Why nothing was bound. The text is for whoever asked.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another program has it.
    #[error(
        "{address} is taken by another program of the gateway's machine: {error} (there, `ss -ltnp` shows which)"
    )]
    Taken {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: Arc<io::Error>,
    },
    /// Ports like it need a right.
    #[error(
        "{address} cannot be bound: {error}. Ports below 1024 need a right that this gateway does not have: give \
         it CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE), or lower \
         net.ipv4.ip_unprivileged_port_start"
    )]
    Privileged {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: Arc<io::Error>,
    },
    /// The machine has no such address.
    #[error("{address} is no address of the gateway's machine: {error}")]
    NoAddress {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: Arc<io::Error>,
    },
    /// Something else.
    #[error("{address} cannot be bound: {error}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        error: Arc<io::Error>,
    },
    /// A Unix socket could not be made.
    #[error("{step} of socket {name} failed: {error}")]
    Unix {
        /// Its name in its folder.
        name: String,
        /// What failed.
        step: UnixStep,
        /// The system's words.
        error: Arc<io::Error>,
    },
}

/// What making a Unix socket takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum UnixStep {
    /// The principal's folder.
    Folder,
    /// Binding it where nobody looks.
    Bind,
    /// Moving it to its name.
    Name,
}

impl fmt::Display for UnixStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "making the folder",
            Self::Bind => "binding",
            Self::Name => "naming",
        })
    }
}

/// Visitors that may wait to be accepted. Linux cuts it to `net.core.somaxconn`, 4,096 since 5.4; sshd's 128 is
/// one burst of a browser behind a load balancer.
const BACKLOG: i32 = 1_024;

impl BindError {
    /// Whether another port might do.
    pub const fn is_taken(&self) -> bool {
        matches!(self, Self::Taken { .. })
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "kinds without a hint of their own are many, and there will be more"
    )]
    fn new(address: SocketAddr, error: io::Error) -> Self {
        let kind = error.kind();
        let error = Arc::new(error);
        match kind {
            io::ErrorKind::AddrInUse => Self::Taken { address, error },
            io::ErrorKind::PermissionDenied if address.port() < 1_024 => {
                Self::Privileged { address, error }
            }
            io::ErrorKind::AddrNotAvailable => Self::NoAddress { address, error },
            _ => Self::Address { address, error },
        }
    }
}

/// Binds the port at every address of the scope. The port is a number, never 0.
///
/// # Errors
/// An address could not be bound; nothing is.
pub fn bind(scope: Scope, port: u16) -> Result<Bound, BindError> {
    bind_with(scope, port, &listen)
}

/// The same, on a host that is asked through `listen`.
fn bind_with<T>(
    scope: Scope,
    port: u16,
    listen: &dyn Fn(SocketAddr) -> io::Result<T>,
) -> Result<Bound<T>, BindError> {
    let wanted = scope.addresses();
    let has_choice = wanted.len() > 1;
    let mut bound = Bound {
        sockets: Vec::with_capacity(wanted.len()),
        addresses: Vec::with_capacity(wanted.len()),
    };
    let mut missing = None;
    for ip in wanted {
        let address = SocketAddr::new(ip, port);
        match listen(address) {
            Ok(socket) => {
                bound.sockets.push(socket);
                bound.addresses.push(address);
            }
            Err(error) if has_choice && is_missing_family(&error) => {
                missing = Some(BindError::new(address, error));
            }
            // What was bound before is closed here.
            Err(error) => return Err(BindError::new(address, error)),
        }
    }
    match missing {
        Some(error) if bound.sockets.is_empty() => Err(error),
        _ => Ok(bound),
    }
}

/// Whether the host does not have the family at all: no such sockets, or not even its loopback address.
fn is_missing_family(error: &io::Error) -> bool {
    let no_family = rustix::io::Errno::AFNOSUPPORT.raw_os_error();
    error.raw_os_error() == Some(no_family) || error.kind() == io::ErrorKind::AddrNotAvailable
}

/// `SO_REUSEADDR`, so that a port whose last visitors are not forgotten yet can be had again; no `SO_REUSEPORT`,
/// which would let two programs share it and hide that they do.
fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    if matches!(address.ip(), IpAddr::V6(_)) {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests;
