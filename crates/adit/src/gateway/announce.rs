//! What a gateway says when it has started: where it listens, by which keys it is known, and what to try.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use adit_tunnel::gateway::host_keys::{HostKeys, Standing};
use rustix::net::sockopt;

use super::settings::Settings;
use crate::log::tell;

/// Where it listens for clients.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listening {
    address: SocketAddr,
    /// Whether it takes IPv4, too, though its address is one of IPv6.
    is_dual: bool,
}

impl Listening {
    /// What a listener of ours, or one that we were given, does.
    pub(super) fn of(listener: &TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self {
            address,
            is_dual: address.is_ipv6() && !sockopt::ipv6_v6only(listener)?,
        })
    }
}

/// Tells where it listens and what to try there.
pub(super) fn started(
    settings: &Settings,
    listening: &[Listening],
    names: &[(SocketAddr, bool)],
    metrics: Option<SocketAddr>,
    host_keys: &HostKeys,
) {
    for place in listening {
        let (address, families) = (place.address, families(*place, listening));
        tell(&format!("listening for ssh at {address}{families}"));
    }
    for (address, is_secure) in names {
        let scheme = if *is_secure { "https" } else { "http" };
        let name = settings.name();
        tell(&format!(
            "listening for {scheme} at {address}: names are under {name}"
        ));
    }
    if let Some(address) = metrics {
        tell(&format!("metrics at http://{address}/metrics"));
    }
    for (key, standing) in host_keys.standings() {
        let (kind, fingerprint) = (key.key_type().name(), key.fingerprint());
        // What clients are shown is what people compare; the others are in `adit host-key list`.
        if standing == Standing::Active {
            tell(&format!("host key {kind} {fingerprint}"));
        }
    }
    tell(&format!("try: {}", example(settings, listening)));
}

/// Which families an address of every one has, where people could think otherwise: `[::]` is IPv6 alone, as with sshd
/// and nginx, unless whoever bound it wanted both.
fn families(place: Listening, all: &[Listening]) -> &'static str {
    let port = place.address.port();
    let is_v4 = |it: &Listening| it.address == SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    match place.address {
        SocketAddr::V6(address) if address.ip().is_unspecified() => {
            if place.is_dual {
                " (IPv4 too)"
            } else if all.iter().any(is_v4) {
                ""
            } else {
                " (IPv6 alone; a port without an address is both)"
            }
        }
        SocketAddr::V6(_) | SocketAddr::V4(_) => "",
    }
}

/// A line that makes a web server of the reader's public here.
fn example(settings: &Settings, listening: &[Listening]) -> String {
    let port = listening.first().map_or(22, |it| it.address.port());
    let port = if port == 22 {
        String::new()
    } else {
        format!("-p {port} ")
    };
    let forwarded = settings.defaults.ports.nth(0).unwrap_or_default();
    format!(
        "ssh -N -R '*:{forwarded}:localhost:80' {port}{}",
        settings.name()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_of_ipv6_is_told_as_what_it_is() {
        let place = |address: &str, is_dual| Listening {
            address: address.parse().unwrap(),
            is_dual,
        };
        let (v4, v6) = (place("0.0.0.0:22", false), place("[::]:22", false));
        assert_eq!(families(v6, &[v4, v6]), "");
        assert_eq!(families(v4, &[v4]), "");
        assert!(families(v6, &[v6, place("0.0.0.0:23", false)]).contains("IPv6 alone"));
        assert_eq!(families(place("[::]:22", true), &[]), " (IPv4 too)");
        assert_eq!(families(place("[::1]:22", false), &[]), "");
    }
}
