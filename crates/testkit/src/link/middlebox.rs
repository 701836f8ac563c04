//! What stands on a link and knows its TCP connections: pure.

use std::collections::HashSet;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Lets everything through until it forgets what it knows, as a firewall does that was started anew. From then on
/// it resets the connections whose beginning it has not seen.
#[derive(Debug, Default)]
pub(super) struct Middlebox {
    /// Connections that began since it forgot.
    known: Option<HashSet<[SocketAddrV4; 2]>>,
}

impl Middlebox {
    pub(super) fn forget(&mut self) {
        self.known = Some(HashSet::new());
    }

    /// What is sent back in the place of a packet that does not pass. All but TCP over IPv4 passes.
    pub(super) fn answer(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let known = self.known.as_mut()?;
        let segment = Segment::parse(packet)?;
        let mut ends = [segment.from, segment.to];
        ends.sort_unstable();
        if segment.flags & SYN != 0 {
            known.insert(ends);
        }
        if segment.flags & RST != 0 || known.contains(&ends) {
            return None;
        }
        Some(segment.reset())
    }
}

/// The head of a TCP segment (RFC 9293 section 3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Segment {
    from: SocketAddrV4,
    to: SocketAddrV4,
    sequence: [u8; 4],
    acknowledged: [u8; 4],
    flags: u8,
}

impl Segment {
    fn parse(packet: &[u8]) -> Option<Self> {
        let (ip, _) = packet.split_first_chunk::<IP_BYTES>()?;
        let [first, .., protocol, _, _] = ip.first_chunk::<12>()?;
        if first >> 4 != 4 || *protocol != TCP {
            return None;
        }
        let (_, addresses) = ip.split_last_chunk::<8>()?;
        let (from_ip, to_ip) = addresses.split_first_chunk::<4>()?;
        let tcp = packet.get(usize::from(first & 15) * 4..)?;
        let (from_port, tcp) = tcp.split_first_chunk()?;
        let (to_port, tcp) = tcp.split_first_chunk()?;
        let (sequence, tcp) = tcp.split_first_chunk()?;
        let (acknowledged, tcp) = tcp.split_first_chunk()?;
        let [_, flags] = tcp.first_chunk()?;
        let addr = |ip, port| SocketAddrV4::new(ip, u16::from_be_bytes(port));
        Some(Self {
            from: addr(Ipv4Addr::from(*from_ip), *from_port),
            to: addr(Ipv4Addr::from(*to_ip.first_chunk::<4>()?), *to_port),
            sequence: *sequence,
            acknowledged: *acknowledged,
            flags: *flags,
        })
    }

    /// The reset that its sender takes for the other end's: it begins exactly where the sender expects the next
    /// byte (RFC 5961 section 3).
    fn reset(self) -> Vec<u8> {
        let back = Self {
            from: self.to,
            to: self.from,
            sequence: self.acknowledged,
            acknowledged: [0; 4],
            flags: RST,
        };
        back.packet()
    }

    fn packet(self) -> Vec<u8> {
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(self.sequence);
        tcp.extend(self.acknowledged);
        // Five words long; no window, checksum or urgent data yet.
        tcp.extend([5 << 4, self.flags, 0, 0, 0, 0, 0, 0]);
        let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, TCP, 0, 0];
        let addresses = [self.from.ip().octets(), self.to.ip().octets()].concat();
        ip.extend(&addresses);
        // The pseudo-header: both addresses, the protocol and the length.
        let pseudo = [&addresses[..], &[0, TCP, 0, 20], &tcp].concat();
        tcp.splice(16..18, checksum(&pseudo));
        ip.splice(10..12, checksum(&ip.clone()));
        [ip, tcp].concat()
    }
}

/// RFC 1071, for an even number of bytes.
fn checksum(bytes: &[u8]) -> [u8; 2] {
    let (words, _) = bytes.as_chunks::<2>();
    let sum: u32 = words
        .iter()
        .map(|word| u32::from(u16::from_be_bytes(*word)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [_, _, high, low] = (!folded).to_be_bytes();
    [high, low]
}

const IP_BYTES: usize = 20;
const TCP: u8 = 6;
const SYN: u8 = 2;
const RST: u8 = 4;
#[cfg(test)]
const ACK: u8 = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(ports: [u16; 2], flags: u8) -> Segment {
        let [from, to] = ports.map(|port| SocketAddrV4::new(Ipv4Addr::new(10, 77, 0, 1), port));
        Segment {
            from,
            to,
            sequence: [1, 2, 3, 4],
            acknowledged: [5, 6, 7, 8],
            flags,
        }
    }

    #[test]
    fn only_what_was_there_before_is_reset_where_its_sender_expects_it() {
        let mut middlebox = Middlebox::default();
        let old = segment([1, 2], ACK).packet();
        assert_eq!(middlebox.answer(&old), None);
        middlebox.forget();
        let reset = middlebox.answer(&old).unwrap();
        let expected = Segment {
            sequence: [5, 6, 7, 8],
            acknowledged: [0; 4],
            ..segment([2, 1], RST)
        };
        assert_eq!(Segment::parse(&reset), Some(expected));
        assert_eq!(middlebox.answer(&reset), None, "it passes itself");
        for (ports, flags) in [([3, 4], SYN), ([4, 3], SYN | ACK), ([3, 4], ACK)] {
            assert_eq!(middlebox.answer(&segment(ports, flags).packet()), None);
        }
    }

    #[test]
    fn what_is_no_tcp_passes() {
        let mut middlebox = Middlebox::default();
        middlebox.forget();
        let whole = segment([1, 2], ACK).packet();
        for cut in [0, 1, 19, 20, 33] {
            assert_eq!(middlebox.answer(&whole[..cut]), None);
        }
        let mut udp = whole;
        udp[9] = 17;
        assert_eq!(middlebox.answer(&udp), None);
    }

    #[test]
    fn a_checksum_over_itself_is_zero() {
        let packet = segment([1, 2], ACK).packet();
        assert_eq!(checksum(&packet[..IP_BYTES]), [0, 0]);
    }
}
