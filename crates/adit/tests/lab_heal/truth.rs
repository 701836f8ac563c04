//! What is called up is up, whatever the system says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use super::*;

/// E5 and AT33: a stock sshd says yes though it has bound one of two addresses.
#[test]
fn a_port_that_is_half_somebody_elses_is_told() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    for (foreign, words) in [
        (
            "127.0.0.1:422",
            "forward not up, listener is owned by someone else",
        ),
        (
            "[::1]:422",
            "forward not up, up over IPv4 alone: somebody else listens at ::1 there",
        ),
    ] {
        let lab = Lab::start(&Plan {
            bind: "localhost:422",
            foreign: &[foreign],
            ..Plan::default()
        });
        lab.said(words);
        assert!(lab.lines("forward up").is_empty(), "{}", lab.adit.stderr());
    }
}

#[test]
fn a_host_without_the_other_version_of_ip_is_no_alarm_and_is_told_once() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    for (lines, note) in [
        ("AddressFamily any", None),
        ("AddressFamily inet", Some("nobody listens at ::1 there")),
    ] {
        let lab = Lab::start(&Plan {
            bind: "localhost:422",
            sshd_lines: lines,
            ..Plan::default()
        });
        lab.ups(1);
        lab.visit(1_000);
        match note {
            Some(note) => assert_eq!(lab.said(note).matches(note).count(), 1),
            None => assert!(lab.lines("loopback addresses").is_empty()),
        }
        assert!(lab.lines("not up").is_empty(), "{}", lab.adit.stderr());
    }
}

/// AT12: whoever asks the system sees a port that listens, and a visitor gets as far as the kernel.
#[test]
fn a_frozen_session_is_not_called_up_though_its_port_listens() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let lab = Lab::start(&Plan::default());
    let addr = lab.ups(1).swap_remove(0);
    let start = now();
    lab.sshd.freeze();
    lab.noticed();
    let took = start.elapsed().as_secs_f64();
    print_time("frozen session: noticed", took);
    assert!(took < 3.5, "3 times the second of its keep-alive: {took} s");
    lab.public.enter(|| TcpStream::connect(addr).unwrap());
    lab.sshd.thaw();
}

/// AT14: somebody looked for the port in a list by its first digits.
#[test]
fn a_longer_number_is_another_port() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh", "ssh-keygen");
    let mut lab = Lab::start(&Plan {
        bind: "127.0.0.1:422",
        foreign: &["127.0.0.1:42280", "127.0.0.1:4220"],
        has_rival: true,
        ..Plan::default()
    });
    lab.said("server refused the forward");
    assert!(lab.lines("forward up").is_empty());
    drop(lab.rival.take());
    assert_eq!(lab.ups(1), ["127.0.0.1:422"]);
    lab.visit(1_000);
}

/// AT15: no program is run for any of it, here or there.
#[test]
fn it_needs_no_other_program_on_either_side() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let lab = Lab::start(&Plan {
        // Nothing could be run there, were it asked for.
        sshd_lines: "ClientAliveInterval 0\nForceCommand /nowhere/at/all",
        prefix: &["/usr/bin/env", "-i", "PATH=/nowhere"],
        ..Plan::default()
    });
    lab.visit(1_000);
    let start = now();
    lab.sshd.kill_connections();
    lab.back("session killed, no programs", start);
    let log = lab.sshd.log();
    for asked in [
        "ctype session",
        "Starting session",
        "server_input_channel_req",
    ] {
        assert!(!log.contains(asked), "{log}");
    }
}

/// G58: the sshd listens for everybody, though it was asked to for its own machine.
#[test]
fn a_proxy_that_the_sshd_shows_to_everybody_serves_nobody_from_elsewhere() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let lab = Lab::start(&Plan {
        bind: "localhost:1080",
        target: "",
        sshd_lines: "GatewayPorts yes",
        ..Plan::default()
    });
    lab.ups(1);
    let from_elsewhere = (lab.link.ip(End::Right), 1080);
    for (addr, is_served) in [
        (("::1".parse().unwrap(), 1080), true),
        (from_elsewhere, false),
    ] {
        let mut visitor = lab.public.enter(|| TcpStream::connect(addr).unwrap());
        visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        // SOCKS 5, without a password.
        let greeted = visitor.write_all(&[5, 1, 0]).and_then(|()| {
            let mut answer = [0; 2];
            visitor.read_exact(&mut answer)
        });
        assert_eq!(greeted.is_ok(), is_served, "{addr:?}: {greeted:?}");
    }
    lab.said("stranger was kept out");
}
