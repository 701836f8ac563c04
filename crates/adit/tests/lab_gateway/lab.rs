//! The program `adit serve` on a public host of its own, machines that reach it, and the visitors who come there.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::link::{End, Link};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::{echo, wait};
use tempfile::TempDir;

/// Where the gateway listens for ssh; nobody else is in its namespace.
const SSH_PORT: u16 = 2_222;
/// Where every service listens on its own machine.
const SERVICE: &str = "127.0.0.1:8080";

/// A gateway, which may be killed and started again with what it keeps.
pub(crate) struct Gateway {
    pub(crate) namespace: Namespace,
    pub(crate) process: Process,
    folder: TempDir,
    command: Command,
}

/// What a gateway is to be.
#[derive(Default)]
pub(crate) struct Plan<'a> {
    /// Programs before the gateway's own on its command line, which start it.
    pub(crate) prefix: &'a [&'a str],
    /// Its settings besides those of the command line.
    pub(crate) settings: &'a str,
    /// The URL of its database, where that is a server.
    pub(crate) database: Option<&'a str>,
    /// How many owners it knows, each with a key of its own.
    pub(crate) owners: usize,
}

impl Gateway {
    pub(crate) fn start(namespace: &Namespace, plan: &Plan<'_>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lines = (0..plan.owners).map(|owner| {
            let key = KeyPair::generate(folder.path(), &format!("owner{owner}"), KeyKind::Ed25519);
            format!("{}\n", key.public_line().trim())
        });
        let keys = folder.path().join("authorized_keys");
        std::fs::write(&keys, lines.collect::<String>()).unwrap();
        let settings = folder.path().join("gateway.yml");
        std::fs::write(&settings, format!("drain: 1s\n{}", plan.settings)).unwrap();
        let data = folder.path().join("data");
        let mut words: Vec<&str> = plan.prefix.to_vec();
        words.push(env!("CARGO_BIN_EXE_adit"));
        let mut words = words.into_iter();
        let mut command = namespace.command(words.next().unwrap());
        command
            .args(words)
            .args(["serve", "--ssh", "2222", "--ports", "10000-10999"])
            .arg("--config")
            .arg(&settings)
            .arg("--data")
            .arg(&data)
            .arg("--authorized-keys")
            .arg(&keys);
        if let Some(url) = plan.database {
            command.env("ADIT_DATABASE_URL", url);
        }
        let process = Process::spawn(&mut command);
        let mut gateway = Self {
            namespace: namespace.clone(),
            process,
            folder,
            command,
        };
        gateway.process.wait_for_text("try: ssh ");
        gateway
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`kill`](Self::kill).
    pub(crate) fn start_again(&mut self) {
        self.process = Process::spawn(&mut self.command);
        self.process.wait_for_text("try: ssh ");
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn key(&self, owner: usize) -> PathBuf {
        self.folder.path().join(format!("owner{owner}"))
    }

    /// What every client is told about the gateway.
    fn options(&self, command: &mut Command, owner: usize) {
        let known_hosts = self.folder.path().join("known_hosts");
        command
            .args(["-F", "none", "-o", "StrictHostKeyChecking=accept-new"])
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .args(["-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"])
            .args(["-o", "IdentitiesOnly=yes"])
            .arg("-i")
            .arg(self.key(owner))
            .args(["-p", &SSH_PORT.to_string()]);
    }

    /// A stock `ssh` of an owner on that machine, once.
    pub(crate) fn ssh(&self, machine: &Machine, owner: usize, words: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        // The first word about an option is what counts.
        command.args(words).args(["-o", "ConnectTimeout=1"]);
        command.args([
            "-N",
            "-o",
            "ExitOnForwardFailure=yes",
            "-o",
            "BatchMode=yes",
        ]);
        self.options(&mut command, owner);
        command.arg(format!("box@{}", machine.gateway));
        machine.namespace.wrap(&command)
    }

    /// A stock `ssh` as an operator keeps it: started again whenever it has ended, and each end is told.
    pub(crate) fn looped(&self, machine: &Machine, owner: usize, words: &[&str]) -> Command {
        let ssh = self.ssh(machine, owner, words);
        let mut command = Command::new("sh");
        command.args(["-c", LOOP, "loop"]).arg(ssh.get_program());
        command.args(ssh.get_args());
        command
    }

    /// An adit agent of an owner on that machine.
    pub(crate) fn agent(&self, machine: &Machine, owner: usize, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command.arg("forward").args(words);
        self.options(&mut command, owner);
        command.arg(format!("box@{}", machine.gateway));
        machine.namespace.wrap(&command)
    }

    /// Waits until it has said one of these; gives the line.
    pub(crate) fn said(&self, texts: &[&str]) -> String {
        wait::until("words of the gateway", || {
            let stderr = self.process.stderr();
            let is_meant = |line: &&str| texts.iter().any(|text| line.contains(text));
            let line = stderr.lines().find(is_meant).map(str::to_owned);
            line.ok_or(stderr)
        })
    }

    /// A visitor of a port, who sends a word, finishes, and gets the answer.
    pub(crate) fn visit(&self, port: u16) -> Result<String, String> {
        self.namespace.enter(|| visit(port))
    }

    /// Waits until visitors of a port are answered like that.
    pub(crate) fn answers(&self, port: u16, answer: &str) {
        wait::until("a visitor is answered", || match self.visit(port) {
            Ok(got) if got == answer => Ok(()),
            other => Err((other, self.process.stderr())),
        });
    }
}

/// A machine that reaches the gateway, with a service that answers with the machine's name.
pub(crate) struct Machine {
    pub(crate) namespace: Namespace,
    /// The gateway's address, as seen from here.
    pub(crate) gateway: Ipv4Addr,
}

impl Machine {
    /// At the end of a cable that never fails.
    pub(crate) fn new(public: &Namespace, name: &str) -> Self {
        let namespace = Namespace::new();
        serve(&namespace, SERVICE, name);
        let gateway = namespace.join(public).v4(2);
        Self { namespace, gateway }
    }

    /// At the end of a line that can be cut.
    pub(crate) fn behind_line(public: &Namespace, name: &str) -> (Self, Link) {
        let namespace = Namespace::new();
        serve(&namespace, SERVICE, name);
        let link = Link::new(&namespace, public, 1);
        let gateway = link.v4(End::Right);
        (Self { namespace, gateway }, link)
    }
}

/// A service of a machine, which gives back what it was sent and then its name.
pub(crate) fn serve(namespace: &Namespace, addr: &str, name: &str) {
    let service = namespace.enter(|| TcpListener::bind(addr).unwrap());
    echo::serve(service, name.as_bytes().to_vec());
}

/// What is asked of ssh and adit alike, for the service at [`SERVICE`].
pub(crate) fn forward(port: u16) -> String {
    format!("*:{port}:{SERVICE}")
}

/// Visitors who come one after the other, twenty a second, each on his own.
pub(crate) struct Visitors {
    stop: Sender<()>,
    coming: JoinHandle<Vec<Visit>>,
}

/// What became of a visitor.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) came: Instant,
    pub(crate) ended: Instant,
    pub(crate) answer: Result<String, String>,
}

impl Visitors {
    /// They come to a port of the gateway from now on.
    pub(crate) fn come(gateway: &Gateway, port: u16) -> Self {
        let (stop, stopped) = channel();
        // What a thread starts is in its namespace.
        let coming = gateway.namespace.enter(|| {
            thread::spawn(move || {
                let mut visits = Vec::new();
                while stopped.recv_timeout(BETWEEN) == Err(RecvTimeoutError::Timeout) {
                    visits.push(thread::spawn(move || {
                        let came = now();
                        let answer = visit(port);
                        Visit {
                            came,
                            ended: now(),
                            answer,
                        }
                    }));
                }
                visits
                    .into_iter()
                    .map(|visit| visit.join().unwrap())
                    .collect()
            })
        });
        Self { stop, coming }
    }

    /// Lets nobody else come, and waits for those who are there.
    pub(crate) fn end(self) -> Vec<Visit> {
        drop(self.stop);
        self.coming.join().unwrap()
    }
}

fn visit(port: u16) -> Result<String, String> {
    let exchange = || {
        let mut visitor = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        visitor.set_read_timeout(Some(wait::DEADLINE))?;
        visitor.write_all(b"hello from ")?;
        visitor.shutdown(Shutdown::Write)?;
        let mut answer = String::new();
        visitor.read_to_string(&mut answer)?;
        Ok(answer)
    };
    exchange().map_err(|error: std::io::Error| error.to_string())
}

/// The answer of a machine's service to a visitor.
pub(crate) fn hello(name: &str) -> String {
    format!("hello from {name}")
}

/// The value below which that share of them lies, in percent.
pub(crate) fn percentile(seconds: &mut [f64], percent: usize) -> f64 {
    seconds.sort_by(f64::total_cmp);
    let at = (seconds.len() * percent).div_ceil(100).saturating_sub(1);
    seconds.get(at).copied().unwrap_or_default()
}

#[expect(clippy::print_stdout, reason = "what was measured is printed")]
pub(crate) fn print(words: &str) {
    println!("{words}");
}

#[expect(clippy::disallowed_methods, reason = "times are measured")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Lets time pass, as far as a test is about what happens within it.
pub(crate) fn pass(time: Duration) {
    let start = now();
    wait::until_within(time + wait::DEADLINE, "time passes", || {
        let passed = start.elapsed();
        if passed >= time { Ok(()) } else { Err(passed) }
    });
}

/// The text of a file, as far as it is there.
pub(crate) fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Between two visitors.
const BETWEEN: Duration = Duration::from_millis(50);

const LOOP: &str = r#"while :; do echo "ssh starts: $(date +%s.%N)" >&2; "$@"; echo "ssh has ended: $?" >&2; sleep 0.1; done"#;
