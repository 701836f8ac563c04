//! Crowds who come to the ssh port and say nothing, or too little.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::require;
use rustix::process::{Resource, getrlimit, setrlimit};

use crate::lab::{Gateway, Machine, Plan, forward, hello, now, print};

const PORT: u16 = 10_001;

/// Two thousand connections from one network, each of which has said `words`; and how long an owner from
/// elsewhere takes to log in beside them.
fn log_in_beside(words: &[u8]) -> Duration {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
    let public = Namespace::new();
    let owner = Machine::new(&public, "box");
    let strangers = Namespace::new();
    let cable = strangers.join(&public);
    let plan = Plan {
        owners: 1,
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let addr = SocketAddr::from((cable.v4(2), 2_222));
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
    let start = now();
    let words = ["-R", &forward(PORT)];
    let _ssh = Process::spawn(&mut gateway.ssh(&owner, 0, &words));
    gateway.answers(PORT, &hello("box"));
    let took = start.elapsed();
    drop(crowd);
    took
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
