//! What is in the audit after a gateway has run.

use std::ffi::OsStr;
use std::process::Command;

use adit_store::{Place, Store};
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::require;
use jiff::Timestamp;
use rustix::process::Signal;

use crate::gateway::Gateway;

#[tokio::test]
async fn the_audit_has_the_start_a_refused_login_a_reload_and_the_end() {
    let ssh = require!("ssh");
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    let keys = folder.path().join("keys");
    let line = format!("expiry-time=\"20200101\" {}\n", key.public_line().trim());
    std::fs::write(&keys, line).unwrap();
    let more = [OsStr::new("--authorized-keys"), keys.as_os_str()];
    let mut gateway = Gateway::start(folder, &more);
    for _ in 0..2 {
        let output = Command::new(&ssh)
            .args(["-F", "none", "-o", "BatchMode=yes"])
            .args(["-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(["-p", &gateway.ssh().port().to_string(), "-i"])
            .arg(key.private_path())
            .args(["-N", "somebody@127.0.0.1"])
            .env_remove("SSH_AUTH_SOCK")
            .output()
            .unwrap();
        assert!(!output.status.success());
    }
    gateway.process.signal(Signal::HUP);
    gateway.says("everything was read again", 1);
    gateway.end();
    let place = Place::File(gateway.data().join("adit.db"));
    let store = Store::open(place, Timestamp::now()).await.unwrap();
    let mut entries = store.audit(None, 100).await.unwrap();
    entries.reverse();
    entries.retain(|entry| entry.what != "principal.add");
    let kinds: Vec<_> = entries.iter().map(|entry| entry.what.as_str()).collect();
    // The second refusal is the first over again.
    let expected = [
        "gateway.start",
        "login.refuse",
        "gateway.reload",
        "gateway.stop",
    ];
    assert_eq!(kinds, expected);
    let refused = &entries[1];
    assert!(refused.who.starts_with("SHA256:"), "{refused:?}");
    assert_eq!(refused.details["reason"], "key has expired");
    assert_eq!(refused.details["source"], "127.0.0.1");
}
