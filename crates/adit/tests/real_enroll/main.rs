//! Machines that become devices by a code, and what they make public then, with the built program.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::string_slice,
    reason = "tests"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::Signal;

mod expose;
mod import;
mod prompt;

/// A gateway with names, and a folder for machines.
struct World {
    folder: tempfile::TempDir,
    ssh: Port,
    http: Port,
    public: Port,
}

impl World {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ssh: Port::reserve(),
            http: Port::reserve(),
            public: Port::reserve(),
        }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn start(&self) -> Process {
        let at = |port: &Port| format!("127.0.0.1:{}", port.number());
        let mut serve = adit();
        serve
            .args(["serve", "--domain", "gw.test", "--data"])
            .arg(self.data());
        serve.args(["--ssh", &at(&self.ssh), "--http", &at(&self.http)]);
        serve.args(["--ports", &self.public.number().to_string()]);
        let mut gateway = Process::spawn(&mut serve);
        gateway.wait_for_text("try: ");
        gateway
    }

    /// A command that looks after the gateway, and what it prints.
    fn admin(&self, words: &[&str]) -> Output {
        adit()
            .args(words)
            .arg("--data")
            .arg(self.data())
            .output()
            .unwrap()
    }

    fn done(&self, words: &[&str]) -> String {
        let output = self.admin(words);
        assert!(output.status.success(), "{words:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// A code for a device of that name that may have a name of the edge.
    fn invite(&self, name: &str, more: &[&str]) -> String {
        let words = [&["invite", "add", name][..], more].concat();
        let printed = self.done(&words);
        let code = printed.lines().next().unwrap();
        assert!(code.starts_with("adit-"), "{printed}");
        String::from(code)
    }

    /// The gateway as machines call it.
    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.ssh.number())
    }

    /// A command on a machine of its own.
    fn on(&self, machine: &str) -> Command {
        let home = self.folder.path().join(machine);
        std::fs::create_dir_all(&home).unwrap();
        let mut command = adit();
        command.env("HOME", &home).env("XDG_RUNTIME_DIR", &home);
        command
            .env_remove("XDG_STATE_HOME")
            .env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Joins the gateway from a machine, with the code on standard input.
    fn join(&self, machine: &str, code: &str) -> Output {
        self.join_at(&self.address(), machine, code, &[])
    }

    fn join_at(&self, address: &str, machine: &str, code: &str, more: &[&str]) -> Output {
        let mut command = self.on(machine);
        command
            .args(["join", "--code-file", "-", address])
            .args(more);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(format!("{code}\n").as_bytes())
            .unwrap();
        child.wait_with_output().unwrap()
    }

    fn key(&self, machine: &str) -> PathBuf {
        let name = format!("127.0.0.1_{}", self.ssh.number());
        let state = self.folder.path().join(machine).join(".local/state");
        state.join("adit/gateways").join(name).join("id_ed25519")
    }
}

fn adit() -> Command {
    Command::new(env!("CARGO_BIN_EXE_adit"))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_machine_becomes_a_device_by_a_code_once() {
    let world = World::new();
    let gateway = world.start();
    let code = world.invite("red001", &["--name", "shop"]);
    let joined = world.join("first", &code);
    assert!(joined.status.success(), "{}", said(&joined));
    let told = String::from_utf8(joined.stdout).unwrap();
    assert!(
        told.contains("this machine is red001") && told.contains("gw.test"),
        "{told}"
    );
    let mode = std::fs::metadata(world.key("first"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    // Its grant is what was decided before, and the code is nowhere.
    let shown = world.done(&["device", "show", "red001"]);
    assert!(shown.contains("shop"), "{shown}");
    let list = world.done(&["invite", "list"]);
    assert!(list.contains("used by SHA256:"), "{list}");
    let audit = world.done(&["audit", "list"]);
    assert!(
        audit.contains("invite.add") && audit.contains("invite.use"),
        "{audit}"
    );
    let secret = &code[14..];
    for text in [&shown, &list, &audit, &gateway.stderr()] {
        assert!(!text.contains(secret), "{text}");
    }
    // Another machine with the same code is refused, as one with a code that never was.
    let second = world.join("second", &code);
    assert_eq!(second.status.code(), Some(1));
    assert!(
        said(&second).contains("takes no such code"),
        "{}",
        said(&second)
    );
    assert_eq!(world.done(&["device", "list"]).lines().count(), 2);
    // The same machine has joined, and is told so.
    let again = world.join("first", &code);
    assert!(said(&again).contains("--again"), "{}", said(&again));
}

/// G42, and what is lost between commit and answer.
#[test]
fn the_same_key_gets_the_same_answer_again_and_another_does_not() {
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &[]);
    assert!(world.join("first", &code).status.success());
    // As if the answer had been lost: all that is there is the key of a try.
    let folder = world.key("first").parent().unwrap().to_owned();
    let mut joining = folder.clone().into_os_string();
    joining.push(".joining");
    std::fs::remove_file(folder.join("gateway.json")).unwrap();
    std::fs::rename(&folder, joining).unwrap();
    let again = world.join("first", &code);
    assert!(again.status.success(), "{}", said(&again));
    assert!(String::from_utf8(again.stdout).unwrap().contains("red001"));
    assert_eq!(world.join("other", &code).status.code(), Some(1));
}

#[test]
fn a_code_that_is_over_taken_back_or_mistyped_lets_nobody_in() {
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &[]);
    let list = world.done(&["invite", "list"]);
    let number = list
        .lines()
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap();
    world.done(&["invite", "remove", number]);
    let removed = world.join("first", &code);
    assert!(
        said(&removed).contains("takes no such code"),
        "{}",
        said(&removed)
    );
    let mut typed = code;
    let letter = typed.pop().unwrap();
    typed.push(if letter == '0' { '1' } else { '0' });
    let refused = world.join("first", &typed);
    assert!(said(&refused).contains("mistyped"), "{}", said(&refused));
    let too_long = world.admin(&["invite", "add", "red002", "--lasts", "25h"]);
    assert_eq!(too_long.status.code(), Some(1));
    let short = world.invite("red003", &["--lasts", "1s"]);
    wait::until("the code is over", || {
        let list = world.done(&["invite", "list"]);
        if list.contains("expired") {
            Ok(())
        } else {
            Err(list)
        }
    });
    assert_eq!(world.join("third", &short).status.code(), Some(1));
}

/// G40: a host that has another key hears no word of the login, which is counted at the stock sshd that it is.
#[test]
fn join_wrong_hostkey_sends_no_code() {
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &[]);
    let other = World::new();
    let mut log = Process::spawn(
        adit()
            .args(["serve", "--domain", "gw.test", "--data"])
            .arg(other.data())
            .args([
                "--ssh",
                &other.address(),
                "--ports",
                &other.public.number().to_string(),
            ])
            .env("ADIT_LOG", "debug"),
    );
    log.wait_for_text("try: ");
    let joined = world.join_at(&other.address(), "first", &code, &[]);
    assert_eq!(joined.status.code(), Some(1));
    assert!(
        said(&joined).contains("not the gateway that the code is of"),
        "{}",
        said(&joined)
    );
    wait::until("the host has seen it go", || {
        let told = log.stderr();
        if told.contains("nobody logged in") {
            Ok(())
        } else {
            Err(told)
        }
    });
    let told = log.stderr();
    assert!(
        !told.contains("key lets nobody in") && !told.contains("enrolment"),
        "{told}"
    );
    assert!(!told.contains("adit-join"), "{told}");
    // The code is as good as before where it belongs.
    let right = world.join("first", &code);
    assert!(right.status.success(), "{}", said(&right));
}

#[test]
fn a_device_that_is_there_gets_one_more_key_by_a_code() {
    let world = World::new();
    let _gateway = world.start();
    let first = world.invite("red001", &["--name", "shop"]);
    assert!(world.join("first", &first).status.success());
    let refused = world.admin(&["invite", "add", "red001", "--name", "other"]);
    assert!(
        said(&refused).contains("adds a key alone"),
        "{}",
        said(&refused)
    );
    let second = world.invite("red001", &[]);
    let joined = world.join("second", &second);
    assert!(joined.status.success(), "{}", said(&joined));
    assert_eq!(world.done(&["key", "list", "red001"]).lines().count(), 3);
}

#[test]
fn a_code_in_a_file_that_others_can_read_is_not_used() {
    let world = World::new();
    let _gateway = world.start();
    let code = world.invite("red001", &[]);
    let file = world.folder.path().join("code");
    let mut options = std::fs::OpenOptions::new();
    let mut opened = options
        .create(true)
        .write(true)
        .mode(0o644)
        .open(&file)
        .unwrap();
    opened.write_all(code.as_bytes()).unwrap();
    let join = || {
        let mut command = world.on("first");
        command
            .args(["join", &world.address()])
            .env("ADIT_CODE_FILE", &file);
        command.output().unwrap()
    };
    assert!(said(&join()).contains("chmod 600"));
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    let joined = join();
    assert!(joined.status.success(), "{}", said(&joined));
}

/// G41: throttled, and the same words for whatever is wrong.
#[test]
fn who_guesses_is_not_heard_any_more() {
    let world = World::new();
    let gateway = world.start();
    let code = world.invite("red001", &[]);
    assert!(world.join("first", &code).status.success());
    for number in 0..10 {
        let output = world.join(&format!("guesser{number}"), &code);
        assert_eq!(output.status.code(), Some(1));
    }
    let fresh = world.invite("red002", &[]);
    let late = world.join("second", &fresh);
    assert_eq!(late.status.code(), Some(1), "{}", said(&late));
    assert!(
        gateway.stderr().contains("it was used before"),
        "{}",
        gateway.stderr()
    );
}
