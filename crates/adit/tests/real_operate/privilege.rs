//! A gateway without root: one right, to bind ports below 1024, and a user that owns nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::process::Command;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{real, require, wait};
use tempfile::TempDir;

/// Nobody, on every system.
const NOBODY: u32 = 65_534;

/// A folder that nobody can enter, with the program, a data directory of nobody's, a key and a file with it.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let open =
        |name: &str| fs::set_permissions(path(name), fs::Permissions::from_mode(0o755)).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_adit"), path("adit")).unwrap();
    open("adit");
    open("");
    fs::create_dir(path("data")).unwrap();
    fs::set_permissions(path("data"), fs::Permissions::from_mode(0o700)).unwrap();
    chown(path("data"), Some(NOBODY), Some(NOBODY)).unwrap();
    let key = KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    fs::copy(key.public_path(), path("keys")).unwrap();
    fs::set_permissions(path("keys"), fs::Permissions::from_mode(0o644)).unwrap();
    folder
}

/// A gateway at port 443 of a network of its own, as nobody with those rights.
fn gateway(folder: &TempDir, rights: &str) -> Process {
    let rights = ["inh-caps", "ambient-caps", "bounding-set"].map(|it| format!("--{it}={rights}"));
    let script = "ip link set lo up && exec setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs \"$@\"";
    let mut command = Command::new("unshare");
    command
        .args(["--net", "sh", "-c", script, "sh"])
        .args(rights)
        .arg(folder.path().join("adit"))
        .args(["serve", "--ssh", "127.0.0.1:443", "--ports", "80", "--data"])
        .arg(folder.path().join("data"))
        .arg("--authorized-keys")
        .arg(folder.path().join("keys"))
        .env("HOME", "/");
    Process::spawn(&mut command)
}

/// A program in the gateway's network.
fn beside(gateway: &Process) -> Command {
    let mut command = Command::new("nsenter");
    let pid = gateway.id().as_raw_nonzero().to_string();
    command.args(["--net", "--target", &pid, "--"]);
    command
}

#[test]
fn with_one_right_a_gateway_that_is_not_root_has_ports_below_1024() {
    require!("ssh", "ssh-keygen", "setpriv", "unshare", "nsenter", "ip");
    if !real::is_root_or_skip() {
        return;
    }
    let folder = folder();
    let mut gateway = gateway(&folder, "-all,+net_bind_service");
    gateway.wait_for_text("try: ssh");
    let status = format!("/proc/{}/status", gateway.id().as_raw_nonzero());
    let status = fs::read_to_string(status).unwrap();
    for line in [
        "Uid:\t65534\t65534\t65534\t65534\n",
        // CAP_NET_BIND_SERVICE is bit 10.
        "CapEff:\t0000000000000400\n",
        "CapBnd:\t0000000000000400\n",
    ] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let mut ssh = beside(&gateway);
    ssh.args(["ssh", "-F", "none", "-o", "StrictHostKeyChecking=no"])
        .args(["-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes"])
        .args(["-o", "IdentityAgent=none", "-i"])
        .arg(folder.path().join("key"))
        .args(["-o", "ExitOnForwardFailure=yes", "-N", "-p", "443"])
        .args(["-R", "80:127.0.0.1:443", "me@127.0.0.1"]);
    let mut ssh = Process::spawn(&mut ssh);
    // The forward leads back to the gateway, which greets.
    wait::until("a visitor of port 80", || {
        assert_eq!(ssh.exit_status(), None, "{}", ssh.stderr());
        let visit = "exec 3<>/dev/tcp/127.0.0.1/80 && head -c 8 <&3";
        let output = beside(&gateway)
            .args(["bash", "-c", visit])
            .output()
            .unwrap();
        (output.stdout == b"SSH-2.0-").then_some(()).ok_or(output)
    });
}

#[test]
fn without_the_right_it_says_which_is_missing() {
    require!("setpriv", "unshare", "ip", "ssh-keygen");
    if !real::is_root_or_skip() {
        return;
    }
    let folder = folder();
    let mut gateway = gateway(&folder, "-all");
    assert_eq!(gateway.wait(wait::DEADLINE).code(), Some(1));
    let said = gateway.stderr();
    assert!(said.contains("CAP_NET_BIND_SERVICE"), "{said}");
}
