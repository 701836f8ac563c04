//! What one principal may carry and take up, with visitors.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use adit_testkit::{echo, require, wait};
use rustix::process::Signal;

use crate::gateway::{Gateway, visit};

/// Bytes of a month outlive the gateway: who has carried all that it may has nothing left after a restart, either.
#[test]
fn a_limit_of_a_month_is_one_over_a_restart() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let (port, service) = (gateway.port(0), echo::service());
    let key = gateway.user("alice", &port.to_string());
    // Less than four visits of five bytes, there and back.
    gateway.done(&["grant", "add", "alice", "--month", "40"]);
    gateway.start();
    let ssh = gateway.up(&key, port, service);
    visit(port).unwrap();
    drop(ssh);
    gateway.stop(Signal::TERM);
    gateway.start();
    let ssh = gateway.up(&key, port, service);
    assert_eq!(visit(port), None, "{}", gateway.stderr());
    drop(ssh);
}

/// A service that gives back each byte at once.
fn parrot() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        while let Ok((socket, _)) = listener.accept() {
            // A visitor that has left wants no answer.
            thread::spawn(move || drop(io::copy(&mut &socket, &mut &socket)));
        }
    });
    port
}

/// A visitor who has been served and stays, or nobody.
fn stays(port: u16) -> Option<TcpStream> {
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).ok()?;
    visitor.set_read_timeout(Some(wait::DEADLINE)).ok()?;
    visitor.write_all(b"a").ok()?;
    visitor.read_exact(&mut [0]).ok()?;
    Some(visitor)
}

/// With room for 16 visitors a key has a quarter of it, though one port could take all.
#[test]
fn one_key_takes_its_share_of_the_places_and_leaves_the_others_theirs() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    std::fs::write(gateway.config(), "caps:\n  visitors: 16\n").unwrap();
    let (ports, service) = ([gateway.port(0), gateway.port(1)], parrot());
    let keys = [("alice", ports[0]), ("bob", ports[1])]
        .map(|(name, port)| gateway.user(name, &port.to_string()));
    gateway.start();
    let _alice = gateway.up(&keys[0], ports[0], service);
    let _bob = gateway.up(&keys[1], ports[1], service);
    let mut hers: Vec<TcpStream> = (0..4)
        .map(|_| wait::until("a place is free", || stays(ports[0]).ok_or(())))
        .collect();
    assert!(stays(ports[0]).is_none(), "a fifth has no place");
    visit(ports[1]).unwrap();
    // One leaves, and makes room.
    hers.pop();
    wait::until("a place is free", || stays(ports[0]).ok_or(()));
    // What an operator gives is more than that.
    gateway.done(&["grant", "add", "alice", "--max-streams", "6"]);
    while hers.len() < 6 {
        let more = wait::until("a place is free", || stays(ports[0]).ok_or(()));
        hers.push(more);
    }
    assert!(stays(ports[0]).is_none(), "a seventh has no place");
}
