//! Whether visitors of a lease get through: the gateway visits its own public port, through the very listener.
//!
//! It knows its own visit by the exact pair of addresses of the socket that it has opened itself, which nobody else
//! can have while that socket is there; what a visitor sends is never looked at, so there is nothing to imitate
//! (security rule G20). The holder is told by a channel of its own kind, `probe@adit`, and sends back what comes;
//! its target hears nothing (G24). Such a visit is no visitor: it passes the access list, is not counted, has no
//! line in the access log, and costs its principal nothing.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use adit_model::lease::Holding;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::registry::Registry;
use crate::control::{Outcome, Text};

/// The visits that the gateway is making itself.
#[derive(Debug, Clone, Default)]
pub struct Probes(Arc<Mutex<HashMap<Ends, Holding>>>);

/// The two ends of a visit: where it comes from and where it comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ends {
    /// Where it comes from.
    pub from: SocketAddr,
    /// The address that it came in at.
    pub to: SocketAddr,
}

/// A visit that is known as the gateway's own until this is dropped.
#[derive(Debug)]
struct Known {
    probes: Probes,
    ends: Ends,
}

/// How long one may take: a channel and the bytes behind it, each there and back, three of the 3 s that a crowded
/// mobile network takes (the agent's own deadline for such a path).
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes that are sent round.
const NONCE: usize = 32;

impl Probes {
    /// What the gateway is visiting by this socket, if that is its own.
    pub fn of(&self, ends: Ends) -> Option<Holding> {
        self.map().get(&ends).cloned()
    }

    fn map(&self) -> MutexGuard<'_, HashMap<Ends, Holding>> {
        // A map is right after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From here on a visit between those ends is the gateway's own.
    fn know(&self, ends: Ends, holding: Holding) -> Known {
        self.map().insert(ends, holding);
        Known {
            probes: self.clone(),
            ends,
        }
    }

    /// Visits a lease at each of the addresses that it listens at.
    ///
    /// # Cancel safety
    /// Dropping it ends the visit.
    pub(super) async fn look(&self, holding: &Holding, addresses: &[SocketAddr]) -> Outcome {
        if addresses.is_empty() {
            return nobody("it is not bound");
        }
        for address in addresses {
            match timeout(DEADLINE, self.visit(holding, *address)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return nobody(&format!("{address}: {error}")),
                Err(_) => return Outcome::Silent,
            }
        }
        Outcome::Up
    }

    /// Sends bytes round by one address.
    async fn visit(&self, holding: &Holding, address: SocketAddr) -> io::Result<()> {
        let (mut stream, known) = self.connect(holding, address).await?;
        let done = round_trip(&mut stream).await;
        // The other end of the socket may still be looked up until here.
        drop(known);
        done
    }

    /// Opens a socket whose ends are known before it comes in anywhere.
    async fn connect(
        &self,
        holding: &Holding,
        address: SocketAddr,
    ) -> io::Result<(TcpStream, Known)> {
        let to = reached_at(address);
        let socket = match to {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // Of the same address, since a host reaches each of its own from itself.
        let mut from = to;
        from.set_port(0);
        socket.bind(from)?;
        let known = self.know(
            Ends {
                from: socket.local_addr()?,
                to,
            },
            holding.clone(),
        );
        Ok((socket.connect(to).await?, known))
    }
}

/// Whether visitors of a lease get through that is reached from within the gateway alone: a service of a name.
///
/// # Cancel safety
/// Dropping it ends the visit.
pub(super) async fn look_within(registry: &Registry, holding: &Holding) -> Outcome {
    let visit = async {
        let mut stream = match registry.probe(holding).await {
            Ok(stream) => stream,
            Err(error) => return nobody(&error.to_string()),
        };
        match round_trip(&mut stream).await {
            Ok(()) => Outcome::Up,
            Err(error) => nobody(&error.to_string()),
        }
    };
    timeout(DEADLINE, visit).await.unwrap_or(Outcome::Silent)
}

/// Sends bytes that nobody can guess, and waits for them.
async fn round_trip(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    let mut nonce = [0; NONCE];
    aws_lc_rs::rand::fill(&mut nonce).map_err(io::Error::other)?;
    let mut back = [0; NONCE];
    stream.write_all(&nonce).await?;
    stream.read_exact(&mut back).await?;
    if back != nonce {
        return Err(io::Error::other("other bytes came back"));
    }
    Ok(())
}

impl Drop for Known {
    fn drop(&mut self) {
        self.probes.map().remove(&self.ends);
    }
}

/// Where this machine reaches a listener: at one for every address, by the loopback.
fn reached_at(address: SocketAddr) -> SocketAddr {
    let mut to = address;
    if address.ip().is_unspecified() {
        match address {
            SocketAddr::V4(_) => to.set_ip(std::net::Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => to.set_ip(std::net::Ipv6Addr::LOCALHOST.into()),
        }
    }
    to
}

fn nobody(reason: &str) -> Outcome {
    Outcome::Nobody {
        reason: Text::new(reason),
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;

    /// A listener that says back what it gets, to the gateway or to everybody.
    async fn listener(
        probes: &Probes,
        tasks: &mut JoinSet<()>,
        answers: &'static [u8],
    ) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to = listener.local_addr().unwrap();
        let probes = probes.clone();
        tasks.spawn(async move {
            while let Ok((mut socket, from)) = listener.accept().await {
                let own = probes.of(Ends { from, to });
                if own.is_none() {
                    continue;
                }
                let mut bytes = [0; NONCE];
                socket.read_exact(&mut bytes).await.unwrap();
                let back = if answers.is_empty() { &bytes } else { answers };
                socket.write_all(back).await.unwrap();
            }
        });
        to
    }

    #[tokio::test]
    async fn its_own_visit_is_known_by_its_ends_and_nobody_elses_is() {
        let (probes, mut tasks) = (Probes::default(), JoinSet::new());
        let address = listener(&probes, &mut tasks, b"").await;
        let holding = Holding::Port(address.port());
        assert_eq!(probes.look(&holding, &[address]).await, Outcome::Up);
        // A visitor from the same machine.
        let mut visitor = TcpStream::connect(address).await.unwrap();
        visitor.write_all(&[0; NONCE]).await.unwrap();
        let mut back = Vec::new();
        let end = visitor.read_to_end(&mut back).await;
        assert!(back.is_empty(), "{end:?}");
        assert!(probes.map().is_empty());
    }

    #[tokio::test]
    async fn who_sends_other_bytes_or_does_not_listen_is_not_up() {
        let (probes, mut tasks) = (Probes::default(), JoinSet::new());
        let address = listener(&probes, &mut tasks, &[7; NONCE]).await;
        let holding = Holding::Port(address.port());
        let is_nobody = |outcome| matches!(outcome, Outcome::Nobody { .. });
        assert!(is_nobody(probes.look(&holding, &[address]).await));
        assert!(is_nobody(probes.look(&holding, &[]).await));
        tasks.shutdown().await;
        assert!(is_nobody(probes.look(&holding, &[address]).await));
    }
}
