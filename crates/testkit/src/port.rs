//! A port that a program of a test is told to listen at.
//!
//! It is held by a socket that is bound and never listens. On Linux another one may be bound beside it and listen, as
//! long as both have `SO_REUSEADDR`, which every server sets; and the system gives the port to nobody who asks for any.

use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Socket, Type};

/// A port that is free until a program listens at it, at any address of this host. Kept for it until this is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _held: Socket,
}

impl Port {
    /// A port that the system picks.
    ///
    /// # Panics
    ///
    /// When no port can be had.
    #[track_caller]
    pub fn reserve() -> Self {
        let held = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a free port");
        let addr = held.local_addr().ok().and_then(|addr| addr.as_socket());
        Self {
            number: addr.expect("a bound socket has an address").port(),
            _held: held,
        }
    }

    /// One of these that nobody has, not even for later: the first that is free, looked for from another place by
    /// each process.
    ///
    /// # Panics
    ///
    /// When all are taken.
    #[track_caller]
    pub fn reserve_one_of(candidates: impl IntoIterator<Item = u16>) -> Self {
        let mut candidates: Vec<u16> = candidates.into_iter().collect();
        let start =
            usize::try_from(std::process::id()).unwrap_or_default() % candidates.len().max(1);
        candidates.rotate_left(start);
        let reserve = |number: u16| {
            let held = Socket::new(Domain::IPV4, Type::STREAM, None).ok()?;
            // Without SO_REUSEADDR it collides with what is merely held, too.
            held.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, number)).into())
                .ok()?;
            drop(held);
            let held = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, number))).ok()?;
            Some(Self {
                number,
                _held: held,
            })
        };
        candidates
            .into_iter()
            .find_map(reserve)
            .expect("a free port among these")
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

pub(crate) fn bind(addr: SocketAddr) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn a_program_can_listen_at_a_reserved_port_again_and_again() {
        let port = Port::reserve();
        for addr in ["127.0.0.1", "0.0.0.0", "::"] {
            assert!(TcpStream::connect(("127.0.0.1", port.number())).is_err());
            let listener = TcpListener::bind((addr, port.number())).unwrap();
            TcpStream::connect(("127.0.0.1", port.number())).unwrap();
            drop(listener);
        }
    }

    #[test]
    fn of_some_ports_one_is_reserved_that_nobody_has() {
        let taken = Port::reserve();
        let free = Port::reserve().number();
        let port = Port::reserve_one_of([taken.number(), free]);
        assert_eq!(port.number(), free);
        TcpListener::bind(("127.0.0.1", free)).unwrap();
    }

    #[test]
    fn nobody_is_given_a_reserved_port_who_asks_for_any() {
        let ports: Vec<Port> = (0..200).map(|_| Port::reserve()).collect();
        let mut numbers: Vec<u16> = ports.iter().map(Port::number).collect();
        let listeners: Vec<TcpListener> = (0..200)
            .map(|_| TcpListener::bind("0.0.0.0:0").unwrap())
            .collect();
        let others = listeners.iter().map(|one| one.local_addr().unwrap().port());
        numbers.extend(others);
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 400);
    }
}
