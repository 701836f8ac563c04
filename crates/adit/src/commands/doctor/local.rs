//! What has to be true on this side: services that visitors go to, and ports that are listened at.

use std::io;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use adit_tunnel::agent::chain;
use adit_tunnel::agent::dial::tcp::dial;
use adit_tunnel::transport::{Bind, Target};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

use super::diagnosis::{Check, Diagnosis};
use super::reach::{milliseconds, plain, without_number};

/// Where the system lists its interfaces (sysfs(5)).
const INTERFACES: &str = "/sys/class/net";
/// How long a service of ours may take: as a visitor waits.
const DEADLINE: Duration = Duration::from_secs(10);

/// Whether visitors of a remote forward find somebody: connects once, says nothing and leaves.
pub(super) async fn target(target: &Target) -> Diagnosis {
    let start = Instant::now();
    let reached = match target {
        Target::Tcp { host, port } => {
            let dialled = dial(host, *port, DEADLINE).await;
            dialled
                .map(drop)
                .map_err(|error| without_number(&chain(&error)).to_owned())
        }
        Target::Unix { path } => match timeout(DEADLINE, UnixStream::connect(path)).await {
            Ok(connected) => connected.map(drop).map_err(|error| plain(&error)),
            Err(_) => Err(String::from("no answer")),
        },
    };
    judge(target, reached.map(|()| start.elapsed()))
}

fn judge(target: &Target, reached: Result<Duration, String>) -> Diagnosis {
    match reached {
        Ok(time) => {
            let seen = format!("{target} answers here in {}", milliseconds(time));
            Diagnosis::ok(Check::Target, seen)
        }
        Err(reason) => {
            let seen = format!("visitors would find nobody at {target}: {reason}");
            let look = match target {
                Target::Tcp { port, .. } => format!("ss -tln 'sport = :{port}'"),
                Target::Unix { path } => format!("ls -l {path:?}"),
            };
            let change =
                format!("start that service, or name where it is: {look} shows who listens");
            Diagnosis::fail(Check::Target, seen, change)
        }
    }
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
    use super::super::diagnosis::State;
    use super::*;

    #[test]
    fn a_service_that_is_down_is_a_failure_that_says_where_to_look() {
        let target = Target::Tcp {
            host: String::from("localhost"),
            port: 8080,
        };
        let diagnosis = judge(&target, Err(String::from("refused")));
        assert_eq!(diagnosis.state, State::Fail);
        assert!(
            diagnosis.to_string().contains("ss -tln 'sport = :8080'"),
            "{diagnosis}"
        );
        let diagnosis = judge(&target, Ok(Duration::from_millis(1)));
        assert_eq!(diagnosis.state, State::Ok);
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
