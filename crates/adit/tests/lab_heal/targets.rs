//! Services behind the tunnel that go away, come back or were never there: the tunnel stays up, and says whose fault
//! it is.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use super::*;

/// A target that the test serves by hand, one visitor at a time.
const TARGET: &str = "127.0.0.1:8081";

/// The visitor whose turn it is gets an answer.
fn serve_one(listener: &TcpListener, visitor: &mut TcpStream) {
    let (mut served, _) = listener.accept().unwrap();
    served.write_all(b"here").unwrap();
    served.shutdown(Shutdown::Write).unwrap();
    let mut got = Vec::new();
    visitor.read_to_end(&mut got).unwrap();
    assert_eq!(got, b"here");
}

/// The visitor is sent away, whichever way the peer does that.
fn is_turned_away(mut visitor: TcpStream) {
    let mut got = Vec::new();
    if visitor.read_to_end(&mut got).is_ok() {
        assert!(got.is_empty(), "{got:?}");
    }
}

#[test]
fn a_target_that_is_started_anew_costs_those_who_come_meanwhile_and_nobody_else() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let lab = Lab::start(&Plan {
        target: TARGET,
        ..Plan::default()
    });
    for _ in 0..2 {
        let listener = lab.inside.enter(|| TcpListener::bind(TARGET).unwrap());
        serve_one(&listener, &mut lab.come());
        drop(listener);
        is_turned_away(lab.come());
    }
    lab.said("Connection refused");
    assert_eq!(lab.ups(1).len(), 1, "it never went down");
    assert_eq!(lab.logins(), 1);
}

/// AT35: names of targets are looked up for each visitor.
#[test]
fn a_target_that_has_a_new_address_is_found_by_its_name() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let lab = Lab::start(&Plan {
        target: "db.example:8081",
        hosts: "127.0.0.1 localhost\n127.0.0.5 db.example",
        ..Plan::default()
    });
    let old = lab
        .inside
        .enter(|| TcpListener::bind("127.0.0.5:8081").unwrap());
    serve_one(&old, &mut lab.come());
    drop(old);
    let new = lab
        .inside
        .enter(|| TcpListener::bind("127.0.0.6:8081").unwrap());
    lab.set_hosts("127.0.0.1 localhost\n127.0.0.6 db.example");
    serve_one(&new, &mut lab.come());
    assert_eq!(lab.ups(1).len(), 1);
}

/// AT13: what a person reads says where to look.
#[test]
fn whose_fault_it_is_stands_in_the_log() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let void = Namespace::new();
    let mut lab = Lab::start(&Plan {
        target: "db.example:8081",
        hosts: "127.0.0.1 localhost\n127.0.0.5 db.example",
        host_lines: "ConnectTimeout 3",
        ..Plan::default()
    });
    is_turned_away(lab.come());
    let refused = lab.said("visitor was turned away");
    assert!(refused.contains("Connection refused"), "{refused}");

    // An address where everything vanishes.
    let subnet = lab.inside.join(&void);
    let addr = subnet.v4(9).to_string();
    let cable = format!("veth{}", subnet.v4(9).octets()[2]);
    let nobody = ["lladdr", "02:00:00:00:00:09", "dev", &cable];
    lab.inside
        .ip(&[&["neigh", "add", &addr][..], &nobody].concat());
    lab.set_hosts(&format!("127.0.0.1 localhost\n{addr} db.example"));
    is_turned_away(lab.come());
    lab.said("no answer from db.example port 8081 within 10 s");

    // The gateway takes every packet and answers nothing.
    lab.sshd.freeze();
    lab.said("peer took too long to answer keep-alives");
    lab.sshd.thaw();
    lab.ups(2);

    // No packet reaches it.
    lab.link.blackout_both();
    let addr = lab.link.ip(End::Right);
    lab.said(&format!("no answer from {addr} port 22 within 3 s"));
    lab.link.restore();
    lab.ups(3);

    // The agent is gone: nothing of it listens any more.
    lab.adit.kill();
    wait::until("the end of its port", || {
        let addr = lab.ups(3).swap_remove(2);
        match lab.public.enter(|| TcpStream::connect(addr)) {
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}
