//! The port of a server on this machine.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// Whether nobody listens at a port of the loopback. Nobody is asked: an address with a listener cannot be
/// bound. A port that cannot be had for another reason is for the server to tell of.
pub(super) fn is_free(port: u16) -> bool {
    addrs(port).into_iter().all(|addr| match bind(addr) {
        Err(error) => error.kind() != io::ErrorKind::AddrInUse,
        Ok(()) => true,
    })
}

/// Connections of the past that linger are no obstacle (SO_REUSEADDR), as they are none to most servers.
fn bind(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())
}

/// Waits until a connection to the port is accepted, by either family.
pub(super) async fn accepts(port: u16) {
    let mut pause = FIRST_PAUSE;
    loop {
        for addr in addrs(port) {
            if matches!(timeout(CONNECT, TcpStream::connect(addr)).await, Ok(Ok(_))) {
                return;
            }
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

fn addrs(port: u16) -> [SocketAddr; 2] {
    let v4 = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let v6 = SocketAddr::from((Ipv6Addr::LOCALHOST, port));
    [v4, v6]
}

/// Many servers are ready within a tenth of a second.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// model-compose looks twice a second.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// The loopback answers at once, unless a queue is full.
const CONNECT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_is_free_until_somebody_listens_at_either_address() {
        for ip in ["127.0.0.1", "0.0.0.0", "::1", "::"] {
            let Ok(listener) = std::net::TcpListener::bind((ip, 0)) else {
                continue;
            };
            let port = listener.local_addr().unwrap().port();
            assert!(!is_free(port), "{ip}");
            accepts(port).await;
            drop(listener);
            assert!(is_free(port), "{ip}");
        }
    }
}
