//! A tunnel, the line that it goes over, and what stands at both ends.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use adit_testkit::link::{End, Link};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{echo, wait};

/// A tunnel from a private network to a public host, and the line between them.
pub(crate) struct Lab {
    pub(crate) public: Namespace,
    pub(crate) link: Link,
    /// Where the forward is asked for.
    pub(crate) sshd: Sshd,
    /// What stands between it and the line, if anything does.
    pub(crate) hop: Option<Sshd>,
    pub(crate) adit: Process,
    pub(crate) inside: Namespace,
    /// An `ssh` that has asked for the same forward before.
    pub(crate) rival: Option<Process>,
    hosts: PathBuf,
}

/// What a [`Lab`] is to be.
pub(crate) struct Plan<'a> {
    /// The address that is asked for.
    pub(crate) bind: &'a str,
    /// Where visitors go. At [`SERVICE`] they get back what they send.
    pub(crate) target: &'a str,
    /// What every sshd has in its configuration.
    pub(crate) sshd_lines: &'a str,
    /// What the host's block of our own configuration has besides.
    pub(crate) host_lines: &'a str,
    /// The line ends at a bastion before the host.
    pub(crate) has_hop: bool,
    /// What adit finds in its `/etc/hosts`, `GATEWAY` being the host's address.
    pub(crate) hosts: &'a str,
    /// The name by which it dials the host, instead of its address.
    pub(crate) host_name: Option<&'a str>,
    /// Addresses of the host where somebody else listens.
    pub(crate) foreign: &'a [&'a str],
    /// An `ssh` has the forward when adit asks for it.
    pub(crate) has_rival: bool,
    /// What adit is run by.
    pub(crate) prefix: &'a [&'a str],
}

/// Where the service of a lab listens.
pub(crate) const SERVICE: &str = "127.0.0.1:8080";

impl Default for Plan<'_> {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:0",
            target: SERVICE,
            sshd_lines: "ClientAliveInterval 0\nTCPKeepAlive no",
            host_lines: "",
            has_hop: false,
            hosts: "127.0.0.1 localhost",
            host_name: None,
            foreign: &[],
            has_rival: false,
            prefix: &[],
        }
    }
}

impl Lab {
    /// The tunnel asks after its peer each second and gives it up after two.
    pub(crate) fn new(sshd_lines: &str) -> Self {
        Self::start(&Plan {
            sshd_lines,
            ..Plan::default()
        })
    }

    pub(crate) fn with_bind(bind: &str, sshd_lines: &str) -> Self {
        Self::start(&Plan {
            bind,
            sshd_lines,
            ..Plan::default()
        })
    }

    pub(crate) fn start(plan: &Plan<'_>) -> Self {
        let (inside, near) = (Namespace::new(), Namespace::new());
        let link = Link::new(&inside, &near, 1);
        // At every address, so that it goes on listening when the host's changes.
        let any = IpAddr::from([0, 0, 0, 0]);
        let start_in = |namespace| {
            let builder = Sshd::builder().config_line(plan.sshd_lines);
            builder.start_in(namespace, any)
        };
        let near_addr = link.ip(End::Right);
        let (public, hop, addr) = if plan.has_hop {
            let public = Namespace::new();
            let addr = near.join(&public).v4(2).into();
            (public, Some(start_in(&near)), addr)
        } else {
            (near, None, near_addr)
        };
        let sshd = start_in(&public);
        let service = inside.enter(|| TcpListener::bind(SERVICE).unwrap());
        echo::serve(service, Vec::new());
        for foreign in plan.foreign {
            banner(public.enter(|| TcpListener::bind(foreign).unwrap()));
        }
        let Plan { bind, target, .. } = plan;
        let rival = plan.has_rival.then(|| {
            let forward = format!("{bind}:{target}");
            let ssh = sshd.ssh(&["-o", "ExitOnForwardFailure=yes", "-NR", &forward]);
            let rival = Process::spawn(&mut public.wrap(&ssh));
            sshd.wait_for_log("Local forwarding listening on");
            rival
        });

        let addr_text = addr.to_string();
        let name = plan.host_name.unwrap_or(&addr_text);
        let mut text = host("gw", &sshd, name);
        if hop.is_some() {
            text.push_str(" ProxyJump hop\n");
        }
        writeln!(text, " {}\n RemoteForward {bind} {target}", plan.host_lines).unwrap();
        if let Some(hop) = &hop {
            text.push_str(&host("hop", hop, &near_addr.to_string()));
        }
        let config = sshd.folder().join("config");
        std::fs::write(&config, text).unwrap();
        let hosts = sshd.folder().join("hosts");
        std::fs::write(&hosts, plan.hosts.replace("GATEWAY", &addr_text)).unwrap();

        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", WITH_HOSTS])
            .arg(&hosts)
            .args(plan.prefix)
            .args([env!("CARGO_BIN_EXE_adit"), "forward", "-F"])
            .arg(&config)
            .arg("gw");
        let adit = Process::spawn(&mut inside.wrap(&command));
        Self {
            public,
            link,
            sshd,
            hop,
            adit,
            inside,
            rival,
            hosts,
        }
    }

    /// Changes what adit finds in its `/etc/hosts`.
    pub(crate) fn set_hosts(&self, text: &str) {
        // In place: the file itself is what was mounted.
        std::fs::write(&self.hosts, text).unwrap();
    }

    /// The addresses of the lines that say that the forward is up, once there are so many.
    pub(crate) fn ups(&self, count: usize) -> Vec<String> {
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
    pub(crate) fn noticed(&self) {
        self.said("connection ended");
    }

    /// Nothing comes through for so long, which is noticed meanwhile.
    pub(crate) fn dark(&self, time: Duration) {
        let start = now();
        self.link.blackout_both();
        self.noticed();
        wait::until_within(time + wait::DEADLINE, "the end of the dark", || {
            let passed = start.elapsed();
            if passed >= time { Ok(()) } else { Err(passed) }
        });
    }

    /// Waits until adit has said so; gives all that it said.
    pub(crate) fn said(&self, text: &str) -> String {
        wait::until(text, || {
            let stderr = self.adit.stderr();
            if stderr.contains(text) {
                Ok(stderr)
            } else {
                Err(stderr)
            }
        })
    }

    /// Waits for the forward after a fault; it must be at the address that it had.
    pub(crate) fn back(&self, fault: &str, since: Instant) -> f64 {
        let ups = self.ups(2);
        let seconds = since.elapsed().as_secs_f64();
        print_time(&format!("{fault}: back"), seconds);
        assert_eq!(ups.first(), ups.last(), "the same port");
        self.visit(1_000);
        seconds
    }

    /// A visitor who sends, finishes and gets it all back.
    pub(crate) fn visit(&self, length: u32) {
        let sent: Vec<u8> = (0..length).flat_map(u32::to_be_bytes).collect();
        let mut visitor = self.come();
        visitor.write_all(&sent).unwrap();
        visitor.shutdown(Shutdown::Write).unwrap();
        let mut got = Vec::new();
        visitor.read_to_end(&mut got).unwrap();
        assert!(got == sent, "{} of {}", got.len(), sent.len());
    }

    /// A visitor who has come and said nothing yet.
    pub(crate) fn come(&self) -> TcpStream {
        let addr = self.ups(1).swap_remove(0);
        let visitor = self.public.enter(|| TcpStream::connect(addr).unwrap());
        visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        visitor
    }

    /// Adit's lines that say so, without their times.
    pub(crate) fn lines(&self, text: &str) -> Vec<String> {
        let stderr = self.adit.stderr();
        let lines = stderr.lines().filter(|line| line.contains(text));
        lines.map(str::to_owned).collect()
    }

    /// How often somebody has logged in at the host.
    pub(crate) fn logins(&self) -> usize {
        self.sshd.log().matches("Accepted publickey").count()
    }
}

/// Somebody who listens and speaks first.
fn banner(listener: TcpListener) {
    thread::spawn(move || {
        while let Ok((mut visitor, _)) = listener.accept() {
            drop(visitor.write_all(b"220 somebody else\r\n"));
        }
    });
}

/// A block of a configuration for that sshd.
fn host(name: &str, sshd: &Sshd, host_name: &str) -> String {
    format!(
        "Host {name}\n HostName {host_name}\n HostKeyAlias {}\n User {}\n IdentityFile {}\n \
         UserKnownHostsFile {}\n ServerAliveInterval 1\n ServerAliveCountMax 2\n",
        sshd.addr().ip(),
        sshd.user(),
        sshd.user_key().private_path().display(),
        sshd.known_hosts_path().display(),
    )
}

#[expect(clippy::print_stdout, reason = "a time is printed")]
pub(crate) fn print_time(what: &str, seconds: f64) {
    println!("{what} after {seconds:.2} s");
}

#[expect(clippy::disallowed_methods, reason = "a time is printed")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs a command that sees its own `/etc/hosts`; everything else of the machine stays as it is.
const WITH_HOSTS: &str = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
