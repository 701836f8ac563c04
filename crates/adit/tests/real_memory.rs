//! What the system says of a running `adit`, which holds keys.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::net::TcpListener;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{require, wait};
use rustix::process::{Pid, getegid, geteuid};

fn proc(pid: Pid, file: &str) -> String {
    format!("/proc/{}/{file}", pid.as_raw_nonzero())
}

/// User and group that may read a process's memory: its own, or root where it is withheld (proc(5)).
fn owner(pid: Pid) -> (u32, u32) {
    let metadata = std::fs::metadata(proc(pid, "environ")).unwrap();
    (metadata.uid(), metadata.gid())
}

/// A program in a group that is not root's, so that whose it is can be told apart also when root
/// runs the tests.
fn command(program: &str) -> (Command, (u32, u32)) {
    let mut command = Command::new(program);
    let (user, mut group) = (geteuid().as_raw(), getegid().as_raw());
    if user == 0 {
        group = 65_534;
        command.gid(group);
    }
    (command, (user, group))
}

/// Runs adit until it has dialled, when it has begun; whom it dials stays silent.
fn with_running(look: impl FnOnce(Pid)) {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    silent.set_nonblocking(true).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let key = KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    let port = silent.local_addr().unwrap().port().to_string();
    let (mut command_line, _) = command(env!("CARGO_BIN_EXE_adit"));
    command_line
        .args([
            "forward",
            "-F",
            "none",
            "-p",
            &port,
            "-R",
            "0:localhost:1",
            "-i",
        ])
        .arg(key.private_path())
        .arg("somebody@127.0.0.1");
    let adit = Process::spawn(&mut command_line);
    let _sshd = wait::until("adit dials", || {
        silent.accept().map_err(|error| (error, adit.stderr()))
    });
    look(adit.id());
}

#[test]
fn a_running_adit_gives_memory_back_also_while_nothing_happens() {
    require!("ssh-keygen");
    with_running(|adit| {
        // The allocator's own thread does that, when it is there.
        let threads = std::fs::read_dir(proc(adit, "task")).unwrap();
        let names: Vec<String> = threads
            .map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")).unwrap())
            .collect();
        assert!(names.contains(&"jemalloc_bg_thd\n".to_owned()), "{names:?}");
    });
}

#[test]
fn a_running_adit_leaves_no_core_and_its_memory_is_roots_alone() {
    require!("ssh-keygen", "sleep");
    with_running(|adit| {
        let limits = std::fs::read_to_string(proc(adit, "limits")).unwrap();
        let core = limits
            .lines()
            .find(|line| line.starts_with("Max core file size"));
        let values: Vec<&str> = core.unwrap().split_whitespace().skip(4).take(2).collect();
        assert_eq!(values, ["0", "0"], "soft and hard, in bytes");
        assert_eq!(owner(adit), (0, 0));
    });

    let (mut sleep, own) = command("sleep");
    let sleep = Process::spawn(sleep.arg("600"));
    wait::until("another program keeps its own", || {
        let owner = owner(sleep.id());
        (owner == own).then_some(()).ok_or(owner)
    });
}
