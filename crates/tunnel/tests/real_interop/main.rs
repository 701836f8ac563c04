//! Our client and our server with everybody else's: every algorithm and login that both ends know,
//! one varied at a time around the default of the pair.
//!
//! The tests here are the part of the table that fits CI. `cargo xtask interop` runs all of it and
//! writes `docs/reference/interop.md`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests"
)]

mod audit;
mod cell;
mod disguise;
mod exchange;
mod keys;
mod ours;
mod peer;
mod probe;
mod table;
mod terms;
mod whole;

use adit_ssh::negotiate::Preferences;
use adit_testkit::require;

use crate::keys::Keys;
use crate::peer::dropbear::{DropbearClient, DropbearServer};
use crate::peer::openssh::OpenSsh;
use crate::peer::putty::Plink;
use crate::table::{Extent, Outcome, assert_good, at_ours, at_server};

/// What fits CI.
const CI: Extent = Extent { random: 3, seed: 1 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_agrees_with_sshd_on_everything_that_both_know() {
    require!("ssh", "sshd", "ssh-keygen", "openssl");
    let keys = Keys::generate();
    let mut server = OpenSsh::installed().unwrap().server(&keys);
    assert_good(&at_server(&keys, &mut server, CI).await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ssh_agrees_with_our_server_on_everything_that_both_know() {
    require!("ssh", "ssh-keygen");
    let keys = Keys::generate();
    let client = OpenSsh::installed().unwrap().client(&keys);
    assert_good(&at_ours(&keys, &client, CI).await, 40);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_client_agrees_with_dropbear_on_everything_that_both_know() {
    require!(root);
    require!(
        "dropbear",
        "dropbearconvert",
        "ssh-keygen",
        "openssl",
        "unshare"
    );
    let keys = Keys::generate();
    let mut server = DropbearServer::installed(&keys).unwrap();
    assert_good(&at_server(&keys, &mut server, CI).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropbear_agrees_with_our_server_on_everything_that_both_know() {
    require!("dbclient", "dropbearconvert", "ssh-keygen");
    let keys = Keys::generate();
    let client = DropbearClient::installed(&keys).unwrap();
    assert_good(&at_ours(&keys, &client, CI).await, 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn putty_agrees_with_our_server_on_everything_that_both_know() {
    require!("plink", "puttygen", "ssh-keygen");
    let keys = Keys::generate();
    let client = Plink::installed(&keys).unwrap();
    assert_good(&at_ours(&keys, &client, CI).await, 30);
}

/// Everything with everybody: for `cargo xtask interop`, which has made the peers ready and reads
/// the lines that this writes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes many minutes and needs what `cargo xtask interop` makes ready"]
async fn the_whole_table() {
    let only = std::env::var("ADIT_INTEROP_ONLY").unwrap_or_default();
    let seed = std::env::var("ADIT_INTEROP_SEED").ok();
    let extent = Extent {
        random: 12,
        seed: seed.map_or(1, |seed| {
            seed.parse().expect("ADIT_INTEROP_SEED is a number")
        }),
    };
    let outcomes = whole::run(&whole::folder(), &only, extent).await;
    assert!(!outcomes.is_empty(), "no pair called {only:?}");
    let mut lines = whole::rows();
    lines.extend(outcomes.iter().map(Outcome::line));
    let file = whole::folder().join("outcomes.tsv");
    std::fs::write(file, lines.join("\n") + "\n").unwrap();
}

#[tokio::test]
async fn ssh_audit_finds_no_fault_with_our_server() {
    require!("python3", "ssh-keygen");
    let Some(program) = audit::program().await else {
        return;
    };
    let host_keys = audit::host_keys(&Keys::generate());
    let said = audit::report(&program, &host_keys, |preferences| preferences).await;
    audit::assert_lines(&said, include_str!("audit/default.txt"));
    // The one thing that it has against the default.
    let mut warnings = said.lines().filter(|line| line.contains("[warn]"));
    assert!(warnings.all(|line| {
        line.starts_with("(kex) curve25519-") && line.ends_with("post-quantum attacks")
    }));
    let said = audit::report(&program, &host_keys, Preferences::pq_only).await;
    audit::assert_lines(&said, include_str!("audit/pq-only.txt"));
    for report in [include_str!("audit/default.txt"), &said] {
        assert!(!report.contains("[fail]"));
    }
    assert!(!said.contains("[warn]"));
}
