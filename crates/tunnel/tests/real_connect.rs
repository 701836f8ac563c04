//! What a tunnel's settings make of its socket, at a stock sshd.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::process::Command;

use adit_testkit::require;
use adit_testkit::sshd::Sshd;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::agent::dial::Way;
use adit_tunnel::agent::login::algorithms::AlgorithmLists;
use adit_tunnel::agent::login::credentials::LoginConfig;
use adit_tunnel::agent::login::known_hosts::{HostKeys, NameForm, NewHosts};
use adit_tunnel::agent::supervise::{Connect as _, KeepAlive, Peer, PeerConfig};
use adit_tunnel::transport::ssh::Memory;
use tokio::task::JoinSet;

fn config(sshd: &Sshd, congestion: Option<&str>) -> PeerConfig {
    PeerConfig {
        peer: Peer {
            host: sshd.addr().ip().to_string(),
            port: sshd.addr().port(),
            user: sshd.user().to_owned(),
        },
        login: LoginConfig::with_keys(vec![sshd.user_key().private_path().to_owned()]),
        way: Way::direct(),
        host_key_alias: None,
        host_keys: HostKeys {
            files: vec![sshd.known_hosts_path()],
            global_files: Vec::new(),
            new_hosts: NewHosts::Refuse,
            names: NameForm::Plain,
            pinned: Vec::new(),
        },
        algorithms: AlgorithmLists::default(),
        keep_alive: KeepAlive::default(),
        congestion: congestion.map(|name| name.parse().unwrap()),
    }
}

/// The algorithm of the socket that leads to sshd, as `ss` shows it.
fn shown(sshd: &Sshd) -> String {
    let port = sshd.addr().port();
    let output = Command::new("ss")
        .args(["-tinH", "state", "established", "dport"])
        .arg(format!("= :{port}"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let inside = text.lines().find(|line| line.starts_with('\t'));
    let inside = inside.unwrap_or_else(|| panic!("no socket to port {port} in {text:?}"));
    inside.split_whitespace().next().unwrap().to_owned()
}

#[tokio::test]
async fn a_connection_has_the_congestion_control_of_its_settings_or_none_that_paces() {
    require!("sshd", "ss");
    let sshd = Sshd::builder().start();
    let of_system = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap();
    let of_system = of_system.trim();
    for (wanted, expected) in [
        // A socket of this machine is not paced.
        (None, "reno"),
        (Some(of_system), of_system),
        // Told, and no reason to stay away.
        (Some("no-such-one"), "reno"),
    ] {
        let connect = SshConnect::new(&config(&sshd, wanted), Memory::of_this_machine()).unwrap();
        let connected = connect.connect().await.unwrap();
        let mut task = JoinSet::new();
        task.spawn(connected.task);
        assert_eq!(shown(&sshd), expected, "{wanted:?}");
        task.shutdown().await;
        drop(connected.connection);
        sshd.kill_connections();
    }
}
