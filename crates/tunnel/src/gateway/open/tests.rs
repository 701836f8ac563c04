//! Who may reach what, in every spelling.

use std::collections::HashMap;
use std::sync::Arc;

use adit_model::address::Scope;
use adit_model::grant::TargetRule;
use adit_model::id::{Epoch, LeaseId};
use adit_model::port::PortSet;
use jiff::Timestamp;

use super::*;
use crate::gateway::desk::RowState;
use crate::gateway::policy::Principal;

const DEVICE: PrincipalId = PrincipalId::new(7);

fn row(holding: Holding) -> LeaseRow {
    LeaseRow {
        id: LeaseId::new(1),
        holding,
        scope: Scope::Loopback,
        addresses: Vec::new(),
        principal: DEVICE,
        name: None,
        epoch: Epoch::new(1),
        since: Timestamp::UNIX_EPOCH,
        state: RowState::Grace {
            until: Timestamp::UNIX_EPOCH,
        },
        waiting: 0,
    }
}

fn with_device(name: &str) -> Policy {
    let principal = Principal {
        id: DEVICE,
        name: name.to_owned(),
        kind: Kind::Device,
        grant: Grant::default(),
    };
    Policy {
        principals: HashMap::from([(DEVICE, Arc::new(principal))]),
        ..Policy::default()
    }
}

#[test]
fn a_port_of_a_device_stands_for_itself_and_for_what_is_behind_its_prefix() {
    let policy = with_device("Red001");
    let name: Name = "red001".parse().unwrap();
    let rows: Vec<_> = [40_122, 40_180, 50_180]
        .map(|port| row(Holding::Port(port)))
        .into();
    for (port, held) in [
        (22, Some(40_122)),
        (40_122, Some(40_122)),
        (2, None),
        (122, None),
    ] {
        let found = lease_of(&policy, &name, port, &rows);
        assert_eq!(found.ok(), held.map(Holding::Port), "{port}");
    }
    let ambiguous = lease_of(&policy, &name, 80, &rows).unwrap_err();
    assert!(
        matches!(ambiguous, NotOpened::Ambiguous { .. }),
        "{ambiguous}"
    );
    // A name that is held is that, whatever ports there are.
    let held = Holding::Name(name.clone());
    let rows = [row(Holding::Port(40_122)), row(held.clone())];
    assert_eq!(lease_of(&policy, &name, 22, &rows).unwrap(), held);
    // Another device's ports are none of its own.
    let stranger = lease_of(&Policy::default(), &name, 22, &rows[..1]).unwrap_err();
    assert!(
        matches!(stranger, NotOpened::NotOffered { .. }),
        "{stranger}"
    );
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
