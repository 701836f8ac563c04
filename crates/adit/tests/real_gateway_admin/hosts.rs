//! The table of a gateway: ports of devices by their names, AT17 to AT19, and a stock ssh that has one (AT20).

use adit_testkit::{echo, require};
use rustix::process::Signal;
use serde_json::Value;

use crate::gateway::{Gateway, text, visit};

impl Gateway {
    /// `adit host tunnel` about this gateway, and what it prints.
    fn tunnels(&self, words: &[&str]) -> Vec<(u64, String, String)> {
        let data = self.data();
        let ours = ["--gateway", text(&data), "--output", "json"];
        let printed = self.done(&[&["host", "tunnel"], words, &ours].concat());
        let rows: Vec<Value> = serde_json::from_str(&printed).unwrap();
        let word = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let rows = rows.iter();
        rows.map(|row| {
            (
                row["port"].as_u64().unwrap(),
                word(row, "host"),
                word(row, "state"),
            )
        })
        .collect()
    }

    fn tunnels_refused(&self, words: &[&str]) -> String {
        let data = self.data();
        self.refused(&[&["host", "tunnel"], words, &["--gateway", text(&data)]].concat())
    }

    fn device(&self, name: &str) {
        self.done(&["device", "add", name]);
    }
}

fn rows(rows: &[(u64, &str, &str)]) -> Vec<(u64, String, String)> {
    let owned =
        |(port, host, state): &(u64, &str, &str)| (*port, (*host).to_owned(), (*state).to_owned());
    rows.iter().map(owned).collect()
}

#[test]
fn ports_by_a_prefix_are_refused_with_the_arithmetic_or_kept_for_the_device() {
    let gateway = Gateway::new();
    for name in ["pump", "one", "other"] {
        gateway.device(name);
    }
    let made = gateway.tunnels(&["create", "pump", "22,80", "--port-prefix", "401"]);
    assert_eq!(
        made,
        rows(&[(40_122, "pump", "new"), (40_180, "pump", "new")])
    );
    let again = gateway.tunnels(&["create", "pump", "22,80", "--port-prefix", "401"]);
    assert_eq!(
        again,
        rows(&[(40_122, "pump", "there"), (40_180, "pump", "there")])
    );
    let said = gateway.tunnels_refused(&["create", "one", "80", "--port-prefix", "655"]);
    assert!(
        said.contains("655 before 80 is 65580, and the highest port is 65535"),
        "{said}"
    );
    gateway.tunnels(&["create", "one", "8080", "--port-prefix", "1"]);
    let said = gateway.tunnels_refused(&["create", "other", "80", "--port-prefix", "180"]);
    assert!(
        said.contains(
            "port 18080 of other service 80 (prefix 180) is that of one service 8080 (prefix 1) already"
        ),
        "{said}"
    );
    // Nothing of what was refused is left, and nobody else gets what is kept.
    assert!(!gateway.done(&["reservation", "list"]).contains("other"));
    assert!(
        gateway
            .done(&["grant", "show", "pump"])
            .contains("40122,40180")
    );
    let gone = gateway.tunnels(&["delete", "pump", "80"]);
    assert_eq!(gone, rows(&[(40_180, "pump", "deleted")]));
    let left = gateway.done(&["grant", "show", "pump"]);
    assert!(left.contains("40122") && !left.contains("40180"), "{left}");
}

#[test]
fn what_cannot_be_had_whole_leaves_nothing_behind() {
    let gateway = Gateway::new();
    gateway.device("red001");
    // The second one is nobody.
    let said = gateway.tunnels_refused(&["create", "red00[1-2]", "80", "8080"]);
    assert!(
        said.contains("nothing is changed") && said.contains("red002"),
        "{said}"
    );
    assert!(gateway.tunnels(&["list"]).is_empty());
    assert!(!gateway.done(&["grant", "list"]).contains("8080"));
    gateway.device("red002");
    gateway.done(&["reservation", "add", "red002", "8081"]);
    let said = gateway.tunnels_refused(&["create", "red00[1-2]", "80", "8080"]);
    assert!(
        said.contains("port 8081 of red002 service 80 is kept by reservation"),
        "{said}"
    );
    let made = gateway.tunnels(&["create", "red00[1-2]", "80", "8080", "--skip-busy"]);
    assert_eq!(
        made,
        rows(&[(8_080, "red001", "new"), (8_082, "red002", "new")])
    );
    let (status, _, said) = gateway.admin(&[
        "host",
        "tunnel",
        "create",
        "pi@red001",
        "80",
        "--gateway",
        text(&gateway.data()),
    ]);
    assert_eq!(status.code(), Some(2), "{said}");
}

#[test]
fn a_device_has_its_port_and_keeps_it() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    gateway.start();
    let key = gateway.key("red001");
    gateway.device("red001");
    gateway.done(&["key", "add", "red001", text(&key.public_path())]);
    let port = gateway.port(0);
    let start = port.to_string();
    // The gateway runs, and grants at once what was made.
    let made = gateway.tunnels(&["create", "red001", "80", &start]);
    assert_eq!(made, rows(&[(port.into(), "red001", "new")]));
    assert_eq!(gateway.tunnels(&["list"])[0].2, "away");
    let ssh = gateway.up(&key, port, echo::service());
    gateway.wait_for_lease(port, "held");
    assert_eq!(gateway.tunnels(&["list", "red00[1-9]"])[0].2, "held");
    gateway.stop(Signal::KILL);
    drop(ssh);
    gateway.start();
    let made = gateway.tunnels(&["create", "red001", "80", &start]);
    assert_eq!(made[0].2, "there");
    let _ssh = gateway.up(&key, port, echo::service());
    visit(port).unwrap();
}
