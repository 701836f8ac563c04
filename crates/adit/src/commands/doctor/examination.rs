//! One tunnel's checks, in the order in which each rests on those before.
//!
//! A check that another rests on and that failed is the last: a host without an address is not logged in
//! at.

use std::time::{Duration, SystemTime};

use adit_tunnel::agent::connect::{HostKeyLook, Met, SshConnect};
use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::login::known_hosts::{HostKeyRefusal, NewHosts, PinnedKey, ProofKind};
use adit_tunnel::agent::probe::Prober;
use adit_tunnel::agent::supervise::{
    Connect as _, ConnectError, Connected, KeepAlive, PeerConfig, TunnelConfig,
};
use adit_tunnel::agent::target::Kind;
use adit_tunnel::transport::ssh::Memory;

use super::diagnosis::{Check, Diagnosis, State};
use super::link::Link;
use super::reach::First;
use super::running::Own;
use super::there::there;
use super::{Patient, Teller, clock, local, login};
use crate::config::Surroundings;

/// Hosts that were looked at, and what was found.
pub(super) type Reached = Vec<(First, Vec<Diagnosis>)>;

/// A dead connection that is noticed later than this is worth a word: visitors hang so long.
const LATE: Duration = Duration::from_secs(180);
/// What the host may show beside its key.
const CERTIFICATE: &str = "the host's certificate";
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
}
