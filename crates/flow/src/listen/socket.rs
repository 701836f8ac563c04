//! Listening sockets: a host as it is written, and all addresses that it stands for.

use std::io;
use std::net::{IpAddr, SocketAddr};

use rustix::io::Errno;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, lookup_host};

use super::ListenError;

/// Binds a port at each address of a host. `::` is all addresses of both families.
///
/// A name may stand for an address of a family that this machine does not have; that one is passed over
/// if there is another. Anything else is an error: a server that half of its visitors find is none.
pub(crate) async fn bind(host: &str, port: u16) -> Result<(Vec<TcpListener>, u16), ListenError> {
    let failed = |source: io::Error| {
        let host = host.to_owned();
        if source.kind() == io::ErrorKind::AddrInUse {
            ListenError::InUse { host, port }
        } else {
            ListenError::Bind { host, port, source }
        }
    };
    let mut sockets: Vec<TcpListener> = Vec::new();
    let mut bound = port;
    let mut missing = None;
    for addr in addresses(host, port).await? {
        let addr = SocketAddr::new(addr, bound);
        match listen(addr).and_then(|socket| Ok((socket.local_addr()?, socket))) {
            Ok((local, socket)) => {
                bound = local.port();
                sockets.push(socket);
            }
            Err(error) if is_of_no_family(&error) => missing = Some(error),
            Err(error) => return Err(failed(error)),
        }
    }
    if sockets.is_empty() {
        let none = || io::Error::from(io::ErrorKind::AddrNotAvailable);
        return Err(failed(missing.unwrap_or_else(none)));
    }
    Ok((sockets, bound))
}

/// Each address once.
async fn addresses(host: &str, port: u16) -> Result<Vec<IpAddr>, ListenError> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Ok(addr) = bare.unwrap_or(host).parse() {
        return Ok(vec![addr]);
    }
    let found = lookup_host((host, port)).await;
    let found = found.map_err(|source| ListenError::Host {
        host: host.to_owned(),
        port,
        source,
    })?;
    let mut addresses: Vec<IpAddr> = found.map(|addr| addr.ip()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A restart finds its own port, on which connections of before are still closing.
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

fn is_of_no_family(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::ADDRNOTAVAIL | Errno::AFNOSUPPORT)
    )
}

/// How many connections the system keeps until they are accepted: those of a burst.
const BACKLOG: i32 = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_is_a_name_or_an_address_of_either_family() {
        for host in ["127.0.0.1", "0.0.0.0", "::", "[::1]", "::1", "localhost"] {
            let (sockets, port) = bind(host, 0).await.unwrap();
            assert_ne!(port, 0, "{host}");
            for socket in sockets {
                assert_eq!(socket.local_addr().unwrap().port(), port, "{host}");
            }
        }
    }

    #[tokio::test]
    async fn an_unspecified_ipv6_address_is_of_both_families() {
        let (sockets, port) = bind("::", 0).await.unwrap();
        let dialled = tokio::net::TcpStream::connect(("127.0.0.1", port));
        let (dialled, accepted) = tokio::join!(dialled, sockets[0].accept());
        assert!(dialled.is_ok() && accepted.is_ok());
    }

    #[tokio::test]
    async fn a_port_that_is_taken_and_a_host_that_is_unknown_are_named() {
        let (_taken, port) = bind("127.0.0.1", 0).await.unwrap();
        let error = bind("127.0.0.1", port).await.unwrap_err();
        let text = format!("cannot listen at 127.0.0.1:{port}: the port is in use");
        assert_eq!(error.to_string(), text);
        let error = bind("no.such.host.invalid", 80).await.unwrap_err();
        let text = "cannot listen at no.such.host.invalid:80: the host is unknown";
        assert_eq!(error.to_string(), text);
        let error = bind("192.0.2.1", 0).await.unwrap_err();
        assert_eq!(error.to_string(), "cannot listen at 192.0.2.1:0");
        assert!(std::error::Error::source(&error).is_some());
    }
}
