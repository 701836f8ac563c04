//! A gateway that is killed at any moment, while clients come and go, gives every port back to its owner.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::seeded::SeededRandom;
use adit_testkit::{require, wait};

use crate::lab::{Gateway, Machine, Plan, hello, now, pass, percentile, print, serve};

/// Owners who stay, each with a stock `ssh` and a port of its own.
const OWNERS: u16 = 4;
/// The one whose agent has a port that the gateway chose.
const AGENT: usize = 4;
/// Those who come and go.
const GUESTS: [usize; 2] = [5, 6];

/// The port that an agent says that it has.
fn port_of(agent: &Process) -> Option<u16> {
    let stderr = agent.stderr();
    stderr.lines().rev().find_map(|line| {
        let (bind, _) = line.strip_prefix("forward up: ")?.split_once(" -> ")?;
        bind.rsplit_once(':')?.1.parse().ok()
    })
}

fn kill(times: u32) {
    let public = Namespace::new();
    let machine = Machine::new(&public, "box");
    let plan = Plan {
        owners: 7,
        ..Plan::default()
    };
    let mut gateway = Gateway::start(&public, &plan);
    let mut owners = Vec::new();
    for owner in 0..OWNERS {
        let (name, service) = (format!("owner {owner}"), 9_000 + owner);
        serve(&machine.namespace, &format!("127.0.0.1:{service}"), &name);
        let forward = format!("*:{}:127.0.0.1:{service}", 10_001 + owner);
        let mut command = gateway.looped(&machine, owner.into(), &["-R", &forward]);
        owners.push((10_001 + owner, hello(&name), Process::spawn(&mut command)));
    }
    serve(&machine.namespace, "127.0.0.1:9100", "agent");
    let words = ["-R", "*:0:127.0.0.1:9100"];
    let agent = Process::spawn(&mut gateway.agent(&machine, AGENT, &words));
    let chosen = wait::until("the port that the gateway chose", || {
        port_of(&agent).ok_or_else(|| agent.stderr())
    });
    let mut guests =
        GUESTS.map(|guest| gateway.ssh(&machine, guest, &["-R", "*:0:127.0.0.1:8080"]));
    let (stop, stopped) = channel::<()>();
    let coming = thread::spawn(move || {
        let mut dice = SeededRandom::new(7);
        let mut pause = || Duration::from_millis(dice.below(150));
        while stopped.recv_timeout(pause()) == Err(RecvTimeoutError::Timeout) {
            let here = guests.each_mut().map(Process::spawn);
            pass(Duration::from_millis(400));
            drop(here);
        }
    });
    let mut dice = SeededRandom::new(0x0ad1_7009);
    let mut back = Vec::new();
    for round in 0..times {
        pass(Duration::from_millis(dice.below(1_500)));
        gateway.kill();
        let killed = now();
        gateway.start_again();
        for (port, answer, owner) in &owners {
            returned(&gateway, *port, answer, owner, round);
        }
        back.push(killed.elapsed().as_secs_f64());
    }
    drop(stop);
    coming.join().unwrap();
    returned(&gateway, chosen, &hello("agent"), &agent, times);
    let (p50, p99) = (percentile(&mut back, 50), percentile(&mut back, 99));
    print(&format!(
        "{times} kills: all {OWNERS} ports of stock ssh back with their owners after {p50:.2} s (p50), {p99:.2} s \
         (p99), and the agent's chosen one in the end"
    ));
}

/// Waits until the port is back; whoever answers there is its owner, each time.
fn returned(gateway: &Gateway, port: u16, answer: &str, owner: &Process, round: u32) {
    wait::until_within(RETURN, &format!("round {round}: port {port}"), || {
        match gateway.visit(port) {
            // A stream that its connection's end has cut short is no answer of somebody else's.
            Ok(got) if !got.is_empty() => {
                assert_eq!(got, answer, "round {round}, port {port}");
                Ok(())
            }
            other => Err((other, owner.stderr(), gateway.process.stderr())),
        }
    });
}

/// A pause of an agent's that has grown, and then a login.
const RETURN: Duration = Duration::from_secs(45);

#[test]
fn every_port_is_back_with_its_owner_after_ten_kills() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    kill(10);
}

#[test]
#[ignore = "ten minutes: cargo xtask soak gateway-kills"]
fn every_port_is_back_with_its_owner_after_a_hundred_kills() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    kill(100);
}
