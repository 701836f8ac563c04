//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Header, HeaderError, LINE_LENGTH, Pair, Progress};

const SIGNATURE: &[u8] = b"PROXY ";

pub(super) fn read(bytes: &[u8]) -> Result<Progress, HeaderError> {
    let begun = SIGNATURE.len().min(bytes.len());
    if bytes.get(..begun) != SIGNATURE.get(..begun) {
        return Err(HeaderError::Signature);
    }
    let window = bytes.get(..LINE_LENGTH).unwrap_or(bytes);
    let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() >= LINE_LENGTH {
            Err(HeaderError::Length)
        } else {
            Ok(Progress::Partial)
        };
    };
    let line = window
        .get(SIGNATURE.len()..end)
        .and_then(|line| line.strip_suffix(b"\r"))
        .and_then(|line| std::str::from_utf8(line).ok())
        .ok_or(HeaderError::Line)?;
    let header = read_line(line).ok_or(HeaderError::Line)?;
    Ok(Progress::Whole(header, end.saturating_add(1)))
}

/// What stands between `PROXY ` and the line's end. After `UNKNOWN` anything may (section 2.1).
fn read_line(line: &str) -> Option<Header> {
    let mut words = line.split(' ');
    let family = words.next()?;
    if family == "UNKNOWN" {
        return Some(Header::Own);
    }
    let (source, destination) = (words.next()?, words.next()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    if words.next().is_some() {
        return None;
    }
    let (source, destination) = match family {
        "TCP4" => both::<Ipv4Addr>(source, destination)?,
        "TCP6" => both::<Ipv6Addr>(source, destination)?,
        _ => return None,
    };
    Some(Header::Proxied {
        source: SocketAddr::new(source, source_port),
        destination: SocketAddr::new(destination, destination_port),
    })
}

fn both<A: FromStr + Into<IpAddr>>(source: &str, destination: &str) -> Option<(IpAddr, IpAddr)> {
    let source: A = source.parse().ok()?;
    let destination: A = destination.parse().ok()?;
    Some((
        source.into().to_canonical(),
        destination.into().to_canonical(),
    ))
}

/// A port by its digits alone: no sign and no leading zero.
fn port(digits: &str) -> Option<u16> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits == "0" || !digits.starts_with('0'));
    is_plain.then(|| digits.parse().ok()).flatten()
}

pub(super) fn write(pair: &Pair) -> String {
    match pair {
        Pair::Own => String::from("PROXY UNKNOWN\r\n"),
        Pair::V4(pair) => format!(
            "PROXY TCP4 {} {} {} {}\r\n",
            pair.source, pair.destination, pair.source_port, pair.destination_port
        ),
        Pair::V6(pair) => format!(
            "PROXY TCP6 {} {} {} {}\r\n",
            pair.source, pair.destination, pair.source_port, pair.destination_port
        ),
    }
}
