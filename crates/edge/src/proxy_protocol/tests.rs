use adit_model::lease::Holding;
use proptest::prelude::*;

use super::*;

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    bytes.extend([command, family]);
    bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    bytes.extend(rest);
    bytes
}

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

const IPV4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 1, 0xdc, 0x04, 0x01, 0xbb];

#[test]
fn headers_of_both_versions_say_who_the_visitor_is() {
    let of_v4 = proxied("192.0.2.1:56324", "198.51.100.1:443");
    let with_values = [IPV4, &[3, 0, 4, 1, 2, 3, 4]].concat();
    let ipv6: Vec<u8> = [
        [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2],
    ]
    .concat()
    .into_iter()
    .chain([0, 1, 0, 2])
    .collect();
    let unknown = format!("PROXY UNKNOWN {}\r\n", "f".repeat(107 - 16));
    let cases: Vec<(Vec<u8>, Header)> = vec![
        (
            b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n".to_vec(),
            of_v4,
        ),
        (
            b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(),
            proxied("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ),
        (
            b"PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.1 56324 443\r\n".to_vec(),
            of_v4,
        ),
        (
            b"PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n".to_vec(),
            proxied("255.255.255.255:0", "0.0.0.0:65535"),
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), Header::Own),
        (
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
            Header::Own,
        ),
        (unknown.into_bytes(), Header::Own),
        (v2(0x21, 0x11, IPV4), of_v4),
        (v2(0x21, 0x11, &with_values), of_v4),
        (
            v2(0x21, 0x21, &ipv6),
            proxied("[2001:db8::1]:1", "[2001:db8::2]:2"),
        ),
        (v2(0x21, 0x00, &[]), Header::Own),
        (v2(0x21, 0x00, &[4, 0, 0]), Header::Own),
        (v2(0x21, 0x31, &[b'/'; 216]), Header::Own),
        (v2(0x20, 0x00, &[]), Header::Own),
        // What a balancer says of itself counts for nothing, whatever its family.
        (v2(0x20, 0x11, IPV4), Header::Own),
        (v2(0x20, 0xff, &[1, 2, 3]), Header::Own),
        (v2(0x21, 0x00, &[0; BLOCK_LENGTH - 16]), Header::Own),
    ];
    for (bytes, header) in cases {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(
            read(&bytes),
            Ok(Progress::Whole(header, bytes.len())),
            "{text}"
        );
        let followed = [&bytes[..], b"\r\n\r\nPROXY "].concat();
        assert_eq!(
            read(&followed),
            Ok(Progress::Whole(header, bytes.len())),
            "{text}"
        );
        for cut in 0..bytes.len() {
            assert_eq!(
                read(&bytes[..cut]),
                Ok(Progress::Partial),
                "{cut} of {text}"
            );
        }
    }
}

#[test]
fn what_is_no_header_is_refused_before_it_ends() {
    let long = [b"PROXY UNKNOWN ".to_vec(), vec![b'f'; 200]].concat();
    let cases: Vec<(Vec<u8>, HeaderError)> = vec![
        (b"GET / HTTP/1.1\r\n".to_vec(), HeaderError::Signature),
        (b"P\n".to_vec(), HeaderError::Signature),
        (
            b"PROXYTCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            HeaderError::Signature,
        ),
        (
            b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            HeaderError::Signature,
        ),
        (b"\r\n\r\n\0\r\nQUIT\r".to_vec(), HeaderError::Signature),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 \r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4 1.1.1.1 1.1.1.1  1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP4 01.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (b"PROXY TCP4 ::1 ::1 1 1\r\n".to_vec(), HeaderError::Line),
        (
            b"PROXY TCP6 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (
            b"PROXY UDP4 1.1.1.1 1.1.1.1 1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (b"PROXY UNKNOWNS\r\n".to_vec(), HeaderError::Line),
        (b"PROXY \r\n".to_vec(), HeaderError::Line),
        (
            b"PROXY TCP4 1.1.1.1\r1.1.1.1 1 1\r\n".to_vec(),
            HeaderError::Line,
        ),
        (long, HeaderError::Length),
        (v2(0x11, 0x11, IPV4), HeaderError::Block),
        (v2(0x22, 0x11, IPV4), HeaderError::Block),
        (v2(0x21, 0x41, IPV4), HeaderError::Block),
        (v2(0x21, 0x13, IPV4), HeaderError::Block),
        (v2(0x21, 0x12, IPV4), HeaderError::Datagram),
        (v2(0x21, 0x11, &IPV4[..11]), HeaderError::Block),
        (v2(0x21, 0x21, IPV4), HeaderError::Block),
        (v2(0x21, 0x31, &[0; 215]), HeaderError::Block),
        (v2(0x21, 0x00, &[0; BLOCK_LENGTH - 15]), HeaderError::Length),
        (v2(0x20, 0x00, &[0; 65_535]), HeaderError::Length),
    ];
    for (bytes, error) in cases {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(read(&bytes), Err(error), "{text}");
        // Once refused, it stays refused, and before that nothing is taken for a header.
        let verdicts: Vec<_> = (0..=bytes.len().min(600))
            .map(|cut| read(&bytes[..cut.min(bytes.len())]))
            .collect();
        let first = verdicts.iter().position(Result::is_err).unwrap();
        assert!(
            verdicts[..first]
                .iter()
                .all(|it| *it == Ok(Progress::Partial)),
            "{text}"
        );
        assert!(verdicts[first..].iter().all(Result::is_err), "{text}");
    }
}

fn visitor(origin: Endpoint, listener: Endpoint) -> Visitor {
    Visitor {
        holding: Holding::Port(1),
        origin,
        listener,
        via: None,
    }
}

#[test]
fn a_visitor_of_a_unix_socket_is_announced_without_addresses() {
    let unix = visitor(Endpoint::Unix, Endpoint::Unix);
    assert_eq!(write(Version::V1, &unix), b"PROXY UNKNOWN\r\n");
    assert_eq!(write(Version::V2, &unix), v2(0x20, 0, &[]));
}

#[test]
fn addresses_of_two_families_are_announced_in_one() {
    let origin = Endpoint::Tcp("192.0.2.1:1".parse().unwrap());
    let listener = Endpoint::Tcp("[2001:db8::1]:2".parse().unwrap());
    assert_eq!(
        write(Version::V1, &visitor(origin, listener)),
        b"PROXY TCP6 ::ffff:192.0.2.1 2001:db8::1 1 2\r\n"
    );
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (any::<[u8; 4]>(), any::<u16>()).prop_map(SocketAddr::from),
        (any::<[u8; 16]>(), any::<u16>()).prop_map(SocketAddr::from),
    ]
}

proptest! {
    #[test]
    fn a_header_reads_back_as_it_was_written(source in any_address(), destination in any_address()) {
        let (source, destination) = (Endpoint::tcp(source), Endpoint::tcp(destination));
        let visitor = visitor(source, destination);
        for version in [Version::V1, Version::V2] {
            let bytes = write(version, &visitor);
            let Ok(Progress::Whole(Header::Proxied { source: read_source, destination: read_destination }, length)) = read(&bytes) else {
                panic!("{version}: {bytes:?}");
            };
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!(Endpoint::Tcp(read_source), source);
            prop_assert_eq!(Endpoint::Tcp(read_destination), destination);
        }
    }

    #[test]
    fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), version: bool) {
        let prefix: &[u8] = if version { b"\r\n\r\n\0\r\nQUIT\n\x21" } else { b"PROXY " };
        read(&[prefix, &bytes].concat()).ok();
        read(&bytes).ok();
    }
}

#[test]
fn a_listener_for_balancers_lists_some() {
    assert_eq!(Balancers::new(Vec::new()), Err(NoBalancers));
    let some = Balancers::new(vec!["192.0.2.0/24".parse().unwrap()]).unwrap();
    assert!(some.contain(Endpoint::Tcp("[::ffff:192.0.2.9]:1".parse().unwrap())));
    assert!(!some.contain(Endpoint::Tcp("198.51.100.1:1".parse().unwrap())));
    assert!(!some.contain(Endpoint::Unix));
}
