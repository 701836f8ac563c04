//! A tunnel over a line that fails as lines in the field do, at a stock sshd. Nobody helps it; how long each took
//! is printed.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use adit_testkit::link::{End, Impairment, Link};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{echo, require, wait};

/// A tunnel from a private network to a public host, and the line between them.
struct Lab {
    public: Namespace,
    link: Link,
    sshd: Sshd,
    adit: Process,
    _inside: Namespace,
}

impl Lab {
    /// The tunnel asks after its peer each second and gives it up after two.
    fn new(sshd_lines: &str) -> Self {
        Self::with_bind("127.0.0.1:0", sshd_lines)
    }

    #[expect(clippy::unwrap_used, reason = "part of a test")]
    fn with_bind(bind: &str, sshd_lines: &str) -> Self {
        let (inside, public) = (Namespace::new(), Namespace::new());
        let link = Link::new(&inside, &public, 1);
        let sshd = Sshd::builder()
            .config_line(sshd_lines)
            .start_in(&public, link.ip(End::Right));
        let service = inside.enter(|| TcpListener::bind("127.0.0.1:8080").unwrap());
        echo::serve(service, Vec::new());
        let config = sshd.folder().join("config");
        let text = format!(
            "Host gw\n HostName {}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n \
             ServerAliveInterval 1\n ServerAliveCountMax 2\n \
             RemoteForward {bind} 127.0.0.1:8080\n",
            sshd.addr().ip(),
            sshd.user(),
            sshd.user_key().private_path().display(),
            sshd.known_hosts_path().display(),
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.args(["forward", "-F"]).arg(&config).arg("gw");
        let adit = Process::spawn(&mut inside.wrap(&command));
        Self {
            public,
            link,
            sshd,
            adit,
            _inside: inside,
        }
    }

    /// The addresses of the lines that say that the forward is up, once there are so many.
    fn ups(&self, count: usize) -> Vec<String> {
        wait::until("a forward that is up", || {
            let stderr = self.adit.stderr();
            let lines = stderr.lines().filter_map(|line| {
                let (bind, _) = line.strip_prefix("forward up: ")?.split_once(" -> ")?;
                Some(bind.to_owned())
            });
            let ups: Vec<String> = lines.collect();
            if ups.len() >= count {
                Ok(ups)
            } else {
                Err(stderr)
            }
        })
    }

    /// Waits until it is noticed that the connection is gone.
    fn noticed(&self) {
        wait::until("the end of the connection is noticed", || {
            let stderr = self.adit.stderr();
            if stderr.contains("connection ended") {
                Ok(())
            } else {
                Err(stderr)
            }
        });
    }

    /// Waits for the forward after a fault; it must be at the address that it had.
    #[expect(clippy::print_stdout, reason = "a time is printed")]
    fn back(&self, fault: &str, since: Instant) {
        let ups = self.ups(2);
        println!("{fault}: back after {:.2} s", since.elapsed().as_secs_f64());
        assert_eq!(ups.first(), ups.last(), "the same port");
        self.visit(1_000);
    }

    /// A visitor who sends, finishes and gets it all back.
    #[expect(clippy::unwrap_used, reason = "part of a test")]
    fn visit(&self, length: u32) {
        let sent: Vec<u8> = (0..length).flat_map(u32::to_be_bytes).collect();
        let addr = self.ups(1).swap_remove(0);
        let mut visitor = self.public.enter(|| TcpStream::connect(addr).unwrap());
        visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        visitor.write_all(&sent).unwrap();
        visitor.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        visitor.read_to_end(&mut got).unwrap();
        assert!(got == sent, "{} of {}", got.len(), sent.len());
    }
}

#[expect(clippy::disallowed_methods, reason = "a time is printed")]
fn now() -> Instant {
    Instant::now()
}

#[test]
fn after_a_dark_line_the_port_is_back_at_once_though_its_sshd_never_noticed() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0\nTCPKeepAlive no");
    lab.ups(1);
    lab.link.blackout_both();
    lab.noticed();
    assert_eq!(lab.sshd.connection_count(), 1, "sshd has noticed nothing");
    let start = now();
    lab.link.restore();
    lab.back("dark line", start);
    let log = lab.sshd.log();
    let logins = log.matches("Accepted publickey").count();
    assert_eq!(logins, 2, "{log}");
    wait::until("the end of the old session", || {
        match lab.sshd.connection_count() {
            1 => Ok(()),
            other => Err(other),
        }
    });
}

#[test]
fn a_server_that_hangs_is_left_and_found_again_when_it_goes_on() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0");
    lab.ups(1);
    lab.sshd.freeze();
    lab.noticed();
    let start = now();
    lab.sshd.thaw();
    lab.back("hanging server", start);
}

#[test]
fn sessions_that_die_are_made_again_at_once() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0");
    lab.ups(1);
    let start = now();
    lab.sshd.kill_connections();
    lab.back("session killed", start);
}

/// Here only sshd's own patience frees the port: nothing that we send bears the old address any more.
#[test]
fn a_new_address_costs_what_the_sshd_needs_to_notice() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let mut lab = Lab::new("ClientAliveInterval 1\nClientAliveCountMax 2");
    lab.ups(1);
    let start = now();
    lab.link.change_address(End::Left);
    lab.back("new address", start);
}

#[test]
fn a_bad_line_is_slow_and_loses_nothing() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let lab = Lab::new("ClientAliveInterval 0");
    lab.ups(1);
    lab.link.set_both(Impairment {
        delay: Duration::from_millis(50),
        loss_per_million: 10_000,
        ..Impairment::default()
    });
    lab.visit(50_000);
    assert_eq!(lab.ups(1).len(), 1, "it never went down");
}

/// The commonest mistake of all: the forward was asked for at every address, granted, and bound at the loopback.
#[test]
fn a_port_that_others_cannot_reach_is_not_called_up() {
    require!(root);
    require!("ip", "nsenter", "sshd", "ssh-keygen");
    let mut lab = Lab::with_bind("0.0.0.0:0", "GatewayPorts no");
    let stderr = lab.adit.wait_for_text("forward not up");
    assert!(stderr.contains("GatewayPorts in sshd_config"), "{stderr}");
    assert!(!stderr.contains("forward up"), "{stderr}");
    let lab = Lab::with_bind("0.0.0.0:0", "GatewayPorts clientspecified");
    lab.ups(1);
    // Where sshd lets nobody look from inside, it is looked at from outside.
    let lab = Lab::with_bind(
        "0.0.0.0:0",
        "GatewayPorts clientspecified\nAllowTcpForwarding remote",
    );
    lab.ups(1);
}
