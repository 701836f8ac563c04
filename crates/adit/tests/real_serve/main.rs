//! `adit serve` as one line, and stock ssh at it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::io::{Write as _, copy};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;
use std::time::Duration;

use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use rustix::process::Signal;

use crate::world::World;

mod control;
mod host_keys;
mod names;
mod running;
mod visitors;
mod world;

#[test]
fn one_line_serves_and_says_what_to_try() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    let mut gateway = world.start(&[]);
    let said = gateway.stderr();
    let listening = format!("listening for ssh at 127.0.0.1:{}\n", world.ssh.number());
    assert!(said.contains(&listening), "{said}");
    let fingerprint = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(world.path("data/ssh/ssh_host_ed25519_key.pub"))
        .output()
        .unwrap();
    let fingerprint = String::from_utf8(fingerprint.stdout).unwrap();
    let fingerprint = fingerprint.split(' ').nth(1).unwrap();
    assert!(
        said.contains(&format!("host key ssh-ed25519 {fingerprint}\n")),
        "{said}"
    );
    let example = format!(
        "try: ssh -N -R '*:{}:localhost:80' -p {} localhost\n",
        world.public.number(),
        world.ssh.number()
    );
    assert!(said.contains(&example), "{said}");
    let mut ssh = world.tunnel(&world.ann);
    // What it holds is this user's alone.
    for (name, mode) in [
        ("data", 0o700),
        ("data/adit.db", 0o600),
        ("data/ssh", 0o700),
    ] {
        let found = std::fs::metadata(world.path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(found & 0o7777, mode, "{name}");
    }
    gateway.signal(Signal::TERM);
    assert_eq!(
        gateway.wait(wait::DEADLINE).code(),
        Some(0),
        "{}",
        gateway.stderr()
    );
    assert_eq!(ssh.wait(wait::DEADLINE).code(), Some(255));
    assert!(world.visit().is_err());
}

#[test]
fn a_returning_owner_has_its_port_back_from_a_client_that_is_silent() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    let gateway = world.start(&[]);
    let silent = world.tunnel(&world.ann);
    silent.signal(Signal::STOP);
    let mut back = world.tunnel(&world.ann);
    assert!(
        gateway.stderr().contains("lease was taken over"),
        "{}",
        gateway.stderr()
    );
    // What the old one says from now on reaches nobody.
    silent.signal(Signal::CONT);
    world.wait_for_service(&mut back);
    drop(silent);
    world.wait_for_service(&mut back);
}

#[test]
fn another_identity_does_not_get_the_port_while_it_is_held_nor_after_a_restart() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    let mut gateway = world.start(&[]);
    let refused = || {
        let forward = world.forward();
        let words = ["-N", "-R", &forward];
        let mut ssh = Process::spawn(&mut world.ssh(&world.bob, &words));
        let status = ssh.wait(wait::DEADLINE);
        assert_eq!(status.code(), Some(255));
        // A stock client says why only if the server does.
        let said = ssh.stderr();
        assert!(said.contains("is in use"), "{said}");
    };
    let tunnel = world.tunnel(&world.ann);
    refused();
    drop(tunnel);
    refused();
    gateway.kill();
    let gateway = world.start(&[]);
    refused();
    let ssh = world.tunnel(&world.ann);
    drop((ssh, gateway));
}

#[test]
fn a_key_that_is_taken_out_of_the_file_is_out_at_once_and_a_bad_file_changes_nothing() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    let mut gateway = world.start(&[]);
    let mut ann = world.tunnel(&world.ann);
    // Others could have written it.
    let keys = world.path("keys");
    std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o666)).unwrap();
    gateway.signal(Signal::HUP);
    gateway.wait_for_text("nothing is changed");
    world.wait_for_service(&mut ann);
    world.keys(&[world.bob.public_line()]);
    gateway.signal(Signal::HUP);
    let status = ann.wait(wait::DEADLINE);
    assert_eq!(status.code(), Some(255));
    assert!(
        ann.stderr().contains("not known here any more")
            || ann.stderr().contains("not accepted here"),
        "{}",
        ann.stderr()
    );
    let mut again = Process::spawn(&mut world.ssh(&world.ann, &["-N"]));
    assert_eq!(again.wait(wait::DEADLINE).code(), Some(255));
    assert!(
        again.stderr().contains("Permission denied"),
        "{}",
        again.stderr()
    );
}

#[test]
fn a_data_directory_is_one_gateways_and_nobody_elses() {
    require!("ssh-keygen");
    let world = World::new();
    let gateway = world.start(&[]);
    let mut second = Process::spawn(&mut world.serve(&[]));
    assert_eq!(second.wait(wait::DEADLINE).code(), Some(1));
    assert!(second.stderr().contains("runs with"), "{}", second.stderr());
    drop(gateway);
    std::fs::set_permissions(world.path("data"), PermissionsExt::from_mode(0o755)).unwrap();
    let mut open = Process::spawn(&mut world.serve(&[]));
    assert_eq!(open.wait(wait::DEADLINE).code(), Some(1));
    assert!(open.stderr().contains("chmod 700"), "{}", open.stderr());
}

#[test]
fn local_only_keeps_every_forward_on_this_machine() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    let gateway = world.start(&["--local-only", "--default-bind", "public"]);
    let forward = format!("*:{}", world.forward());
    let mut ssh = Process::spawn(&mut world.ssh(&world.ann, &["-N", "-R", &forward]));
    world.wait_for_service(&mut ssh);
    let port = format!("{:04X}", world.public.number());
    let listens: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|table| {
            let table = std::fs::read_to_string(table).unwrap_or_default();
            table.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .filter_map(|line| {
            let mut words = line.split_whitespace().skip(1);
            let local = words.next()?.to_owned();
            let state = words.nth(1)?.to_owned();
            (local.ends_with(&format!(":{port}")) && state == "0A").then_some(local)
        })
        .collect();
    assert!(!listens.is_empty());
    for local in &listens {
        let is_loopback = local.starts_with("0100007F:")
            || local.starts_with("00000000000000000000000001000000:");
        assert!(is_loopback, "{listens:?}");
    }
    drop((ssh, gateway));
}

#[test]
fn a_load_balancer_says_where_a_client_comes_from_and_nobody_else_does() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    let line = format!("from=\"192.0.2.7\" {}", world.ann.public_line());
    world.keys(&[&line]);
    let config = world.path("gateway.yml");
    std::fs::write(&config, "proxy_protocol: 127.0.0.1\n").unwrap();
    let gateway = world.start(&["--config", config.to_str().unwrap()]);
    // Without a header nobody gets in.
    let mut direct = Process::spawn(&mut world.ssh(&world.ann, &["-N", "-o", "ConnectTimeout=10"]));
    assert_eq!(direct.wait(wait::DEADLINE).code(), Some(255));
    for (source, code) in [("192.0.2.7", None), ("192.0.2.8", Some(255))] {
        let balancer = balancer(world.ssh.number(), source);
        let forward = world.forward();
        let words = ["-N", "-R", &forward];
        let mut ssh = Process::spawn(&mut world.ssh_at(balancer, &world.ann, &words));
        match code {
            None => world.wait_for_service(&mut ssh),
            Some(code) => assert_eq!(ssh.wait(wait::DEADLINE).code(), Some(code)),
        }
    }
    assert!(
        gateway.stderr().contains("source=192.0.2.7:"),
        "{}",
        gateway.stderr()
    );
}

/// Connects whoever comes to the gateway, and says that it is somebody at `source`.
fn balancer(gateway: u16, source: &str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let header = format!("PROXY TCP4 {source} 127.0.0.1 40000 22\r\n");
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            let mut server = TcpStream::connect(("127.0.0.1", gateway)).unwrap();
            server.write_all(header.as_bytes()).unwrap();
            for (mut from, mut to) in [
                (client.try_clone().unwrap(), server.try_clone().unwrap()),
                (server, client),
            ] {
                thread::spawn(move || {
                    copy(&mut from, &mut to).ok();
                    to.shutdown(Shutdown::Write).ok();
                });
            }
        }
    });
    port
}

#[test]
fn settings_that_are_wrong_are_told_before_anything_is_made() {
    let world = World::new();
    let mut gateway = Process::spawn(&mut world.serve(&["--check", "--metrics", "0.0.0.0:9464"]));
    assert_eq!(gateway.wait(Duration::from_secs(20)).code(), Some(1));
    assert!(
        gateway.stderr().contains("loopback"),
        "{}",
        gateway.stderr()
    );
    assert!(!world.path("data").exists());
}
