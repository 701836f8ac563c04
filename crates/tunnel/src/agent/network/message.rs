//! Messages of the kernel about links, addresses and routes: rtnetlink(7), read and never trusted.
//!
//! A message is a header of 16 bytes, a body of fixed length and attributes. Numbers are in the machine's
//! own order, and everything begins at a multiple of four. What is not known here is passed over, so
//! that a newer kernel can say what it likes.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Address, Link};

/// A message, as far as it matters here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// A link is there, or has changed.
    Link(u32, Link),
    /// An address is there, or has changed, and can be used.
    Address(Address),
    /// A route that traffic of this machine may take was made; what tells it from others.
    Route(u64),
    /// One was removed.
    RouteGone(u64),
    /// Something about links or addresses that only a look can tell.
    Look,
    /// The end of a listing.
    Done,
    /// The kernel could not do what it was asked for: the error's number.
    Failed(i32),
    /// While a listing was made, what it lists has changed.
    Torn,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) enum Listing {
    Links,
    Addresses,
}

const ERROR: u16 = 2;
const DONE: u16 = 3;
const NEW_LINK: u16 = 16;
const DEL_LINK: u16 = 17;
const GET_LINK: u16 = 18;
const NEW_ADDRESS: u16 = 20;
const DEL_ADDRESS: u16 = 21;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DEL_ROUTE: u16 = 25;

/// `NLM_F_REQUEST | NLM_F_DUMP`.
const LIST: u16 = 0x301;
/// `NLM_F_DUMP_INTR`.
const WAS_TORN: u16 = 0x10;
/// Bytes of a message's header.
const HEADER: usize = 16;
/// Bytes of a request: the header, and the longest body, all of zeros, which means everything.
const REQUEST: u8 = 32;

/// `IFF_UP` and `IFF_RUNNING`: somebody wants it to work, and it can.
const RUNNING: u32 = 0x41;
/// `IFLA_IFNAME`.
const LINK_NAME: u16 = 3;
/// `IFA_ADDRESS`: the other end's, where a link has but two ends.
const ADDRESS_FAR: u16 = 1;
/// `IFA_LOCAL`.
const ADDRESS_LOCAL: u16 = 2;
/// `IFA_FLAGS`, of which the body has the first eight.
const ADDRESS_FLAGS: u16 = 8;
/// `IFA_F_TEMPORARY`; of an IPv4 address it means `IFA_F_SECONDARY`.
const IS_TEMPORARY: u32 = 0x01;
/// `IFA_F_OPTIMISTIC`: can be used while it is tentative.
const IS_OPTIMISTIC: u32 = 0x04;
/// `IFA_F_DADFAILED` and `IFA_F_TENTATIVE`: another has it, or may have it.
const IS_NOT_OURS: u32 = 0x48;
/// `RT_TABLE_LOCAL`: the kernel's own list of this machine's addresses.
const LOCAL_TABLE: u8 = 255;
/// `RTN_LOCAL` to `RTN_MULTICAST`: of the same kind, in whatever table.
const NO_WAY: std::ops::RangeInclusive<u8> = 2..=5;
/// `RTM_F_CLONED`: what was learnt of one destination.
const IS_CLONED: u32 = 0x200;
/// What tells a route from others, besides the body: `RTA_DST`, `RTA_OIF`, `RTA_GATEWAY`, `RTA_PRIORITY`,
/// `RTA_PREFSRC`, `RTA_MULTIPATH`, `RTA_TABLE`, `RTA_VIA`, `RTA_NH_ID`. Lifetimes and statistics do not.
const OF_ROUTE: [u16; 9] = [1, 4, 5, 6, 7, 9, 15, 18, 30];
/// Bits of an attribute's kind that say how it is written (`NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`).
const ATTRIBUTE_KIND: u16 = 0x3fff;

const IPV4: u8 = 2;
const IPV6: u8 = 10;

impl Listing {
    /// The request for it.
    pub(super) fn request(self) -> Vec<u8> {
        let kind = match self {
            Self::Links => GET_LINK,
            Self::Addresses => GET_ADDRESS,
        };
        let mut request = u32::from(REQUEST).to_ne_bytes().to_vec();
        request.extend(kind.to_ne_bytes());
        request.extend(LIST.to_ne_bytes());
        request.resize(usize::from(REQUEST), 0);
        request
    }
}

/// The messages of one datagram. It ends with the first that is cut off.
pub(super) fn messages(mut datagram: &[u8]) -> impl Iterator<Item = Message> {
    std::iter::from_fn(move || {
        loop {
            let (length, kind, flags) = header(datagram)?;
            let message = datagram.get(HEADER..length)?;
            let next = length.checked_next_multiple_of(4)?;
            datagram = datagram.get(next..).unwrap_or_default();
            if flags & WAS_TORN != 0 {
                return Some(Message::Torn);
            }
            if let Some(message) = read(kind, message) {
                return Some(message);
            }
        }
    })
}

/// Length in bytes, kind and flags.
fn header(mut datagram: &[u8]) -> Option<(usize, u16, u16)> {
    let length = usize::try_from(u32_of(&mut datagram)?).ok()?;
    let (kind, flags) = (u16_of(&mut datagram)?, u16_of(&mut datagram)?);
    (length >= HEADER).then_some((length, kind, flags))
}

fn read(kind: u16, body: &[u8]) -> Option<Message> {
    match kind {
        NEW_LINK => Some(link(body).unwrap_or(Message::Look)),
        NEW_ADDRESS => Some(address(body).map_or(Message::Look, Message::Address)),
        DEL_LINK | DEL_ADDRESS => Some(Message::Look),
        NEW_ROUTE => route(body).map(Message::Route),
        DEL_ROUTE => route(body).map(Message::RouteGone),
        DONE => Some(Message::Done),
        ERROR => {
            let number = body.first_chunk().copied().map(i32::from_ne_bytes);
            Some(Message::Failed(number.unwrap_or_default().saturating_neg()))
        }
        _ => None,
    }
}

/// `struct ifinfomsg`: family, kind, index, flags, mask.
fn link(mut body: &[u8]) -> Option<Message> {
    take::<4>(&mut body)?;
    let (index, flags) = (u32_of(&mut body)?, u32_of(&mut body)?);
    take::<4>(&mut body)?;
    let (_, name) = attributes(body).find(|(kind, _)| *kind == LINK_NAME)?;
    let name = name.split(|byte| *byte == 0).next()?;
    let link = Link {
        name: String::from_utf8_lossy(name).into_owned(),
        is_running: flags & RUNNING == RUNNING,
    };
    Some(Message::Link(index, link))
}

/// `struct ifaddrmsg`: family, prefix, flags, scope, index. One that cannot be used is none.
fn address(mut body: &[u8]) -> Option<Address> {
    let [family, _, flags, _] = take(&mut body)?;
    let index = u32_of(&mut body)?;
    let (mut far, mut local, mut flags) = (None, None, u32::from(flags));
    for (kind, mut value) in attributes(body) {
        match kind {
            ADDRESS_FAR => far = ip(family, value),
            ADDRESS_LOCAL => local = ip(family, value),
            ADDRESS_FLAGS => flags = u32_of(&mut value)?,
            _ => {}
        }
    }
    let ip = local.or(far)?;
    let is_ours = flags & IS_NOT_OURS == 0 || flags & IS_OPTIMISTIC != 0;
    is_ours.then_some(Address {
        link: index,
        ip,
        is_temporary: ip.is_ipv6() && flags & IS_TEMPORARY != 0,
    })
}

/// `struct rtmsg`: family, three numbers, table, origin, scope, kind, flags. A hash of what tells the
/// route from others; none where it is no way for what this machine sends.
fn route(mut body: &[u8]) -> Option<u64> {
    let [family, to, from, service, table, _, scope, kind] = take(&mut body)?;
    let flags = u32_of(&mut body)?;
    if table == LOCAL_TABLE || NO_WAY.contains(&kind) || flags & IS_CLONED != 0 {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    [family, to, from, service, table, scope, kind].hash(&mut hasher);
    attributes(body)
        .filter(|(kind, _)| OF_ROUTE.contains(kind))
        .for_each(|attribute| attribute.hash(&mut hasher));
    Some(hasher.finish())
}

fn ip(family: u8, value: &[u8]) -> Option<IpAddr> {
    match family {
        IPV4 => <[u8; 4]>::try_from(value)
            .ok()
            .map(|bytes| Ipv4Addr::from(bytes).into()),
        IPV6 => <[u8; 16]>::try_from(value)
            .ok()
            .map(|bytes| Ipv6Addr::from(bytes).into()),
        _ => None,
    }
}

/// Attributes: length, kind, value. They end with the first that is cut off.
fn attributes(mut body: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let mut rest = body;
        let (length, kind) = (usize::from(u16_of(&mut rest)?), u16_of(&mut rest)?);
        let value = body.get(4..length)?;
        body = body
            .get(length.checked_next_multiple_of(4)?..)
            .unwrap_or_default();
        Some((kind & ATTRIBUTE_KIND, value))
    })
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn u16_of(bytes: &mut &[u8]) -> Option<u16> {
    take(bytes).map(u16::from_ne_bytes)
}

fn u32_of(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(value.len() + 4).unwrap();
        let mut out = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        out.extend(value);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn message(kind: u16, flags: u16, body: &[&[u8]]) -> Vec<u8> {
        let body = body.concat();
        let length = u32::try_from(HEADER + body.len()).unwrap();
        let mut out = length.to_ne_bytes().to_vec();
        out.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        out.resize(HEADER, 0);
        out.extend(body);
        out.resize(out.len().next_multiple_of(4), 0);
        out
    }

    fn all(datagram: &[u8]) -> Vec<Message> {
        messages(datagram).collect()
    }

    fn new_address(family: u8, flags: u8, attributes: &[Vec<u8>]) -> Vec<Message> {
        let body = [[family, 24, flags, 0], 7_u32.to_ne_bytes()].concat();
        all(&message(NEW_ADDRESS, 0, &[&body, &attributes.concat()]))
    }

    #[test]
    fn an_address_is_our_own_and_only_while_it_can_be_used() {
        let ours = attribute(ADDRESS_LOCAL, &[192, 0, 2, 1]);
        let theirs = attribute(ADDRESS_FAR, &[192, 0, 2, 2]);
        let expected = |ip: &str, is_temporary| {
            vec![Message::Address(Address {
                link: 7,
                ip: ip.parse().unwrap(),
                is_temporary,
            })]
        };
        let both = [theirs, attribute(99, b"news"), ours];
        assert_eq!(new_address(IPV4, 1, &both), expected("192.0.2.1", false));
        let v6 = attribute(ADDRESS_FAR, &Ipv6Addr::LOCALHOST.octets());
        let flagged = |flags: u32| {
            let flags = attribute(ADDRESS_FLAGS, &flags.to_ne_bytes());
            new_address(IPV6, 0, &[v6.clone(), flags])
        };
        assert_eq!(flagged(0x80), expected("::1", false));
        assert_eq!(flagged(0x301), expected("::1", true));
        // Tentative, somebody else's, and tentative but usable.
        assert_eq!(flagged(0x40), [Message::Look]);
        assert_eq!(flagged(0x08), [Message::Look]);
        assert_eq!(flagged(0x44), expected("::1", false));
        assert_eq!(
            new_address(IPV6, 0, &[attribute(1, b"short")]),
            [Message::Look]
        );
    }

    #[test]
    fn a_link_has_a_name_and_works_or_not() {
        for (flags, is_running) in [(0x1043_u32, true), (0x1003, false), (0x40, false)] {
            let body = [[0; 4], 3_u32.to_ne_bytes(), flags.to_ne_bytes(), [0; 4]].concat();
            let name = attribute(LINK_NAME, b"wlan0\0");
            let link = Link {
                name: String::from("wlan0"),
                is_running,
            };
            let got = all(&message(NEW_LINK, 0, &[&body, &name]));
            assert_eq!(got, [Message::Link(3, link)]);
        }
    }

    fn new_route(table: u8, kind: u8, flags: u32, attributes: &[Vec<u8>]) -> Vec<Message> {
        let body = [IPV4, 0, 0, 0, table, 16, 0, kind];
        let flags = flags.to_ne_bytes();
        all(&message(
            NEW_ROUTE,
            0,
            &[&body, &flags, &attributes.concat()],
        ))
    }

    #[test]
    fn a_route_is_known_again_whatever_its_lifetime() {
        let gateway = |last| attribute(5, &[192, 0, 2, last]);
        let one = new_route(254, 1, 0, &[gateway(1), attribute(12, &[1; 32])]);
        assert!(matches!(one[..], [Message::Route(_)]), "{one:?}");
        assert_eq!(
            one,
            new_route(254, 1, 0x10, &[gateway(1), attribute(12, &[2; 32])])
        );
        assert_ne!(one, new_route(254, 1, 0, &[gateway(2)]));
        assert_eq!(new_route(255, 2, 0, &[]), []);
        assert_eq!(new_route(254, 5, 0, &[]), []);
        assert_eq!(new_route(254, 1, IS_CLONED, &[gateway(1)]), []);
    }

    #[test]
    fn listings_end_fail_and_are_torn() {
        let done = message(DONE, 2, &[&0_i32.to_ne_bytes()]);
        let failed = message(ERROR, 0, &[&(-1_i32).to_ne_bytes()]);
        let torn = message(DONE, WAS_TORN, &[]);
        let unknown = message(99, 0, b"news".chunks(1).collect::<Vec<_>>().as_slice());
        let datagram = [unknown, failed, torn, done].concat();
        let expected = [Message::Failed(1), Message::Torn, Message::Done];
        assert_eq!(all(&datagram), expected);
    }

    #[test]
    fn a_request_is_as_long_as_it_says() {
        let request = Listing::Addresses.request();
        assert_eq!(request.len(), 32);
        assert_eq!(header(&request), Some((32, GET_ADDRESS, LIST)));
    }

    proptest! {
        #[test]
        fn nothing_that_comes_does_harm(datagram in prop::collection::vec(any::<u8>(), 0..200)) {
            all(&datagram);
        }

        #[test]
        fn nothing_in_a_message_does_harm(
            kind in 16_u16..26,
            body in prop::collection::vec(any::<u8>(), 0..100),
        ) {
            let got = all(&message(kind, 0, &[&body]));
            prop_assert!(got.len() <= 1);
        }
    }
}
