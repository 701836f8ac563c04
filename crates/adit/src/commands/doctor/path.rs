//! What the answers of a server say about a remote forward: may it be, can the port be had, who is
//! bound where, and do bytes come through.

use std::time::Duration;

use adit_tunnel::agent::forward::Forward;
pub(super) use adit_tunnel::agent::probe::Finding as Sight;
use adit_tunnel::agent::probe::{IpVersion, public_port};
use adit_tunnel::transport::{Bind, Target};

use super::diagnosis::{Check, Diagnosis};
use super::reach::milliseconds;
use crate::status::refusal;

/// What became of a question for a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Grant {
    /// It was granted.
    Granted {
        /// With the port that it has.
        bind: Bind,
        /// How long the answer took.
        time: Duration,
    },
    /// It was refused.
    Refused {
        /// Whether another port was granted instead.
        other: bool,
        /// Who is at the port, seen from the server.
        listener: Listener,
    },
    /// There was no answer.
    Lost(String),
}

/// Who is at an address of the server's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Listener {
    /// Somebody, after this time.
    Answers(Duration),
    /// Nobody, for this reason.
    Nobody(String),
    /// The server lets nobody look.
    Prohibited,
    /// It was not found out.
    Unknown(String),
}

/// What a probe from here found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outside {
    /// Somebody took it.
    Answered(Sight),
    /// Nobody listens there.
    Refused,
    /// No answer.
    Silent,
    /// The listener has this version of IP alone, over which the server is not reached from here.
    Blind(IpVersion),
    /// There is no way to look: another host or a program is in between, or the host is this one.
    NotLooked,
}

/// All that was seen of a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) grant: Grant,
    /// By a probe to where the listener is in any case, from the server.
    pub(super) inside: Option<Sight>,
    /// By one to its other address family.
    pub(super) second: Option<Sight>,
    pub(super) outside: Outside,
}

/// The address of the other family at which a listener of that bind is, too.
pub(super) fn second_way(bind: &Bind) -> Option<Target> {
    match bind {
        Bind::Tcp { host, port } if matches!(host.as_str(), "" | "*" | "localhost") => {
            Some(Target::Tcp {
                host: String::from("::1"),
                port: *port,
            })
        }
        Bind::Tcp { .. } | Bind::Unix { .. } => None,
    }
}

/// What it means for a forward of that kind.
pub(super) fn judge(forward: &Forward, host: &str, seen: &Seen) -> Vec<Diagnosis> {
    match &seen.grant {
        Grant::Granted { bind, time } => granted(bind, *time, host, seen),
        Grant::Refused { other, listener } => refused(forward, *other, listener),
        Grant::Lost(reason) => vec![Diagnosis::fail(
            Check::Forwarding,
            format!("the server gave no answer: {reason}"),
            "look again; journalctl -u ssh there says why it hung up",
        )],
    }
}

fn granted(bind: &Bind, time: Duration, host: &str, seen: &Seen) -> Vec<Diagnosis> {
    let port = bind.port().unwrap_or(0);
    let time = milliseconds(time);
    let mut diagnoses = vec![Diagnosis::ok(
        Check::Forwarding,
        format!("granted as {bind} in {time}, and given back"),
    )];
    let who = format!("ss -tlnp 'sport = :{port}' there shows who");
    let taken = "ask for another port, or end what listens there";
    diagnoses.extend(seen.inside.as_ref().map(|inside| match inside {
        Sight::Up(time) => Diagnosis::ok(
            Check::Path,
            format!("bytes make the round trip in {}", milliseconds(*time)),
        ),
        Sight::Foreign => Diagnosis::fail(
            Check::Path,
            format!("granted, and somebody else answers at {bind}: only a part of it is ours"),
            format!("{taken}: {who}"),
        ),
        Sight::Nobody(reason) => Diagnosis::fail(
            Check::Path,
            format!("granted, and nobody answers at {bind}: {reason}"),
            who.clone(),
        ),
        Sight::Prohibited => Diagnosis::warn(
            Check::Path,
            "not checked: the server lets nobody connect to its ports through it",
            format!(
                "a forward works without; to have it checked: AllowTcpForwarding yes and PermitOpen \
                 127.0.0.1:{port} in sshd_config"
            ),
        ),
        Sight::Silent | Sight::LoopbackOnly | _ => Diagnosis::fail(
            Check::Path,
            format!(
                "granted, and nothing came back from {bind}: somebody else has a part of it and says \
                 nothing, or the server hangs"            ),
            format!("{taken}: {who}"),
        ),
    }));
    diagnoses.extend(seen.second.as_ref().and_then(|second| match second {
        Sight::Up(_) if matches!(seen.inside, Some(Sight::Up(_))) => Some(Diagnosis::ok(
            Check::Path,
            "bound in both address families, IPv4 and IPv6",
        )),
        Sight::Up(_) => Some(Diagnosis::warn(
            Check::Path,
            format!("what is ours is [::1]:{port} alone"),
            "visitors there write [::1] in the place of localhost, until the other is free",
        )),
        Sight::Foreign => Some(Diagnosis::fail(
            Check::Path,
            format!(
                "granted, and somebody else has [::1]:{port}: a part of the visitors goes there"
            ),
            format!("{taken}: {who}"),
        )),
        Sight::Nobody(reason) => Some(Diagnosis::warn(
            Check::Path,
            format!("not bound at [::1]:{port} ({reason}): one address family alone"),
            "visitors there write 127.0.0.1 in the place of localhost; or switch on IPv6 there",
        )),
        // It says nothing that the first has not said.
        Sight::Silent | Sight::Prohibited | Sight::LoopbackOnly | _ => None,
    }));
    diagnoses.extend(public(bind, port, host, &seen.outside));
    diagnoses
}

/// Whether visitors from elsewhere come through, as was meant or not.
fn public(bind: &Bind, port: u16, host: &str, outside: &Outside) -> Option<Diagnosis> {
    let is_meant = public_port(bind).is_some();
    let wants = format!("-R '*:{port}:...'");
    match (outside, is_meant) {
        (Outside::NotLooked, _) | (Outside::Blind(_), false) => None,
        (Outside::Answered(Sight::Up(time)), true) => Some(Diagnosis::ok(
            Check::Public,
            format!(
                "visitors reach {host}:{port} from here in {}",
                milliseconds(*time)
            ),
        )),
        (Outside::Answered(Sight::Up(_)), false) => Some(Diagnosis::warn(
            Check::Public,
            format!("asked for at the loopback, and everybody reaches {host}:{port}"),
            "GatewayPorts yes in sshd_config does that; GatewayPorts clientspecified lets us choose",
        )),
        (Outside::Answered(_), true) => Some(Diagnosis::fail(
            Check::Public,
            format!("somebody else answers at {host}:{port}"),
            format!("another service or a router has that port; ss -tlnp 'sport = :{port}' there"),
        )),
        (Outside::Refused, true) => Some(Diagnosis::fail(
            Check::Public,
            format!(
                "granted for every address, but nobody listens at {host}:{port}: bound at the loopback alone"
            ),
            "write GatewayPorts clientspecified (or yes) into /etc/ssh/sshd_config there, then \
             systemctl reload ssh",
        )),
        (Outside::Silent, true) => Some(Diagnosis::warn(
            Check::Public,
            format!("no answer at {host}:{port} from here"),
            format!(
                "a firewall is in between: ufw allow {port}/tcp there, and the rules of the cloud"
            ),
        )),
        (Outside::Blind(version), true) => Some(Diagnosis::warn(
            Check::Public,
            format!("not checked: no {version} address of {host} is reached from here"),
            format!("have somebody with {version} visit {host}:{port}; or bind both: {wants}"),
        )),
        (Outside::Answered(_) | Outside::Refused | Outside::Silent, false) => Some(Diagnosis::ok(
            Check::Public,
            format!(
                "for visitors on the server alone, as asked; for others: {wants} and GatewayPorts \
                 clientspecified"
            ),
        )),
    }
}

fn refused(forward: &Forward, other: bool, listener: &Listener) -> Vec<Diagnosis> {
    let Bind::Tcp { host, port } = &forward.bind else {
        let change = "see the reason";
        return vec![Diagnosis::fail(Check::Forwarding, refusal(forward), change)];
    };
    let permit = if host.is_empty() {
        port.to_string()
    } else {
        format!("{host}:{port}")
    };
    let allow = format!(
        "write AllowTcpForwarding yes (and no DisableForwarding) and PermitListen {permit} into \
         /etc/ssh/sshd_config there, then systemctl reload ssh; a key with restrict in authorized_keys \
         needs port-forwarding beside it, and permitlisten=\"{permit}\" if it has any"
    );
    let is_any = *port == 0;
    match listener {
        Listener::Answers(_) if !is_any => {
            let more = if other {
                ""
            } else {
                "; whether it would be allowed cannot be told, since any other port is refused, too"
            };
            vec![
                Diagnosis::fail(
                    Check::Port,
                    format!("port {port} is taken there: somebody listens at it{more}"),
                    format!(
                        "ask for another port, or end who has it: ss -tlnp 'sport = :{port}' there shows \
                         the process"
                    ),
                ),
                Diagnosis::warn(
                    Check::Stale,
                    "if that is a sshd, it may be an earlier connection of ours that died unseen; sshd \
                     frees it after ClientAliveInterval x (ClientAliveCountMax + 1), twice that in \
                     OpenSSH 9.2 to 9.4, and without ClientAliveInterval only after hours",
                    "write ClientAliveInterval 10 and ClientAliveCountMax 3 into /etc/ssh/sshd_config there, \
                     then systemctl reload ssh; adit asks again until it is free",
                ),
            ]
        }
        _ if other && *port < 1024 => vec![Diagnosis::fail(
            Check::Port,
            format!("port {port} is refused and others are not: those below 1024 are for root"),
            "ask for a port of 1024 or higher, or log in as root",
        )],
        Listener::Nobody(_) if other => vec![Diagnosis::fail(
            Check::Port,
            format!("port {port} is refused and others are not, though nobody listens at it there"),
            format!(
                "write PermitListen {permit} into /etc/ssh/sshd_config there (permitlisten=\"{permit}\" in \
                 authorized_keys); if it is allowed, another address holds it: ss -tlnp 'sport = :{port}'"
            ),
        )],
        _ if other => vec![Diagnosis::fail(
            Check::Port,
            format!(
                "port {port} is refused and others are not: it is taken, or not among PermitListen"
            ),
            format!(
                "ss -tlnp 'sport = :{port}' there shows who has it; PermitListen {permit} allows it"
            ),
        )],
        Listener::Prohibited => vec![Diagnosis::fail(
            Check::Forwarding,
            "the server neither listens nor connects for this login: AllowTcpForwarding no, \
             DisableForwarding yes, a key with restrict, or lists that leave nothing",
            allow,
        )],
        _ if is_any => vec![Diagnosis::fail(
            Check::Forwarding,
            "the server does not let this login listen at a port of its choice (AllowTcpForwarding local, or \
             PermitListen without *)",
            allow.replace(&format!("PermitListen {permit}"), "PermitListen *:*"),
        )],
        Listener::Answers(_) | Listener::Nobody(_) | Listener::Unknown(_) => vec![Diagnosis::fail(
            Check::Forwarding,
            format!(
                "the server does not let this login listen at port {port}, where nobody is, nor at any \
                 other (AllowTcpForwarding local, or PermitListen without it)"
            ),
            allow,
        )],
    }
}

/// What there is to say of a forward from a Unix socket of the server's, which is not asked for: a stock
/// sshd leaves the file behind and refuses the next who asks.
pub(super) fn unix(bind: &Bind, listener: Option<&Listener>) -> Diagnosis {
    if let Some(Listener::Answers(_)) = listener {
        let seen = format!("somebody listens at {bind} there");
        let change = "end who has it, or name another path: ss -xlp there shows the process";
        return Diagnosis::fail(Check::Port, seen, change);
    }
    Diagnosis::warn(
        Check::Forwarding,
        format!("not asked for: a stock sshd would leave {bind} behind, and refuse it next time"),
        "write StreamLocalBindUnlink yes into /etc/ssh/sshd_config there, so that it comes back after a cut",
    )
}

/// What it means how the server fared that was to connect to the target of a local forward.
pub(super) fn opened(target: Option<&Target>, listener: &Listener) -> Diagnosis {
    let shown = target.map_or_else(|| String::from("any address"), ToString::to_string);
    match (listener, target) {
        (Listener::Answers(time), _) => Diagnosis::ok(
            Check::Open,
            format!("the server reaches {shown} in {}", milliseconds(*time)),
        ),
        (Listener::Nobody(_), None) => Diagnosis::ok(Check::Open, "the server connects for us"),
        (Listener::Nobody(reason), Some(_)) => Diagnosis::fail(
            Check::Open,
            format!("the server does not reach {shown}: {reason}"),
            "start that service, or name it as the server knows it: ss -tln there shows who listens",
        ),
        (Listener::Prohibited, _) => Diagnosis::fail(
            Check::Open,
            format!("the server does not let this login connect to {shown}"),
            format!(
                "write AllowTcpForwarding yes into /etc/ssh/sshd_config there, and PermitOpen {shown} if it \
                 has any (permitopen in authorized_keys); then systemctl reload ssh"
            ),
        ),
        (Listener::Unknown(reason), _) => Diagnosis::fail(
            Check::Open,
            format!("whether the server reaches {shown} was not found out: {reason}"),
            "look again",
        ),
    }
}

#[cfg(test)]
mod tests;
