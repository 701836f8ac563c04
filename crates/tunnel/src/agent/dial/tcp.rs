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
mod tests {
    #[test]
    fn what_is_near_is_known_in_every_dress() {
        for (address, expected) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("169.254.169.254", true),
            ("0.0.0.0", true),
            ("::1", true),
            ("::", true),
            ("fe80::1", true),
            ("::ffff:127.0.0.1", true),
            ("::ffff:169.254.169.254", true),
            ("192.0.2.1", false),
            ("10.0.0.1", false),
            ("fd00::1", false),
        ] {
            assert_eq!(is_near(address.parse().unwrap()), expected, "{address}");
        }
    }

    use std::sync::{Arc, Mutex};

    use tokio::net::TcpListener;
    use tokio::time::Instant;

    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// What an address does, and when each was asked.
    #[derive(Clone, Copy)]
    enum Does {
        Answer(u64),
        Fail(u64),
        Nothing,
    }

    type Asked = Arc<Mutex<Vec<(u16, u128)>>>;

    /// Races addresses by port, and gives the winner and who was asked when.
    async fn run(does: &[Does]) -> (Result<u16, usize>, Vec<(u16, u128)>) {
        let start = Instant::now();
        let asked: Asked = Arc::default();
        let ports = 0..u16::try_from(does.len()).unwrap();
        let addrs = ports.map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let connect = |addr: SocketAddr| {
            let what = does[usize::from(addr.port())];
            let now = start.elapsed().as_millis();
            asked.lock().unwrap().push((addr.port(), now));
            async move {
                match what {
                    Does::Answer(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Ok(addr.port())
                    }
                    Does::Fail(after) => {
                        sleep(Duration::from_millis(after)).await;
                        Err(io::ErrorKind::ConnectionRefused.into())
                    }
                    Does::Nothing => std::future::pending().await,
                }
            }
        };
        let result = race(addrs.collect(), None, connect).await;
        let asked = asked.lock().unwrap().clone();
        (result.map_err(|failures| failures.len()), asked)
    }

    #[tokio::test(start_paused = true)]
    async fn each_address_has_a_head_start() {
        use Does::{Answer, Fail, Nothing};
        for (does, winner, asked) in [
            (vec![Answer(10), Answer(1)], Ok(0), vec![(0, 0)]),
            (vec![Answer(300), Answer(1)], Ok(1), vec![(0, 0), (1, 250)]),
            (vec![Answer(300), Answer(99)], Ok(0), vec![(0, 0), (1, 250)]),
            (vec![Fail(10), Answer(1)], Ok(1), vec![(0, 0), (1, 10)]),
            (
                vec![Nothing, Fail(5), Answer(1)],
                Ok(2),
                vec![(0, 0), (1, 250), (2, 255)],
            ),
            (vec![Fail(1), Fail(1)], Err(2), vec![(0, 0), (1, 1)]),
            (vec![], Err(0), vec![]),
        ] {
            assert_eq!(run(&does).await, (winner, asked));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_says_nothing_is_tried_anew_and_what_has_failed_is_not() {
        let start = Instant::now();
        let asked: Asked = Arc::default();
        let addrs = ["127.0.0.1:1", "127.0.0.1:2"].map(addr);
        let connect = |addr: SocketAddr| {
            let now = start.elapsed();
            asked.lock().unwrap().push((addr.port(), now.as_millis()));
            async move {
                match (addr.port(), now.as_secs()) {
                    (1, 0) => Err(io::ErrorKind::ConnectionRefused.into()),
                    // Its line is back.
                    (2, 6..) => Ok(now.as_secs()),
                    _ => std::future::pending().await,
                }
            }
        };
        let won = race(VecDeque::from(addrs), Some(ANEW), connect).await;
        assert_eq!(won.unwrap(), 6);
        assert_eq!(
            *asked.lock().unwrap(),
            [(1, 0), (2, 0), (2, 3000), (2, 6000)]
        );
    }

    #[test]
    fn families_take_turns() {
        let turns = in_turns(vec![
            addr("[::1]:1"),
            addr("[::2]:1"),
            addr("[::3]:1"),
            addr("127.0.0.1:1"),
        ]);
        let expected = ["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"].map(addr);
        assert_eq!(turns, expected);
        assert_eq!(in_turns(vec![addr("127.0.0.1:1"); 40]).len(), ADDRESSES);
    }

    #[tokio::test]
    async fn a_listener_is_reached_by_name() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        dial("localhost", port, Duration::from_secs(10))
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn a_failure_names_host_address_and_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let error = dial("127.0.0.1", port, Duration::from_secs(10))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("127.0.0.1:{port}: ")), "{text}");
        assert!(text.contains("refused"), "{text}");
    }

    #[tokio::test]
    async fn an_address_of_another_family_is_not_tried() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let deadline = Duration::from_secs(10);
        dial_in(Family::V4, "127.0.0.1", port, deadline)
            .await
            .unwrap();
        let error = dial_in(Family::V6, "127.0.0.1", port, deadline).await;
        let text = error.unwrap_err().to_string();
        assert_eq!(text, "cannot connect to 127.0.0.1: it has no IPv6 address");
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_ends_the_attempt() {
        // 192.0.2.0/24 is for documentation (RFC 5737); whatever the system says of it, time is up.
        let result = dial("192.0.2.1", 9, Duration::ZERO).await;
        assert!(
            matches!(result, Err(DialError::TimedOut { .. })),
            "{result:?}"
        );
    }
}
