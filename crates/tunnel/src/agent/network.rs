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
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tracing::debug;

pub use self::interface::{InterfaceName, InterfaceNameError};
use self::kernel::{Hint, Kernel};
use self::resume::Resume;

mod interface;
mod kernel;
mod message;
mod resume;

/// What is known of the network of this machine: a subscription to its changes.
///
/// Clones are subscriptions of their own.
#[derive(Debug, Clone)]
pub struct Network {
    states: watch::Receiver<Arc<State>>,
    /// The last state that was told.
    seen: Arc<State>,
}

/// Watches for changes while [`run`](Self::run) is polled.
#[derive(Debug)]
pub struct Watcher {
    kernel: Option<Kernel>,
    resume: Option<Resume>,
    states: watch::Sender<Arc<State>>,
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

/// A change is told once the kernel has been quiet for so long: a new lease is an address, a prefix
/// and routes, within some milliseconds.
const QUIET: Duration = Duration::from_millis(100);
/// Where it is never quiet, changes are told this often.
const LONGEST: Duration = Duration::from_secs(1);

impl Watcher {
    /// Looks at the network, and begins to watch it. Has to be called within a runtime, and the watcher
    /// [run](Self::run).
    pub fn start() -> (Self, Network) {
        let kernel = told("changes of the network", Kernel::subscribe());
        // After the subscription, so that nothing is missed between.
        let picture = kernel
            .as_ref()
            .and_then(|_| told("the network's addresses", kernel::look()));
        let resume = told("that the machine was asleep", Resume::new());
        let (states, network) = Network::of(State {
            picture,
            ..State::default()
        });
        let watcher = Self {
            kernel,
            resume,
            states,
        };
        (watcher, network)
    }

    /// Watches until `stop`, or until there is nothing to watch.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the watch; who waits for changes waits for ever.
    pub async fn run(mut self, stop: CancellationToken) {
        tokio::select! {
            biased;
            () = stop.cancelled() => {}
            () = self.watch() => {}
        }
    }

    async fn watch(&mut self) {
        while let Some(sign) = self.sign().await {
            let mut signs = Signs::default();
            signs.add(sign);
            let begun = Instant::now();
            let longest = begun.checked_add(LONGEST).unwrap_or(begun);
            loop {
                let now = Instant::now();
                let quiet = now.checked_add(QUIET).unwrap_or(now);
                match timeout_at(quiet.min(longest), self.sign()).await {
                    Ok(Some(sign)) => signs.add(sign),
                    Ok(None) | Err(_) => break,
                }
                // A socket that always has more does not let the time-out see its turn.
                if Instant::now() >= longest {
                    break;
                }
            }
            self.tell(signs);
        }
    }

    /// The next sign of a change; none where there will be no more.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    async fn sign(&mut self) -> Option<Sign> {
        loop {
            if self.kernel.is_none() && self.resume.is_none() {
                return None;
            }
            let (kernel, resume) = (&mut self.kernel, &mut self.resume);
            tokio::select! {
                slept = watched(resume, Resume::resumed) => match slept {
                    Ok(slept) => {
                        debug!(?slept, "machine was asleep");
                        return Some(Sign::Resumed);
                    }
                    Err(error) => {
                        debug!(%error, "the system does not tell any more that it was asleep");
                        self.resume = None;
                    }
                },
                hint = watched(kernel, Kernel::hint) => match hint {
                    Ok(hint) => return Some(Sign::Hint(hint)),
                    Err(error) => {
                        debug!(%error, "the system does not tell any more of changes of its network");
                        self.kernel = None;
                    }
                },
            }
        }
    }

    /// Tells what the signs come to.
    fn tell(&mut self, signs: Signs) {
        let before = Arc::clone(&self.states.borrow());
        let mut picture = None;
        if signs.looks {
            match kernel::look() {
                Ok(now) => picture = Some(now),
                Err(error) => debug!(%error, "network's addresses cannot be read"),
            }
        }
        let picture = picture.or_else(|| before.picture.clone());
        if picture != before.picture
            && let Some(kernel) = &mut self.kernel
        {
            kernel.forget_routes();
        }
        let now = State {
            picture,
            routes: before.routes.saturating_add(signs.routes.into()),
            sleeps: before.sleeps.saturating_add(signs.resumed.into()),
        };
        if now != *before {
            debug!("network has changed");
            self.states.send_replace(Arc::new(now));
        }
    }
}

/// Waits for something of a watch that there may be none of.
async fn watched<'a, W, T, F>(
    watch: &'a mut Option<W>,
    next: impl FnOnce(&'a mut W) -> F,
) -> io::Result<T>
where
    F: Future<Output = io::Result<T>>,
{
    match watch {
        Some(watch) => next(watch).await,
        None => std::future::pending().await,
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

/// What can be had; what cannot is said once.
fn told<T>(what: &'static str, result: io::Result<T>) -> Option<T> {
    result
        .inspect_err(|error| debug!(%error, "the system does not tell {what}"))
        .ok()
}

/// Something that may be a change.
#[derive(Debug, Clone, Copy)]
enum Sign {
    Resumed,
    Hint(Hint),
}

/// What the signs of one moment were.
#[derive(Debug, Clone, Copy, Default)]
struct Signs {
    looks: bool,
    routes: bool,
    resumed: bool,
}

impl Signs {
    fn add(&mut self, sign: Sign) {
        match sign {
            // What was told during the sleep may have been too much to keep.
            Sign::Resumed => (self.resumed, self.looks) = (true, true),
            Sign::Hint(Hint::Look) => self.looks = true,
            Sign::Hint(Hint::Routes) => self.routes = true,
        }
    }
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
        Change {
            lost: had.difference(&has).copied().collect(),
            has_moved: !has.is_subset(&had),
            was_asleep: self.seen.sleeps != before.sleeps,
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

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
