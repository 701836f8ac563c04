//! An adit agent as a device of `adit serve`: its forward is probed by the gateway itself, and it is told what a stock
//! client is not.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::thread;

use adit_testkit::key_pair::KeyPair;
use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use rustix::process::Signal;

use crate::world::World;

/// An operator's command, which succeeds.
fn admin(world: &World, words: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(words).arg("--data").arg(world.path("data"));
    let mut admin = Process::spawn(&mut command);
    let status = admin.wait(wait::DEADLINE);
    assert!(status.success(), "{words:?}: {}", admin.stderr());
}

/// A gateway that knows a key as a device's, and its world. Whoever comes later takes over at once.
fn gateway(settings: &str) -> (World, KeyPair, Process) {
    let world = World::new();
    world.keys(&[]);
    std::fs::write(world.path("gateway.yml"), settings).unwrap();
    let key = KeyPair::generate(
        world.folder.path(),
        "red001",
        adit_testkit::key_pair::KeyKind::Ed25519,
    );
    let gateway = start(&world);
    let ports = world.public.number().to_string();
    let public = key.public_path();
    admin(&world, &["device", "add", "red001"]);
    admin(&world, &["key", "add", "red001", public.to_str().unwrap()]);
    let grant = ["grant", "add", "red001", "--ports", &ports];
    admin(&world, &[&grant[..], &["--takeover", "newest"]].concat());
    (world, key, gateway)
}

fn start(world: &World) -> Process {
    let config = world.path("gateway.yml");
    world.start(&["--config", config.to_str().unwrap()])
}

/// An agent that forwards the public port to that one.
fn agent(world: &World, key: &KeyPair, target: u16) -> Process {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    let forward = format!("{}:127.0.0.1:{target}", world.public.number());
    let known_hosts = world.path("known_hosts");
    command
        .args([
            "forward",
            "-v",
            "-F",
            "none",
            "-o",
            "StrictHostKeyChecking=accept-new",
        ])
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .arg("-i")
        .arg(key.private_path())
        .args(["-p", &world.ssh.number().to_string(), "-R", &forward])
        .arg("me@127.0.0.1");
    Process::spawn(&mut command)
}

fn public(world: &World) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], world.public.number()))
}

/// G20, G24: what comes from outside goes to the target, also what looks like a probe, from the same machine and at
/// any time; the gateway's own probe never does, and is in no log.
#[test]
fn a_visitor_cannot_imitate_the_gateways_probe_and_its_target_never_sees_one() {
    require!("ssh-keygen");
    let (world, key, gateway) = gateway("drain: 1s\n");
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut agent = agent(&world, &key, target.local_addr().unwrap().port());
    agent.wait_for_text("forward up: ");
    assert!(
        !gateway.stderr().contains("visitor left"),
        "{}",
        gateway.stderr()
    );
    for sent in [[0_u8; 32], [0xff; 32]] {
        let mut visitor = TcpStream::connect(public(&world)).unwrap();
        visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        visitor.write_all(&sent).unwrap();
        let serving = {
            let target = target.try_clone().unwrap();
            thread::spawn(move || {
                let (mut socket, _) = target.accept().unwrap();
                let mut got = [0; 32];
                socket.read_exact(&mut got).unwrap();
                socket.write_all(b"served").unwrap();
                got
            })
        };
        let mut answer = Vec::new();
        visitor.read_to_end(&mut answer).unwrap();
        // Had a probe come to the target, it would have been the first.
        assert_eq!(serving.join().unwrap(), sent);
        assert_eq!(answer, b"served");
    }
    wait::until("two lines of two visitors", || {
        let told = gateway.stderr();
        match told.matches("visitor left").count() {
            2 => Ok(()),
            _ => Err(told),
        }
    });
    drop(agent);
}

#[test]
fn an_agent_hears_when_a_stopping_gateway_is_back_and_comes_then() {
    require!("ssh-keygen");
    let (world, key, mut gateway) = gateway("drain: 1s\n");
    let mut agent = agent(&world, &key, world.service);
    agent.wait_for_text("forward up: ");
    agent.wait_for_text("gateway allows");
    gateway.signal(Signal::TERM);
    gateway.wait(wait::DEADLINE);
    agent.wait_for_text("gateway asks to come back later");
    let _again = start(&world);
    wait::until("a forward that is up again", || {
        let told = agent.stderr();
        match told.matches("forward up: ").count() {
            2.. => Ok(()),
            _ => Err(told),
        }
    });
    world.visit().unwrap();
}

/// G32: who comes in beside a queue at the door is told how long to stay away should it have to come again.
#[test]
fn an_agent_that_comes_in_while_many_wait_hears_when_to_come_again() {
    require!("ssh-keygen");
    let (world, key, _gateway) = gateway("drain: 1s\n");
    let ssh = SocketAddr::from(([127, 0, 0, 1], world.ssh.number()));
    let _queue: Vec<_> = (0..1_500)
        .map(|_| TcpStream::connect(ssh).unwrap())
        .collect();
    let mut agent = agent(&world, &key, world.service);
    agent.wait_for_text("gateway asks to come back later");
    agent.wait_for_text("forward up: ");
    world.visit().unwrap();
}

/// G03, G32: two machines with one key.
#[test]
fn an_agent_hears_who_has_taken_its_lease_and_does_not_take_turns_with_it() {
    require!("ssh-keygen");
    let (world, key, gateway) = gateway("drain: 1s\n");
    let mut first = agent(&world, &key, world.service);
    first.wait_for_text("forward up: ");
    let mut second = agent(&world, &key, world.service);
    second.wait_for_text("forward up: ");
    first.wait_for_text(
        "was taken over by another connection of the same principal, from 127.0.0.1:",
    );
    let told = first.stderr();
    assert!(
        told.contains(" (agent ") && told.contains("it comes back when that one is gone"),
        "{told}"
    );
    world.visit().unwrap();
    // It stays, asks for nothing, and has it back.
    second.kill();
    first.wait_for_text("is ours again: the other connection is gone");
    assert!(!first.stderr().contains("delay_ms"), "{}", first.stderr());
    assert_eq!(gateway.stderr().matches("lease was taken over").count(), 1);
    world.visit().unwrap();
}
