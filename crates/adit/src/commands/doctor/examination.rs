//! One tunnel's checks, in the order in which each rests on those before.
//!
//! A check that another rests on and that failed is the last: a host without an address is not logged in
//! at.

use std::time::{Duration, SystemTime};

use adit_tunnel::agent::connect::{HostKeyLook, Met, SshConnect};
use adit_tunnel::agent::dial::Through;
use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::login::known_hosts::{HostKeyRefusal, NewHosts, PinnedKey, ProofKind};
use adit_tunnel::agent::probe::{self, Prober};
use adit_tunnel::agent::supervise::{
    Connect as _, ConnectError, Connected, KeepAlive, PeerConfig, TunnelConfig,
};
use adit_tunnel::agent::target::Kind;
use adit_tunnel::transport::ssh::Memory;
use adit_tunnel::transport::{Bind, Target};

use super::diagnosis::{Check, Diagnosis, State};
use super::link::Link;
use super::path::{Grant, Outside, Seen};
use super::reach::First;
use super::running::Own;
use super::{Patient, Teller, clock, local, login, path, reach};
use crate::config::Surroundings;
use crate::status::ForwardState;

/// Hosts that were looked at, and what was found.
pub(super) type Reached = Vec<(First, Vec<Diagnosis>)>;

/// A dead connection that is noticed later than this is worth a word: visitors hang so long.
const LATE: Duration = Duration::from_secs(180);
/// What the host may show beside its key.
const CERTIFICATE: &str = "the host's certificate";
/// A port that nobody serves (RFC 863: discard), for a question that leads nowhere.
const DISCARD: u16 = 9;

impl Patient {
    /// Looks at all of it.
    pub(super) async fn examine(
        &self,
        surroundings: &Surroundings,
        prober: &Prober,
        reached: &mut Reached,
        teller: &mut Teller<'_>,
    ) -> anyhow::Result<()> {
        let TunnelConfig { peer, forwards, .. } = &self.config;
        let own = Own::find(surroundings, &peer.peer);
        let now = SystemTime::now();
        teller.tell(&clock::clock(now, clock::made()))?;
        teller.tell_all(&settings(&peer.keep_alive, self.keep_alive_off))?;
        for (number, forward) in forwards.iter().enumerate() {
            let said = self.kinds.iter().find(|(of, _)| *of == number);
            let kind = said.map(|(_, kind)| kind);
            if let Some(diagnosis) = here(forward, kind, &own).await {
                teller.tell(&diagnosis.about(forward))?;
            }
        }
        if !reach(peer, reached, teller).await? {
            return Ok(());
        }
        let Some(mut link) = log_in(peer, now, teller).await? else {
            return Ok(());
        };
        let told = there(&mut link, peer, forwards, &own, prober, teller).await;
        link.close().await;
        told
    }
}

/// What the times that are set lead to.
fn settings(keep_alive: &KeepAlive, is_off: bool) -> Vec<Diagnosis> {
    let KeepAlive { interval, misses } = *keep_alive;
    let seconds = interval.as_secs();
    let late = interval.saturating_mul(misses);
    let mut diagnoses = Vec::new();
    if is_off {
        diagnoses.push(Diagnosis::warn(
            Check::Settings,
            format!(
                "ServerAliveInterval 0: ssh would never notice that a connection is dead; adit asks every \
                 {seconds} s all the same"
            ),
            "write ServerAliveInterval 10 and ServerAliveCountMax 3 into ~/.ssh/config",
        ));
    }
    diagnoses.push(if late > LATE {
        Diagnosis::warn(
            Check::Settings,
            format!("a dead connection is noticed after {} s only", late.as_secs()),
            "ServerAliveInterval 10 and ServerAliveCountMax 3 (keepalive: 10s) notice it after 30 s",
        )
    } else {
        Diagnosis::ok(
            Check::Settings,
            format!("a dead connection is noticed after {} s", late.as_secs()),
        )
    });
    diagnoses
}

/// What of a forward is on this side.
async fn here(forward: &Forward, kind: Option<&Kind>, own: &[Own]) -> Option<Diagnosis> {
    match (forward.listens, &forward.to) {
        (Listens::There, Destination::One(target)) => Some(local::target(target, kind).await),
        (Listens::There, Destination::Named(_)) => None,
        (Listens::Here, _) => {
            let bind = forward.bind.to_string();
            let kept = own
                .iter()
                .find_map(|own| Some((own, own.forward(&bind, false)?)));
            match kept {
                Some((own, report)) => Some(own.diagnosis(report)),
                None => local::listen(&forward.bind),
            }
        }
    }
}

/// Whether the first host of the way is there. One that was looked at is not looked at again.
async fn reach(
    peer: &PeerConfig,
    reached: &mut Reached,
    teller: &mut Teller<'_>,
) -> anyhow::Result<bool> {
    let Some(first) = First::of(peer) else {
        teller.tell(&Diagnosis::led_by_a_program())?;
        return Ok(true);
    };
    let known = reached.iter().find(|(earlier, _)| *earlier == first);
    let diagnoses = if let Some((_, diagnoses)) = known {
        diagnoses.clone()
    } else {
        let (addrs, diagnosis) = first.look_up().await;
        let mut both = vec![diagnosis];
        if !addrs.is_empty() {
            both.push(first.reach(&addrs).await);
        }
        reached.push((first, both.clone()));
        both
    };
    teller.tell_all(&diagnoses)?;
    Ok(diagnoses
        .iter()
        .all(|diagnosis| diagnosis.state != State::Fail))
}

/// Logs in, and says by what, if the host's key is one to log in for.
///
/// The key is looked at on the way to the login: each connection that is left before one is counted
/// against us (`PerSourcePenalties`). Only a host that is new is looked at by itself.
async fn log_in(
    peer: &PeerConfig,
    now: SystemTime,
    teller: &mut Teller<'_>,
) -> anyhow::Result<Option<Link>> {
    let mut strict = peer.clone();
    strict.host_keys.new_hosts = NewHosts::Refuse;
    let connect = match SshConnect::new(&strict, Memory::of_this_machine()) {
        Ok(connect) => connect,
        Err(error) => {
            meet(peer, teller).await?;
            teller.tell(&login::not_set_up(&error))?;
            return Ok(None);
        }
    };
    for (file, validity) in connect.certificates() {
        let what = format!("certificate {}", file.display());
        teller.tell(&clock::certificate(&what, validity, now))?;
    }
    let result = connect.connect().await;
    if !matches!(
        &result,
        Err(ConnectError::HostKey(HostKeyRefusal::New { .. }))
    ) {
        return logged_in(result, &connect, peer, teller);
    }
    let Some(pin) = meet(peer, teller).await? else {
        return Ok(None);
    };
    login::by_keys_alone(&mut strict, pin);
    match SshConnect::new(&strict, Memory::of_this_machine()) {
        Ok(connect) => {
            let result = connect.connect().await;
            logged_in(result, &connect, peer, teller)
        }
        Err(error) => {
            teller.tell(&login::not_set_up(&error))?;
            Ok(None)
        }
    }
}

/// Sees which key the host has. Gives that of a new host which may be logged in at for all that.
async fn meet(peer: &PeerConfig, teller: &mut Teller<'_>) -> anyhow::Result<Option<PinnedKey>> {
    let look = match HostKeyLook::new(peer, Memory::of_this_machine()) {
        Ok(look) => look.look().await,
        Err(error) => {
            teller.tell(&login::not_set_up(&error))?;
            return Ok(None);
        }
    };
    match look {
        Ok(look) => {
            if let Some(validity) = look.certificate {
                let now = SystemTime::now();
                teller.tell(&clock::certificate(CERTIFICATE, validity, now))?;
            }
            let (diagnosis, pin) = login::host_key(&look, &peer.peer, peer.host_keys.new_hosts);
            teller.tell(&diagnosis)?;
            Ok(pin)
        }
        Err(error) => {
            teller.tell(&login::not_connected(&error, &peer.peer))?;
            Ok(None)
        }
    }
}

/// What became of a login, with the key that the host had.
fn logged_in(
    result: Result<Connected, ConnectError>,
    connect: &SshConnect,
    peer: &PeerConfig,
    teller: &mut Teller<'_>,
) -> anyhow::Result<Option<Link>> {
    if let Some(Met {
        key,
        certificate,
        proof,
    }) = connect.met()
    {
        if let Some(validity) = certificate {
            let now = SystemTime::now();
            teller.tell(&clock::certificate(CERTIFICATE, validity, now))?;
        }
        // One that is pinned for this alone was told as new.
        if *proof.kind() != ProofKind::Pinned || !peer.host_keys.pinned.is_empty() {
            teller.tell(&Diagnosis::ok(Check::HostKey, format!("{key}, {proof}")))?;
        }
    }
    match result {
        Ok(connected) => {
            let taken = connect.taken();
            let taken = taken.unwrap_or_else(|| String::from("nothing at all"));
            let seen = format!("{} is let in by {taken}", peer.peer.user);
            teller.tell(&Diagnosis::ok(Check::Login, seen))?;
            Ok(Some(Link::new(connected)))
        }
        Err(error) => {
            teller.tell(&login::not_connected(&error, &peer.peer))?;
            Ok(None)
        }
    }
}

/// What of the forwards is on the server's side.
async fn there(
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
    fn times_that_notice_a_dead_connection_late_are_told() {
        for (interval, misses, is_off, states) in [
            (10, 3, false, &[State::Ok][..]),
            (60, 3, false, &[State::Ok]),
            (61, 3, false, &[State::Warn]),
            (10, 3, true, &[State::Warn, State::Ok]),
        ] {
            let interval = Duration::from_secs(interval);
            let diagnoses = settings(&KeepAlive { interval, misses }, is_off);
            let found: Vec<State> = diagnoses.iter().map(|diagnosis| diagnosis.state).collect();
            assert_eq!(found, states, "{diagnoses:?}");
        }
    }

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
