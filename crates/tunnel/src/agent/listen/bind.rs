//! Binds the addresses of a local forward: wholly, or not at all.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Type};
use tokio::net::{TcpListener, lookup_host};

use super::holder::{Holder, holder_of_port};
use crate::agent::network::InterfaceNameError;
use crate::transport::Bind;

/// Why nobody can listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// The bind's name has no address, or cannot be looked up.
    #[error("cannot look up {host} to listen there")]
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// An address cannot be had.
    #[error("cannot listen on {addr}{}", held(holder.as_ref()))]
    Addr {
        /// The address.
        addr: SocketAddr,
        /// Who holds it, where that can be known.
        holder: Option<Holder>,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The bind names an interface by what none can be called.
    #[error("cannot listen at an interface")]
    Interface(#[from] InterfaceNameError),
    /// A Unix socket cannot be made.
    #[error("cannot listen on {path}")]
    Path {
        /// The path.
        path: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Something that is no socket is there. It is left alone.
    #[error("cannot listen on {path}: what is there is no socket")]
    NoSocket {
        /// The path.
        path: String,
    },
    /// Another user's socket is there. It is left alone.
    #[error("cannot listen on {path}: the socket there is of user {uid}")]
    Foreign {
        /// The path.
        path: String,
        /// The user's number.
        uid: u32,
    },
    /// Somebody listens there.
    #[error("cannot listen on {path}{}: somebody listens there", held(holder.as_ref()))]
    Held {
        /// The path.
        path: String,
        /// Who, where that can be known.
        holder: Option<Holder>,
    },
}

/// Visitors that the system keeps until they are let in.
pub(super) const BACKLOG: i32 = 1_024;
/// Ports that the system may choose before both families have the same one.
const CHOICES: usize = 16;

fn held(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(", which {holder} holds"))
}

/// What a bind's host stands for.
struct Wanted {
    addrs: Vec<IpAddr>,
    /// Whether a family that this machine does not have is passed over.
    is_any_family: bool,
}

/// Binds every address of `host`, all at one port. Gives what was bound, in the words of a bind.
pub(super) async fn bind(host: &str, port: u16) -> Result<(Bind, Vec<TcpListener>), ListenError> {
    let wanted = resolve(host, port).await?;
    let mut choices = CHOICES;
    let listeners = loop {
        match bind_all(&wanted, port) {
            Err(ListenError::Addr { source, .. })
                if port == 0 && choices > 1 && source.kind() == io::ErrorKind::AddrInUse =>
            {
                choices = choices.saturating_sub(1);
            }
            bound => break bound?,
        }
    };
    let lacks_family = listeners.len() < wanted.addrs.len();
    let (host, port) = match listeners.as_slice() {
        [(addr, _)] if lacks_family => (addr.ip().to_string(), addr.port()),
        [(addr, _), ..] => (host.to_owned(), addr.port()),
        [] => (host.to_owned(), port),
    };
    let listeners = listeners.into_iter().map(|(_, listener)| listener);
    Ok((Bind::Tcp { host, port }, listeners.collect()))
}

async fn resolve(host: &str, port: u16) -> Result<Wanted, ListenError> {
    let both = |v4: Ipv4Addr, v6: Ipv6Addr| Wanted {
        addrs: vec![v4.into(), v6.into()],
        is_any_family: true,
    };
    if host.is_empty() {
        return Ok(both(Ipv4Addr::UNSPECIFIED, Ipv6Addr::UNSPECIFIED));
    }
    // Whatever the hosts file says: nothing but this machine.
    if host == "localhost" {
        return Ok(both(Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST));
    }
    let failed = |source| ListenError::Resolve {
        host: host.to_owned(),
        source,
    };
    let mut addrs = Vec::new();
    for found in lookup_host((host, port)).await.map_err(failed)? {
        if !addrs.contains(&found.ip()) {
            addrs.push(found.ip());
        }
    }
    if addrs.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(Wanted {
        addrs,
        is_any_family: false,
    })
}

fn bind_all(wanted: &Wanted, mut port: u16) -> Result<Vec<(SocketAddr, TcpListener)>, ListenError> {
    let mut listeners = Vec::new();
    let mut absent = None;
    for ip in &wanted.addrs {
        let addr = SocketAddr::new(*ip, port);
        match bind_one(addr) {
            Ok((addr, listener)) => {
                // The system chooses once, for all of them.
                port = addr.port();
                listeners.push((addr, listener));
            }
            Err(source) if wanted.is_any_family && is_absent(&source) => {
                absent = Some((addr, source));
            }
            Err(source) => return Err(refused(addr, source)),
        }
    }
    match absent {
        Some((addr, source)) if listeners.is_empty() => Err(refused(addr, source)),
        Some(_) | None => Ok(listeners),
    }
}

pub(super) fn refused(addr: SocketAddr, source: io::Error) -> ListenError {
    let holder = (source.kind() == io::ErrorKind::AddrInUse)
        .then(|| holder_of_port(addr.port()))
        .flatten();
    ListenError::Addr {
        addr,
        holder,
        source,
    }
}

/// Whether this machine does not have that family, or no address of it.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)
    )
}

pub(super) fn bind_one(addr: SocketAddr) -> io::Result<(SocketAddr, TcpListener)> {
    let socket = socket2::Socket::new(
        Domain::for_address(addr),
        Type::STREAM.nonblocking(),
        Some(Protocol::TCP),
    )?;
    // Connections of an earlier run that linger are no reason to stay away; a listener is.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        // Each family has a socket of its own, so that one alone can be had, and be missed.
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    Ok((listener.local_addr()?, listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(listeners: &[TcpListener]) -> Vec<SocketAddr> {
        let addrs = listeners.iter().map(TcpListener::local_addr);
        addrs.collect::<io::Result<_>>().unwrap()
    }

    #[tokio::test]
    async fn both_families_have_the_port_that_the_system_chose() {
        for (host, expected) in [("localhost", ["127.0.0.1", "::1"]), ("", ["0.0.0.0", "::"])] {
            let (bound, listeners) = bind(host, 0).await.unwrap();
            let port = bound.port().unwrap();
            assert!(port > 0);
            let expected = expected.map(|ip| SocketAddr::new(ip.parse().unwrap(), port));
            // Where there is no IPv6, what was bound says so.
            let has_v6 = listeners.len() == 2;
            let expected = &expected[..listeners.len()];
            assert_eq!(addrs(&listeners), expected);
            let host = if has_v6 {
                host.to_owned()
            } else {
                expected[0].ip().to_string()
            };
            assert_eq!(bound, Bind::Tcp { host, port });
        }
    }

    #[tokio::test]
    async fn an_address_is_bound_alone() {
        let (bound, listeners) = bind("127.0.0.1", 0).await.unwrap();
        assert_eq!(addrs(&listeners)[0].ip(), Ipv4Addr::LOCALHOST);
        assert_eq!(listeners.len(), 1);
        let port = listeners[0].local_addr().unwrap().port();
        let host = String::from("127.0.0.1");
        assert_eq!(bound, Bind::Tcp { host, port });
    }

    #[tokio::test]
    async fn one_family_that_is_held_leaves_none_bound_and_the_holder_is_named() {
        let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = holder.local_addr().unwrap().port();
        for host in ["localhost", "", "127.0.0.1"] {
            let error = bind(host, port).await.unwrap_err();
            let text = error.to_string();
            let ip = if host.is_empty() {
                "0.0.0.0"
            } else {
                "127.0.0.1"
            };
            assert!(text.contains(&format!("{ip}:{port}, which ")), "{text}");
            let own = format!("(process {})", std::process::id());
            assert!(text.contains(&own), "{text}");
        }
        drop(holder);
        // Nothing of the attempts is left.
        bind("", port).await.unwrap();
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_named() {
        let error = bind("192.0.2.1", 8080).await.unwrap_err();
        let text = error.to_string();
        assert_eq!(text, "cannot listen on 192.0.2.1:8080");
        let error = bind("no-such-host.invalid", 8080).await.unwrap_err();
        assert!(matches!(error, ListenError::Resolve { .. }), "{error}");
    }
}
