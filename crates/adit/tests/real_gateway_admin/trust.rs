//! Authorities and revocations, and files of keys, from the command to stock ssh.

use std::process::Command;

use adit_testkit::key_pair::KeyPair;
use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};
use rustix::process::Signal;

use crate::gateway::{GONE, Gateway, fingerprint, text};

/// A certificate over a new key, with that serial number.
fn certified(gateway: &Gateway, authority: &KeyPair, name: &str, serial: &str) -> KeyPair {
    let key = gateway.key(name);
    let words = ["-I", "a laptop", "-n", "operators", "-z", serial];
    authority.certify(&key.public_path(), &words);
    key
}

#[test]
fn certificates_let_in_whom_an_operator_names_until_they_are_revoked() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let (port, service) = (gateway.port(0), echo::service());
    let authority = gateway.key("ca");
    let of = fingerprint(&authority);
    gateway.done(&["user", "add", "alice"]);
    gateway.done(&["grant", "add", "alice", "--ports", &port.to_string()]);
    gateway.start();
    let refused = |key: &KeyPair| {
        let mut ssh = gateway.ssh(key, port, service);
        assert!(!ssh.wait(wait::DEADLINE).success(), "{}", gateway.stderr());
        assert!(
            ssh.stderr().contains("Permission denied"),
            "{}",
            ssh.stderr()
        );
    };

    // An authority alone lets nobody in: it has to be said who its names are.
    let one = certified(&gateway, &authority, "one", "17");
    gateway.done(&["authority", "add", text(&authority.public_path())]);
    refused(&one);
    gateway.done(&["authority", "name", &of, "operators", "alice"]);
    let mut ssh = gateway.up(&one, port, service);
    let lease = gateway.wait_for_lease(port, "held");
    assert_eq!(lease["principal"], "alice", "{lease}");
    let shown = gateway.done(&["authority", "show", &of, "--json"]);
    assert!(shown.contains("operators"), "{shown}");

    // Each kind of revocation ends what is connected, and keeps out what comes.
    gateway.done(&["revoke", "add", "--authority", &of, "--serials", "17-18"]);
    ssh.wait(GONE);
    refused(&one);
    let two = certified(&gateway, &authority, "two", "19");
    let mut ssh = gateway.up(&two, port, service);
    let own = fingerprint(&two);
    gateway.done(&["revoke", "add", "--key", &own]);
    ssh.wait(GONE);
    refused(&two);
    let three = certified(&gateway, &authority, "three", "20");
    let mut ssh = gateway.up(&three, port, service);
    let key_id = ["revoke", "add", "--authority", &of, "--key-id", "a laptop"];
    gateway.done(&key_id);
    ssh.wait(GONE);
    refused(&three);

    // Taken back, the newest first, each lets its own in again.
    let all = gateway.done(&["revoke", "list", "--json"]);
    let rows = all.lines().map(|line| serde_json::from_str(line).unwrap());
    let rows: Vec<serde_json::Value> = rows.collect();
    assert_eq!(rows.len(), 3, "{all}");
    for (row, key) in rows.iter().rev().zip([&three, &two, &one]) {
        gateway.done(&["revoke", "remove", &row["id"].to_string()]);
        drop(gateway.up(key, port, service));
    }
    // Without its name, and without the authority, nobody is left.
    let mut ssh = gateway.up(&one, port, service);
    gateway.done(&["authority", "unname", &of, "operators"]);
    ssh.wait(GONE);
    refused(&one);
    gateway.done(&["authority", "name", &of, "operators", "alice"]);
    let mut ssh = gateway.up(&one, port, service);
    gateway.done(&["authority", "remove", &of]);
    ssh.wait(GONE);
    refused(&one);
}

/// Spoils the row of a principal of a file of keys.
fn damage(gateway: &Gateway, key: &KeyPair) {
    let script = "import sqlite3, sys\n\
        db = sqlite3.connect(sys.argv[1])\n\
        changed = db.execute(\"UPDATE adit_principals SET kind = 'none' WHERE note LIKE ?\", (f'%{sys.argv[2]}%',))\n\
        assert changed.rowcount == 1, changed.rowcount\n\
        db.commit()\n";
    let mut command = Command::new("python3");
    command
        .args(["-c", script])
        .arg(gateway.data().join("adit.db"));
    let mut python = Process::spawn(command.arg(fingerprint(key)));
    assert!(python.wait(wait::DEADLINE).success(), "{}", python.stderr());
}

#[test]
fn one_damaged_row_of_a_file_of_keys_keeps_nobody_else_out() {
    require!("ssh", "ssh-keygen", "python3");
    let mut gateway = Gateway::new();
    let service = echo::service();
    let keys = ["one", "two"].map(|name| gateway.key(name));
    let file = gateway.folder.path().join("authorized_keys");
    let lines = keys
        .each_ref()
        .map(|key| format!("{}\n", key.public_line()));
    std::fs::write(&file, lines.concat()).unwrap();
    let config = format!("authorized_keys: [{}]\n", text(&file));
    std::fs::write(gateway.config(), config).unwrap();
    gateway.start();
    drop(gateway.up(&keys[0], gateway.port(0), service));

    // What such a principal may do is not the store's to say.
    let users = gateway.done(&["user", "list", "--json"]);
    let user: serde_json::Value = serde_json::from_str(users.lines().next().unwrap()).unwrap();
    let name = user["name"].as_str().unwrap();
    assert!(name.starts_with("file-"), "{users}");
    let stderr = gateway.refused(&["grant", "add", name, "--ports", "443"]);
    assert!(stderr.contains("file of keys"), "{stderr}");
    // Nor does a grant make ports that the gateway has not.
    gateway.done(&["user", "add", "alice"]);
    let (_, stdout, stderr) = gateway.admin(&["grant", "add", "alice", "--ports", "443"]);
    let told = format!("{stdout}{stderr}");
    assert!(told.contains("no forward listens at 443"), "{told}");

    gateway.stop(Signal::TERM);
    damage(&gateway, &keys[0]);
    gateway.start();
    drop(gateway.up(&keys[1], gateway.port(1), service));
    let mut ssh = gateway.ssh(&keys[0], gateway.port(0), service);
    assert!(!ssh.wait(wait::DEADLINE).success());
    let told = gateway.stderr();
    assert!(
        told.contains("line 1: what the store has of it is damaged"),
        "{told}"
    );
}
