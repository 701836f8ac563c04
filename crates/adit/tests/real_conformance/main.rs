//! Stock clients at `adit serve` and at sshd: the same cases at both, and every difference with its reason.
//!
//! A [case](case) does one thing with one client and says in words what it saw. What is seen at the gateway and at a
//! private sshd is declared in the case; a difference without a reason cannot be declared. The table is printed as
//! `docs/reference/conformance.md`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::too_many_lines,
    clippy::items_after_statements,
    clippy::unnecessary_wraps,
    clippy::wildcard_enum_match_arm,
    clippy::disallowed_methods,
    reason = "tests: a table, whose cases all have one form, and which measures real time"
)]

use std::sync::Mutex;
use std::thread;

use adit_testkit::{real, require};

use crate::case::Case;
use crate::ground::Ground;

mod case;
mod cases;
mod client;
mod ground;
mod page;
mod python;
mod rsshd;
mod seen;

/// Runs a part of the table; fails with every case that failed.
fn run(cases: Vec<Case>) {
    run_at_once(cases, AT_ONCE);
}

fn run_at_once(cases: Vec<Case>, at_once: usize) {
    require!("ssh", "sshd", "ssh-keygen", "autossh", "python3");
    if !ground::newer("ssh").is_file() {
        return real::skip("OpenSSH 10.0 is not there: cargo xtask test setup");
    }
    if python::interpreter().is_none() {
        return;
    }
    let only = std::env::var("ADIT_CASE").unwrap_or_default();
    let cases = cases::by_both(cases).into_iter();
    let (alone, together): (Vec<Case>, Vec<Case>) = cases
        .filter(|case| case.name.contains(&only))
        .partition(|case| case.is_alone);
    let (gateway, sshd) = thread::scope(|scope| {
        let sshd = scope.spawn(Ground::sshd);
        (Ground::gateway(), sshd.join().expect("sshd starts"))
    });
    let (count, failures) = (alone.len() + together.len(), Mutex::new(Vec::new()));
    let do_all = |cases: Vec<Case>, at_once: usize| {
        let left = Mutex::new(cases.into_iter());
        let next = || left.lock().expect("nobody panics with it").next();
        let work = || {
            while let Some(case) = next() {
                let failure = case.failure(&gateway, &sshd);
                failures
                    .lock()
                    .expect("nobody panics with it")
                    .extend(failure);
            }
        };
        thread::scope(|scope| {
            for _ in 0..at_once {
                scope.spawn(work);
            }
        });
    };
    do_all(together, at_once);
    do_all(alone, 1);
    python::stop();
    let failures = failures.into_inner().expect("nobody panicked with it");
    assert!(
        failures.is_empty(),
        "{} of {count} cases failed:\n{}\n",
        failures.len(),
        failures.join("\n")
    );
}

/// Cases at a time: they wait for processes, each other's ends and timers more than they compute.
const AT_ONCE: usize = 3;

#[test]
fn forwards_listen_where_they_were_asked_to() {
    run(cases::binds::cases());
}

#[test]
fn forwards_are_asked_for_again_and_taken_back() {
    run(cases::forwards::cases());
}

#[test]
fn ssh_goes_to_the_background_when_its_forwards_are_there() {
    run(cases::background::cases());
}

#[test]
fn forwards_come_and_go_on_a_connection_that_lives() {
    run(cases::master::cases());
}

#[test]
fn sockets_are_forwarded_in_a_folder_of_their_own() {
    run(cases::sockets::cases());
}

#[test]
fn devices_are_reached_by_their_names() {
    run(cases::names::cases());
}

#[test]
fn clients_open_what_their_keys_allow() {
    run(cases::opens::cases());
}

#[test]
fn every_byte_arrives() {
    // One after the other. Three at a time, 5 runs of 14 had one case whose visitor was refused, reset or answered by
    // somebody else, each time another, with stock programs at both ends, too; one at a time, none of 7 (2026-11-23).
    // Why is not known.
    run_at_once(cases::data::cases(), 1);
}

#[test]
fn nothing_is_run_for_anybody() {
    run(cases::sessions::cases());
}

#[test]
fn those_are_let_in_who_may() {
    run(cases::logins::cases());
}

#[test]
fn a_key_listens_where_its_line_says() {
    run(cases::grants::cases());
}

#[test]
fn every_algorithm_of_both_works() {
    run(cases::algorithms::cases());
}

#[test]
fn a_client_that_comes_again_has_its_port() {
    run(cases::takeover::cases());
}

#[test]
fn silence_is_told_from_death() {
    run(cases::alive::cases());
}
