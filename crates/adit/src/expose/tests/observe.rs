//! What is told of events.

use adit_tunnel::agent::forward::{Destination, Forward, Listens};
use adit_tunnel::agent::probe::{Finding, IpVersion};
use adit_tunnel::agent::supervise::Holder;
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
                        Some(State::Down(why) | State::Barred(why)) => {
                            assert!(why.contains(part), "{why}");
                        }
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
fn what_nobody_can_look_at_is_public_and_says_why_nobody_can() {
    for (finding, part) in [
        (Finding::Prohibited, "(AllowTcpForwarding, PermitOpen)"),
        (
            Finding::Unseen(IpVersion::V4),
            "no IPv4 address of the server is reached from here",
        ),
    ] {
        with_observer(|observer, addresses, log| {
            observer.observe(&Event::ForwardUnproved {
                number: 0,
                forward: &forward(9_834),
                finding: &finding,
            });
            assert_eq!(addresses.state(8_090), Some(up(9_834)));
            let line = log.line("nobody can look whether gw.example:9834 works");
            assert!(line.contains(part), "{line}");
        });
    }
}

#[test]
fn a_refusal_is_told_with_the_reason_that_is_likeliest() {
    with_observer(|observer, addresses, log| {
        let allowed = "forwarding is not allowed";
        for (port, holder, has, lacks) in [
            (9_834, Holder::Somebody, "it is taken there", allowed),
            (9_834, Holder::Nobody, allowed, "taken"),
            (9_834, Holder::Hidden, allowed, "taken"),
            (
                9_834,
                Holder::Unknown,
                "shows it), or forwarding is not allowed",
                "root",
            ),
            (80, Holder::Somebody, "it is taken there", "root"),
            (
                80,
                Holder::Nobody,
                "root's alone, and the user is me; or forwarding",
                "taken",
            ),
            (
                0,
                Holder::Unknown,
                "refuses any port: forwarding is not allowed",
                "taken",
            ),
        ] {
            let (number, forward) = (0, &forward(port));
            let before = log.text().len();
            observer.observe(&Event::ForwardRefused { number, forward });
            assert_eq!(
                log.text().len(),
                before,
                "nothing is told before it is known"
            );
            observer.observe(&Event::ForwardHeld {
                number,
                forward,
                holder,
            });
            let line = log.text().split_off(before);
            assert_eq!(line.lines().count(), 1);
            assert!(line.contains(has) && !line.contains(lacks), "{line}");
            match addresses.state(8_090) {
                Some(State::Down(why)) => assert!(line.contains(&why), "{why}"),
                other => panic!("{other:?}"),
            }
        }
    });
}

/// Who has a line in front of them and looks for it on the page finds it there.
#[test]
fn the_page_of_the_example_has_the_lines_as_they_are() {
    let page = include_str!("../../../../../examples/gateway/ssh-tunnel/README.md");
    let (log, _guard) = Log::start();
    let compose = compose(&FILE.replace("gw.example", "your-server.example.com"));
    let addresses = Addresses::new(&compose);
    let ExposeConfig::Ssh(ssh) = &compose.exposes[0].value else {
        panic!("no SSH gateway");
    };
    let observer = Observer::new(0, ssh, &addresses);
    let (number, forward) = (0, &forward(9_834));
    let finding = &Finding::Up(Duration::ZERO);
    for event in [
        Event::ForwardProved {
            number,
            forward,
            finding,
        },
        Event::ForwardUnproved {
            number,
            forward,
            finding: &Finding::LoopbackOnly,
        },
        Event::ForwardHeld {
            number,
            forward,
            holder: Holder::Somebody,
        },
    ] {
        observer.observe(&event);
    }
    let text = log.text();
    assert_eq!(text.lines().count(), 3);
    for line in text.lines() {
        let (_, line) = line.split_once("[Gateway]").unwrap();
        assert!(page.contains(&format!("\n[Gateway]{line}\n")), "{line}");
    }
}
