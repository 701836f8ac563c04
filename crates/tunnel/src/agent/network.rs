//! Notices that the network of this machine has changed, and that the machine was asleep.
//!
//! One [`Watcher`] serves all tunnels of a process; each has a [`Network`], which tells it of changes and
//! of the addresses that there are. What the kernel says is a hint and no more: once it has been quiet
//! for a moment, links and addresses are listed anew and compared with what was there before, so that a
//! lifetime that was refreshed is no change, and a hint that was lost costs nothing but its moment.
//!
//! Where the kernel does not let us watch (a sandbox without netlink, for example), nothing is ever told
//! and addresses are not known; tunnels have their keep-alives all the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;
use tokio::sync::watch;

pub use self::interface::{InterfaceName, InterfaceNameError};
pub use self::watcher::Watcher;

mod interface;
mod kernel;
mod message;
mod resume;
mod watcher;

/// What is known of the network of this machine: a subscription to its changes.
///
/// Clones are subscriptions of their own.
#[derive(Debug, Clone)]
pub struct Network {
    states: watch::Receiver<Arc<State>>,
    /// The last state that was told.
    seen: Arc<State>,
}

/// How the network differs from what was told last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Change {
    /// Addresses that this machine had and has no more.
    pub lost: Vec<IpAddr>,
    /// Whether it has an address that it did not have: it may be somewhere else.
    pub has_moved: bool,
    /// Whether it was asleep.
    pub was_asleep: bool,
    /// Whether links went down and nothing else happened: it may be for a moment, which connections
    /// outlive.
    pub is_outage: bool,
}

/// Why an interface has no address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoAddress {
    /// There is no such interface.
    #[error("there is no such interface")]
    NoInterface,
    /// It has none.
    #[error("the interface has no address")]
    None,
    /// The kernel does not tell us.
    #[error("the system does not tell which addresses its interfaces have")]
    Unknown,
}

/// One version of what is known.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    /// None where the kernel does not tell.
    picture: Option<Picture>,
    /// Changes of routes.
    routes: u64,
    /// Times that the machine was asleep.
    sleeps: u64,
}

/// Links and addresses at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Picture {
    links: BTreeMap<u32, Link>,
    addresses: BTreeSet<Address>,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Link {
    name: String,
    /// It is up and has a carrier.
    is_running: bool,
}

/// An address of this machine that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Address {
    /// The number of its link.
    link: u32,
    ip: IpAddr,
    /// One for privacy, which goes after some hours (RFC 8981): for who dials, not for who listens.
    is_temporary: bool,
}

impl Network {
    /// Of who does not watch: nothing is ever told.
    pub fn unwatched() -> Self {
        Self::of(State::default()).1
    }

    fn of(state: State) -> (watch::Sender<Arc<State>>, Self) {
        let seen = Arc::new(state);
        let (sender, states) = watch::channel(Arc::clone(&seen));
        (sender, Self { states, seen })
    }

    /// A subscription from now on: what has changed before is not told.
    #[must_use]
    pub fn subscribe(&self) -> Self {
        let mut states = self.states.clone();
        let seen = Arc::clone(&states.borrow_and_update());
        Self { states, seen }
    }

    /// Waits for a change and says what it was. Several that came since the last are one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub async fn changed(&mut self) -> Change {
        if self.states.changed().await.is_err() {
            return std::future::pending().await;
        }
        let now = Arc::clone(&self.states.borrow_and_update());
        let before = std::mem::replace(&mut self.seen, now);
        let (had, has) = (before.ips(), self.seen.ips());
        let has_moved = !has.is_subset(&had);
        let was_asleep = self.seen.sleeps != before.sleeps;
        let (ran, runs) = (before.running(), self.seen.running());
        Change {
            lost: had.difference(&has).copied().collect(),
            has_moved,
            was_asleep,
            is_outage: runs.is_subset(&ran) && runs != ran && !has_moved && !was_asleep,
        }
    }

    /// Whether this machine has an address; none where that is not known. One that it answers for
    /// without an interface that bears it is not had.
    pub fn has(&self, ip: IpAddr) -> Option<bool> {
        let state = self.states.borrow();
        let picture = state.picture.as_ref()?;
        let ip = ip.to_canonical();
        Some(picture.addresses.iter().any(|address| address.ip == ip))
    }

    /// The addresses of an interface that a service would listen on: all but those for privacy and
    /// those that IPv6 gives every link (`fe80::/10`), which nobody types.
    ///
    /// # Errors
    ///
    /// There is none, or it is not known.
    pub fn addresses_of(&self, interface: &InterfaceName) -> Result<Vec<IpAddr>, NoAddress> {
        let state = self.states.borrow();
        let picture = state.picture.as_ref().ok_or(NoAddress::Unknown)?;
        let is_named = |link: &Link| link.name == interface.as_str();
        let mut links = picture.links.iter();
        let (index, _) = links
            .find(|(_, link)| is_named(link))
            .ok_or(NoAddress::NoInterface)?;
        let addresses: Vec<IpAddr> = picture
            .addresses
            .iter()
            .filter(|address| address.link == *index && address.is_for_listeners())
            .map(|address| address.ip)
            .collect();
        if addresses.is_empty() {
            return Err(NoAddress::None);
        }
        Ok(addresses)
    }
}

impl State {
    /// The links that are up.
    fn running(&self) -> BTreeSet<u32> {
        let links = self.picture.iter().flat_map(|picture| &picture.links);
        let running = links.filter(|(_, link)| link.is_running);
        running.map(|(index, _)| *index).collect()
    }

    /// The addresses, whatever their interface.
    fn ips(&self) -> BTreeSet<IpAddr> {
        let pictures = self.picture.iter();
        pictures
            .flat_map(|picture| &picture.addresses)
            .map(|address| address.ip)
            .collect()
    }
}

impl Address {
    fn is_for_listeners(&self) -> bool {
        let is_of_link = match self.ip {
            IpAddr::V4(_) => false,
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        };
        !self.is_temporary && !is_of_link
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.was_asleep {
            "the machine was asleep"
        } else {
            "the network has changed"
        })
    }
}

/// Has the runtime watch a descriptor. Has to be called within one.
#[expect(
    deprecated,
    reason = "what its successor has callers promise, and unsafe code is forbidden here, an `OwnedFd` \
              keeps by its type: it is open, and the same, until it is dropped"
)]
fn pollable(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(fd)
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
