//! What cases are tried on: a gateway or a private sshd, with the same keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::{echo, real};
use anyhow::ensure;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::client::Client;

/// A server, and the OpenSSH that clients of it are of.
#[derive(Clone)]
pub(crate) struct Ground {
    place: Arc<Place>,
    release: Release,
}

/// A server with everything that is needed to try it.
pub(crate) struct Place {
    server: Server,
    addr: SocketAddr,
    user: String,
    host_keys: Vec<String>,
    keys: BTreeMap<&'static str, (KeyPair, Named)>,
    authority: KeyPair,
    echo: u16,
    ports: Mutex<Vec<Port>>,
    folder: TempDir,
}

enum Server {
    Gateway(Process),
    Sshd(Box<Sshd>),
}

/// Keys that log in, by a name, and the options on their lines.
///
/// `{a}`, `{b}` and `{c}` are ports that no other key has, `{echo}` is that of a service.
const KEYS: &[(&str, &str)] = &[
    ("plain", ""),
    ("other", ""),
    ("opens", "permitopen=\"127.0.0.1:{echo}\""),
    ("opens-anywhere", "permitopen=\"127.0.0.1:*\""),
    ("opens-closed", "permitopen=\"127.0.0.1:{c}\""),
    ("expired", "expiry-time=\"20200101Z\""),
    ("lasting", "expiry-time=\"20990101Z\""),
    ("from-here", "from=\"127.0.0.1\""),
    ("from-network", "from=\"127.0.0.0/8\""),
    ("from-elsewhere", "from=\"192.0.2.0/24\""),
    ("from-not-here", "from=\"!127.0.0.1,127.0.0.0/8\""),
    ("listens-a", "permitlisten=\"{a}\""),
    ("listens-localhost-a", "permitlisten=\"localhost:{a}\""),
    ("listens-numeric-a", "permitlisten=\"127.0.0.1:{a}\""),
    ("listens-any-a", "permitlisten=\"*:{a}\""),
    ("listens-wild", "permitlisten=\"*:*\""),
    ("restrict", "restrict"),
    (
        "restrict-listens",
        "restrict,permitlisten=\"localhost:{a}\"",
    ),
    (
        "restrict-forwards",
        "restrict,port-forwarding,permitlisten=\"localhost:{a}\"",
    ),
    ("no-forwards", "no-port-forwarding"),
    ("no-pty", "no-pty"),
    ("command", "command=\"echo forced\""),
    ("unknown-option", "no-such-option"),
];

/// Lines that sshd cannot read, for the gateway alone.
const OWN_KEYS: &[(&str, &str)] = &[
    ("own-ports", "adit-permitlisten=\"{a}-{a},{b}\""),
    ("opens-names", "permitopen=\"*:*\""),
    ("own-port0", "permitlisten=\"localhost:{a}\",adit-port0"),
    ("sockets", "adit-unix=\"*\""),
];

/// Ports that stand in options.
#[derive(Debug)]
pub(crate) struct Named {
    pub(crate) a: Port,
    pub(crate) b: Port,
    pub(crate) c: Port,
}

impl Named {
    fn reserve() -> Self {
        Self {
            a: Port::reserve(),
            b: Port::reserve(),
            c: Port::reserve(),
        }
    }

    fn fill(&self, options: &str, echo: u16) -> String {
        let places = [
            ("{a}", self.a.number()),
            ("{b}", self.b.number()),
            ("{c}", self.c.number()),
            ("{echo}", echo),
        ];
        places
            .iter()
            .fold(options.to_owned(), |text, (place, port)| {
                text.replace(place, &port.to_string())
            })
    }
}

impl Ground {
    /// `adit serve`, as an operator would start it.
    pub(crate) fn gateway() -> Self {
        Self::of(Place::gateway())
    }

    /// A private sshd with the same keys.
    pub(crate) fn sshd() -> Self {
        Self::of(Place::sshd())
    }

    fn of(place: Place) -> Self {
        Self {
            place: Arc::new(place),
            release: Release::Installed,
        }
    }

    /// The same server for that client.
    pub(crate) fn for_client(&self, client: Client) -> Self {
        Self {
            place: Arc::clone(&self.place),
            release: client.release(),
        }
    }

    /// Where a program is; one of OpenSSH's is of the client's release.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let found = match (self.release, name) {
            (Release::Newer, "ssh" | "scp" | "sftp") => Some(newer(name)),
            _ => real::find(name),
        };
        found.expect("the program is installed")
    }

    /// `program OPTIONS user@host`; what a case says first counts.
    pub(crate) fn command(&self, program: &str, key: &str, options: &[&str]) -> Command {
        self.command_with(program, self.key(key), options)
    }

    fn command_with(&self, program: &str, key: &KeyPair, options: &[&str]) -> Command {
        let mut command = Command::new(self.program(program));
        command
            .args(options)
            .args(self.options_with(key))
            .args(["-p", &self.addr.port().to_string()])
            .arg(format!("{}@{}", self.user, self.addr.ip()))
            .env_remove("SSH_AUTH_SOCK");
        command
    }

    /// The stock client.
    pub(crate) fn ssh(&self, key: &str, options: &[&str]) -> Command {
        self.command("ssh", key, options)
    }

    /// The stock client with a key of the case's own.
    pub(crate) fn ssh_with(&self, key: &KeyPair, options: &[&str]) -> Command {
        self.command_with("ssh", key, options)
    }
}

impl Deref for Ground {
    type Target = Place;

    fn deref(&self) -> &Place {
        &self.place
    }
}

/// Which OpenSSH a client is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Release {
    /// The one in `PATH`.
    Installed,
    /// The one that `cargo xtask test setup` unpacks into the build directory.
    Newer,
}

/// A program of the newer OpenSSH, whether it is there or not.
pub(crate) fn newer(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("../interop/openssh-10.0/usr/bin")
        .join(name)
}

impl Place {
    fn gateway() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (keys, authority, echo) = materials(folder.path());
        let lines = lines(&keys, echo, true) + &authority_line(&authority);
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("keys"), lines).expect("keys are written");
        std::fs::write(path("gateway.yml"), GATEWAY).expect("settings are written");
        let mut process = Process::spawn(
            Command::new(env!("CARGO_BIN_EXE_adit"))
                .arg("serve")
                .arg("--data")
                .arg(path("data"))
                .arg("--config")
                .arg(path("gateway.yml"))
                .arg("--authorized-keys")
                .arg(path("keys"))
                .args(["--ssh", "127.0.0.1:0"])
                .env_remove("ADIT_LOG"),
        );
        let said = process.wait_for_text("try: ssh");
        let addr = said
            .lines()
            .find_map(|line| line.strip_prefix("listening for ssh at "))
            .and_then(|addr| addr.parse().ok())
            .expect("it says where it listens");
        let host_keys = ["ssh_host_ed25519_key.pub", "ssh_host_rsa_key.pub"].map(|name| {
            let line = std::fs::read_to_string(path("data").join("ssh").join(name));
            two_words(&line.expect("a host key"))
        });
        Self::new(
            Server::Gateway(process),
            addr,
            host_keys.into(),
            (keys, authority, echo),
            folder,
        )
    }

    fn sshd() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (keys, authority, echo) = materials(folder.path());
        let mut builder = Sshd::builder();
        for line in SSHD {
            builder = builder.config_line(line);
        }
        let sshd = builder
            .host_key(KeyKind::Rsa3072)
            .authorized_key(&lines(&keys, echo, false))
            .authorized_key(&authority_line(&authority))
            .start();
        let host_keys = sshd
            .host_keys()
            .iter()
            .map(|key| key.public_key().to_owned());
        let host_keys = host_keys.collect();
        let addr = sshd.addr();
        Self::new(
            Server::Sshd(Box::new(sshd)),
            addr,
            host_keys,
            (keys, authority, echo),
            folder,
        )
    }

    fn new(
        server: Server,
        addr: SocketAddr,
        host_keys: Vec<String>,
        (keys, authority, echo): Materials,
        folder: TempDir,
    ) -> Self {
        let user = match &server {
            Server::Sshd(sshd) => sshd.user().to_owned(),
            Server::Gateway(_) => String::from("somebody"),
        };
        let ground = Self {
            server,
            addr,
            user,
            host_keys,
            keys,
            authority,
            echo,
            ports: Mutex::new(Vec::new()),
            folder,
        };
        std::fs::write(ground.known_hosts(), ground.known_lines()).expect("known_hosts is written");
        ground
    }

    /// Whether this is the gateway.
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self.server, Server::Gateway(_))
    }

    /// Stops the server as if its host hung, until what is given back is dropped.
    pub(crate) fn freeze(&self) -> Frozen<'_> {
        match &self.server {
            Server::Gateway(process) => process.signal(Signal::STOP),
            Server::Sshd(sshd) => sshd.freeze(),
        }
        Frozen(self)
    }

    /// Where clients connect.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whom they log in as.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// Its host keys without comments, the Ed25519 one first.
    pub(crate) fn host_keys(&self) -> &[String] {
        &self.host_keys
    }

    /// Who signs certificates.
    pub(crate) fn authority(&self) -> &KeyPair {
        &self.authority
    }

    /// A key that logs in.
    pub(crate) fn key(&self, name: &str) -> &KeyPair {
        &self.entry(name).0
    }

    /// The ports that stand in the options of that key.
    pub(crate) fn named(&self, key: &str) -> &Named {
        &self.entry(key).1
    }

    fn entry(&self, name: &str) -> &(KeyPair, Named) {
        self.keys
            .get(name)
            .unwrap_or_else(|| panic!("no key {name:?}"))
    }

    /// A service that answers with what it was sent.
    pub(crate) fn echo(&self) -> u16 {
        self.echo
    }

    /// A port that nobody else gets.
    pub(crate) fn port(&self) -> u16 {
        self.keep(Port::reserve())
    }

    /// Keeps a port for as long as the server is there, and gives its number.
    pub(crate) fn keep(&self, port: Port) -> u16 {
        let number = port.number();
        self.ports.lock().expect("nobody panics with it").push(port);
        number
    }

    /// Where files of cases are.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Has the gateway do what an operator wants done: `adit` with these words.
    pub(crate) fn admin(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        let data = self.folder.path().join("data");
        let output = command.args(words).arg("--data").arg(data).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{words:?}: {said}");
        Ok(())
    }

    /// What clients know of this server.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    fn known_lines(&self) -> String {
        let SocketAddr::V4(addr) = self.addr else {
            panic!("servers of cases listen at 127.0.0.1");
        };
        self.host_keys.iter().fold(String::new(), |mut lines, key| {
            writeln!(lines, "[{}]:{} {key}", addr.ip(), addr.port()).expect("a string");
            lines
        })
    }

    /// Options of any program of OpenSSH's: nothing of this machine's, and that key.
    pub(crate) fn options(&self, key: &str) -> Vec<String> {
        self.options_with(self.key(key))
    }

    fn options_with(&self, key: &KeyPair) -> Vec<String> {
        let key = key.private_path().display().to_string();
        let mut options = vec![
            String::from("-F"),
            String::from("none"),
            String::from("-i"),
            key,
        ];
        let known = format!("UserKnownHostsFile={}", self.known_hosts().display());
        for option in [
            "BatchMode=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "StrictHostKeyChecking=yes",
            "GlobalKnownHostsFile=none",
            "UpdateHostKeys=no",
            &known,
        ] {
            options.extend([String::from("-o"), option.to_owned()]);
        }
        options
    }
}

/// A server that hangs.
pub(crate) struct Frozen<'g>(&'g Place);

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        match &self.0.server {
            Server::Gateway(process) => process.signal(Signal::CONT),
            Server::Sshd(sshd) => sshd.thaw(),
        }
    }
}

type Materials = (BTreeMap<&'static str, (KeyPair, Named)>, KeyPair, u16);

fn materials(folder: &Path) -> Materials {
    let authority = KeyPair::generate(folder, "authority", KeyKind::Ed25519);
    let names = KEYS.iter().chain(OWN_KEYS).map(|(name, _)| *name);
    let names = names.chain(["stranger", "certified"]);
    let keys = names.map(|name| {
        let pair = KeyPair::generate(folder, name, KeyKind::Ed25519);
        (name, (pair, Named::reserve()))
    });
    (keys.collect(), authority, echo::service())
}

fn lines(keys: &BTreeMap<&str, (KeyPair, Named)>, echo: u16, own: bool) -> String {
    let own = if own { OWN_KEYS } else { &[] };
    KEYS.iter()
        .chain(own)
        .fold(String::new(), |mut lines, (name, options)| {
            let (key, named) = &keys[name];
            let options = named.fill(options, echo);
            writeln!(lines, "{options} {}", key.public_line()).expect("a string");
            lines
        })
}

/// Certificates log in for one name.
fn authority_line(authority: &KeyPair) -> String {
    format!(
        "cert-authority,principals=\"carol\" {}\n",
        authority.public_line()
    )
}

fn two_words(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().take(2).collect();
    words.join(" ")
}

/// What the gateway is told beside the command line: every port, since a case takes one that the system gives it, and
/// enough of everything for many cases with one key.
const GATEWAY: &str = "\
ports: 1024-65535
limits:
  connections: 1000
  leases: 1000
  streams: 1000
";

/// The same for sshd, which says no to addresses by default.
const SSHD: &[&str] = &[
    "GatewayPorts clientspecified",
    "AllowTcpForwarding yes",
    "AllowStreamLocalForwarding yes",
    "Subsystem sftp internal-sftp",
];
