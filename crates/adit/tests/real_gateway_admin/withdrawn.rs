//! What is taken away while the database is away, and whom nobody has to prove to be.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use adit_testkit::process::Process;
use adit_testkit::{echo, require, wait};
use rustix::process::Signal;

use crate::gateway::{GONE, Gateway, fingerprint};

/// Somebody else who writes to the database and does not end: nothing can be changed meanwhile.
fn locked(database: &Path) -> Process {
    const WORDS: &str = "\
import sqlite3, sys, time
database = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
database.execute('BEGIN IMMEDIATE')
print('locked', file=sys.stderr, flush=True)
time.sleep(600)
";
    let mut command = Command::new("python3");
    command.args(["-c", WORDS]).arg(database);
    let mut process = Process::spawn(&mut command);
    process.wait_for_text("locked");
    process
}

#[test]
fn g123_what_is_taken_away_while_the_database_is_away_holds_at_once_and_is_written_later() {
    require!("ssh", "ssh-keygen", "python3");
    let mut gateway = Gateway::new();
    let ports = [gateway.port(0), gateway.port(1)];
    let alice = gateway.user("alice", &ports[0].to_string());
    let bob = gateway.user("bob", &ports[1].to_string());
    gateway.start();
    let service = echo::service();
    let mut of_alice = gateway.up(&alice, ports[0], service);
    let mut of_bob = gateway.up(&bob, ports[1], service);
    for port in ports {
        gateway.wait_for_lease(port, "held");
    }

    let database = gateway.data().join("adit.db");
    let mut lock = locked(&database);
    let done = gateway.done(&["key", "remove", &fingerprint(&alice)]);
    assert!(done.contains("written when the database is back"), "{done}");
    of_alice.wait(GONE);
    let done = gateway.done(&["user", "disable", "bob"]);
    assert!(done.contains("holds from now on"), "{done}");
    of_bob.wait(GONE);
    for port in ports {
        wait::until_within(GONE, "nobody listens", || {
            let connected = TcpStream::connect(("127.0.0.1", port));
            connected.map_or(Ok(()), Err)
        });
    }
    let refused = gateway.refused(&["user", "disable", "nobody"]);
    assert!(refused.contains("nobody is called nobody"), "{refused}");

    // A gateway that is killed and starts again knows it, before its database does.
    gateway.stop(Signal::KILL);
    let journal = gateway.data().join("withdrawn.json");
    assert!(journal.exists());
    lock.kill();
    gateway.start();
    for (key, port) in [(&alice, ports[0]), (&bob, ports[1])] {
        let mut ssh = gateway.ssh(key, port, service);
        ssh.wait(wait::DEADLINE);
        assert!(
            ssh.stderr().contains("Permission denied"),
            "{}",
            ssh.stderr()
        );
    }
    wait::until("the database knows it", || {
        let shown = gateway.done(&["user", "show", "bob"]);
        let keys = gateway.done(&["key", "list"]);
        let is_known = shown.contains("disabled") && !keys.contains("alice");
        if is_known { Ok(()) } else { Err((shown, keys)) }
    });
    wait::until("the journal is empty", || {
        if journal.exists() {
            Err(gateway.stderr())
        } else {
            Ok(())
        }
    });
    gateway.done(&["user", "enable", "bob"]);
    drop(gateway.up(&bob, ports[1], service));
}

#[test]
fn anybody_comes_in_as_a_user_that_the_operator_has_named_and_as_nobody_else() {
    require!("ssh", "ssh-keygen");
    let mut gateway = Gateway::new();
    let port = gateway.port(0);
    gateway.user("guest", &port.to_string());
    gateway.done(&["user", "add", "alice"]);
    let stranger = gateway.key("stranger");
    let comes_in = |gateway: &Gateway, user: &str| {
        let mut ssh = gateway.ssh_with(&stranger, &["-T", "-l", user]);
        let told = wait::until("an answer", || {
            let told = ssh.stdout() + &ssh.stderr();
            let is_told = told.contains("You are") || told.contains("Permission denied");
            if is_told { Ok(told) } else { Err(told) }
        });
        ssh.kill();
        told.contains("You are")
    };
    gateway.start();
    assert!(!comes_in(&gateway, "guest"), "off, unless it is written");
    gateway.stop(Signal::TERM);
    std::fs::write(gateway.config(), "anonymous: guest\n").unwrap();
    gateway.start();
    assert!(gateway.stderr().contains("ANYBODY may log in as guest"));
    assert!(comes_in(&gateway, "guest"));
    assert!(!comes_in(&gateway, "alice") && !comes_in(&gateway, "root"));
    // With its grant, and no more.
    let service = echo::service();
    let forward = |port: u16| format!("{port}:127.0.0.1:{service}");
    let words = ["-N", "-l", "guest", "-o", "ExitOnForwardFailure=yes", "-R"];
    let (mine, other) = (forward(port), forward(gateway.port(1)));
    let mut allowed = gateway.ssh_with(&stranger, &[&words[..], &[&mine]].concat());
    gateway.wait_for_lease(port, "held");
    let mut refused = gateway.ssh_with(&stranger, &[&words[..], &[&other]].concat());
    assert!(!refused.wait(wait::DEADLINE).success());
    // Taken back, it ends whoever is there by it.
    std::fs::write(gateway.config(), "anonymous: []\n").unwrap();
    gateway.done(&["reload"]);
    allowed.wait(GONE);
    assert!(!comes_in(&gateway, "guest"));
}
