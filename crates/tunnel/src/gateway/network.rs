//! The networks that strangers come from: what is counted together when it is not known who they are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A neighbourhood of addresses: a /24 of IPv4, a /48 of IPv6 (spec of 2026-11-21, security 2.17): what one
/// customer of a provider has at least, and what a provider's shared address is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpAddr);

const V4_BITS: u32 = 24;
const V6_BITS: u32 = 48;

impl Network {
    /// The network of an address. An IPv4 address that came in over an IPv6 socket counts as what it is.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask_v4())),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask_v6())),
        })
    }
}

fn mask_v4() -> u32 {
    u32::MAX
        .checked_shl(32_u32.saturating_sub(V4_BITS))
        .unwrap_or(0)
}

fn mask_v6() -> u128 {
    u128::MAX
        .checked_shl(128_u32.saturating_sub(V6_BITS))
        .unwrap_or(0)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = if self.0.is_ipv4() { V4_BITS } else { V6_BITS };
        write!(f, "{}/{bits}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_network_in_every_clothing() {
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.1", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
            ("::1", "::/48"),
        ] {
            assert_eq!(Network::of(address.parse().unwrap()).to_string(), network);
        }
    }
}
