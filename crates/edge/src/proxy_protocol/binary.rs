//! Version 2: a binary block.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{BLOCK_LENGTH, Header, HeaderError, Pair, Progress};

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length.
const HEAD: usize = 16;
/// Version 2 in the high half, the command in the low one.
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
/// Family in the high half, byte stream in the low one.
const UNSPECIFIED: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Bytes of two Unix sockets' paths.
const UNIX_ADDRESSES: usize = 216;

pub(super) fn read(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let begun = SIGNATURE.len().min(bytes.len());
    if bytes.get(..begun) != SIGNATURE.get(..begun) {
        return Err(HeaderError::Signature);
    }
    // Each of these is told as soon as its byte is there.
    let command = bytes.get(12).copied();
    let family = bytes.get(13).copied();
    match command {
        None | Some(LOCAL | PROXY) => {}
        Some(_) => return Err(HeaderError::Block),
    }
    if command == Some(PROXY) {
        check_family(family)?;
    }
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else {
        return Ok(Progress::Partial);
    };
    let [.., high, low] = *head;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = HEAD.saturating_add(length);
    if whole > BLOCK_LENGTH {
        return Err(HeaderError::Length);
    }
    let needed = if command == Some(LOCAL) {
        0
    } else {
        addresses_length(family)
    };
    if length < needed {
        return Err(HeaderError::Block);
    }
    let Some(block) = rest.get(..length) else {
        return Ok(Progress::Partial);
    };
    let header = match (command, family) {
        (Some(PROXY), Some(TCP4)) => addresses::<4>(block),
        (Some(PROXY), Some(TCP6)) => addresses::<16>(block),
        _ => Some(Header::Own),
    };
    let header = header.ok_or(HeaderError::Block)?;
    Ok(Progress::Whole(header, whole))
}

/// Whether a balancer may pass on a visitor of that family over a byte stream. What it says of itself (`LOCAL`)
/// may have any.
fn check_family(family: Option<u8>) -> Result<(), HeaderError> {
    match family.map(|byte| (byte >> 4, byte & 15)) {
        None | Some((0..=3, 0 | 1)) => Ok(()),
        Some((0..=3, 2)) => Err(HeaderError::Datagram),
        Some(_) => Err(HeaderError::Block),
    }
}

fn addresses_length(family: Option<u8>) -> usize {
    match family.map(|byte| byte >> 4) {
        Some(1) => 12,
        Some(2) => 36,
        Some(3) => UNIX_ADDRESSES,
        _ => 0,
    }
}

fn addresses<const N: usize>(block: &[u8]) -> Option<Header>
where
    [u8; N]: IntoAddress,
{
    let (source, rest) = block.split_first_chunk::<N>()?;
    let (destination, rest) = rest.split_first_chunk::<N>()?;
    let (source_port, rest) = rest.split_first_chunk::<2>()?;
    let (destination_port, _) = rest.split_first_chunk::<2>()?;
    Some(Header::Proxied {
        source: SocketAddr::new(source.into_address(), u16::from_be_bytes(*source_port)),
        destination: SocketAddr::new(
            destination.into_address(),
            u16::from_be_bytes(*destination_port),
        ),
    })
}

trait IntoAddress {
    fn into_address(self) -> IpAddr;
}

impl IntoAddress for [u8; 4] {
    fn into_address(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(self))
    }
}

impl IntoAddress for [u8; 16] {
    fn into_address(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from(self)).to_canonical()
    }
}

pub(super) fn write(pair: &Pair) -> Vec<u8> {
    let mut out = Vec::with_capacity(52);
    out.extend_from_slice(SIGNATURE);
    match pair {
        Pair::Own => out.extend_from_slice(&[LOCAL, UNSPECIFIED, 0, 0]),
        Pair::V4(pair) => {
            out.extend_from_slice(&[PROXY, TCP4, 0, 12]);
            out.extend_from_slice(&pair.source.octets());
            out.extend_from_slice(&pair.destination.octets());
            out.extend_from_slice(&pair.source_port.to_be_bytes());
            out.extend_from_slice(&pair.destination_port.to_be_bytes());
        }
        Pair::V6(pair) => {
            out.extend_from_slice(&[PROXY, TCP6, 0, 36]);
            out.extend_from_slice(&pair.source.octets());
            out.extend_from_slice(&pair.destination.octets());
            out.extend_from_slice(&pair.source_port.to_be_bytes());
            out.extend_from_slice(&pair.destination_port.to_be_bytes());
        }
    }
    out
}
