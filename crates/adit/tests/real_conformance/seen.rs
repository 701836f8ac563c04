//! What can be seen of a forward: where it listens, and whether visitors get through.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, ensure};

/// How long a visitor waits.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The addresses at which anybody of this machine listens on that port.
pub(crate) fn listeners(port: u16) -> BTreeSet<IpAddr> {
    let mut found = BTreeSet::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        let text = std::fs::read_to_string(table).unwrap_or_default();
        for line in text.lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (Some(local), _, Some(state)) = (words.next(), words.next(), words.next()) else {
                continue;
            };
            // TCP_LISTEN of include/net/tcp_states.h.
            if state != "0A" {
                continue;
            }
            let Some((address, hex)) = local.split_once(':') else {
                continue;
            };
            if u16::from_str_radix(hex, 16) == Ok(port) {
                found.extend(address_of(address));
            }
        }
    }
    found
}

/// An address as the kernel writes it: words of 32 bits in its own order.
fn address_of(hex: &str) -> Option<IpAddr> {
    let words = hex.as_bytes().chunks(8).map(|word| {
        let word = std::str::from_utf8(word).ok()?;
        u32::from_str_radix(word, 16).ok().map(u32::to_ne_bytes)
    });
    let words: Vec<[u8; 4]> = words.collect::<Option<_>>()?;
    let bytes = words.concat();
    match <[u8; 16]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
        Err(_) => <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|bytes| IpAddr::V4(Ipv4Addr::from(bytes))),
    }
}

/// Where a port is listened at, and that a visitor of each address is answered: `127.0.0.1 ::1`.
pub(crate) fn open_at(port: u16) -> anyhow::Result<String> {
    let found = listeners(port);
    ensure!(!found.is_empty(), "nobody listens at port {port}");
    let mut words = Vec::new();
    for address in found {
        let near = match address {
            IpAddr::V4(v4) if v4.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(v6) if v6.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            other => other,
        };
        visit(SocketAddr::new(near, port)).with_context(|| format!("a visitor of {address}"))?;
        words.push(address.to_string());
    }
    Ok(words.join(" "))
}

/// A visitor who sends something, ends, and gets it all back.
pub(crate) fn visit(addr: SocketAddr) -> anyhow::Result<()> {
    exchange(addr, 1_000)
}

/// The same with so many bytes.
pub(crate) fn exchange(addr: SocketAddr, size: usize) -> anyhow::Result<()> {
    let sent = payload(size);
    let mut visitor = TcpStream::connect_timeout(&addr, PATIENCE)?;
    visitor.set_read_timeout(Some(PATIENCE))?;
    visitor.set_write_timeout(Some(PATIENCE))?;
    let mut reader = visitor.try_clone()?;
    let got = std::thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let mut got = Vec::new();
            reader.read_to_end(&mut got).map(|_| got)
        });
        visitor.write_all(&sent)?;
        visitor.shutdown(Shutdown::Write)?;
        reading.join().expect("reading does not panic")
    })?;
    ensure!(got == sent, "{} of {size} bytes came back", got.len());
    Ok(())
}

/// Bytes that repeat late.
pub(crate) fn payload(size: usize) -> Vec<u8> {
    let numbers = (0_u32..).flat_map(|number| number.wrapping_mul(2_654_435_761).to_be_bytes());
    numbers.take(size).collect()
}

/// A visitor who is turned away: refused, or closed before any byte came.
pub(crate) fn is_turned_away(addr: SocketAddr) -> bool {
    let Ok(mut visitor) = TcpStream::connect_timeout(&addr, PATIENCE) else {
        return true;
    };
    drop(visitor.set_read_timeout(Some(PATIENCE)));
    drop(visitor.write_all(b"hello"));
    let mut byte = [0];
    !matches!(visitor.read(&mut byte), Ok(1))
}

/// An address of this machine's loopback.
pub(crate) fn local(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
