//! What a file says, as a tunnel.

use adit_tunnel::agent::login::credentials::{AgentKeys, KeyChoice};
use adit_tunnel::agent::login::known_hosts::NewHosts;
use adit_tunnel::agent::supervise::KeepAlive;

use super::*;
use crate::expose::config::{probe_interval, tunnel};

/// The tunnel of a file with such a login, for somebody whose ssh-agent is there.
fn read(home: &Path, login: &str, more: &str) -> anyhow::Result<TunnelConfig> {
    read_of("gw.example.org", home, login, more)
}

fn read_of(host: &str, home: &Path, login: &str, more: &str) -> anyhow::Result<TunnelConfig> {
    let text = format!(
        "gateway:\n  type: ssh-tunnel\n  port: ['9834:8090', '0:[::1]:22', '80:192.0.2.1:3000']\n  \
         connection:\n    host: '{host}'\n    auth: {{username: me, {login}}}\n    {more}\n\
         workflow: {{title: t}}\n"
    );
    let compose = compose(&text);
    let ExposeConfig::Ssh(ssh) = &compose.exposes[0].value else {
        panic!("no SSH gateway");
    };
    let environment = Environment::of_process([(String::from("WORD"), String::from("w"))]);
    let surroundings = Surroundings::of_home(home, Some("/run/agent".into()));
    tunnel(ssh, &environment, &surroundings)
}

const KEY: &str = "type: keyfile, keyfile: ~/.ssh/id_rsa";

#[test]
fn every_address_is_asked_for_and_targets_are_as_written() {
    let home = home();
    let config = read(home.path(), KEY, "").unwrap();
    let forwards: Vec<String> = config.forwards.iter().map(ToString::to_string).collect();
    assert_eq!(
        forwards,
        [
            "*:9834 -> localhost:8090",
            "*:0 -> [::1]:22",
            "*:80 -> 192.0.2.1:3000",
        ]
    );
    assert_eq!(config.peer.peer.to_string(), "gw.example.org port 22 as me");
    assert_eq!(config.peer.keep_alive, KeepAlive::default());
}

#[test]
fn only_where_nobody_comes_by_ipv6_is_ipv4_alone_asked_for() {
    let home = home();
    for (host, first) in [
        ("gw.example.org", "*:9834 -> localhost:8090"),
        ("2001:db8::1", "*:9834 -> localhost:8090"),
        ("[::1]", "*:9834 -> localhost:8090"),
        ("192.0.2.7", "0.0.0.0:9834 -> localhost:8090"),
    ] {
        let config = read_of(host, home.path(), KEY, "").unwrap();
        assert_eq!(config.forwards[0].to_string(), first, "{host}");
    }
}

#[test]
fn a_login_offers_what_the_file_names_and_nothing_else() {
    let home = home();
    let agent = Some(Path::new("/run/agent"));
    let none: &[&str] = &[];
    for (login, keys, ssh_agent, agent_keys, passwords) in [
        (KEY, &[".ssh/id_rsa"][..], agent, AgentKeys::Named, 0),
        ("type: agent", none, agent, AgentKeys::All, 0),
        (
            "type: password, password: 'env:WORD'",
            none,
            None,
            AgentKeys::Named,
            1,
        ),
    ] {
        let login_config = read(home.path(), login, "").unwrap().peer.login;
        let keys: Vec<_> = keys.iter().map(|key| home.path().join(key)).collect();
        assert_eq!(login_config.keys, keys, "{login}");
        assert_eq!(login_config.choice, KeyChoice::Named, "{login}");
        assert_eq!(login_config.ssh_agent.as_deref(), ssh_agent, "{login}");
        assert_eq!(login_config.agent_keys, agent_keys, "{login}");
        assert_eq!(login_config.ask.passwords(), passwords, "{login}");
    }
}

#[test]
fn of_the_configuration_of_ssh_the_way_counts_and_nothing_that_the_file_names() {
    let home = home();
    std::fs::write(
        home.path().join(".ssh/config"),
        "Host gw.example.org\n HostName 192.0.2.7\n User other\n Port 2222\n IdentityFile ~/.ssh/other\n \
         ProxyJump bastion\n RemoteForward 1 localhost:1\n LocalForward 2 localhost:2\n \
         StrictHostKeyChecking yes\n",
    )
    .unwrap();
    let config = read(home.path(), KEY, "").unwrap();
    assert_eq!(config.peer.peer.to_string(), "192.0.2.7 port 22 as me");
    assert_eq!(config.forwards.len(), 3);
    assert_eq!(config.peer.login.keys, [home.path().join(".ssh/id_rsa")]);
    assert!(format!("{:?}", config.peer.way).contains("bastion"));
    assert_eq!(config.peer.host_keys.new_hosts, NewHosts::Refuse);
    let config = read(home.path(), KEY, "host_key: accept-new").unwrap();
    assert_eq!(config.peer.host_keys.new_hosts, NewHosts::Accept);
}

#[test]
fn a_new_host_is_met_by_key_and_not_by_password() {
    let home = home();
    let password = "type: password, password: 'env:WORD'";
    let pin = "host_key: SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
    for (login, more, new_hosts, pins) in [
        (KEY, "", NewHosts::Accept, 0),
        ("type: agent", "", NewHosts::Accept, 0),
        (password, "", NewHosts::Refuse, 0),
        (password, "host_key: accept-new", NewHosts::Accept, 0),
        (KEY, "host_key: strict", NewHosts::Refuse, 0),
        (password, pin, NewHosts::Refuse, 1),
    ] {
        let host_keys = read(home.path(), login, more).unwrap().peer.host_keys;
        assert_eq!(host_keys.new_hosts, new_hosts, "{login} {more}");
        assert_eq!(host_keys.pinned.len(), pins, "{login} {more}");
        assert_eq!(host_keys.files[0], home.path().join(".ssh/known_hosts"));
    }
    let own = read(home.path(), KEY, "known_hosts: ~/own").unwrap();
    assert_eq!(own.peer.host_keys.files, [home.path().join("own")]);
}

#[test]
fn a_secret_that_is_not_there_is_named_before_anything_is_connected() {
    let home = home();
    let error = read(home.path(), "type: password, password: 'env:NOTHING'", "").unwrap_err();
    assert_eq!(
        format!("{error:#}"),
        "password: variable NOTHING is not set"
    );
}

#[test]
fn times_are_those_of_the_file_within_what_keeps_a_tunnel_honest() {
    let home = home();
    for (more, seconds) in [
        ("keepalive_interval: 7s", 7),
        ("keepalive_interval: 0s", 10),
    ] {
        let keep_alive = read(home.path(), KEY, more).unwrap().peer.keep_alive;
        assert_eq!(
            (keep_alive.interval.as_secs(), keep_alive.misses),
            (seconds, 3)
        );
    }
    for (watch, probe) in [(0, 30), (5, 30), (600, 600)] {
        let interval = probe_interval(Duration::from_secs(watch));
        assert_eq!(interval.as_secs(), probe);
    }
}
