//! Where a listener is reached, by its bind: from the peer itself, and by others.

use std::net::IpAddr;

use super::IpVersion;
use crate::transport::{Bind, Origin, Target};

/// Where a listener of `bind` is reached from the peer itself; `None` for a Unix socket with a relative
/// path, which is somewhere below a folder that only the peer knows.
///
/// An address for all, and `localhost`, are reached at the loopback: there sshd listens in any case,
/// whatever `GatewayPorts` makes of the rest.
pub fn way(bind: &Bind) -> Option<Target> {
    match bind {
        Bind::Tcp { host, port } => {
            let host = match host.as_str() {
                "" | "*" | "localhost" | "0.0.0.0" => IpVersion::V4.loopback(),
                "::" => IpVersion::V6.loopback(),
                other => other,
            };
            Some(Target::Tcp {
                host: host.to_owned(),
                port: *port,
            })
        }
        Bind::Unix { path } if path.starts_with('/') => Some(Target::Unix { path: path.clone() }),
        Bind::Unix { .. } => None,
    }
}

/// The IPv6 loopback, for a bind whose [`way`] goes to the IPv4 one and that stands for both; otherwise
/// there is nothing more to probe.
pub fn twin(bind: &Bind) -> Option<Target> {
    let Bind::Tcp { host, port } = bind else {
        return None;
    };
    let is_for_both = matches!(host.as_str(), "" | "*" | "localhost");
    is_for_both.then(|| Target::Tcp {
        host: IpVersion::V6.loopback().to_owned(),
        port: *port,
    })
}

/// The port at which visitors from elsewhere would come to a listener of `bind`; `None` if none are
/// meant to.
pub fn public_port(bind: &Bind) -> Option<u16> {
    let Bind::Tcp { host, port } = bind else {
        return None;
    };
    let is_private = host == "localhost" || is_loopback(host);
    (!is_private).then_some(*port)
}

/// Whether a channel from there can have brought a probe that went to `way`: who dials the loopback
/// comes from it.
pub fn may_come_from(origin: &Origin, way: &Target) -> bool {
    let Target::Tcp { host, .. } = way else {
        return true;
    };
    !is_loopback(host) || is_loopback(&origin.host)
}

pub(in crate::agent) fn is_loopback(text: &str) -> bool {
    let address = text.parse::<IpAddr>();
    address.is_ok_and(|address| address.to_canonical().is_loopback())
}
