//! Dials a host by name over TCP.
//!
//! The name is looked up at every attempt, by the system, so that a name works where `ssh` finds it
//! and a new address is seen at once. All addresses are tried, in RFC 8305's manner: families take
//! turns, each address has a head start before the next, and the first to answer wins. While an outage is young,
//! connects overlap (module `haste`), and where nobody can look the name up, the addresses that it
//! had last are tried meanwhile: who is there has to prove its key all the same.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use self::rota::{HEAD_START, Rota};
use super::super::chance;
use super::super::haste::Pace;

mod rota;

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

impl DialError {
    /// Whether nobody was there, not even to say no.
    pub(super) fn is_silence(&self) -> bool {
        match self {
            Self::Resolve { .. } | Self::TimedOut { .. } => true,
            Self::Unreachable { attempts, .. } => {
                !attempts.iter().any(|(_, error)| is_refusal(error))
            }
        }
    }
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

/// Most addresses that are tried. A name with more is somebody's mistake.
const ADDRESSES: usize = 16;

/// What a peer's host was found to be when it was reached last.
#[derive(Debug, Clone, Default)]
pub(super) struct Last {
    addrs: Vec<SocketAddr>,
    /// How long it took to connect, as far as nothing was lost.
    took: Duration,
}

/// What takes as long was lost and repeated (RFC 6298 section 2: a second for the first time), so it does not tell
/// how far the host is.
const REPEATED: Duration = Duration::from_secs(1);

/// Connects to `host`, a name or address, within `deadline`.
///
/// # Cancel safety
///
/// Dropping the future gives every attempt up.
pub async fn dial(host: &str, port: u16, deadline: Duration) -> Result<TcpStream, DialError> {
    let any = |_: &SocketAddr| true;
    dial_to((host, port), any, Family::Any, Pace::Once, deadline).await
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
    dial_to((host, port), may, Family::Any, Pace::Once, deadline).await
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
    dial_to((host, port), any, family, Pace::Steady, deadline).await
}

/// The same at that pace, for who comes again and again; what was found `last` is kept.
///
/// # Cancel safety
///
/// Dropping the future gives every attempt up.
pub(super) async fn dial_again(
    family: Family,
    (host, port): (&str, u16),
    pace: Pace,
    last: &Mutex<Last>,
    deadline: Duration,
) -> Result<TcpStream, DialError> {
    let before = last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let any = |_: &SocketAddr| true;
    let mut failures = Vec::new();
    let attempt = async {
        let mut looking = std::pin::pin!(look_up(host, port, family, any));
        let is_hasty = pace == Pace::Hasty && !before.addrs.is_empty();
        let found = tokio::select! {
            found = &mut looking => found,
            () = sleep(HEAD_START), if is_hasty => tokio::select! {
                Some((socket, _)) = race(before.addrs.clone(), pace, before.took, &mut failures, TcpStream::connect) => {
                    return Ok((socket, before.clone()));
                }
                found = looking => found,
            },
        };
        let addrs = match found {
            Err(_) if is_hasty => before.addrs.clone(),
            found => found?,
        };
        failures.clear();
        let raced = race(
            addrs.clone(),
            pace,
            before.took,
            &mut failures,
            TcpStream::connect,
        )
        .await;
        let (socket, took) = raced.ok_or_else(|| unreachable(host, family, Vec::new()))?;
        let took = if took < REPEATED { took } else { before.took };
        Ok((socket, Last { addrs, took }))
    };
    let ended = timeout(deadline, attempt).await;
    match ended {
        Ok(Ok((socket, found))) => {
            *last.lock().unwrap_or_else(PoisonError::into_inner) = found;
            Ok(socket)
        }
        Ok(Err(DialError::Unreachable { .. })) => Err(unreachable(host, family, failures)),
        Ok(Err(error)) => Err(error),
        Err(_) if failures.is_empty() => Err(timed_out(host, port, deadline)),
        Err(_) => Err(unreachable(host, family, failures)),
    }
}

async fn dial_to(
    (host, port): (&str, u16),
    may: impl Fn(&SocketAddr) -> bool,
    family: Family,
    pace: Pace,
    deadline: Duration,
) -> Result<TcpStream, DialError> {
    let attempt = async {
        let addrs = look_up(host, port, family, may).await?;
        let mut failures = Vec::new();
        let none = Duration::ZERO;
        race(addrs, pace, none, &mut failures, TcpStream::connect)
            .await
            .map(|(socket, _)| socket)
            .ok_or_else(|| unreachable(host, family, failures))
    };
    let ended = timeout(deadline, attempt).await;
    ended.unwrap_or_else(|_| Err(timed_out(host, port, deadline)))
}

fn unreachable(host: &str, family: Family, attempts: Vec<(SocketAddr, io::Error)>) -> DialError {
    DialError::Unreachable {
        host: host.to_owned(),
        family,
        attempts,
    }
}

fn timed_out(host: &str, port: u16, deadline: Duration) -> DialError {
    DialError::TimedOut {
        host: host.to_owned(),
        port,
        deadline,
    }
}

/// The addresses of a name that may be tried, in turns.
async fn look_up(
    host: &str,
    port: u16,
    family: Family,
    may: impl Fn(&SocketAddr) -> bool,
) -> Result<Vec<SocketAddr>, DialError> {
    match lookup_host((host, port)).await {
        Ok(addrs) => Ok(in_turns(
            addrs.filter(|addr| family.has(addr) && may(addr)).collect(),
        )),
        Err(source) => {
            let host = host.to_owned();
            Err(DialError::Resolve { host, source })
        }
    }
}

/// Addresses with families taking turns, the first one's first, each family in its own order.
fn in_turns(addrs: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let starts_with_v6 = addrs.first().is_some_and(SocketAddr::is_ipv6);
    let is_first = |addr: &SocketAddr| addr.is_ipv6() == starts_with_v6;
    let (first, second): (Vec<_>, Vec<_>) = addrs.into_iter().partition(is_first);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
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

/// The first connection of several addresses and how long it took by itself, or none with why each failed.
async fn race<T, F>(
    addrs: Vec<SocketAddr>,
    pace: Pace,
    took: Duration,
    failures: &mut Vec<(SocketAddr, io::Error)>,
    connect: impl Fn(SocketAddr) -> F,
) -> Option<(T, Duration)>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut rota = Rota::new(addrs.into(), pace, took, Instant::now());
    let mut attempts = JoinSet::new();
    let mut handles = BTreeMap::<u64, AbortHandle>::new();
    loop {
        if let Some(turn) = rota.turn(Instant::now(), chance()) {
            let (begins, attempt) = (turn.begins, connect(turn.begins.addr));
            let start = Instant::now();
            let handle = attempts.spawn(async move { (begins, attempt.await, start.elapsed()) });
            handles.insert(begins.number, handle);
            if let Some(handle) = turn.gives_up.and_then(|number| handles.remove(&number)) {
                handle.abort();
            }
            continue;
        }
        let due = rota.due();
        let ended = tokio::select! {
            Some(ended) = attempts.join_next() => ended,
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => continue,
            else => return None,
        };
        match ended {
            Ok((_, Ok(connection), took)) => return Some((connection, took)),
            Ok((failed, Err(error), _)) => {
                handles.remove(&failed.number);
                rota.failed(failed.number, is_refusal(&error), Instant::now());
                if failures.iter().all(|(addr, _)| *addr != failed.addr) {
                    failures.push((failed.addr, error));
                }
            }
            // One that was given up; or it panicked, and has failed without an address to name.
            Err(_) => {}
        }
    }
}

/// Whether somebody was there to say no. Where this machine itself knows no way, it is told when there is one.
fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::NetworkUnreachable
    )
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
