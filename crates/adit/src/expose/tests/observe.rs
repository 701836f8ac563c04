//! What is told of events.

use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::probe::Finding;
use adit_tunnel::transport::{Bind, Target};

use super::*;

const FILE: &str = "
gateway:
  type: ssh-tunnel
  port: ['9834:8090', '9835:8090', '9836:192.0.2.1:3000']
  connection: {host: gw.example, auth: {type: keyfile, username: me, keyfile: k}}
workflow: {title: t}
";

fn forward(port: u16) -> Forward {
    Forward {
        listens: Listens::There,
        bind: Bind::Tcp {
            host: String::from("0.0.0.0"),
            port,
        },
        to: Destination::One(Target::Tcp {
            host: String::from("localhost"),
            port: 8_090,
        }),
    }
}

fn with_observer(test: impl FnOnce(&Observer<'_>, &Addresses, &Log)) {
    let (log, _guard) = Log::start();
    let compose = compose(FILE);
    let addresses = Addresses::new(&compose);
    let ExposeConfig::Ssh(ssh) = &compose.exposes[0].value else {
        panic!("no SSH gateway");
    };
    test(&Observer::new(0, ssh, &addresses), &addresses, &log);
}

fn up(port: u16) -> State {
    State::Up(PublicAddress::of_port("gw.example", port))
}

#[test]
fn a_local_port_is_known_by_the_first_forward_that_leads_to_it() {
    with_observer(|observer, addresses, log| {
        let finding = &Finding::Up(Duration::from_millis(1));
        for (number, port) in [(1, 9_835), (0, 9_834), (1, 9_835), (2, 9_836), (0, 9_834)] {
            let forward = &forward(port);
            observer.observe(&Event::ForwardProved {
                number,
                forward,
                finding,
            });
            if port == 9_835 && log.count("started") == 1 {
                assert!(matches!(addresses.state(8_090), Some(State::Down(_))));
            }
        }
        assert_eq!(addresses.state(8_090), Some(up(9_834)));
        assert_eq!(addresses.state(3_000), Some(up(9_836)));
        // Each is told once, however often it is proved.
        assert_eq!(log.count("forwarding started"), 3);
        log.line("gw.example:9836 -> 192.0.2.1:3000");
    });
}

#[test]
fn what_is_granted_and_does_not_work_is_not_public_and_says_why() {
    let nobody = Finding::Nobody(String::from("connection refused"));
    for (finding, part) in [
        (Finding::LoopbackOnly, "GatewayPorts clientspecified"),
        (Finding::Foreign, "answered by somebody else"),
        (Finding::Silent, "nothing came back in time"),
        (nobody, "connection refused"),
    ] {
        with_observer(|observer, addresses, log| {
            let forward = &forward(9_834);
            let proof = &Finding::Up(Duration::ZERO);
            for finding in [proof, &finding, proof] {
                let number = 0;
                observer.observe(&if finding.is_up() {
                    Event::ForwardProved {
                        number,
                        forward,
                        finding,
                    }
                } else {
                    Event::ForwardUnproved {
                        number,
                        forward,
                        finding,
                    }
                });
                if !finding.is_up() {
                    match addresses.state(8_090) {
                        Some(State::Down(why)) => assert!(why.contains(part), "{why}"),
                        other => panic!("{other:?}"),
                    }
                    assert!(log.line(part).contains("WARN [Gateway] gw.example:9834 "));
                }
            }
            assert_eq!(addresses.state(8_090), Some(up(9_834)));
            assert_eq!(log.count("forwarding started"), 2);
        });
    }
}

#[test]
fn ports_of_the_system_are_known_to_be_roots() {
    with_observer(|observer, _, log| {
        for (port, part) in [
            (80, "ports below 1024 are root's alone, and the user is me"),
            (9_834, "it is taken there"),
            (0, "refuses any port"),
        ] {
            observer.observe(&Event::ForwardRefused {
                number: 0,
                forward: &forward(port),
            });
            log.line(part);
        }
    });
}
