//! A tunnel over a line that fails as lines in the field do, at a stock sshd. Nobody helps it; how long each took
//! is printed.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use adit_testkit::link::{End, Impairment};
use adit_testkit::namespace::Namespace;
use adit_testkit::{require, wait};

use self::lab::{Lab, Plan, now, print_time};

mod faults;
mod lab;
mod targets;
mod truth;
mod ways;

#[test]
fn after_a_dark_line_the_port_is_back_at_once_though_its_sshd_never_noticed() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0\nTCPKeepAlive no");
    lab.ups(1);
    lab.dark(Duration::from_secs(15));
    assert_eq!(lab.sshd.connection_count(), 1, "sshd has noticed nothing");
    let start = now();
    lab.link.restore();
    let took = lab.back("dark line", start);
    assert!(took < 3.0, "{took} s");
    let log = lab.sshd.log();
    let logins = log.matches("Accepted publickey").count();
    assert_eq!(logins, 2, "{log}");
    wait::until("the end of the old session", || {
        match lab.sshd.connection_count() {
            1 => Ok(()),
            other => Err(other),
        }
    });
}

#[test]
fn a_server_that_hangs_is_left_and_found_again_when_it_goes_on() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0");
    lab.ups(1);
    lab.sshd.freeze();
    lab.noticed();
    let start = now();
    lab.sshd.thaw();
    lab.back("hanging server", start);
}

#[test]
fn sessions_that_die_are_made_again_at_once() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0");
    lab.ups(1);
    let start = now();
    lab.sshd.kill_connections();
    lab.back("session killed", start);
}

/// Here only sshd's own patience frees the port: nothing that we send bears the old address any more.
#[test]
fn a_new_address_costs_what_the_sshd_needs_to_notice() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let mut lab = Lab::new("ClientAliveInterval 1\nClientAliveCountMax 2");
    lab.ups(1);
    let start = now();
    lab.link.change_address(End::Left);
    lab.back("new address", start);
}

#[test]
fn a_bad_line_is_slow_and_loses_nothing() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0");
    lab.ups(1);
    lab.link.set_both(Impairment {
        delay: Duration::from_millis(50),
        loss_per_million: 10_000,
        ..Impairment::default()
    });
    lab.visit(50_000);
    assert_eq!(lab.ups(1).len(), 1, "it never went down");
}

/// The commonest mistake of all: the forward was asked for at every address, granted, and bound at the loopback.
#[test]
fn a_port_that_others_cannot_reach_is_not_called_up() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let mut lab = Lab::with_bind("0.0.0.0:0", "GatewayPorts no");
    let stderr = lab.adit.wait_for_text("forward not up");
    assert!(stderr.contains("GatewayPorts in sshd_config"), "{stderr}");
    assert!(!stderr.contains("forward up"), "{stderr}");
    let lab = Lab::with_bind("0.0.0.0:0", "GatewayPorts clientspecified");
    lab.ups(1);
    // Where sshd lets nobody look from inside, it is looked at from outside.
    let lab = Lab::with_bind(
        "0.0.0.0:0",
        "GatewayPorts clientspecified\nAllowTcpForwarding remote",
    );
    lab.ups(1);
}
