//! Who may come in: networks that are allowed and networks that are not. Pure.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::visitor::Endpoint;

/// Networks that may come in at a listener. Asked once for each visitor, before anything else is done for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    allowed: Allowed,
    denied: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Allowed {
    Everyone,
    Networks(Vec<IpNet>),
}

impl Access {
    /// Everybody may come in.
    pub const fn everyone() -> Self {
        Self {
            allowed: Allowed::Everyone,
            denied: Vec::new(),
        }
    }

    /// Nobody may: what holds when a list could not be read.
    pub const fn nobody() -> Self {
        Self::only(Vec::new())
    }

    /// Those networks alone; without any, nobody.
    pub const fn only(networks: Vec<IpNet>) -> Self {
        Self {
            allowed: Allowed::Networks(networks),
            denied: Vec::new(),
        }
    }

    /// The same without those networks, whoever allowed them.
    #[must_use]
    pub fn without(mut self, networks: impl IntoIterator<Item = IpNet>) -> Self {
        self.denied.extend(networks);
        self
    }

    /// Whether the visitor may come in. One without an address, of a Unix socket, was let in by the modes of the
    /// socket's folder; a list of networks says nothing about them, so only [`everyone`](Self::everyone) does.
    pub fn admits(&self, origin: Endpoint) -> bool {
        match (origin.ip(), &self.allowed) {
            (None, Allowed::Everyone) => true,
            (None, Allowed::Networks(_)) => false,
            (Some(address), Allowed::Everyone) => !contains(&self.denied, address),
            (Some(address), Allowed::Networks(networks)) => {
                contains(networks, address) && !contains(&self.denied, address)
            }
        }
    }
}

/// Whether one of the networks has the address. An IPv4 address in IPv6's clothes counts as what it is.
pub(crate) fn contains(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn at(address: &str) -> Endpoint {
        Endpoint::Tcp(format!("{address}:1").parse().unwrap())
    }

    #[test]
    fn what_is_denied_stays_out_whoever_allowed_it() {
        let access = Access::only(networks(&["192.0.2.0/24", "2001:db8::/32"]))
            .without(networks(&["192.0.2.7/32"]));
        assert!(access.admits(at("192.0.2.1")));
        assert!(access.admits(at("[::ffff:192.0.2.1]")));
        assert!(access.admits(at("[2001:db8::1]")));
        assert!(!access.admits(at("192.0.2.7")));
        assert!(!access.admits(at("[::ffff:192.0.2.7]")));
        assert!(!access.admits(at("198.51.100.1")));
        assert!(!access.admits(Endpoint::Unix));
        let all = Access::everyone().without(networks(&["192.0.2.7/32"]));
        assert!(all.admits(at("198.51.100.1")) && all.admits(Endpoint::Unix));
        assert!(!all.admits(at("192.0.2.7")));
    }

    #[test]
    fn a_list_without_networks_lets_nobody_in() {
        for access in [Access::nobody(), Access::only(Vec::new())] {
            assert!(!access.admits(at("127.0.0.1")));
            assert!(!access.admits(Endpoint::Unix));
        }
    }
}
