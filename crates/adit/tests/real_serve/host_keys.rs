//! Other host keys for a gateway that runs, and what stock ssh makes of it.

use std::process::{Command, Output};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use rustix::process::Signal;

use crate::world::World;

/// `adit host-key` for that gateway.
fn host_key(world: &World, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_adit"))
        .arg("host-key")
        .args(words)
        .args(["--json", "--data"])
        .arg(world.path("data"))
        .output()
        .unwrap()
}

/// Fingerprints of the host keys by their standing, those of Ed25519.
fn ed25519(world: &World, standing: &str) -> Vec<String> {
    let output = host_key(world, &["list"]);
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let fingerprint = |line: &str| {
        let fingerprint = line.split("\"fingerprint\":\"").nth(1).unwrap();
        String::from(fingerprint.split('"').next().unwrap())
    };
    let is_meant = |line: &&str| {
        line.contains("ssh-ed25519") && line.contains(&format!("\"standing\":\"{standing}\""))
    };
    text.lines().filter(is_meant).map(fingerprint).collect()
}

/// Fingerprints in known_hosts.
fn known(world: &World) -> Result<Vec<String>, String> {
    let output = Command::new("ssh-keygen")
        .arg("-lf")
        .arg(world.path("known_hosts"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let second = |line: &str| line.split(' ').nth(1).map(String::from);
    text.lines().map(second).collect::<Option<_>>().ok_or(text)
}

/// A login of stock ssh that follows changes of host keys, and says by which it knows the host.
fn login(world: &World, checking: &str) -> Process {
    let checking = format!("StrictHostKeyChecking={checking}");
    let words = ["-v", "-N", "-o", &checking, "-o", "UpdateHostKeys=yes"];
    let mut command = Command::new("ssh");
    // Of an option the first counts.
    let given = world.ssh(&world.ann, &[]);
    command.args(words).args(given.get_args());
    let mut ssh = Process::spawn(&mut command);
    ssh.wait_for_text("Authenticated to");
    ssh
}

/// Waits until stock ssh knows those and no other.
fn knows(world: &World, ssh: &Process, expected: &[&String], not: &str) {
    wait::until("host keys in known_hosts", || {
        let known = known(world)?;
        let has_all = expected.iter().all(|it| known.contains(it));
        let is_there = known.iter().any(|it| it == not);
        if known.len() == 4 && has_all && !is_there {
            return Ok(());
        }
        Err(format!("{known:?}: {}", ssh.stderr()))
    });
}

/// Security rule G45.
#[test]
fn hostkey_rotation_end_to_end() {
    require!("ssh", "ssh-keygen");
    let world = World::new();
    let mut gateway = world.start(&[]);
    let tunnel = world.tunnel(&world.ann);
    let (active, next) = (ed25519(&world, "active"), ed25519(&world, "next"));
    let [active, next] = [&active, &next].map(|it| it.first().unwrap());
    // At its first login it hears of all that are there.
    let ssh = login(&world, "accept-new");
    assert!(ssh.stderr().contains(active), "{}", ssh.stderr());
    knows(&world, &ssh, &[active, next], "");
    drop(ssh);
    // Too soon for those who log in seldom.
    let output = host_key(&world, &["rotate"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--force"), "{said}");
    let output = host_key(&world, &["rotate", "--force"]);
    assert!(output.status.success(), "{output:?}");
    // Shown at once, known already, and the old one is forgotten.
    let ssh = login(&world, "yes");
    assert!(ssh.stderr().contains(next), "{}", ssh.stderr());
    assert_eq!(ed25519(&world, "active"), std::slice::from_ref(next));
    let after = ed25519(&world, "next");
    knows(&world, &ssh, &[next, after.first().unwrap()], active);
    drop(ssh);
    // Nobody was disconnected for it.
    let mut tunnel = tunnel;
    assert_eq!(tunnel.exit_status(), None, "{}", tunnel.stderr());
    world.visit().unwrap();
    // One of an operator's own, by SIGHUP.
    let folder = world.path("data/ssh");
    let own = KeyPair::generate(&folder, "ssh_host_own_key", KeyKind::Ed25519);
    gateway.signal(Signal::HUP);
    wait::until("the new key", || {
        let said = gateway.stderr();
        let is_shown = said.contains("announced ssh-ed25519 SHA256:");
        is_shown.then_some(()).ok_or(said)
    });
    assert_eq!(ed25519(&world, "announced").len(), 1);
    // One that others can read is refused whole.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(own.private_path(), open).unwrap();
    gateway.signal(Signal::HUP);
    wait::until("the refusal", || {
        let said = gateway.stderr();
        said.contains("can be read by others")
            .then_some(())
            .ok_or(said)
    });
    std::fs::remove_file(own.private_path()).unwrap();
    // The same after a restart, and in the audit who did it.
    gateway.signal(Signal::TERM);
    assert!(gateway.wait(wait::DEADLINE).success());
    drop(gateway);
    let gateway = world.start(&[]);
    assert!(gateway.stderr().contains(next), "{}", gateway.stderr());
    let audit = Command::new(env!("CARGO_BIN_EXE_adit"))
        .args(["audit", "list", "--json", "--data"])
        .arg(world.path("data"))
        .output()
        .unwrap();
    let audit = String::from_utf8(audit.stdout).unwrap();
    for words in ["host_key.rotate", "host_key.change", active] {
        assert!(audit.contains(words), "{words}: {audit}");
    }
}
