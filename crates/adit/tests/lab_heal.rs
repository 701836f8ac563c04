//! A tunnel over a line that goes dark, at a stock sshd that never asks whether its peers are alive.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::Instant;

use adit_testkit::link::{End, Link};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{require, wait};

/// The ports of the lines that say that a forward is up.
fn ups(adit: &Process) -> Vec<String> {
    let stderr = adit.stderr();
    let lines = stderr.lines().filter_map(|line| {
        let (bind, _) = line.strip_prefix("forward up: ")?.split_once(" -> ")?;
        Some(bind.to_owned())
    });
    lines.collect()
}

fn wait_for_ups(adit: &Process, count: usize) -> Vec<String> {
    wait::until("a forward that is up", || {
        let ups = ups(adit);
        if ups.len() >= count {
            Ok(ups)
        } else {
            Err(adit.stderr())
        }
    })
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a time is printed")]
fn after_a_dark_line_the_port_is_back_at_once_though_its_sshd_never_noticed() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let (inside, public) = (Namespace::new(), Namespace::new());
    let link = Link::new(&inside, &public, 1);
    let sshd = Sshd::builder()
        .config_line("ClientAliveInterval 0\nTCPKeepAlive no")
        .start_in(&public, link.ip(End::Right));
    let service = inside.enter(|| TcpListener::bind("127.0.0.1:8080").unwrap());
    let config = sshd.folder().join("config");
    let text = format!(
        "Host gw\n HostName {}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n \
         ServerAliveInterval 1\n ServerAliveCountMax 2\n RemoteForward 127.0.0.1:0 127.0.0.1:8080\n",
        sshd.addr().ip(),
        sshd.user(),
        sshd.user_key().private_path().display(),
        sshd.known_hosts_path().display(),
    );
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.args(["forward", "-F"]).arg(&config).arg("gw");
    let adit = Process::spawn(&mut inside.wrap(&command));
    let before = wait_for_ups(&adit, 1);

    link.blackout_both();
    wait::until("the end of the connection is noticed", || {
        let stderr = adit.stderr();
        if stderr.contains("connection ended") {
            Ok(())
        } else {
            Err(stderr)
        }
    });
    assert_eq!(sshd.connection_count(), 1, "sshd has noticed nothing");
    let start = Instant::now();
    link.restore();
    let after = wait_for_ups(&adit, 2);
    println!("back {:.2} s after the line", start.elapsed().as_secs_f64());
    assert_eq!(after[1], before[0], "the same port");
    let log = sshd.log();
    let logins = log.matches("Accepted publickey").count();
    assert_eq!(logins, 2, "{log}");
    wait::until("the end of the old session", || {
        match sshd.connection_count() {
            1 => Ok(()),
            other => Err(other),
        }
    });

    let mut visitor = public.enter(|| TcpStream::connect(&after[1]).unwrap());
    let (mut served, _) = service.accept().unwrap();
    served.write_all(b"hello").unwrap();
    visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
    visitor.read_exact(&mut [0; 5]).unwrap();
}
