//! Crowds who come to the ssh port and say nothing, or too little, or never finish coming.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use adit_testkit::link::{Direction, End, Link};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::require;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::lab::{Gateway, Machine, Plan, forward, hello, now, print};

const PORT: u16 = 10_001;
const SSH_PORT: u16 = 2_222;
/// Where crowds of many addresses come from: 512 networks (RFC 2544's, for benchmarks).
const CROWD: &str = "198.18.0.0/15";

/// This process may have as many descriptors as it can.
fn take_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

/// How long an owner takes from the start of its ssh to its visitor's answer.
fn log_in(gateway: &Gateway, owner: &Machine) -> (Process, Duration) {
    let start = now();
    let ssh = Process::spawn(&mut gateway.ssh(owner, 0, &["-R", &forward(PORT)]));
    gateway.answers(PORT, &hello("box"));
    (ssh, start.elapsed())
}

fn one_owner<'a>() -> Plan<'a> {
    Plan {
        owners: 1,
        ..Plan::default()
    }
}

/// Two thousand connections from one network, each of which has said `words`; and how long an owner from
/// elsewhere takes to log in beside them.
fn log_in_beside(words: &[u8]) -> Duration {
    take_descriptors();
    let public = Namespace::new();
    let owner = Machine::new(&public, "box");
    let strangers = Namespace::new();
    let cable = strangers.join(&public);
    let gateway = Gateway::start(&public, &one_owner());
    let addr = SocketAddr::from((cable.v4(2), SSH_PORT));
    let crowd: Vec<TcpStream> = strangers.enter(|| {
        (0..2_000)
            .map(|_| {
                let mut stranger = TcpStream::connect(addr).unwrap();
                // Who is closed at once may be so before its words are out.
                drop(stranger.write_all(words));
                stranger
            })
            .collect()
    });
    let (_ssh, took) = log_in(&gateway, &owner);
    drop(crowd);
    took
}

/// Two thousand addresses of many networks knock, over a line that brings the gateway's answers back or does
/// not; and how long an owner takes who was logged in before, is cut and comes back.
fn come_back_beside_many_networks(answers_arrive: bool) -> Duration {
    take_descriptors();
    let public = Namespace::new();
    let owner = Machine::new(&public, "box");
    let strangers = Namespace::new();
    let line = Link::new(&strangers, &public, 1);
    strangers.ip(&["route", "add", "local", CROWD, "dev", "lo"]);
    let via = line.v4(End::Left).to_string();
    public.ip(&["route", "add", CROWD, "via", &via]);
    if !answers_arrive {
        line.blackout(Direction::RightToLeft);
    }
    let gateway = Gateway::start(&public, &one_owner());
    let (mut ssh, _) = log_in(&gateway, &owner);
    ssh.kill();
    let to = SocketAddrV4::new(line.v4(End::Right), SSH_PORT);
    let crowd: Vec<OwnedFd> =
        strangers.enter(|| (0..2_000).map(|number| knock(number, to)).collect());
    let (_ssh, took) = log_in(&gateway, &owner);
    drop(crowd);
    took
}

/// Asks for a connection from an address of its own, and waits for nothing.
fn knock(number: u32, to: SocketAddrV4) -> OwnedFd {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None).unwrap();
    // Four at most of one network of 256.
    let first = Ipv4Addr::new(198, 18, 0, 1).to_bits();
    let from = Ipv4Addr::from_bits(first + (number % 512) * 256 + number / 512);
    bind(&socket, &SocketAddrV4::new(from, 0)).unwrap();
    assert_eq!(connect(&socket, &to), Err(Errno::INPROGRESS));
    socket
}

fn report(what: &str, took: Duration) {
    print(&format!(
        "beside 2,000 connections {what}: a visitor is answered {:.2} s after ssh started",
        took.as_secs_f64()
    ));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn an_owner_logs_in_beside_two_thousand_who_say_nothing() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    report("that say nothing", log_in_beside(b""));
}

#[test]
fn an_owner_logs_in_beside_two_thousand_who_stop_in_the_middle() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    report(
        "that stop in the middle",
        log_in_beside(b"SSH-2.0-slow\r\n\0\0\x04"),
    );
}

#[test]
fn an_owner_comes_back_beside_two_thousand_of_many_networks_who_say_nothing() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    let took = come_back_beside_many_networks(true);
    report("of 512 networks that say nothing", took);
}

#[test]
fn an_owner_comes_back_beside_two_thousand_half_open_connections() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    let took = come_back_beside_many_networks(false);
    report("that are half open", took);
}
