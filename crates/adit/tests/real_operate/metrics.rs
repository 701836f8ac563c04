//! What is served for Prometheus and who asks whether all is well.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use adit_testkit::wait;

use crate::gateway::Gateway;

/// A gateway that tells of itself, and where it does.
fn gateway() -> (Gateway, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let more = ["--metrics", "127.0.0.1:0"].map(AsRef::as_ref);
    let gateway = Gateway::start(folder, &more);
    let address = gateway.address("metrics at http://");
    (gateway, address)
}

/// Status and body of an answer to that, as it is written.
fn ask(address: SocketAddr, request: &str) -> (u16, String) {
    let mut socket = TcpStream::connect(address).unwrap();
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, String::from(body))
}

fn get(address: SocketAddr, path: &str) -> (u16, String) {
    ask(
        address,
        &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    )
}

/// Every sample of a page, by its name with labels. Fails where the page is not as Prometheus has it.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut kinds = BTreeMap::new();
    let mut helped = BTreeSet::new();
    let mut samples = BTreeMap::new();
    for line in page.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            assert!(helped.insert(help.split(' ').next().unwrap()), "{line}");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            assert!(kinds.insert(name, kind).is_none(), "{line}");
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert!(kinds.contains_key(name) && helped.contains(name), "{line}");
            let known = samples.insert(String::from(sample), value.parse().unwrap());
            assert!(known.is_none(), "{line}");
        }
    }
    samples
}

fn metric(address: SocketAddr, name: &str) -> f64 {
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, 200);
    let samples = samples(&page);
    let value = samples.get(name);
    *value.unwrap_or_else(|| panic!("no {name} in {page}"))
}

fn waits_for(address: SocketAddr, name: &str, expected: f64) {
    wait::until(name, || match metric(address, name) {
        value if (value - expected).abs() < f64::EPSILON => Ok(()),
        value => Err(value),
    });
}

#[test]
fn a_gateway_tells_prometheus_what_it_has_and_gauges_go_back_to_zero() {
    let (mut gateway, address) = gateway();
    let (status, page) = get(address, "/metrics");
    assert_eq!(status, 200);
    let samples = samples(&page);
    assert!(samples.len() >= 43, "{} in {page}", samples.len());
    for (name, expected) in [
        ("adit_ready", 1.0),
        ("adit_store_up", 1.0),
        ("adit_connections", 0.0),
        ("adit_visitors", 0.0),
        (r#"adit_leases{state="held"}"#, 0.0),
        ("adit_leases_unbound", 0.0),
    ] {
        assert!((samples[name] - expected).abs() < f64::EPSILON, "{name}");
    }
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["process_open_fds"] > 10.0);
    assert!(samples["process_open_fds"] < samples["process_max_fds"]);
    let guests: Vec<_> = (0..3)
        .map(|_| TcpStream::connect(gateway.ssh()).unwrap())
        .collect();
    waits_for(address, "adit_connections", 3.0);
    waits_for(address, "adit_connections_arriving", 3.0);
    drop(guests);
    waits_for(address, "adit_connections", 0.0);
    waits_for(address, r#"adit_logins_total{result="refused"}"#, 3.0);
    waits_for(address, "adit_connections_accepted_total", 3.0);
    gateway.end();
}

#[test]
fn health_and_readiness_are_told_to_this_machine_alone() {
    let (mut gateway, address) = gateway();
    assert_eq!(get(address, "/health"), (200, String::from("alive\n")));
    assert_eq!(get(address, "/ready"), (200, String::from("ready\n")));
    assert_eq!(get(address, "/").0, 404);
    // As a page of somebody's would ask whose name leads here, and as nobody asks.
    for (request, expected) in [
        ("GET /metrics HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
        ("GET /metrics HTTP/1.0\r\n\r\n", 421),
        ("POST /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        ("nonsense\r\n\r\n", 400),
    ] {
        assert_eq!(ask(address, request).0, expected, "{request:?}");
    }
    let long = format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(20_000));
    assert_eq!(ask(address, &long).0 / 100, 4);
    let head = ask(address, "HEAD /metrics HTTP/1.1\r\nHost: [::1]:1\r\n\r\n");
    assert_eq!(head, (200, String::new()));
    gateway.end();
}
