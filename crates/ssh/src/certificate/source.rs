//! The list of addresses in a certificate's `source-address` (OpenSSH's PROTOCOL.certkeys).

use std::net::IpAddr;

/// Addresses and networks, comma-separated: `192.0.2.1,198.51.100.0/24,2001:db8::/32`. There is no
/// negation and there are no patterns. The default holds nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SourceList(Vec<Network>);

/// An address and how many of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl SourceList {
    /// Parses a list. `None` if one entry is not an address, has a prefix longer than itself or has
    /// bits set behind its prefix, as in OpenSSH: half a list is no list. The empty text is a list
    /// that holds nobody.
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self(Vec::new()));
        }
        text.split(',')
            .map(Network::parse)
            .collect::<Option<_>>()
            .map(Self)
    }

    /// Whether the address is in one of the networks. An IPv4 address inside IPv6 counts as the
    /// IPv4 address that it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(address))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = width(address);
        let bits = match bits {
            None => width,
            // Digits alone: `u32::from_str` would take a plus sign.
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|bits| *bits <= width)?
            }
            Some(_) => return None,
        };
        let network = Self { address, bits };
        (network.masked(address) == number(address)).then_some(network)
    }

    fn contains(self, address: IpAddr) -> bool {
        width(address) == width(self.address) && self.masked(address) == number(self.address)
    }

    /// The address with the bits behind the prefix taken off.
    fn masked(self, address: IpAddr) -> u128 {
        let host_bits = width(address).saturating_sub(self.bits);
        let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
        number(address) & mask
    }
}

/// Bits of an address of that family.
const fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// The address as a number.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(address.to_bits()),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_in_the_networks_that_hold_them() {
        for (list, address, is_in) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("192.0.2.1", "192.0.2.2", false),
            ("192.0.2.0/24", "192.0.2.255", true),
            ("192.0.2.0/24", "192.0.3.0", false),
            ("192.0.2.128/25", "192.0.2.127", false),
            ("0.0.0.0/0", "203.0.113.9", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("::/0", "203.0.113.9", false),
            ("::/0", "2001:db8::1", true),
            ("2001:db8::/32", "2001:db8:ffff::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
            ("198.51.100.7,2001:db8::/32,192.0.2.0/24", "192.0.2.9", true),
            ("192.0.2.0/24", "::ffff:192.0.2.9", true),
            ("192.0.2.9/32", "192.0.2.9", true),
            ("", "192.0.2.9", false),
        ] {
            let list = SourceList::parse(list).unwrap();
            assert_eq!(
                list.contains(address.parse().unwrap()),
                is_in,
                "{list:?} {address}"
            );
        }
    }

    #[test]
    fn a_list_with_one_bad_entry_is_no_list() {
        for list in [
            ",",
            "192.0.2.1,",
            ",192.0.2.1",
            "192.0.2.1, 192.0.2.2",
            "192.0.2.0/33",
            "192.0.2.0/-1",
            "192.0.2.0/+24",
            "192.0.2.0/",
            "192.0.2.0/24/24",
            "192.0.2.1/24",
            "2001:db8::1/64",
            "2001:db8::/129",
            "!192.0.2.1",
            "192.0.2.*",
            "*",
            "example.com",
            "192.0.2",
            "192.0.2.01",
            "0x7f.0.0.1",
            "fe80::1%eth0",
        ] {
            assert_eq!(SourceList::parse(list), None, "{list}");
        }
    }
}
