//! Who may reach what, in every spelling.

use adit_model::grant::TargetRule;
use adit_model::port::PortSet;

use super::*;
use crate::gateway::desk::HeldPort;

fn held(ports: &[u16], is_drawn: bool) -> Offered {
    let held = |port: &u16| HeldPort {
        port: *port,
        is_drawn,
    };
    Offered {
        ports: ports.iter().map(held).collect(),
        ..Offered::default()
    }
}

/// No port has a prefix that anybody has said.
fn free(policy: &Policy) -> Schemes<'_> {
    let device = Some(PrincipalId::new(1));
    Schemes { policy, device }
}

#[test]
fn a_reservations_prefix_of_any_length_says_what_a_port_stands_for_and_nothing_else_does() {
    let name: Name = "red001".parse().unwrap();
    let reserved = |id: i64, principal: i64, ports: &str, note: &str| Reservation {
        id,
        what: adit_model::lease::Reserved::Ports(ports.parse().unwrap()),
        principal: PrincipalId::new(principal),
        note: String::from(note),
    };
    let policy = Policy {
        reservations: vec![
            reserved(1, 1, "63306", "6 before 3306"),
            reserved(2, 1, "16443", "16 before 443: the panel"),
            reserved(3, 1, "40122", "40 before 122"),
            // Of ports without a prefix, and of somebody else's.
            reserved(4, 1, "50122", "fifty, before noon"),
            reserved(5, 2, "60122", "60 before 122"),
        ],
        ..Policy::default()
    };
    let lease = |port: u16, held_port: u16| {
        let schemes = free(&policy);
        lease_of(&name, port, held(&[held_port], false), schemes).is_ok()
    };
    assert!(lease(3_306, 63_306) && lease(443, 16_443) && lease(122, 40_122));
    // By three digits it would be another service, and another permission.
    assert!(!lease(22, 40_122) && !lease(43, 16_443) && !lease(6, 63_306));
    assert!(lease(22, 50_122) && !lease(122, 50_122));
    assert!(lease(22, 60_122) && !lease(122, 60_122));
}

#[test]
fn a_port_of_a_device_stands_for_itself_and_for_what_is_behind_its_prefix() {
    let (name, policy): (Name, _) = ("red001".parse().unwrap(), Policy::default());
    let ports = [40_122, 40_180, 50_180];
    for (port, found) in [
        (22, Some(40_122)),
        (40_122, Some(40_122)),
        (2, None),
        (122, None),
    ] {
        let lease = lease_of(&name, port, held(&ports, false), free(&policy));
        assert_eq!(lease.ok(), found.map(Holding::Port), "{port}");
    }
    let ambiguous = lease_of(&name, 80, held(&ports, false), free(&policy)).unwrap_err();
    assert!(
        matches!(ambiguous, NotOpened::Ambiguous { .. }),
        "{ambiguous}"
    );
    // A service that is held is that, whatever ports there are.
    let service = Holding::Service(name.clone(), 22);
    let offered = Offered {
        by_name: Some(service.clone()),
        ..held(&ports, false)
    };
    assert_eq!(
        lease_of(&name, 22, offered, free(&policy)).unwrap(),
        service
    );
    // Nor has a device that is not here any.
    let stranger = lease_of(&name, 22, Offered::default(), free(&policy)).unwrap_err();
    assert!(
        matches!(stranger, NotOpened::NotOffered { .. }),
        "{stranger}"
    );
}

#[test]
fn a_drawn_port_stands_for_nothing_but_itself() {
    let (name, policy): (Name, _) = ("red001".parse().unwrap(), Policy::default());
    let error = lease_of(&name, 22, held(&[10_022], true), free(&policy)).unwrap_err();
    assert!(matches!(error, NotOpened::NotOffered { .. }), "{error}");
    let itself = lease_of(&name, 10_022, held(&[10_022], true), free(&policy));
    assert_eq!(itself.unwrap(), Holding::Port(10_022));
}

/// Spellings of this machine, its link and nowhere; what a resolver or an old C library would take for one.
const INSIDE: [&str; 70] = [
    "127.0.0.1",
    "127.0.0.1.",
    "127.1",
    "127.0.1",
    "127.255.255.254",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0x7f.0x0.0x0.0x1",
    "0X7F.1",
    "017700000001",
    "0177.1",
    "0177.0.0.01",
    "00000177.0.0.1",
    "127.000.000.001",
    "0",
    "0.0.0.0",
    "0x0",
    "00",
    "0.1",
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "localhost.localdomain",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
    "::1",
    "[::1]",
    "0:0:0:0:0:0:0:1",
    "::0001",
    "::1%lo",
    "[::1%25lo]",
    "::",
    "[::]",
    "::ffff:127.0.0.1",
    "[::ffff:127.0.0.1]",
    "::ffff:7f00:1",
    "::127.0.0.1",
    "::7f00:1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    "169.254.169.254",
    "169.254.43518",
    "2852039166",
    "0xa9fea9fe",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    "240.0.0.1",
    "64:ff9b:1::127.0.0.1",
    "64:ff9b:1:ffff::a9fe:a9fe",
    "2001::1",
    "2001:0:7f00:1::80ff:fffe",
    "fd00:ec2::254",
    "100.100.100.200",
    "0x646464c8",
    "192.0.0.192",
    "168.63.129.16",
    "2002:a83f:8110::",
];

#[test]
fn g55_ssrf_table() {
    let everything = Grant {
        targets: vec![
            TargetRule::Name {
                name: None,
                ports: PortSet::all(),
            },
            TargetRule::Cidr {
                network: "0.0.0.0/0".parse().unwrap(),
                ports: PortSet::all(),
            },
            TargetRule::Cidr {
                network: "::/0".parse().unwrap(),
                ports: PortSet::all(),
            },
        ],
        ..Grant::default()
    };
    for text in INSIDE {
        assert!(text.parse::<Name>().is_err(), "{text} is a name");
        let addresses = match classify_host(text) {
            HostClass::Address(address) => vec![address],
            HostClass::Localhost => vec![
                std::net::Ipv4Addr::LOCALHOST.into(),
                std::net::Ipv6Addr::LOCALHOST.into(),
            ],
            HostClass::Name(name) => panic!("{text} would be looked up as {name}"),
            HostClass::Invalid => Vec::new(),
        };
        for address in addresses {
            let verdict = may_dial(&everything, SocketAddr::new(address, 80));
            assert!(verdict.is_err(), "{text} is {address} and may be dialled");
        }
    }
}

#[test]
fn an_address_of_this_machine_needs_a_rule_of_its_own() {
    let rule = |network: &str| Grant {
        targets: vec![TargetRule::Cidr {
            network: network.parse().unwrap(),
            ports: PortSet::one(80),
        }],
        ..Grant::default()
    };
    assert!(is_own(std::net::Ipv4Addr::LOCALHOST.into()));
    // TEST-NET-1 (RFC 5737) is nobody's own.
    assert!(!is_own("192.0.2.1".parse().unwrap()));
    let near: SocketAddr = "127.0.0.1:80".parse().unwrap();
    assert!(may_dial(&rule("127.0.0.1/32"), near).is_ok());
    assert!(may_dial(&rule("127.0.0.0/31"), near).is_err());
    let far: SocketAddr = "192.0.2.1:80".parse().unwrap();
    assert!(may_dial(&rule("192.0.2.0/24"), far).is_ok());
    assert!(may_dial(&rule("192.0.2.0/24"), "192.0.2.1:81".parse().unwrap()).is_err());
}

/// A machine without descriptors, memory or the right to ask dials none of its own addresses by mistake.
#[cfg(unix)]
#[test]
fn what_the_system_does_not_clearly_deny_is_our_own() {
    use rustix::io::Errno;

    let after = |errno: Errno| is_own_if(Err(io::Error::from(errno)));
    for errno in [Errno::ADDRNOTAVAIL, Errno::AFNOSUPPORT] {
        assert!(!after(errno), "{errno}");
    }
    for errno in [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOBUFS,
        Errno::NOMEM,
        Errno::ACCESS,
        Errno::PERM,
        Errno::ADDRINUSE,
        Errno::INVAL,
        Errno::INTR,
    ] {
        assert!(after(errno), "{errno}");
    }
    assert!(is_own_if(Ok(())));
    assert!(is_own_if(Err(io::ErrorKind::Other.into())));
}
