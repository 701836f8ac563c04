//! The forwards of a tunnel, as far as they are on the server's side: looked at through a connection that
//! serves nobody.

use adit_tunnel::agent::dial::Through;
use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::probe::{self, Prober};
use adit_tunnel::agent::supervise::{KeepAlive, PeerConfig};
use adit_tunnel::transport::{Bind, Target};

use super::Teller;
use super::diagnosis::{Check, Diagnosis};
use super::link::Link;
use super::path::{self, Grant, Outside, Seen};
use super::reach;
use super::running::Own;
use crate::status::ForwardState;

/// A port that nobody serves (RFC 863: discard), for a question that leads nowhere.
const DISCARD: u16 = 9;

/// What of the forwards is on the server's side.
pub(super) async fn there(
    link: &mut Link,
    peer: &PeerConfig,
    forwards: &[Forward],
    own: &[Own],
    prober: &Prober,
    teller: &mut Teller<'_>,
) -> anyhow::Result<()> {
    if forwards.is_empty() {
        let forward = nowhere();
        let seen = look(link, peer, &forward, prober).await;
        teller.tell_all(&alive(&seen.grant, &peer.keep_alive))?;
        return teller.tell_all(&path::judge(&forward, &peer.peer.host, &seen));
    }
    let mut is_alive = false;
    for forward in forwards {
        let diagnoses = match (forward.listens, &forward.to) {
            (Listens::Here, Destination::One(target)) => {
                let listener = link.open(target.clone()).await;
                vec![path::opened(Some(target), &listener)]
            }
            (Listens::Here, Destination::Named(_)) => {
                let Some(target) = probe::way(&nowhere().bind.with_port(DISCARD)) else {
                    continue;
                };
                vec![path::opened(None, &link.open(target).await)]
            }
            (Listens::There, _) => {
                let (diagnoses, grant) = remote(link, peer, forward, own, prober).await;
                if let (Some(grant), false) = (grant, is_alive) {
                    is_alive = true;
                    teller.tell_all(&alive(&grant, &peer.keep_alive))?;
                }
                diagnoses
            }
        };
        for diagnosis in diagnoses {
            teller.tell(&diagnosis.about(forward))?;
        }
    }
    Ok(())
}

/// What there is to say of a remote forward, and what was asked for it.
async fn remote(
    link: &mut Link,
    peer: &PeerConfig,
    forward: &Forward,
    own: &[Own],
    prober: &Prober,
) -> (Vec<Diagnosis>, Option<Grant>) {
    let host = &peer.peer.host;
    let bind = forward.bind.to_string();
    let kept = own
        .iter()
        .find_map(|own| Some((own, own.forward(&bind, true)?)));
    if let Some((own, report)) = kept {
        let mut diagnoses = vec![own.diagnosis(report)];
        if report.state == ForwardState::Refused {
            // Asked for again, it might be granted to us, and our own `up` would go without.
            let seen = Seen::of(link.refused(&forward.bind).await);
            diagnoses.extend(path::judge(forward, host, &seen));
        }
        return (diagnoses, None);
    }
    if let Bind::Unix { .. } = &forward.bind {
        let listener = match probe::way(&forward.bind) {
            Some(way) => Some(link.open(way).await),
            None => None,
        };
        return (vec![path::unix(&forward.bind, listener.as_ref())], None);
    }
    let seen = look(link, peer, forward, prober).await;
    (path::judge(forward, host, &seen), Some(seen.grant))
}

/// Asks for a remote forward, looks at where it is bound, and gives it back.
async fn look(link: &mut Link, peer: &PeerConfig, forward: &Forward, prober: &Prober) -> Seen {
    let mut seen = Seen::of(link.ask(&forward.bind).await);
    let Grant::Granted { bind, .. } = &seen.grant else {
        return seen;
    };
    if let Some(way) = probe::way(bind) {
        seen.inside = Some(link.probe(prober, bind, way).await);
    }
    if let Some(way) = path::second_way(bind) {
        seen.second = Some(link.probe(prober, bind, way).await);
    }
    let host = &peer.peer.host;
    let is_direct = matches!(peer.way.through, Through::Nothing);
    if is_direct && !is_this_machine(host) {
        seen.outside = link.probe_outside(prober, bind, host).await;
    }
    link.give_back(bind).await;
    seen
}

/// Whether a host is this machine, where nothing is outside.
fn is_this_machine(host: &str) -> bool {
    let is_loopback = |addr: std::net::IpAddr| addr.to_canonical().is_loopback();
    host == "localhost" || host.parse().is_ok_and(is_loopback)
}

/// A keep-alive is a question like any (RFC 4254 section 4): who answers one answers the other.
fn alive(grant: &Grant, keep_alive: &KeepAlive) -> Vec<Diagnosis> {
    let Grant::Granted { time, .. } = grant else {
        return Vec::new();
    };
    let (time, every) = (reach::milliseconds(*time), keep_alive.interval.as_secs());
    let seen =
        format!("the server answers questions in {time}; one is asked every {every} s of silence");
    vec![Diagnosis::ok(Check::KeepAlive, seen)]
}

/// A forward that is asked for where none is written: to see whether there may be one.
fn nowhere() -> Forward {
    Forward {
        listens: Listens::There,
        bind: Bind::Tcp {
            host: String::from("localhost"),
            port: 0,
        },
        to: Destination::One(Target::Tcp {
            host: String::from("localhost"),
            port: DISCARD,
        }),
    }
}

impl Seen {
    /// Of a question that was answered, and nothing more.
    const fn of(grant: Grant) -> Self {
        Self {
            grant,
            inside: None,
            second: None,
            outside: Outside::NotLooked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_is_this_machine() {
        for (host, expected) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("192.0.2.1", false),
            ("gw.example", false),
        ] {
            assert_eq!(is_this_machine(host), expected, "{host}");
        }
    }
}
