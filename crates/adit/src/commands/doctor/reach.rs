//! Whether the host that is dialled from here has a name that means something, and addresses that answer.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use adit_tunnel::agent::dial::{Family, Through};
use adit_tunnel::agent::supervise::PeerConfig;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use super::diagnosis::{Check, Diagnosis};

/// What is dialled from here on the way to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct First {
    /// What it is: the host itself, a hop, a proxy.
    pub(super) what: &'static str,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) family: Family,
}

/// How an address fared.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) addr: SocketAddr,
    /// How long the connect took; `None` without an answer in [`DEADLINE`].
    pub(super) outcome: Option<io::Result<Duration>>,
}

/// How long an address may take to answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// Most addresses that are tried, as many as a tunnel tries.
const ADDRESSES: usize = 16;
/// Names that are looked up here before any server is asked (hosts(5)).
const HOSTS: &str = "/etc/hosts";

impl First {
    /// On the way to that peer; `None` where a program leads there, which looks up names itself.
    pub(super) fn of(peer: &PeerConfig) -> Option<Self> {
        let (what, host, port) = match &peer.way.through {
            Through::Nothing => ("host", peer.peer.host.as_str(), peer.peer.port),
            Through::Proxy(proxy) => ("proxy", proxy.host(), proxy.port()),
            Through::Command(_) => return None,
            Through::Jump(hop) => {
                let first = Self::of(hop)?;
                let what = if first.what == "host" {
                    "hop"
                } else {
                    first.what
                };
                return Some(Self { what, ..first });
            }
        };
        Some(Self {
            what,
            host: host.to_owned(),
            port,
            family: peer.way.family,
        })
    }

    /// Looks its name up, as a tunnel does.
    pub(super) async fn look_up(&self) -> (Vec<SocketAddr>, Diagnosis) {
        let found = lookup_host((self.host.as_str(), self.port)).await;
        let found = found.map(|addrs| {
            let mut all: Vec<SocketAddr> = addrs.collect();
            all.dedup();
            all
        });
        let hosts = std::fs::read_to_string(HOSTS).unwrap_or_default();
        self.named(found, &hosts)
    }

    /// What a look-up says of it, and which of its addresses a tunnel tries.
    fn named(
        &self,
        found: io::Result<Vec<SocketAddr>>,
        hosts: &str,
    ) -> (Vec<SocketAddr>, Diagnosis) {
        let Self { what, host, .. } = self;
        let addrs = match found {
            Ok(addrs) => addrs,
            Err(error) => {
                let seen = format!("{what} {host} cannot be looked up: {error}");
                let change = format!(
                    "check the spelling, and what this machine asks: getent hosts {host}; \
                     cat /etc/resolv.conf"
                );
                return (Vec::new(), Diagnosis::fail(Check::Name, seen, change));
            }
        };
        let all = shown(addrs.iter().map(SocketAddr::ip));
        let has = |addr: &SocketAddr| match self.family {
            Family::Any => true,
            Family::V4 => addr.is_ipv4(),
            Family::V6 => addr.is_ipv6(),
        };
        let mut usable: Vec<SocketAddr> = addrs.iter().copied().filter(has).collect();
        usable.truncate(ADDRESSES);
        if usable.is_empty() {
            let seen = format!("{what} {host} has no {}address, but {all}", self.family);
            let change = "take AddressFamily (or -4, -6) out of the configuration";
            return (usable, Diagnosis::fail(Check::Name, seen, change));
        }
        if host.parse::<IpAddr>().is_ok() {
            let diagnosis = Diagnosis::ok(Check::Name, format!("{what} {host} is an address"));
            return (usable, diagnosis);
        }
        let written = in_hosts(hosts, host);
        let diagnosis = if written.is_empty() {
            Diagnosis::ok(Check::Name, format!("{what} {host} is {all}"))
        } else if written.iter().all(IpAddr::is_loopback) && !host.ends_with("localhost") {
            let seen = format!("{what} {host} is {all}, this machine itself, by {HOSTS}");
            let change = format!("take the line about {host} out of {HOSTS}, unless this is meant");
            Diagnosis::warn(Check::Name, seen, change)
        } else {
            let seen = format!("{what} {host} is {all}, by {HOSTS}: DNS is not asked");
            Diagnosis::ok(Check::Name, seen)
        };
        (usable, diagnosis)
    }

    /// Connects to each address at once, and leaves before the server has said more than its name.
    pub(super) async fn reach(&self, addrs: &[SocketAddr]) -> Diagnosis {
        let mut tasks = JoinSet::new();
        for addr in addrs.iter().copied() {
            tasks.spawn(async move {
                let start = Instant::now();
                let connected = timeout(DEADLINE, TcpStream::connect(addr)).await;
                Attempt {
                    addr,
                    outcome: connected.ok().map(|socket| socket.map(|_| start.elapsed())),
                }
            });
        }
        let mut attempts = tasks.join_all().await;
        attempts.sort_by_key(|attempt| addrs.iter().position(|addr| *addr == attempt.addr));
        self.reached(&attempts)
    }

    /// What these attempts say.
    fn reached(&self, attempts: &[Attempt]) -> Diagnosis {
        let all: Vec<String> = attempts.iter().map(Attempt::show).collect();
        let all = all.join(", ");
        let port = self.port;
        let is_good = |attempt: &&Attempt| matches!(attempt.outcome, Some(Ok(_)));
        let good = attempts.iter().filter(is_good).count();
        if good == attempts.len() {
            return Diagnosis::ok(Check::Reach, all);
        }
        if good > 0 {
            let bad = attempts.iter().filter(|attempt| !is_good(attempt));
            let is_v6 = bad.map(|attempt| attempt.addr).all(|addr| addr.is_ipv6());
            let change = if is_v6 {
                "nothing is lost by it here, each attempt tries all; if IPv6 never works here, -4 or \
                 AddressFamily inet leaves it out"
            } else {
                "nothing is lost by it here, each attempt tries all; the name may have addresses of a \
                 machine that is gone"
            };
            return Diagnosis::warn(Check::Reach, all, change);
        }
        let is_refused = |attempt: &Attempt| matches!(&attempt.outcome, Some(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused);
        let change = if attempts.iter().any(is_refused) {
            format!(
                "the machine is there, and nobody listens at port {port}: start sshd there (systemctl \
                 status ssh), or name its port with -p (ss -tlnp there shows it)"
            )
        } else {
            format!(
                "a firewall or a wrong address is in between: let TCP port {port} in over there (ufw allow \
                 {port}/tcp, or the rules of the cloud), and out from here"
            )
        };
        Diagnosis::fail(Check::Reach, all, change)
    }
}

impl Attempt {
    fn show(&self) -> String {
        let addr = self.addr;
        match &self.outcome {
            Some(Ok(time)) => format!("{addr} answers in {}", milliseconds(*time)),
            Some(Err(error)) => format!("{addr}: {}", plain(error)),
            None => format!("{addr}: no answer in {} s", DEADLINE.as_secs()),
        }
    }
}

impl Diagnosis {
    /// That a program leads there.
    pub(super) fn led_by_a_program() -> Self {
        let seen = "a ProxyCommand leads there; names and addresses are for that program to find";
        Self::ok(Check::Reach, seen)
    }
}

/// A time for people.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// An error of the system without its number.
pub(super) fn plain(error: &io::Error) -> String {
    without_number(&error.to_string()).to_lowercase()
}

/// Words that end with an error of the system, without its number: `... (os error 111)`.
pub(super) fn without_number(words: &str) -> &str {
    words
        .split_once(" (os error")
        .map_or(words, |(words, _)| words)
}

fn shown(addrs: impl Iterator<Item = IpAddr>) -> String {
    let mut all: Vec<String> = Vec::new();
    for addr in addrs.map(|addr| addr.to_string()) {
        if !all.contains(&addr) {
            all.push(addr);
        }
    }
    if all.is_empty() {
        return String::from("none at all");
    }
    all.join(", ")
}

/// The addresses that a hosts file has for a name.
fn in_hosts(text: &str, name: &str) -> Vec<IpAddr> {
    let lines = text.lines().filter_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_whitespace();
        let addr = words.next()?.parse().ok()?;
        words
            .any(|word| word.eq_ignore_ascii_case(name))
            .then_some(addr)
    });
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::super::diagnosis::State;
    use super::*;

    fn first(host: &str, family: Family) -> First {
        First {
            what: "host",
            host: host.to_owned(),
            port: 22,
            family,
        }
    }

    fn addrs(texts: &[&str]) -> Vec<SocketAddr> {
        let all = texts
            .iter()
            .map(|text| SocketAddr::new(text.parse().unwrap(), 22));
        all.collect()
    }

    fn attempt(addr: &str, outcome: Option<io::Result<Duration>>) -> Attempt {
        Attempt {
            addr: addrs(&[addr])[0],
            outcome,
        }
    }

    #[test]
    fn a_name_is_told_with_its_addresses_and_where_they_are_from() {
        let hosts = "127.0.0.1 localhost\n192.0.2.9\tGW.example gw # the old one\n\
                     127.0.1.1 odd.example # x\n# 192.0.2.8 gone.example\n";
        for (host, family, found, count, state, seen) in [
            (
                "gw.example",
                Family::Any,
                &["192.0.2.9"][..],
                1,
                State::Ok,
                "DNS is not asked",
            ),
            (
                "gone.example",
                Family::Any,
                &["192.0.2.8"],
                1,
                State::Ok,
                "is 192.0.2.8",
            ),
            (
                "odd.example",
                Family::Any,
                &["127.0.1.1"],
                1,
                State::Warn,
                "this machine itself",
            ),
            (
                "localhost",
                Family::Any,
                &["127.0.0.1", "::1"],
                2,
                State::Ok,
                "127.0.0.1, ::1",
            ),
            (
                "192.0.2.1",
                Family::Any,
                &["192.0.2.1"],
                1,
                State::Ok,
                "is an address",
            ),
            (
                "x.example",
                Family::V6,
                &["192.0.2.1"],
                0,
                State::Fail,
                "no IPv6 address, but 192.0.2.1",
            ),
            (
                "x.example",
                Family::V4,
                &["192.0.2.1", "::2"],
                1,
                State::Ok,
                "192.0.2.1, ::2",
            ),
        ] {
            let (usable, diagnosis) = first(host, family).named(Ok(addrs(found)), hosts);
            assert_eq!(
                (usable.len(), diagnosis.state),
                (count, state),
                "{diagnosis}"
            );
            assert!(diagnosis.seen.contains(seen), "{diagnosis}");
        }
        let error = io::Error::other("Name or service not known");
        let (_, diagnosis) = first("x.example", Family::Any).named(Err(error), hosts);
        assert_eq!(diagnosis.state, State::Fail);
        assert!(diagnosis.seen.contains("not known"), "{diagnosis}");
    }

    #[test]
    fn addresses_are_told_one_by_one_and_one_that_answers_is_enough() {
        let good = || Some(Ok(Duration::from_millis(12)));
        let refused = || Some(Err(io::Error::from(io::ErrorKind::ConnectionRefused)));
        for (attempts, state, change) in [
            (vec![attempt("192.0.2.1", good())], State::Ok, None),
            (
                vec![attempt("2001:db8::1", None), attempt("192.0.2.1", good())],
                State::Warn,
                Some("AddressFamily inet"),
            ),
            (
                vec![
                    attempt("192.0.2.2", refused()),
                    attempt("192.0.2.1", good()),
                ],
                State::Warn,
                Some("a machine that is gone"),
            ),
            (
                vec![attempt("192.0.2.1", refused())],
                State::Fail,
                Some("nobody listens at port 22"),
            ),
            (
                vec![attempt("192.0.2.1", None)],
                State::Fail,
                Some("firewall"),
            ),
        ] {
            let diagnosis = first("h", Family::Any).reached(&attempts);
            assert_eq!(diagnosis.state, state, "{diagnosis}");
            for attempt in &attempts {
                let addr = attempt.addr.to_string();
                assert!(diagnosis.seen.contains(&addr), "{diagnosis}");
            }
            let said = diagnosis.change.as_deref();
            assert!(
                change.is_none_or(|part| said.unwrap().contains(part)),
                "{diagnosis}"
            );
        }
    }
}
