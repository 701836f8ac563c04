//! Byte streams that a client asks for: to a device or a service by its name, to a Unix socket that is a
//! lease here, or to an address that its grant lists.
//!
//! A name that is known here never meets a resolver, and what is no name here is resolved once, for those
//! alone whose grant lists networks: each address that comes back is held against the grant, and one that
//! passed is dialled, not the name again (security rule G55). This machine's own addresses, loopback,
//! link-local and the like are dialled only where the grant names exactly that one address. A port of one's own is
//! never dialled: asked for by a loopback address, it is the lease.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use adit_model::address::{Inner, unwrapped};
use adit_model::grant::{Denied, Grant, TargetRule};
use adit_model::host::{HostClass, Name, classify_host};
use adit_model::id::PrincipalId;
use adit_model::lease::{Holding, Reservation};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use super::desk::{Desk, Offered, Refused};
use super::limit::OverLimit;
use super::policy::{Kind, Policy};
use super::registry::{Fenced, Unserved};
use super::seam::Later;
use crate::transport::{Origin, RefusalCode, Target};

/// Finds addresses of names.
pub trait Resolve: fmt::Debug + Send + Sync {
    /// The addresses of that name, with the port.
    ///
    /// # Errors
    /// There are none, or nobody knows.
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Later<'a, io::Result<Vec<SocketAddr>>>;
}

/// The resolver of this machine, so that a name works where it works for other programs.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, name: &'a str, port: u16) -> Later<'a, io::Result<Vec<SocketAddr>>> {
        // A question that nobody waits for any more goes on in a thread; its permit goes with it.
        static ASKING: Semaphore = Semaphore::const_new(QUESTIONS);
        Box::pin(async move {
            let permit = ASKING.acquire().await.map_err(io::Error::other)?;
            let name = String::from(name);
            let asked = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                std::net::ToSocketAddrs::to_socket_addrs(&(name.as_str(), port))
                    .map(Iterator::collect)
            });
            asked.await.map_err(io::Error::other)?
        })
    }
}

/// Why a stream is not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotOpened {
    /// The grant does not allow it.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// A path that means no socket of one's own.
    #[error(transparent)]
    Path(#[from] Refused),
    /// It has used up what it may.
    #[error(transparent)]
    OverLimit(#[from] OverLimit),
    /// What was asked for is nothing that is opened here.
    #[error("{host:?} is no host")]
    NoHost {
        /// The text.
        host: String,
    },
    /// Only a server sends visitors of forwards.
    #[error("visitors of forwards are sent by this gateway, not to it")]
    Backwards,
    /// A device is known by that name and may be opened, but offers nothing there now.
    #[error("{name} offers nothing at port {port}: it has no forward here that stands for it")]
    NotOffered {
        /// The device.
        name: Name,
        /// The port.
        port: u16,
    },
    /// Several forwards of a device could be meant.
    #[error("{name} has several forwards that end in port {port}: ask for one by its own port")]
    Ambiguous {
        /// The device.
        name: Name,
        /// The port.
        port: u16,
    },
    /// Who holds the lease does not serve it now.
    #[error("{holding}: {reason}")]
    Unserved {
        /// What is held.
        holding: Holding,
        /// Why.
        reason: Unserved,
    },
    /// The name has no addresses.
    #[error("{host} has no address: {source}")]
    Resolve {
        /// The name.
        host: String,
        /// The resolver's words.
        source: io::Error,
    },
    /// None of the addresses that are allowed could be reached.
    #[error("{address} cannot be reached: {source}")]
    Connect {
        /// The last of them.
        address: SocketAddr,
        /// The system's words.
        source: io::Error,
    },
}

impl NotOpened {
    /// The reason as it is told in SSH.
    pub const fn code(&self) -> RefusalCode {
        match self {
            Self::Denied(_) | Self::Path(_) | Self::NoHost { .. } | Self::Backwards => {
                RefusalCode::Prohibited
            }
            Self::OverLimit(_) => RefusalCode::Shortage,
            Self::NotOffered { .. }
            | Self::Ambiguous { .. }
            | Self::Unserved { .. }
            | Self::Resolve { .. }
            | Self::Connect { .. } => RefusalCode::ConnectFailed,
        }
    }
}

/// What a request to open a stream leads to: asked of the grant of this moment, and again whenever it
/// changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// To whoever holds that.
    Lease {
        /// The device's name and port, as they were asked for; none for a socket or port of one's own.
        name: Option<(Name, u16)>,
        /// What is held.
        holding: Holding,
    },
    /// To one of these addresses.
    Addresses(Vec<SocketAddr>),
}

/// Somebody who asks, and what is known when it does.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'a> {
    /// Who.
    pub principal: PrincipalId,
    /// What it may.
    pub grant: &'a Grant,
    /// Everybody else.
    pub policy: &'a Policy,
    /// Whether it is an agent of ours.
    pub is_agent: bool,
}

/// Names that the system is asked for at a time: it may take minutes for one that nobody waits for any more, in
/// a thread of a pool (512 threads, tokio's default) that others need as well.
const QUESTIONS: usize = 64;
/// How long a name may take to be resolved.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(5);
/// How long all addresses of a target together may take to be reached.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Addresses of a name that are looked at.
const ADDRESSES: usize = 16;
/// What a forward without an address asks for, in ssh's words.
const LOCALHOST: &str = "localhost";
/// Digits of a port prefix (R5): 401 and 22 are 40122.
const PREFIX_DIGITS: usize = 3;

/// Where that target leads for who asks.
///
/// # Errors
/// It is not allowed, or there is no such thing.
///
/// # Cancel safety
/// Nothing is kept.
pub async fn way(
    asker: Asker<'_>,
    target: &Target,
    desk: &Desk,
    resolver: &dyn Resolve,
) -> Result<Way, NotOpened> {
    let (host, port) = match target {
        Target::Unix { path } => {
            let name = desk.socket(asker.principal, path)?;
            asker.grant.socket(&name)?;
            return Ok(Way::Lease {
                name: None,
                holding: Holding::Unix(asker.principal, name),
            });
        }
        Target::Tcp { host, port } => (host.as_str(), *port),
    };
    let denied = || Denied::Target {
        host: String::from(host),
        port,
    };
    let class = classify_host(host);
    if class == HostClass::Invalid {
        let host = String::from(host);
        return Err(NotOpened::NoHost { host });
    }
    if let Some(holding) = own_port(asker, &class, port, desk) {
        return Ok(Way::Lease {
            name: None,
            holding,
        });
    }
    if !asker.grant.considers(&class) {
        return Err(denied().into());
    }
    if let Ok(name) = host.strip_suffix('.').unwrap_or(host).parse::<Name>() {
        let device = device(asker.policy, &name);
        let offered = desk.offered(&name, port, device);
        // A name that is known here never meets a resolver.
        let is_known = || {
            asker
                .policy
                .principals
                .values()
                .any(|one| one.grant.names.iter().any(|own| own.matches(&name)))
        };
        if device.is_some() || offered.is_held || is_known() {
            asker.grant.opens_name(&name, port)?;
            let schemes = Schemes {
                policy: asker.policy,
                device,
            };
            let holding = lease_of(&name, port, offered, schemes)?;
            let name = Some((name, port));
            return Ok(Way::Lease { name, holding });
        }
    }
    let addresses = match class {
        HostClass::Address(address) => vec![SocketAddr::new(address, port)],
        HostClass::Localhost => vec![
            SocketAddr::new(std::net::Ipv4Addr::LOCALHOST.into(), port),
            SocketAddr::new(std::net::Ipv6Addr::LOCALHOST.into(), port),
        ],
        HostClass::Name(name) if asker.grant.opens_addresses() => {
            resolve(resolver, &name, port).await?
        }
        HostClass::Name(_) | HostClass::Invalid => return Err(denied().into()),
    };
    let mut refusal = denied();
    let mut allowed = Vec::new();
    for address in addresses.into_iter().take(ADDRESSES) {
        match may_dial(asker.grant, address) {
            Ok(()) => allowed.push(address),
            Err(denied) => refusal = denied,
        }
    }
    if allowed.is_empty() {
        return Err(refusal.into());
    }
    Ok(Way::Addresses(allowed))
}

impl Way {
    /// Whether a grant, as it is now, allows a stream that goes this way.
    ///
    /// # Errors
    /// Why not.
    pub fn is_allowed(&self, grant: &Grant) -> Result<(), Denied> {
        match self {
            Self::Lease {
                name: Some((name, port)),
                ..
            } => grant.opens_name(name, *port),
            Self::Lease {
                holding: Holding::Unix(_, name),
                ..
            } => grant.socket(name),
            Self::Lease {
                holding: Holding::Port(port),
                ..
            } => grant.listen(LOCALHOST, *port).map(drop),
            Self::Lease { .. } => Ok(()),
            Self::Addresses(addresses) => addresses
                .iter()
                .try_for_each(|address| may_dial(grant, *address)),
        }
    }

    /// Opens a stream on it. Of several addresses, one that may be dialled is dialled, by its number.
    ///
    /// # Errors
    /// It could not be opened.
    ///
    /// # Cancel safety
    /// Dropping it is the cancel.
    pub async fn open(&mut self, desk: &Desk, origin: Origin) -> Result<Opened, NotOpened> {
        match self {
            Self::Lease { holding, .. } => match desk.registry().open(holding, origin).await {
                Ok(stream) => Ok(Opened::Lease(Box::new(stream))),
                Err(reason) => Err(NotOpened::Unserved {
                    holding: holding.clone(),
                    reason,
                }),
            },
            Self::Addresses(addresses) => {
                let (socket, address) = dial(addresses).await?;
                *addresses = vec![address];
                Ok(Opened::Socket(socket))
            }
        }
    }
}

/// A stream that was opened.
#[derive(Debug)]
pub enum Opened {
    /// To a connection here.
    Lease(Box<Fenced>),
    /// To an address.
    Socket(TcpStream),
}

/// A port that who asks holds here itself and may listen at, by its address on this machine: `autossh -M` looks
/// that way whether bytes come round. It is opened as the lease that it is; nothing of this machine is dialled.
fn own_port(asker: Asker<'_>, class: &HostClass, port: u16, desk: &Desk) -> Option<Holding> {
    let is_here = match class {
        HostClass::Localhost => true,
        HostClass::Address(address) => address.is_loopback(),
        HostClass::Name(_) | HostClass::Invalid => false,
    };
    // An adit agent takes an answer there for a probe of its own, and has a better one.
    if !is_here || asker.is_agent || asker.grant.listen(LOCALHOST, port).is_err() {
        return None;
    }
    let own = Holding::Port(port);
    // What it has given back is opened to nobody.
    (desk.principal(&own) == Some(asker.principal)).then_some(own)
}

fn device(policy: &Policy, name: &Name) -> Option<PrincipalId> {
    (policy.principals.values())
        .find(|principal| {
            principal.kind == Kind::Device && principal.name.eq_ignore_ascii_case(name.as_str())
        })
        .map(|principal| principal.id)
}

/// The prefixes by which ports of a device are made (R5).
#[derive(Debug, Clone, Copy)]
struct Schemes<'a> {
    policy: &'a Policy,
    device: Option<PrincipalId>,
}

impl Schemes<'_> {
    /// Whether a held port stands for that service: by the prefix of the reservation that it is of, whatever its
    /// length; where no reservation has one, by any prefix of three digits.
    fn stand_for(self, held: u16, service: u16) -> bool {
        let own = self.policy.reservations.iter().filter(|reservation| {
            Some(reservation.principal) == self.device
                && reservation.what.covers(&Holding::Port(held))
        });
        let mut prefixes = own.filter_map(Reservation::prefix).peekable();
        if prefixes.peek().is_none() {
            return stands_for(held, service);
        }
        prefixes.any(|prefix| prefix.port(service) == Ok(held))
    }
}

/// The lease that stands for a port of a name: the service or the name itself where it is held, or of the device's
/// ports the very same one, or the one that is a prefix and that port. A port that the gateway drew has such digits
/// by chance, and stands for none but itself.
fn lease_of(
    name: &Name,
    port: u16,
    offered: Offered,
    schemes: Schemes<'_>,
) -> Result<Holding, NotOpened> {
    if let Some(holding) = offered.by_name {
        return Ok(holding);
    }
    let mut found = Vec::new();
    for held in offered.ports {
        if held.port == port {
            return Ok(Holding::Port(port));
        }
        if !held.is_drawn && schemes.stand_for(held.port, port) {
            found.push(held.port);
        }
    }
    match found.as_slice() {
        [] => Err(NotOpened::NotOffered {
            name: name.clone(),
            port,
        }),
        [only] => Ok(Holding::Port(*only)),
        [_, _, ..] => Err(NotOpened::Ambiguous {
            name: name.clone(),
            port,
        }),
    }
}

/// Whether a port is a prefix of three digits and that service's port, written behind one another.
fn stands_for(held: u16, service: u16) -> bool {
    let (held, service) = (held.to_string(), service.to_string());
    held.strip_suffix(&service)
        .is_some_and(|prefix| prefix.len() == PREFIX_DIGITS)
}

async fn resolve(
    resolver: &dyn Resolve,
    name: &str,
    port: u16,
) -> Result<Vec<SocketAddr>, NotOpened> {
    let failed = |source| NotOpened::Resolve {
        host: String::from(name),
        source,
    };
    let addresses = tokio::time::timeout(RESOLVE_DEADLINE, resolver.resolve(name, port))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        .map_err(failed)?;
    if addresses.is_empty() {
        return Err(failed(io::ErrorKind::NotFound.into()));
    }
    Ok(addresses)
}

/// Whether a grant lets that very address be dialled.
fn may_dial(grant: &Grant, address: SocketAddr) -> Result<(), Denied> {
    let (ip, port) = (address.ip(), address.port());
    grant.opens_address(ip, port)?;
    if is_own(ip) && !names_exactly(grant, ip, port) {
        return Err(Denied::Inner {
            address: ip,
            inner: Inner::Loopback,
        });
    }
    Ok(())
}

fn names_exactly(grant: &Grant, address: IpAddr, port: u16) -> bool {
    grant.targets.iter().any(|rule| match rule {
        TargetRule::Cidr { network, ports } => {
            network.addr() == address
                && network.prefix_len() == network.max_prefix_len()
                && ports.contains(port)
        }
        TargetRule::Name { .. } => false,
    })
}

/// Whether that is an address of this machine, where its own listeners are: the system lets a socket be
/// bound to its own addresses alone. What it does not clearly say no to counts as its own. An IPv4 address in
/// the clothes of IPv6 counts as what it is.
fn is_own(address: IpAddr) -> bool {
    let address = unwrapped(address);
    is_own_if(UdpSocket::bind((address, 0)).map(drop))
}

/// Whether an address is one of this machine, by what came of binding a socket to it.
fn is_own_if(bound: io::Result<()>) -> bool {
    bound.map_or_else(|error| !is_foreign(&error), |()| true)
}

/// Whether the system says that an address is none of its own, or of a family that it does not have.
fn is_foreign(error: &io::Error) -> bool {
    #[cfg(unix)]
    {
        let errno = rustix::io::Errno::from_io_error(error);
        errno == Some(rustix::io::Errno::ADDRNOTAVAIL)
            || errno == Some(rustix::io::Errno::AFNOSUPPORT)
    }
    #[cfg(not(unix))]
    {
        error.kind() == io::ErrorKind::AddrNotAvailable
    }
}

async fn dial(addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), NotOpened> {
    let mut last = None;
    let begun = tokio::time::Instant::now();
    for address in addresses {
        let left = CONNECT_DEADLINE.saturating_sub(begun.elapsed());
        let dialled = tokio::time::timeout(left, TcpStream::connect(address)).await;
        match dialled.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(socket) => {
                // Small writes should not wait for each other; one that cannot be told works all the same.
                drop(socket.set_nodelay(true));
                return Ok((socket, *address));
            }
            Err(error) => last = Some((*address, error)),
        }
    }
    let unspecified = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
    let (address, source) = last.unwrap_or_else(|| (unspecified, io::ErrorKind::NotFound.into()));
    Err(NotOpened::Connect { address, source })
}

#[cfg(test)]
mod tests;
