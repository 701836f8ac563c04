//! `adit host tunnel`: AT1 to AT7 of the specification.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use adit_testkit::{require, wait};

use crate::lab::{ECHO, Lab, read, words};

const CREATE: [&str; 3] = ["host", "tunnel", "create"];

fn create(rest: &[&'static str]) -> Vec<&'static str> {
    [&CREATE, rest].concat()
}

fn expected(ports: &[(u64, &str)]) -> Vec<(u64, String)> {
    ports
        .iter()
        .map(|(port, host)| (*port, (*host).to_owned()))
        .collect()
}

#[test]
fn services_have_ports_that_stay() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen", "curl");
    let lab = Lab::new(3);
    // AT1: the document's own command, with nothing but it.
    let made = lab.rows(&create(&["red00[1-2]", "80", "8080"]));
    assert_eq!(made[0]["state"], "up", "{made}");
    assert_eq!(
        (made[0]["port"].as_u64(), made[1]["port"].as_u64()),
        (Some(8_080), Some(8_081))
    );
    assert_eq!(lab.page(8_080).unwrap(), "red001");
    assert_eq!(lab.page(8_081).unwrap(), "red002");
    lab.ports(&create(&["red001", "7", "9000"]));
    let mut visitor = lab.visitor(9_000);
    visitor.speaks("hello");

    // AT2: again, with the same command: nothing changes, and nobody is dropped.
    let (before, keeper) = (read(&lab.table().join("ports.json")), lab.keeper());
    let again = lab.rows(&create(&["red00[1-2]", "80", "8080"]));
    assert_eq!(again[0]["table"], "there");
    assert_eq!(read(&lab.table().join("ports.json")), before);
    visitor.speaks("still here");

    // AT3: one more, later.
    let more = lab.ports(&create(&["red003", "80", "8080"]));
    assert_eq!(more, expected(&[(8_082, "red003")]));
    assert_eq!(lab.page(8_082).unwrap(), "red003");
    assert_eq!(lab.page(8_081).unwrap(), "red002");
    // Deleting one leaves the others, and the visitor of another service of the same host.
    lab.rows(&["host", "tunnel", "delete", "red001", "80"]);
    visitor.speaks("and here");
    lab.page(8_080).unwrap_err();
    assert_eq!(lab.page(8_081).unwrap(), "red002");
    let listed = lab.ports(&["host", "tunnel", "list"]);
    assert_eq!(
        listed,
        expected(&[(8_081, "red002"), (9_000, "red001"), (8_082, "red003")])
    );
    assert_eq!(lab.keeper(), keeper);

    // AT4, and a prefix that does not fit: nothing is changed by what is refused.
    let before = read(&lab.table().join("ports.json"));
    for (arguments, part) in [
        (["red00[4-5]", "80", "65535"], "would have port 65536"),
        (["far", "80", "--port-prefix=655"], "655 before 80 is 65580"),
        (["red002", "80", "--bind=localhost"], "delete it first"),
    ] {
        let output = lab.adit(&create(&arguments));
        assert_eq!(output.status.code(), Some(1), "{}", words(&output));
        assert!(words(&output).contains(part), "{}", words(&output));
        assert_eq!(read(&lab.table().join("ports.json")), before);
    }
    // What would be: nothing is changed, either.
    lab.ports(&create(&["red00[4-9]", "80,443", "8080", "--dry-run"]));
    assert_eq!(read(&lab.table().join("ports.json")), before);

    // Each service is visited, through its tunnel.
    let checked = lab.rows(&["host", "tunnel", "check"]);
    assert_eq!(checked[0]["state"], "ok");
    lab.rows(&create(&["red002", "81", "8100"]));
    let output = lab.adit(&["host", "tunnel", "check", "red002"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        words(&output).contains("FAIL") && words(&output).contains("Connection refused"),
        "{}",
        words(&output)
    );
}

/// AT5.
#[test]
fn a_port_of_somebody_else_refuses_all_or_is_passed_over() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen", "curl");
    let lab = Lab::new(2);
    let held = lab
        .manager
        .enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8_081)).unwrap());
    let output = lab.adit(&create(&["red00[1-2]", "80", "8080"]));
    assert_eq!(output.status.code(), Some(1));
    let said = words(&output);
    assert!(
        said.contains("nothing is changed") && said.contains("8081"),
        "{said}"
    );
    // Who has it is named.
    assert!(said.contains(&std::process::id().to_string()), "{said}");
    assert!(lab.ports(&["host", "tunnel", "list"]).is_empty());
    assert_eq!(lab.keeper(), None);
    lab.manager
        .enter(|| TcpListener::bind((Ipv4Addr::UNSPECIFIED, 8_080)).unwrap());
    let made = lab.ports(&create(&["red00[1-2]", "80", "8080", "--skip-busy"]));
    assert_eq!(made, expected(&[(8_080, "red001"), (8_082, "red002")]));
    assert_eq!(lab.page(8_082).unwrap(), "red002");
    // With somebody who keeps the table, too.
    let output = lab.adit(&create(&["red001", "7", "8081"]));
    assert_eq!(output.status.code(), Some(1), "{}", words(&output));
    drop(held);
    let made = lab.ports(&create(&["red001", "7", "8081"]));
    assert_eq!(made, expected(&[(8_081, "red001")]));
}

/// AT6, and the death of each part.
#[test]
fn tunnels_come_back_after_kills_and_at_boot() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen", "curl");
    let lab = Lab::new(2);
    lab.rows(&create(&["red00[1-2]", "80", "8080"]));
    lab.kill();
    let first = lab.boot();
    lab.shows(8_080, "red001");
    lab.shows(8_081, "red002");
    drop(first);
    wait::until("nobody keeps the table", || {
        lab.keeper().map_or(Ok(()), Err)
    });
    // A worker is away as the manager boots, and comes back.
    let away = lab.workers[0].device.clone();
    lab.manager.ip(&["link", "set", &away, "down"]);
    let _second = lab.boot();
    lab.shows(8_081, "red002");
    lab.manager.ip(&["link", "set", &away, "up"]);
    lab.shows(8_080, "red001");
    // Its connection dies, and the port stays: a visitor waits for the next.
    lab.workers[1].sshd.kill_connections();
    lab.shows(8_081, "red002");
    // adit down is about files of tunnels, and there is none here.
    let output = lab.plain(&["down"]);
    assert!(
        words(&output).contains("nothing is up here"),
        "{}",
        words(&output)
    );
    assert_eq!(lab.page(8_081).unwrap(), "red002");
    let output = lab.adit(&["host", "down"]);
    assert!(output.status.success(), "{}", words(&output));
    assert_eq!(lab.keeper(), None);
    lab.page(8_081).unwrap_err();
}

/// AT7: the seed says "the tunnel will not function if wlan0 interface is assigned a different IP".
#[test]
fn a_tunnel_at_an_interface_follows_its_address() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen", "curl");
    let lab = Lab::new(1);
    let (old, new) = (IpAddr::from([192, 0, 2, 24]), IpAddr::from([192, 0, 2, 57]));
    // A network of its own, with the laptop at its other end.
    let ends = [
        "type",
        "veth",
        "peer",
        "name",
        "wlan0",
        "netns",
        lab.manager.name(),
    ];
    lab.laptop
        .ip(&[&["link", "add", "wifi"], &ends[..]].concat());
    lab.laptop
        .ip(&["addr", "add", "192.0.2.1/24", "dev", "wifi"]);
    lab.laptop.ip(&["link", "set", "wifi", "up"]);
    lab.manager.ip(&["link", "set", "wlan0", "up"]);
    lab.manager
        .ip(&["addr", "add", "192.0.2.24/24", "dev", "wlan0"]);
    let made = lab.rows(&create(&["red001", "80,7", "8001", "--bind", "wlan0"]));
    assert_eq!(made[0]["bind"], "%wlan0");
    assert_eq!(lab.page_at(old, 8_001).unwrap(), "red001");
    // Nowhere else.
    lab.page(8_001).unwrap_err();
    lab.manager
        .ip(&["addr", "del", "192.0.2.24/24", "dev", "wlan0"]);
    lab.manager
        .ip(&["addr", "add", "192.0.2.57/24", "dev", "wlan0"]);
    wait::until("a page at the new address", || lab.page_at(new, 8_001));
    // The visitor of the other network is none of its business.
    assert_eq!(ECHO, 7);
}
