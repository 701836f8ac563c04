//! Dials a host by name over TCP.
//!
//! The name is looked up at every attempt, by the system, so that a name works where `ssh` finds it
//! and a new address is seen at once. All addresses are tried, in RFC 8305's manner: families take
//! turns, each address has a head start before the next, and the first to answer wins.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Why a host was not reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// The name has no address, or cannot be looked up.
    #[error("cannot look up {host}")]
    Resolve {
        /// The name.
        host: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No address answered; each says why.
    #[error("cannot connect to {host}: {}", list(*family, attempts))]
    Unreachable {
        /// The name.
        host: String,
        /// Which of its addresses were tried.
        family: Family,
        /// Addresses in the order in which they failed.
        attempts: Vec<(SocketAddr, io::Error)>,
    },
    /// No address answered in time.
    #[error("no answer from {host} port {port} within {} s", deadline.as_secs())]
    TimedOut {
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// The time there was.
        deadline: Duration,
    },
}

/// Which of a name's addresses are tried (`AddressFamily`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// All.
    Any,
    /// IPv4 alone.
    V4,
    /// IPv6 alone.
    V6,
}

impl Family {
    /// Whether an address is of it.
    const fn has(self, addr: &SocketAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => addr.is_ipv4(),
            Self::V6 => addr.is_ipv6(),
        }
    }
}

impl fmt::Display for Family {
    /// As a word before "address".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "",
            Self::V4 => "IPv4 ",
            Self::V6 => "IPv6 ",
        })
    }
}

/// Head start of an address before the next is tried too (RFC 8305 section 8).
const HEAD_START: Duration = Duration::from_millis(250);
/// How long a peer's address may say nothing before it is tried once more beside. The system repeats what
/// was lost after 1, 3, 7 and 15 s (Linux before 6.5), and who waits for a line that is back after a
/// minute should not wait for the last of these.
const ANEW: Duration = Duration::from_secs(3);
/// Most addresses that are tried. A name with more is somebody's mistake.
const ADDRESSES: usize = 16;

/// Connects to `host`, a name or address, within `deadline`.
///
/// # Cancel safety
///
/// Dropping the future gives every attempt up.
pub async fn dial(host: &str, port: u16, deadline: Duration) -> Result<TcpStream, DialError> {
    let any = |_: &SocketAddr| true;
    dial_to(Family::Any, any, None, host, port, deadline).await
}

/// The same for a name that a stranger gave, or whose addresses a stranger may choose: one that is not
/// an address and not `localhost` leads neither to this machine nor to its own link, where services
/// listen that trust whoever reaches them (169.254.169.254 of clouds, for one).
///
/// # Cancel safety
///
/// Dropping the future gives every attempt up.
pub async fn dial_for_stranger(
    host: &str,
    port: u16,
    deadline: Duration,
) -> Result<TcpStream, DialError> {
    let is_said = host.parse::<IpAddr>().is_ok() || host.eq_ignore_ascii_case("localhost");
    let may = move |addr: &SocketAddr| is_said || !is_near(addr.ip());
    dial_to(Family::Any, may, None, host, port, deadline).await
}

/// Whether an address is this machine's or of its link alone.
const fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_link_local() || address.is_unspecified()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unicast_link_local() || address.is_unspecified()
        }
    }
}

/// The same over the addresses of one family, for a peer, whose addresses are tried anew while they say
/// nothing.
///
/// # Cancel safety
///
/// Dropping the future gives every attempt up.
pub async fn dial_in(
    family: Family,
    host: &str,
    port: u16,
    deadline: Duration,
) -> Result<TcpStream, DialError> {
    let any = |_: &SocketAddr| true;
    dial_to(family, any, Some(ANEW), host, port, deadline).await
}

async fn dial_to(
    family: Family,
    may: impl Fn(&SocketAddr) -> bool,
    anew: Option<Duration>,
    host: &str,
    port: u16,
    deadline: Duration,
) -> Result<TcpStream, DialError> {
    let attempt = async {
        let found = lookup_host((host, port)).await;
        let addrs: Vec<SocketAddr> = match found {
            Ok(addrs) => addrs.filter(|addr| family.has(addr) && may(addr)).collect(),
            Err(source) => {
                let host = host.to_owned();
                return Err(DialError::Resolve { host, source });
            }
        };
        race(in_turns(addrs), anew, TcpStream::connect)
            .await
            .map_err(|attempts| DialError::Unreachable {
                host: host.to_owned(),
                family,
                attempts,
            })
    };
    timeout(deadline, attempt).await.unwrap_or_else(|_| {
        Err(DialError::TimedOut {
            host: host.to_owned(),
            port,
            deadline,
        })
    })
}

/// Addresses with families taking turns, the first one's first, each family in its own order.
fn in_turns(addrs: Vec<SocketAddr>) -> VecDeque<SocketAddr> {
    let starts_with_v6 = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let is_first = |addr: &SocketAddr| addr.is_ipv6() == starts_with_v6;
    let (first, second): (Vec<_>, Vec<_>) = addrs.into_iter().partition(is_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = VecDeque::new();
    loop {
        let pair = (first.next(), second.next());
        if pair == (None, None) {
            turns.truncate(ADDRESSES);
            return turns;
        }
        turns.extend(pair.0);
        turns.extend(pair.1);
    }
}

/// The first connection of several addresses, or why each failed. Those that say nothing are tried
/// anew so often.
async fn race<T, F>(
    mut addrs: VecDeque<SocketAddr>,
    anew: Option<Duration>,
    connect: impl Fn(SocketAddr) -> F,
) -> Result<T, Vec<(SocketAddr, io::Error)>>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut attempts = JoinSet::new();
    let mut failures: Vec<(SocketAddr, io::Error)> = Vec::new();
    let mut silent = VecDeque::new();
    loop {
        if let Some(addr) = addrs.pop_front() {
            let attempt = connect(addr);
            silent.push_back(addr);
            attempts.spawn(async move { (addr, attempt.await) });
        }
        // The next begins when one fails or has had its head start.
        let ended = tokio::select! {
            ended = attempts.join_next() => ended,
            () = sleep(HEAD_START), if !addrs.is_empty() => continue,
            () = sleep(anew.unwrap_or_default()), if anew.is_some() && !silent.is_empty() => {
                addrs.append(&mut silent);
                continue;
            }
        };
        match ended {
            Some(Ok((_, Ok(connection)))) => return Ok(connection),
            Some(Ok((addr, Err(error)))) => {
                silent.retain(|other| *other != addr);
                addrs.retain(|other| *other != addr);
                if failures.iter().all(|(failed, _)| *failed != addr) {
                    failures.push((addr, error));
                }
            }
            None if addrs.is_empty() => return Err(failures),
            // A connect that panicked has failed without an address to name.
            Some(Err(_)) | None => {}
        }
    }
}

fn list(family: Family, attempts: &[(SocketAddr, io::Error)]) -> String {
    if attempts.is_empty() {
        return format!("it has no {family}address");
    }
    let each = attempts
        .iter()
        .map(|(addr, error)| format!("{addr}: {error}"));
    each.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
