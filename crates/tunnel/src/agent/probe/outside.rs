//! The look at a listener for others from outside: from here, where its visitors would come.
//!
//! It proves something only over a version of IP that the listener has. A peer whose name has IPv6
//! addresses alone refuses whoever comes for a port that is bound at `0.0.0.0`, and that says nothing of
//! those who come over IPv4.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use super::{Finding, IpVersion, Probe};
use crate::agent::dial::DialError;
use crate::agent::dial::tcp::{Family, dial_in};
use crate::transport::Bind;

/// What a look from here found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Look {
    /// Somebody took the probe, and this is who.
    Answered(Finding),
    /// Nobody listens there.
    Refused,
    /// Nothing came back. A firewall, or a network that does not lead back to itself, says nothing of
    /// others' way.
    Silent,
    /// Nobody could look: the listener has this version of IP alone, and no address of the peer that has
    /// it is reached from here.
    Blind(IpVersion),
}

/// The version of IP of a listener of `bind`, if it has one alone.
pub fn version(bind: &Bind) -> Option<IpVersion> {
    let Bind::Tcp { host, .. } = bind else {
        return None;
    };
    let address = host.parse::<IpAddr>().ok()?;
    Some(match address.to_canonical() {
        IpAddr::V4(_) => IpVersion::V4,
        IpAddr::V6(_) => IpVersion::V6,
    })
}

/// Sends a probe from here to the peer's own name, over the version of IP that the listener has, or both.
/// The connection may take until `deadline`, and then the probe as long as it may be out.
///
/// # Cancel safety
///
/// Dropping it gives the probe up.
pub async fn look(
    host: &str,
    port: u16,
    version: Option<IpVersion>,
    deadline: Duration,
    probe: &Probe,
) -> Look {
    let family = match version {
        Some(IpVersion::V4) => Family::V4,
        Some(IpVersion::V6) => Family::V6,
        None => Family::Any,
    };
    let attempts = match dial_in(family, host, port, deadline).await {
        Ok(mut socket) => return Look::Answered(probe.ask(&mut socket).await),
        Err(DialError::Unreachable { attempts, .. }) => attempts,
        Err(DialError::Resolve { .. } | DialError::TimedOut { .. }) => return Look::Silent,
    };
    let all = |kind| attempts.iter().all(|(_, error)| error.kind() == kind);
    match version {
        // No address at all, or no route to any.
        Some(version) if all(ErrorKind::NetworkUnreachable) => Look::Blind(version),
        _ if all(ErrorKind::ConnectionRefused) => Look::Refused,
        _ => Look::Silent,
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::super::Prober;
    use super::*;

    fn bind(host: &str) -> Bind {
        Bind::Tcp {
            host: host.to_owned(),
            port: 9,
        }
    }

    #[test]
    fn a_listener_at_an_address_has_the_version_of_it_alone() {
        for (host, expected) in [
            ("0.0.0.0", Some(IpVersion::V4)),
            ("192.0.2.7", Some(IpVersion::V4)),
            ("::ffff:192.0.2.7", Some(IpVersion::V4)),
            ("::", Some(IpVersion::V6)),
            ("2001:db8::7", Some(IpVersion::V6)),
            ("", None),
            ("*", None),
            ("gateway.example", None),
        ] {
            assert_eq!(version(&bind(host)), expected, "{host}");
        }
        let path = String::from("/run/x");
        assert_eq!(version(&Bind::Unix { path }), None);
    }

    #[tokio::test]
    async fn a_refusal_counts_over_the_version_that_the_listener_has_alone() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let deadline = Duration::from_secs(30);
        let probe = Prober::new().unwrap().probe(deadline).unwrap();
        for (version, expected) in [
            (None, Look::Refused),
            (Some(IpVersion::V4), Look::Refused),
            (Some(IpVersion::V6), Look::Blind(IpVersion::V6)),
        ] {
            let seen = look("127.0.0.1", port, version, deadline, &probe).await;
            assert_eq!(seen, expected, "{version:?}");
        }
    }
}
