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

use adit_testkit::require;

use crate::case::Case;
use crate::ground::Ground;

mod case;
mod cases;
mod client;
mod ground;
mod page;
mod python;
mod seen;

/// Runs a part of the table; fails with every case that failed.
fn run(cases: &[Case]) {
    require!("ssh", "sshd", "ssh-keygen", "autossh", "python3");
    if python::interpreter().is_none() {
        return;
    }
    let only = std::env::var("ADIT_CASE").unwrap_or_default();
    let (gateway, sshd) = (Ground::gateway(), Ground::sshd());
    let failures: Vec<String> = cases
        .iter()
        .filter(|case| case.name.contains(&only))
        .filter_map(|case| case.failure(&gateway, &sshd))
        .collect();
    python::stop();
    let count = cases.len();
    assert!(
        failures.is_empty(),
        "{} of {count} cases failed:\n{}\n",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn forwards_listen_where_they_were_asked_to() {
    run(&cases::binds::cases());
}

#[test]
fn forwards_are_asked_for_again_and_taken_back() {
    run(&cases::forwards::cases());
}

#[test]
fn clients_open_what_their_keys_allow() {
    run(&cases::opens::cases());
}

#[test]
fn every_byte_arrives() {
    run(&cases::data::cases());
}

#[test]
fn nothing_is_run_for_anybody() {
    run(&cases::sessions::cases());
}

#[test]
fn those_are_let_in_who_may() {
    run(&cases::logins::cases());
}

#[test]
fn a_key_listens_where_its_line_says() {
    run(&cases::grants::cases());
}

#[test]
fn every_algorithm_of_both_works() {
    run(&cases::algorithms::cases());
}

#[test]
fn a_client_that_comes_again_has_its_port() {
    run(&cases::takeover::cases());
}

#[test]
fn silence_is_told_from_death() {
    run(&cases::alive::cases());
}
