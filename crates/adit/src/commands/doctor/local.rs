//! What has to be true on this side: services that visitors go to, and ports that are listened at.

use std::io;
use std::net::TcpListener;
use std::path::Path;

use adit_tunnel::agent::target::{DEADLINE, Health, Kind, check};
use adit_tunnel::transport::{Bind, Target};

use super::diagnosis::{Check, Diagnosis};
use super::reach::{milliseconds, plain, without_number};

/// Where the system lists its interfaces (sysfs(5)).
const INTERFACES: &str = "/sys/class/net";

/// Whether visitors of a remote forward are served: asked as gently as `adit up` does, by the kind that was
/// said, or else the one that its port stands for.
pub(super) async fn target(target: &Target, said: Option<&Kind>) -> Diagnosis {
    let usual = match target {
        Target::Tcp { port, .. } => Kind::usual(*port),
        Target::Unix { .. } => None,
    };
    let kind = said.cloned().or(usual).unwrap_or(Kind::Tcp);
    let health = check(&kind, target, DEADLINE).await;
    judge(target, &health, said.is_some())
}

/// What was found there; `is_said` tells whether the kind was said, or guessed by the port.
fn judge(target: &Target, health: &Health, is_said: bool) -> Diagnosis {
    if let Health::Well { round_trip, detail } = health {
        let time = milliseconds(*round_trip);
        let detail = if detail.is_empty() {
            String::new()
        } else {
            format!(" ({detail})")
        };
        return Diagnosis::ok(
            Check::Target,
            format!("{target} answers here in {time}{detail}"),
        );
    }
    let seen = format!("at {target}: {}", without_number(&health.to_string()));
    if health.was_heard() {
        let change =
            "see that service's own log; check: in adit.yml says what it is, where this is a guess";
        return if is_said {
            Diagnosis::fail(Check::Target, seen, change)
        } else {
            Diagnosis::warn(Check::Target, seen, change)
        };
    }
    let look = match target {
        Target::Tcp { port, .. } => format!("ss -tln 'sport = :{port}'"),
        Target::Unix { path } => format!("ls -l {path:?}"),
    };
    let change = format!("start that service, or name where it is: {look} shows who listens");
    Diagnosis::fail(Check::Target, seen, change)
}

/// Whether we could listen there. The port is given back at once.
pub(super) fn listen(bind: &Bind) -> Option<Diagnosis> {
    let Bind::Tcp { host, port } = bind else {
        // Whether a file may be made there is seen by making it.
        return None;
    };
    if let Some(interface) = host.strip_prefix('%') {
        let is_there = Path::new(INTERFACES).join(interface).exists();
        return Some(followed(bind, interface, is_there));
    }
    let host = match host.as_str() {
        "" | "*" => "0.0.0.0",
        other => other,
    };
    let bound = TcpListener::bind((host, *port));
    Some(listened(bind, bound.map(drop)))
}

fn listened(bind: &Bind, bound: io::Result<()>) -> Diagnosis {
    let Err(error) = bound else {
        return Diagnosis::ok(Check::Listen, format!("{bind} is free here"));
    };
    let port = bind.port().unwrap_or(0);
    let seen = format!("{bind} cannot be listened at here: {}", plain(&error));
    let kind = error.kind();
    if kind == io::ErrorKind::AddrNotAvailable {
        let seen = format!("{bind} is no address of this machine now; it is waited for");
        return Diagnosis::warn(
            Check::Listen,
            seen,
            "ip addr shows the addresses that there are",
        );
    }
    let change = if kind == io::ErrorKind::AddrInUse {
        format!("end who has it, or choose another: ss -tlnp 'sport = :{port}' shows it")
    } else if kind == io::ErrorKind::PermissionDenied {
        String::from("choose a port of 1024 or higher: those below are for root")
    } else {
        String::from("name an address that this machine may have: ip addr shows them")
    };
    Diagnosis::fail(Check::Listen, seen, change)
}

/// A bind that goes with an interface's addresses.
fn followed(bind: &Bind, interface: &str, is_there: bool) -> Diagnosis {
    if is_there {
        let seen = format!("{bind} goes with the addresses of {interface}, which is there");
        return Diagnosis::ok(Check::Listen, seen);
    }
    let seen = format!("there is no interface {interface} now; it is waited for");
    Diagnosis::warn(Check::Listen, seen, "ip link shows those that there are")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::diagnosis::State;
    use super::*;

    #[test]
    fn a_service_that_is_down_is_a_failure_that_says_where_to_look() {
        let target = Target::Tcp {
            host: String::from("localhost"),
            port: 8080,
        };
        let diagnosis = judge(&target, &Health::Refused, false);
        assert_eq!(diagnosis.state, State::Fail);
        assert!(
            diagnosis.to_string().contains("ss -tln 'sport = :8080'"),
            "{diagnosis}"
        );
        let well = Health::Well {
            round_trip: Duration::from_millis(1),
            detail: String::from("HTTP 200"),
        };
        let diagnosis = judge(&target, &well, false);
        assert_eq!(diagnosis.state, State::Ok);
        assert!(diagnosis.seen.contains("1.0 ms (HTTP 200)"), "{diagnosis}");
        // Of what only its port says that it is, one does not know.
        assert_eq!(judge(&target, &Health::Hangs, true).state, State::Fail);
        assert_eq!(judge(&target, &Health::Hangs, false).state, State::Warn);
    }

    #[test]
    fn a_port_here_is_free_or_the_reason_is_told() {
        let bind = Bind::Tcp {
            host: String::from("127.0.0.1"),
            port: 80,
        };
        for (kind, part) in [
            (io::ErrorKind::AddrInUse, "ss -tlnp 'sport = :80'"),
            (io::ErrorKind::PermissionDenied, "1024"),
            (io::ErrorKind::InvalidInput, "ip addr"),
        ] {
            let diagnosis = listened(&bind, Err(kind.into()));
            assert_eq!(diagnosis.state, State::Fail);
            assert!(diagnosis.to_string().contains(part), "{diagnosis}");
        }
        assert_eq!(listened(&bind, Ok(())).state, State::Ok);
        let absent = listened(&bind, Err(io::ErrorKind::AddrNotAvailable.into()));
        assert_eq!(absent.state, State::Warn, "{absent}");
        assert_eq!(followed(&bind, "wlan0", true).state, State::Ok);
        assert_eq!(followed(&bind, "wlan0", false).state, State::Warn);
    }
}
