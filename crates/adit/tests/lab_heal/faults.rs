//! Servers that are started anew, firewalls that are, and names that lead elsewhere.

use super::*;

#[test]
fn a_server_that_is_started_anew_is_found_again() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let mut lab = Lab::start(&Plan::default());
    lab.ups(1);
    let start = now();
    lab.sshd.restart();
    let took = lab.back("sshd restarted", start);
    assert!(took < 5.0, "{took} s");
}

#[test]
fn a_reset_on_the_way_is_seen_at_once() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    // Its sshd hears of the reset when it asks itself.
    let lab = Lab::start(&Plan {
        sshd_lines: "ClientAliveInterval 1\nClientAliveCountMax 2",
        ..Plan::default()
    });
    lab.ups(1);
    let start = now();
    lab.link.forget_connections();
    let took = lab.back("reset on the way", start);
    assert!(took < 8.0, "{took} s");
    assert_eq!(lab.lines("connection was cut off").len(), 1);
}

/// The host moves, and its name with it: nothing else leads there.
#[test]
fn a_name_that_leads_elsewhere_is_followed() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    let mut lab = Lab::start(&Plan {
        host_name: Some("gw.example"),
        hosts: "127.0.0.1 localhost\nGATEWAY gw.example",
        sshd_lines: "ClientAliveInterval 1\nClientAliveCountMax 2",
        ..Plan::default()
    });
    lab.ups(1);
    lab.link.change_address(End::Right);
    lab.noticed();
    let start = now();
    let addr = lab.link.ip(End::Right);
    lab.set_hosts(&format!("127.0.0.1 localhost\n{addr} gw.example"));
    let took = lab.back("name leads elsewhere", start);
    // The attempt at the old address may have begun just before.
    assert!(took < 16.0, "{took} s");
}

/// AT32, without any help from the server: it holds the port for a session that is not ours.
#[test]
fn a_port_that_another_session_held_is_ours_when_it_is_free() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh", "ssh-keygen");
    let mut lab = Lab::start(&Plan {
        bind: "127.0.0.1:422",
        has_rival: true,
        ..Plan::default()
    });
    lab.said("server refused the forward");
    // A few questions later nothing has changed.
    wait::until("six questions", || {
        let log = lab.sshd.log();
        match log
            .matches("tcpip-forward listen 127.0.0.1 port 422")
            .count()
        {
            count if count > 6 => Ok(()),
            count => Err(count),
        }
    });
    assert!(lab.lines("forward up").is_empty());
    let start = now();
    drop(lab.rival.take());
    lab.ups(1);
    let took = start.elapsed().as_secs_f64();
    print_time("port of another session", took);
    assert!(took < 3.0, "{took} s");
    lab.visit(1_000);
    assert_eq!(
        lab.logins(),
        2,
        "its own and one of ours: {}",
        lab.sshd.log()
    );
    assert_eq!(lab.lines("server refused").len(), 1, "said once");
}

#[test]
#[ignore = "two minutes: cargo xtask soak dark"]
fn after_a_minute_of_darkness_the_port_is_back_at_once() {
    require!(root);
    require!("ip", "nsenter", "unshare", "sshd", "ssh-keygen");
    for has_hop in [false, true] {
        let lab = Lab::start(&Plan {
            has_hop,
            ..Plan::default()
        });
        lab.ups(1);
        lab.dark(Duration::from_secs(60));
        let start = now();
        lab.link.restore();
        let took = lab.back("a minute of darkness", start);
        assert!(took < 3.0, "{took} s");
    }
}
