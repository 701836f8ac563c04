//! Two connections of one owner: the one that was fenced is never heard again, and two machines with one copied
//! key leave each other alone.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use rustix::process::Signal;

use crate::lab::{Gateway, Machine, Plan, Visitors, forward, hello, pass, print, serve};

const PORT: u16 = 10_001;

#[test]
fn late_bytes_of_a_stopped_ssh_never_reach_a_visitor_after_its_port_was_taken_over() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    let public = Namespace::new();
    let machine = Machine::new(&public, "new");
    let plan = Plan {
        owners: 1,
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    // A service that speaks when the test wants it to.
    let service = machine
        .namespace
        .enter(|| TcpListener::bind("127.0.0.1:9090").unwrap());
    let words = ["-R", &format!("*:{PORT}:127.0.0.1:9090")];
    let mut old = gateway.ssh(&machine, 0, &words);
    let old = Process::spawn(&mut old);
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, PORT));
    let mut visitor = wait::until("the first visitor is let in", || {
        gateway.namespace.enter(|| TcpStream::connect(addr))
    });
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    let (mut speaker, _) = service.accept().unwrap();
    speaker.write_all(b"early").unwrap();
    let mut early = [0; 5];
    visitor.read_exact(&mut early).unwrap();
    old.signal(Signal::STOP);
    speaker.write_all(b"late").unwrap();
    let words = ["-R", &forward(PORT)];
    let _new = Process::spawn(&mut gateway.looped(&machine, 0, &words));
    gateway.answers(PORT, &hello("new"));
    old.signal(Signal::CONT);
    // The old one's bytes go out now, and its visitor's stream has ended long before.
    let mut late = Vec::new();
    let end = visitor.read_to_end(&mut late);
    assert_eq!((early, late), (*b"early", Vec::new()), "{end:?}");
    let error = end.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    gateway.answers(PORT, &hello("new"));
}

/// Answers of one machine until another's are no change of machine; each other one is.
fn changes(answers: &[String]) -> usize {
    answers
        .windows(2)
        .filter(|pair| pair.first() != pair.last())
        .count()
}

fn compete(settings: &str) -> Vec<String> {
    let public = Namespace::new();
    let first = Machine::new(&public, "first");
    let second = Machine::new(&public, "second");
    let plan = Plan {
        owners: 1,
        settings,
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let words = ["-R", &forward(PORT)];
    let start = |machine: &Machine| Process::spawn(&mut gateway.looped(machine, 0, &words));
    let _first = start(&first);
    gateway.answers(PORT, &hello("first"));
    let visitors = Visitors::come(&gateway, PORT);
    let _second = start(&second);
    // Each would come back many times meanwhile.
    pass(Duration::from_secs(10));
    let visits = visitors.end();
    visits
        .into_iter()
        .filter_map(|visit| visit.answer.ok())
        .collect()
}

#[test]
fn two_machines_with_one_copied_key_do_not_flap() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    let answers = compete("");
    assert!(answers.len() > 20, "{answers:?}");
    assert!(
        answers.iter().all(|answer| *answer == hello("first")),
        "{answers:?}"
    );
}

#[test]
fn two_machines_that_take_from_each_other_are_stopped_after_a_few_times() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    let answers = compete("takeover: newest\n");
    let changes = changes(&answers);
    print(&format!(
        "takeover newest: {changes} changes in {} visits",
        answers.len()
    ));
    assert!(changes <= 4, "{answers:?}");
}

#[test]
fn a_port_goes_to_no_other_owner_while_its_own_is_away() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    let public = Namespace::new();
    let machine = Machine::new(&public, "box");
    let plan = Plan {
        owners: 2,
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let words = ["-R", &forward(PORT)];
    let mut holder = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
    holder.kill();
    serve(&machine.namespace, "127.0.0.1:9091", "thief");
    let other = ["-R", &format!("*:{PORT}:127.0.0.1:9091")];
    let mut thief = Process::spawn(&mut gateway.ssh(&machine, 1, &other));
    let status = thief.wait(wait::DEADLINE);
    assert!(!status.success(), "{}", thief.stderr());
    let _holder = Process::spawn(&mut gateway.ssh(&machine, 0, &words));
    gateway.answers(PORT, &hello("box"));
}
