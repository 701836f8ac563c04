//! A gateway that is killed at any moment, while clients come and go, gives every port back to its owner.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::seeded::SeededRandom;
use adit_testkit::{require, wait};

use crate::lab::{Gateway, Machine, Plan, hello, now, pass, percentile, print, serve};

/// Owners who stay; each has a port that it named, and one that the gateway chose.
const OWNERS: usize = 3;
/// Those who come and go.
const GUESTS: usize = 2;

/// The line of an agent that says that a forward is up, and the last address in it.
fn port_of(agent: &Process, service: u16) -> Option<u16> {
    let stderr = agent.stderr();
    let end = format!(" -> 127.0.0.1:{service}");
    let line = stderr.lines().rev().find_map(|line| {
        let (bind, _) = line
            .strip_prefix("forward up: ")?
            .split_once(end.as_str())?;
        bind.rsplit_once(':')?.1.parse().ok()
    });
    line
}

fn kill(times: u32) {
    let public = Namespace::new();
    let machine = Machine::new(&public, "box");
    let plan = Plan {
        owners: OWNERS + GUESTS,
        ..Plan::default()
    };
    let mut gateway = Gateway::start(&public, &plan);
    let (namespace, at) = (&machine.namespace, machine.gateway());
    let mut owners = Vec::new();
    for (owner, number) in (0..OWNERS).zip(1_u16..) {
        let (name, service) = (format!("owner {owner}"), 9_000 + number);
        serve(namespace, &format!("127.0.0.1:{service}"), &name);
        let named = format!("*:{}:127.0.0.1:{service}", 10_000 + number);
        let any = format!("*:0:localhost:{service}");
        let words = ["-R", &named, "-R", &any];
        let mut command = gateway.agent(namespace, at, owner, &words);
        owners.push((name, service, number, Process::spawn(&mut command)));
    }
    let any_port = |service: u16, agent: &Process| {
        wait::until("the port that the gateway chose", || {
            let stderr = agent.stderr();
            let found = stderr.lines().rev().find_map(|line| {
                let end = format!(" -> localhost:{service}");
                let (bind, _) = line
                    .strip_prefix("forward up: ")?
                    .split_once(end.as_str())?;
                bind.rsplit_once(':')?.1.parse::<u16>().ok()
            });
            found.ok_or(stderr)
        })
    };
    let chosen: Vec<u16> = owners
        .iter()
        .map(|(_, service, _, agent)| any_port(*service, agent))
        .collect();
    let guests: Vec<_> = (0..GUESTS)
        .map(|guest| gateway.ssh(namespace, at, OWNERS + guest, &["-R", "*:0:127.0.0.1:8080"]))
        .collect();
    let (stop, stopped) = channel::<()>();
    let coming = thread::spawn(move || {
        let mut guests = guests;
        let mut dice = SeededRandom::new(7);
        while stopped.recv_timeout(Duration::from_millis(dice.below(150)))
            == Err(RecvTimeoutError::Timeout)
        {
            let here: Vec<_> = guests.iter_mut().map(Process::spawn).collect();
            pass(Duration::from_millis(100 + dice.below(700)));
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
        let held = owners.iter().zip(&chosen);
        for ((name, service, number, agent), chosen) in held {
            for port in [10_000 + number, *chosen] {
                let answer = hello(name);
                wait::until_within(RETURN, &format!("round {round}: {name} at {port}"), || {
                    match gateway.visit(port) {
                        Ok(got) => {
                            // Nobody else's, not for a moment.
                            assert_eq!(got, answer, "round {round}, port {port}");
                            Ok(())
                        }
                        Err(error) => Err((error, agent.stderr(), gateway.process.stderr())),
                    }
                });
            }
            assert_eq!(any_port(*service, agent), *chosen, "round {round}: {name}");
            assert_eq!(port_of(agent, *service), Some(10_000 + number));
        }
        back.push(killed.elapsed().as_secs_f64());
    }
    drop(stop);
    coming.join().unwrap();
    let (p50, p99) = (percentile(&mut back, 50), percentile(&mut back, 99));
    print(&format!(
        "{times} kills: all {} ports back with their owners after {p50:.2} s (p50), {p99:.2} s (p99)",
        OWNERS * 2
    ));
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
