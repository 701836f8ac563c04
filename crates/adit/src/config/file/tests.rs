//! Files, what they mean and what is wrong with them.

use std::time::Duration;

use adit_tunnel::agent::dial::{Family, Through};
use adit_tunnel::agent::probe;
use adit_tunnel::agent::supervise::KeepAlive;

use super::*;
use crate::cli::EnvironmentArguments;
use crate::compose;
use crate::config::spec::kind;

struct Lab {
    folder: tempfile::TempDir,
    surroundings: Surroundings,
}

impl Lab {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let surroundings = Surroundings {
            home: Some(folder.path().join("home")),
            user: Some(String::from("local")),
            ..Surroundings::default()
        };
        Self {
            folder,
            surroundings,
        }
    }

    fn read(&self, texts: &[&str]) -> anyhow::Result<Vec<Tunnel>> {
        let files = texts.iter().enumerate().map(|(number, text)| {
            let file = self.folder.path().join(format!("{number}.yml"));
            std::fs::write(&file, text).unwrap();
            file
        });
        let environment = EnvironmentArguments::default();
        let files: Vec<PathBuf> = files.collect();
        let loaded = compose::load(&files, &environment, &self.surroundings)?;
        Ok(loaded.tunnels)
    }

    /// What is wrong with a file, without its folder.
    fn problems(&self, text: &str) -> String {
        let Err(error) = self.read(&[text]) else {
            panic!("nothing is wrong with {text}")
        };
        let folder = format!("{}/", self.folder.path().display());
        let shown = format!("{error:#}").replace(&folder, "");
        let (_, problems) = shown.split_once('\n').unwrap();
        problems.trim_end().to_owned()
    }
}

#[test]
fn a_file_with_everything_means_what_it_says() {
    let lab = Lab::new();
    let text = "
tunnels:
  web:
    host: me@gw.example.org
    port: 2222
    key: [keys/one, ~/two]
    known_hosts: hosts
    ssh_config: none
    jump: [a, you@b:23]
    address_family: ipv6
    proxy: false
    keepalive: {interval: 60s, misses: 2}
    probe: 30m
    options:
      Ciphers: aes128-gcm@openssh.com
      ConnectTimeout: 5
    forwards:
      - remote: 8080:localhost:80
      - remote: \"1080\"
        permit: [web:443, 192.0.2.1:*]
      - local: 5432:db:5432
      - dynamic: 1081
";
    let tunnels = lab.read(&[text]).unwrap();
    let [tunnel] = tunnels.as_slice() else {
        panic!("one tunnel")
    };
    assert_eq!(tunnel.name, "web");
    assert_eq!(tunnel.probe, Duration::from_secs(1_800));
    let peer = &tunnel.config.peer;
    assert_eq!(peer.peer.to_string(), "gw.example.org port 2222 as me");
    let folder = lab.folder.path();
    assert_eq!(
        peer.login.keys,
        [folder.join("keys/one"), folder.join("home/two")]
    );
    assert_eq!(peer.host_keys.files, [folder.join("hosts")]);
    assert_eq!(peer.way.family, Family::V6);
    assert_eq!(peer.way.timeout, Duration::from_secs(5));
    let Through::Jump(last) = &peer.way.through else {
        panic!("it leads through nobody")
    };
    assert_eq!(last.peer.to_string(), "b port 23 as you");
    assert_eq!(last.keep_alive, KeepAlive::default());
    let keep_alive = KeepAlive {
        interval: Duration::from_secs(60),
        misses: 2,
    };
    assert_eq!(peer.keep_alive, keep_alive);
    let forwards = tunnel.config.forwards.iter();
    let shown: Vec<String> = forwards.map(|one| format!("{}{one}", kind(one))).collect();
    assert_eq!(
        shown,
        [
            "localhost:8080 -> localhost:80",
            "localhost:1080 -> SOCKS",
            "local localhost:5432 -> db:5432",
            "dynamic localhost:1081 -> SOCKS",
        ]
    );
}

#[test]
fn what_is_not_said_is_as_on_a_command_line() {
    let lab = Lab::new();
    let text = "tunnels: {a: {host: gw, ssh_config: none, forwards: [{remote: 0:a:1}]}}";
    let tunnels = lab.read(&[text]).unwrap();
    assert_eq!(tunnels[0].probe, probe::INTERVAL);
    let peer = &tunnels[0].config.peer;
    assert_eq!(peer.peer.to_string(), "gw port 22 as local");
    assert_eq!(peer.keep_alive, KeepAlive::default());
}

#[test]
fn a_later_file_counts_before_an_earlier_one_and_a_variable_is_a_value() {
    let lab = Lab::new();
    let base = "tunnels:\n  a: {host: gw, ssh_config: none, forwards: [{remote: 0:a:1}]}\n";
    let later = "tunnels: {a: {port: '${env.ADIT_TEST_UNSET | 2200}'}}";
    let tunnels = lab.read(&[base, later]).unwrap();
    let shown = tunnels[0].config.peer.peer.to_string();
    assert_eq!(shown, "gw port 2200 as local");
}

#[test]
fn targets_are_checked_by_their_ports_or_as_the_file_says() {
    let lab = Lab::new();
    let text = "
tunnels:
  a:
    host: gw
    ssh_config: none
    forwards:
      - remote: 0:a:80
      - remote: 0:a:81
      - remote: 0:a:22
        check: none
      - remote: 0:a:8080
        check: http:/health
      - local: 0:a:80
      - remote: 0:a:5433
        check: {kind: postgres, every: 10s}
      - remote: \"1080\"
        permit: a:80
";
    let tunnels = lab.read(&[text]).unwrap();
    let checks = tunnels[0].checks.iter();
    let shown: Vec<String> = checks
        .map(|one| format!("{} {} {} {:?}", one.number, one.kind, one.target, one.every))
        .collect();
    assert_eq!(
        shown,
        [
            "0 http a:80 60s",
            "3 http:/health a:8080 60s",
            "5 postgres a:5433 10s",
        ]
    );
    for wrong in [
        "check: htpp",
        "check: {every: 10s}",
        "check: {kind: tcp, every: 1}",
    ] {
        let text = format!(
            "tunnels: {{a: {{host: gw, ssh_config: none, forwards: [{{remote: 0:a:1, {wrong}}}]}}}}"
        );
        assert!(lab.problems(&text).starts_with("0.yml:1:"), "{wrong}");
    }
    let text = "tunnels: {a: {host: gw, ssh_config: none, forwards: [{dynamic: 1, check: tcp}]}}";
    let problems = lab.problems(text);
    assert!(
        problems.contains("for remote forwards with a target"),
        "{problems}"
    );
}

#[test]
fn two_forwards_at_one_place_are_found() {
    let lab = Lab::new();
    let tunnel = |name: &str, host: &str, forwards: &str| {
        format!("  {name}: {{host: {host}, ssh_config: none, forwards: [{forwards}]}}\n")
    };
    for (one, other, part) in [
        (
            ("a", "{local: '1:x:2'}"),
            ("b", "{dynamic: '1'}"),
            "0.yml:3:3: tunnels: b listens at localhost:1 here, as a does",
        ),
        (
            ("c", "{remote: '*:1:x:2'}"),
            ("c", "{remote: ':1:x:3'}"),
            "0.yml:3:3: tunnels: b listens at *:1 there, as a does",
        ),
        (
            ("a", "{local: '1:x:2'}, {local: '1:y:2'}"),
            ("b", "{dynamic: '2'}"),
            "0.yml:2:3: tunnels: a listens at localhost:1 here twice",
        ),
    ] {
        let text = [
            String::from("tunnels:\n"),
            tunnel("a", one.0, one.1),
            tunnel("b", other.0, other.1),
        ];
        assert_eq!(lab.problems(&text.concat()), part);
    }
    // Other servers, other listeners; and port 0 is another each time.
    let text = [
        String::from("tunnels:\n"),
        tunnel("a", "a", "{remote: '1:x:2'}, {local: '0:x:2'}"),
        tunnel(
            "b",
            "b",
            "{remote: '1:x:2'}, {local: '0:x:2'}, {local: '1:x:2'}",
        ),
    ];
    assert_eq!(lab.read(&[&text.concat()]).unwrap().len(), 2);
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_where() {
    let lab = Lab::new();
    let text = "tunnels:
  web:
    hots: gw
    port: http
    keepalive: 100ms
    forwards:
      - remote: 8080
        local: 1:a:2
      - remote: 99999:a:1
      - local: 1:a:2
        permit: a:1
  a/b:
    host: gw
    options: {Ciphers: 3des-cbc, Ciphres: x}
    forwards: [{dynamic: 1}]
tunels: {}
";
    let problems = lab.problems(text);
    for part in [
        "0.yml:3:5: web: unknown key \"hots\"",
        "did you mean \"host\"?",
        "0.yml:4:11: ",
        "a port from 1 to 65535",
        "0.yml:5:16: ",
        "a second at least",
        "0.yml:7:9: ",
        "one of remote, local and dynamic",
        "0.yml:9:17: ",
        "0.yml:10:9: ",
        "permit is for remote forwards without a target",
        "0.yml:12:3: ",
        "cannot be a tunnel's name",
        "3des-cbc",
        "there is no option \"Ciphres\"",
        "0.yml:16:1: ",
    ] {
        assert!(problems.contains(part), "{part} is not in\n{problems}");
    }
}

#[test]
fn a_tunnel_that_cannot_be_set_up_is_named_with_its_reason() {
    let lab = Lab::new();
    for (text, part) in [
        (
            "tunnels: {a: {host: gw, ssh_config: none}}",
            "nothing to forward",
        ),
        ("tunnels: {a: {forwards: [{dynamic: 1}]}}", "host"),
        ("{}", "tunnels"),
        ("tunnels: [a]", "a mapping of names"),
        (
            "tunnels: {a: {host: gw, ssh_config: missing, forwards: [{dynamic: 1}]}}",
            "missing",
        ),
        (
            "tunnels: {a: {host: 'gw;rm', forwards: [{dynamic: 1}]}}",
            "no host has",
        ),
        (
            "tunnels: {a: {host: '${env.ADIT_TEST_UNSET}', forwards: [{dynamic: 1}]}}",
            "ADIT_TEST_UNSET",
        ),
    ] {
        let problems = lab.problems(text);
        assert!(problems.contains(part), "{text}: {problems}");
        assert!(problems.starts_with("0.yml:1:"), "{text}: {problems}");
    }
}

#[test]
fn a_pinned_host_key_is_a_fingerprint_or_a_key_and_never_a_hops() {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHQb3hIcUnwIrWKmIBfvGqBTtvmDXhJMGHsKDwlPPRmb";
    const OTHER: &str = "SHA256:p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM";
    let lab = Lab::new();
    let file = |value: &str| {
        format!(
            "tunnels: {{t: {{host: me@h, key: k, jump: a, host_key: {value}, \
             forwards: [{{remote: 0:localhost:80}}]}}}}"
        )
    };
    for (value, count) in [(OTHER, 1), (KEY, 1), (&format!("[{OTHER}, {KEY}]"), 2)] {
        let tunnels = lab.read(&[&file(value)]).unwrap();
        let peer = &tunnels[0].config.peer;
        assert_eq!(peer.host_keys.pinned.len(), count, "{value}");
        let Through::Jump(hop) = &peer.way.through else {
            panic!("a hop")
        };
        assert_eq!(hop.host_keys.pinned, []);
    }
    for (value, part) in [
        ("SHA256:short", "43 characters"),
        ("any", "wanted a fingerprint"),
        ("[]", "host_key names no key"),
    ] {
        let problems = lab.problems(&file(value));
        assert!(problems.contains(part), "{problems}");
    }
}
