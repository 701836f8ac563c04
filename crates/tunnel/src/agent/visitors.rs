//! Which connections to services here are visitors', and where those visitors are.
//!
//! A service that is dialled for a visitor sees this machine as its peer, and takes everybody for somebody
//! from here. Here it can look up who it really is: the originator that the peer's listener named (RFC 4254
//! section 7.2). A visitor is entered before the first of its bytes goes to the service, so that who has
//! read a request finds whoever sent it; and stays for a while after its stream has ended, so that a
//! request that was sent by somebody who left at once is not taken for one from here. A service that looks
//! visitors up says when it has done with a connection, and then nobody is a visitor who happens to connect from
//! the same port: any process of this machine can do that.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::transport::Origin;

/// The visitors of one process. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct Visitors(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Ends, Entry>,
    /// Those that have left, in that order. An entry may have been taken by another since.
    left: VecDeque<Left>,
    /// The number of the next entry.
    next: u64,
}

/// A connection to a service as that sees it: its peer, and its own port. Not its own address, which it may
/// not know: two connections that differ in that alone come from one address only where both addresses are
/// this machine's, and are both ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Ends {
    peer: SocketAddr,
    port: u16,
}

#[derive(Debug)]
struct Entry {
    number: u64,
    visitor: SocketAddr,
    /// Its stream has ended.
    has_left: bool,
    /// The service has done with it.
    is_over: bool,
}

#[derive(Debug)]
struct Left {
    ends: Ends,
    number: u64,
    at: Instant,
}

/// A visitor's place in the table, which is free some time after this is dropped.
#[derive(Debug)]
pub(crate) struct Entered {
    visitors: Visitors,
    ends: Ends,
    number: u64,
}

/// There are too many visitors to know one more. It has to be turned away: a service would take it for
/// somebody from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {MOST} visitors are here")]
pub struct Crowded;

/// Most visitors that are known, those included that have left a short while ago: four connections with as
/// many channels as one can ever have, or 270 visitors a second. Some 4 MB.
const MOST: usize = 16_384;
/// How long a visitor is known that has left: longer than a service waits for the rest of a request (30 s for
/// a callback).
const LINGER: Duration = Duration::from_secs(60);
/// Where a visitor is said to be whose address nobody has told: nowhere, and not here.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

impl Visitors {
    /// Where the visitor is whose bytes come to a service at `port` of this machine from `peer`. `None` if
    /// that is no connection of a tunnel.
    ///
    /// A visitor at a Unix socket, or whose address the far end did not tell, is at `[::]:0`.
    pub fn visitor(&self, peer: SocketAddr, port: u16) -> Option<SocketAddr> {
        let mut table = self.table();
        table.forget(Instant::now());
        let peer = canonical(peer);
        let entry = table.entries.get(&Ends { peer, port })?;
        Some(entry.visitor)
    }

    /// The service at `port` is about to close the connection from `peer`: what comes from there later is another's.
    /// To be said before it is closed.
    pub fn over(&self, peer: SocketAddr, port: u16) {
        let peer = canonical(peer);
        self.table().over(Ends { peer, port });
    }

    /// A visitor is about to send to the service at `service`, from `peer` as seen there.
    pub(crate) fn enter(
        &self,
        peer: SocketAddr,
        service: SocketAddr,
        origin: &Origin,
    ) -> Result<Entered, Crowded> {
        let ends = Ends {
            peer: canonical(peer),
            port: service.port(),
        };
        let number = self.table().enter(ends, visitor(origin), Instant::now())?;
        Ok(Entered {
            visitors: self.clone(),
            ends,
            number,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let left = Left {
            ends: self.ends,
            number: self.number,
            at: Instant::now(),
        };
        self.visitors.table().leave(left);
    }
}

impl Table {
    fn enter(&mut self, ends: Ends, visitor: SocketAddr, now: Instant) -> Result<u64, Crowded> {
        self.forget(now);
        while self.entries.len() >= MOST && !self.entries.contains_key(&ends) {
            let oldest = self.left.pop_front().ok_or(Crowded)?;
            self.remove(&oldest);
        }
        while self.left.len() >= MOST
            && let Some(oldest) = self.left.pop_front()
        {
            self.remove(&oldest);
        }
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        let entry = Entry {
            number,
            visitor,
            has_left: false,
            is_over: false,
        };
        self.entries.insert(ends, entry);
        Ok(number)
    }

    /// A visitor's stream has ended. Who is still to be looked up is known for a while.
    fn leave(&mut self, left: Left) {
        let entry = self.entries.get_mut(&left.ends);
        match entry.filter(|entry| entry.number == left.number) {
            Some(entry) if entry.is_over => self.remove(&left),
            Some(entry) => {
                entry.has_left = true;
                self.left.push_back(left);
            }
            None => {}
        }
    }

    /// A service has done with a visitor.
    fn over(&mut self, ends: Ends) {
        match self.entries.get_mut(&ends) {
            // Its place among those who have left goes with its time.
            Some(entry) if entry.has_left => drop(self.entries.remove(&ends)),
            Some(entry) => entry.is_over = true,
            None => {}
        }
    }

    /// Forgets those who left long ago.
    fn forget(&mut self, now: Instant) {
        while let Some(left) = self.left.front()
            && now.saturating_duration_since(left.at) >= LINGER
            && let Some(left) = self.left.pop_front()
        {
            self.remove(&left);
        }
    }

    fn remove(&mut self, left: &Left) {
        let entry = self.entries.get(&left.ends);
        if entry.is_some_and(|entry| entry.number == left.number) {
            self.entries.remove(&left.ends);
        }
    }
}

/// An IPv4 address in the form of IPv6, as a socket for both has it, is the IPv4 address.
fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// The text is the peer's, and not believed to be more than an address.
fn visitor(origin: &Origin) -> SocketAddr {
    let ip: Option<IpAddr> = origin.host.parse().ok();
    ip.map_or(UNKNOWN, |ip| {
        SocketAddr::new(ip.to_canonical(), origin.port)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn origin(host: &str, port: u16) -> Origin {
        Origin {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn a_visitor_is_found_by_both_ends_and_by_nothing_less() {
        let visitors = Visitors::default();
        let (near, service) = (addr("127.0.0.1:40000"), addr("127.0.0.1:8090"));
        let entered = visitors.enter(near, service, &origin("198.51.100.7", 5_000));
        assert_eq!(
            visitors.visitor(near, 8_090),
            Some(addr("198.51.100.7:5000"))
        );
        // A socket for both families has it so.
        assert_eq!(
            visitors.visitor(addr("[::ffff:127.0.0.1]:40000"), 8_090),
            Some(addr("198.51.100.7:5000"))
        );
        for (peer, port) in [
            ("127.0.0.1:40000", 8_091),
            ("127.0.0.1:40001", 8_090),
            ("[::1]:40000", 8_090),
        ] {
            assert_eq!(visitors.visitor(addr(peer), port), None, "{peer} {port}");
        }
        drop(entered);
    }

    #[test]
    fn whoever_does_not_say_where_it_is_is_not_here() {
        for (host, expected) in [
            ("", "[::]:0"),
            ("localhost", "[::]:0"),
            ("127.0.0.1, 10.0.0.1", "[::]:0"),
            ("::ffff:192.0.2.1", "192.0.2.1:7"),
            ("2001:db8::1", "[2001:db8::1]:7"),
        ] {
            assert_eq!(visitor(&origin(host, 7)), addr(expected), "{host:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_who_left_is_known_for_a_while_and_no_longer() {
        let visitors = Visitors::default();
        let (near, service) = (addr("127.0.0.1:40000"), addr("127.0.0.1:8090"));
        drop(visitors.enter(near, service, &origin("192.0.2.1", 1)));
        tokio::time::advance(LINGER - Duration::from_millis(1)).await;
        assert_eq!(visitors.visitor(near, 8_090), Some(addr("192.0.2.1:1")));
        // The same port again, for another visitor, who is still there when the first is forgotten.
        let other = visitors.enter(near, service, &origin("192.0.2.2", 2));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(visitors.visitor(near, 8_090), Some(addr("192.0.2.2:2")));
        drop(other);
        tokio::time::advance(LINGER).await;
        assert_eq!(visitors.visitor(near, 8_090), None);
        let table = visitors.table();
        assert_eq!((table.entries.len(), table.left.len()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_comes_from_a_visitors_port_later_is_no_visitor() {
        let visitors = Visitors::default();
        let (near, service) = (addr("127.0.0.1:40000"), addr("127.0.0.1:8090"));
        let enter = || {
            visitors
                .enter(near, service, &origin("192.0.2.1", 1))
                .unwrap()
        };
        // Whichever end is done first.
        let entered = enter();
        visitors.over(near, 8_090);
        assert!(visitors.visitor(near, 8_090).is_some());
        drop(entered);
        assert_eq!(visitors.visitor(near, 8_090), None);
        drop(enter());
        assert!(visitors.visitor(near, 8_090).is_some());
        visitors.over(near, 8_091);
        assert!(visitors.visitor(near, 8_090).is_some());
        visitors.over(near, 8_090);
        assert_eq!(visitors.visitor(near, 8_090), None);
        // The next visitor from there is one, also when the time of the first is over.
        let entered = enter();
        tokio::time::advance(LINGER).await;
        assert!(visitors.visitor(near, 8_090).is_some());
        drop(entered);
        tokio::time::advance(LINGER).await;
        assert_eq!(visitors.visitor(near, 8_090), None);
        let table = visitors.table();
        assert_eq!((table.entries.len(), table.left.len()), (0, 0));
    }

    #[test]
    fn a_full_table_forgets_those_who_left_and_turns_others_away() {
        let visitors = Visitors::default();
        let service = addr("127.0.0.1:8090");
        let near = |number: usize| {
            let [.., a, b] = number.to_be_bytes();
            let [.., c] = (number >> 16).to_be_bytes();
            addr(&format!("127.0.{c}.1:{}", u16::from_be_bytes([a, b])))
        };
        let enter = |number| visitors.enter(near(number), service, &origin("192.0.2.1", 1));
        let mut here: Vec<Entered> = (0..MOST).map(|number| enter(number).unwrap()).collect();
        assert_eq!(enter(MOST).unwrap_err(), Crowded);
        here.truncate(MOST - 1);
        assert!(enter(MOST).is_ok());
        assert_eq!(visitors.visitor(near(MOST - 1), 8_090), None);
        assert!(visitors.visitor(near(0), 8_090).is_some());
    }
}
