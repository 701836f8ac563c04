//! Where something listens and what it is asked to reach.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use crate::host::numeric_address;

/// The addresses of one machine that a forward listens on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// 127.0.0.1 and ::1.
    Loopback,
    /// Every address of every family that the machine has.
    Any,
    /// Every IPv4 address.
    AnyV4,
    /// Every IPv6 address.
    AnyV6,
    /// One address.
    Address(IpAddr),
}

/// A text that names no address of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an address to listen on: localhost, *, 0.0.0.0, [::] or one address of the machine")]
pub struct ScopeError;

impl Scope {
    /// The addresses that a peer asks for with the text of a `tcpip-forward` (RFC 4254 section 7.1), with
    /// the meaning that OpenSSH's `GatewayPorts clientspecified` gives it (measured, 9.2p1): `localhost` is
    /// both loopbacks, nothing or `*` every address, `0.0.0.0` IPv4 alone, `::` IPv6 alone. Names other
    /// than `localhost` are not resolved: what they mean would be somebody else's to say.
    pub fn read(text: &str) -> Result<Self, ScopeError> {
        if text.eq_ignore_ascii_case("localhost") {
            return Ok(Self::Loopback);
        }
        match text {
            "" | "*" => return Ok(Self::Any),
            _ => {}
        }
        let inner = text
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(text);
        let address = inner.parse::<IpAddr>().map_err(|_| ScopeError)?;
        Ok(if address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
            Self::AnyV4
        } else if address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
            Self::AnyV6
        } else {
            Self::Address(address.to_canonical())
        })
    }

    /// Whether other machines reach it.
    pub fn is_public(self) -> bool {
        match self {
            Self::Loopback => false,
            Self::Any | Self::AnyV4 | Self::AnyV6 => true,
            Self::Address(address) => !address.is_loopback(),
        }
    }

    /// The same, kept to the machine itself: what `LOCAL=1` and OpenSSH's `GatewayPorts no` do, but said.
    #[must_use]
    pub fn kept_local(self) -> Self {
        match self {
            Self::Address(address) if address.is_loopback() => self,
            Self::Loopback | Self::Any => Self::Loopback,
            Self::AnyV4 | Self::Address(IpAddr::V4(_)) => {
                Self::Address(IpAddr::V4(Ipv4Addr::LOCALHOST))
            }
            Self::AnyV6 | Self::Address(IpAddr::V6(_)) => {
                Self::Address(IpAddr::V6(Ipv6Addr::LOCALHOST))
            }
        }
    }

    /// The addresses to bind, in order.
    pub fn addresses(self) -> Vec<IpAddr> {
        match self {
            Self::Loopback => vec![
                IpAddr::V4(Ipv4Addr::LOCALHOST),
                IpAddr::V6(Ipv6Addr::LOCALHOST),
            ],
            Self::Any => vec![
                IpAddr::V4(Ipv4Addr::UNSPECIFIED),
                IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            ],
            Self::AnyV4 => vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)],
            Self::AnyV6 => vec![IpAddr::V6(Ipv6Addr::UNSPECIFIED)],
            Self::Address(address) => vec![address],
        }
    }

    /// Whether nobody reaches it who does not reach the other as well.
    pub fn is_within(self, other: Self) -> bool {
        let others = other.addresses();
        self.addresses().iter().all(|ours| {
            let is_part = |theirs: &IpAddr| {
                ours == theirs || (theirs.is_unspecified() && covers(*ours, *theirs))
            };
            others.iter().any(is_part)
        })
    }

    /// Whether a listener of it and one of the other, at one port, would stand in each other's way.
    pub fn overlaps(self, other: Self) -> bool {
        let others = other.addresses();
        self.addresses()
            .iter()
            .any(|ours| others.iter().any(|theirs| covers(*ours, *theirs)))
    }
}

fn covers(a: IpAddr, b: IpAddr) -> bool {
    a.is_ipv4() == b.is_ipv4() && (a == b || a.is_unspecified() || b.is_unspecified())
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Loopback => f.write_str("localhost"),
            Self::Any => f.write_str("*"),
            Self::AnyV4 => f.write_str("0.0.0.0"),
            Self::AnyV6 => f.write_str("[::]"),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Serialize for Scope {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::read(&text).map_err(serde::de::Error::custom)
    }
}

/// Why an address is not dialled for somebody who asks by number or DNS name (security rule G55).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Inner {
    /// This machine itself.
    #[error("it is this machine itself")]
    Loopback,
    /// No address.
    #[error("it stands for no machine")]
    Unspecified,
    /// The link alone, and the metadata services of clouds.
    #[error("it is of the link alone, where metadata services are")]
    LinkLocal,
    /// A cloud's own service for the machine.
    #[error("it is a service that a cloud has for its machines, with their secrets")]
    Metadata,
    /// Many machines.
    #[error("it stands for many machines")]
    Many,
    /// An IPv4 address in another's clothes.
    #[error("it hides an IPv4 address")]
    Hidden,
}

/// Whether the address is of the kinds that are refused unless they are named exactly: loopback,
/// unspecified, link-local (169.254.0.0/16 with the metadata services, fe80::/10), multicast, broadcast,
/// IPv4-mapped and IPv4-compatible (::ffff:0:0/96, ::/96), NAT64 (64:ff9b::/96, 64:ff9b:1::/48), Teredo
/// (2001::/32), 6to4 of such addresses, IETF protocol assignments (192.0.0.0/24), and the metadata services that
/// clouds have outside of link-local.
pub fn inner(address: IpAddr) -> Option<Inner> {
    match address {
        IpAddr::V4(v4) => inner_v4(v4),
        IpAddr::V6(v6) => inner_v6(v6),
    }
}

fn inner_v4(v4: Ipv4Addr) -> Option<Inner> {
    let octets = v4.octets();
    let [first, ..] = octets;
    if METADATA_V4.contains(&octets) || matches!(octets, [192, 0, 0, _]) {
        Some(Inner::Metadata)
    } else if v4.is_loopback() {
        Some(Inner::Loopback)
    } else if first == 0 {
        Some(Inner::Unspecified)
    } else if v4.is_link_local() {
        Some(Inner::LinkLocal)
    } else if v4.is_multicast() || v4.is_broadcast() || first >= 240 {
        Some(Inner::Many)
    } else {
        None
    }
}

fn inner_v6(v6: Ipv6Addr) -> Option<Inner> {
    let segments = v6.segments();
    if v6.is_loopback() {
        Some(Inner::Loopback)
    } else if v6.is_unspecified() {
        Some(Inner::Unspecified)
    } else if v6.is_multicast() {
        Some(Inner::Many)
    } else if v6.is_unicast_link_local() {
        Some(Inner::LinkLocal)
    } else if segments == METADATA_V6 {
        Some(Inner::Metadata)
    } else if v6.to_ipv4().is_some()
        || matches!(
            segments,
            [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] | [0x2001, 0, ..]
        )
    {
        Some(Inner::Hidden)
    } else if let [0x2002, high, low, ..] = segments {
        let [a, b] = high.to_be_bytes();
        let [c, d] = low.to_be_bytes();
        inner_v4(Ipv4Addr::new(a, b, c, d)).map(|_| Inner::Hidden)
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, of NAT64's own prefix or 6to4. Any other
/// address as it is.
pub fn unwrapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else {
        return address;
    };
    let (high, low) = match v6.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => (high, low),
        // Not :: and ::1.
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 || low > 1 => (high, low),
        _ => return address,
    };
    IpAddr::V4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Metadata services in IPv4 that are not link-local: Alibaba Cloud, Oracle Cloud, Azure.
const METADATA_V4: [[u8; 4]; 3] = [[100, 100, 100, 200], [192, 0, 0, 192], [168, 63, 129, 16]];
/// That of Amazon in IPv6, fd00:ec2::254.
const METADATA_V6: [u16; 8] = [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254];

/// A numeric spelling of an address that the resolver would take for one, however odd: `127.1`, `0x7f.1`,
/// `2130706433`, `[::1]`, `::ffff:127.0.0.1`.
pub fn read_numeric(text: &str) -> Option<IpAddr> {
    numeric_address(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_bind_means_what_openssh_gives_it() {
        for (text, scope) in [
            ("localhost", Scope::Loopback),
            ("", Scope::Any),
            ("*", Scope::Any),
            ("0.0.0.0", Scope::AnyV4),
            ("::", Scope::AnyV6),
            ("[::]", Scope::AnyV6),
            ("127.0.0.1", Scope::Address("127.0.0.1".parse().unwrap())),
            ("::1", Scope::Address("::1".parse().unwrap())),
            ("192.0.2.7", Scope::Address("192.0.2.7".parse().unwrap())),
        ] {
            assert_eq!(Scope::read(text), Ok(scope), "{text}");
            assert_eq!(Scope::read(&scope.to_string()), Ok(scope));
        }
        for text in ["example.com", "127.1", " ", "0.0.0.0:80", "fe80::1%eth0"] {
            assert_eq!(Scope::read(text), Err(ScopeError), "{text}");
        }
    }

    #[test]
    fn what_is_kept_local_reaches_no_other_machine() {
        for text in [
            "localhost",
            "*",
            "0.0.0.0",
            "::",
            "192.0.2.7",
            "2001:db8::1",
            "127.0.0.9",
        ] {
            let scope = Scope::read(text).unwrap().kept_local();
            assert!(!scope.is_public(), "{text}: {scope}");
        }
    }

    #[test]
    fn scopes_of_one_family_overlap_where_they_share_an_address() {
        assert!(Scope::Any.overlaps(Scope::Loopback));
        assert!(Scope::AnyV4.overlaps(Scope::Any));
        assert!(!Scope::AnyV4.overlaps(Scope::AnyV6));
        assert!(!Scope::Address("192.0.2.1".parse().unwrap()).overlaps(Scope::Loopback));
    }

    #[test]
    fn a_scope_is_within_another_that_reaches_all_of_it() {
        let [local, one] = ["127.0.0.1", "192.0.2.1"].map(|text| Scope::read(text).unwrap());
        for (inner, outer) in [
            (Scope::Loopback, Scope::Any),
            (Scope::AnyV4, Scope::Any),
            (local, Scope::Loopback),
            (one, Scope::AnyV4),
            (one, one),
        ] {
            assert!(inner.is_within(outer), "{inner} {outer}");
            assert_eq!(outer.is_within(inner), inner == outer, "{outer} {inner}");
        }
        assert!(!Scope::Loopback.is_within(Scope::AnyV4));
        assert!(!Scope::AnyV4.is_within(Scope::AnyV6));
        assert!(!one.is_within(local));
    }

    #[test]
    fn addresses_inside_are_known_in_every_clothing() {
        for text in [
            "127.0.0.1",
            "127.255.0.3",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:8.8.8.8",
            "::7f00:1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "64:ff9b:1::7f00:1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "fd00:ec2::254",
            "100.100.100.200",
            "192.0.0.192",
            "192.0.0.1",
            "168.63.129.16",
            "2002:6464:64c8::",
        ] {
            assert!(inner(text.parse().unwrap()).is_some(), "{text}");
        }
        for text in [
            "8.8.8.8",
            "10.0.0.1",
            "192.168.1.1",
            "2001:db8::1",
            "2002:808:808::1",
            "fd00::1",
        ] {
            assert_eq!(inner(text.parse().unwrap()), None, "{text}");
        }
    }
}
