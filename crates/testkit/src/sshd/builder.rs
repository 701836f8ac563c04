//! How a private sshd is set up: its files, its configuration, its start.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::per_connection::PerConnection;
use super::{Launch, Server, Sshd};
use crate::key_pair::{KeyKind, KeyPair};
use crate::namespace::Namespace;
use crate::real;

/// How a private sshd will be.
#[derive(Debug, Clone)]
pub struct Builder {
    program: Option<PathBuf>,
    host_keys: Vec<KeyKind>,
    user: Option<String>,
    first_lines: String,
    last_lines: String,
    authorized: String,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            program: None,
            host_keys: vec![KeyKind::Ed25519],
            user: None,
            first_lines: String::new(),
            last_lines: String::new(),
            authorized: String::new(),
        }
    }

    /// Uses another sshd than the machine's own, by its absolute path.
    #[must_use]
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// Gives the server one more host key.
    #[must_use]
    pub fn host_key(mut self, kind: KeyKind) -> Self {
        self.host_keys.push(kind);
        self
    }

    /// Gives the server these host keys and no others.
    #[must_use]
    pub fn host_keys(mut self, kinds: &[KeyKind]) -> Self {
        self.host_keys = kinds.to_vec();
        self
    }

    /// Lets this user of the machine log in instead of the one who runs the test, which only root can do.
    #[must_use]
    pub fn user(mut self, name: &str) -> Self {
        self.user = Some(name.into());
        self
    }

    /// Adds a line to `sshd_config`. It stands before the lines of the lab, and sshd takes the first value of a keyword.
    #[must_use]
    pub fn config_line(mut self, line: &str) -> Self {
        self.first_lines.push_str(line);
        self.first_lines.push('\n');
        self
    }

    /// Adds a `Match` block, or whatever else must come last in `sshd_config`.
    #[must_use]
    pub fn last_config_lines(mut self, lines: &str) -> Self {
        self.last_lines.push_str(lines);
        self.last_lines.push('\n');
        self
    }

    /// Adds a line to the user's `authorized_keys`.
    #[must_use]
    pub fn authorized_key(mut self, line: &str) -> Self {
        self.authorized.push_str(line);
        self.authorized.push('\n');
        self
    }

    /// Starts it on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// When sshd is missing or refuses its configuration, with its own words.
    #[track_caller]
    pub fn start(self) -> Sshd {
        let prepared = self.prepare();
        let server = PerConnection::start(prepared.command("-i"));
        let addr = server.addr();
        prepared.finish(Server::PerConnection(server), addr)
    }

    /// Starts `sshd -D` in a namespace, on port 22 of one of its addresses. Returns when it listens.
    ///
    /// # Panics
    ///
    /// When sshd is missing, refuses its configuration or cannot listen, with its own words.
    #[track_caller]
    pub fn start_in(self, namespace: &Namespace, addr: IpAddr) -> Sshd {
        let prepared = self
            .config_line(&format!("ListenAddress {addr}\nPort 22"))
            .prepare();
        let command = prepared.command("-D");
        let launch = Launch {
            namespace: namespace.clone(),
            program: command.get_program().into(),
            arguments: command.get_args().map(OsStr::to_owned).collect(),
            log: prepared.folder.path().join(LOG),
        };
        let server = Server::Listening(launch.start(), launch);
        prepared.finish(server, SocketAddr::new(addr, 22))
    }

    #[track_caller]
    fn prepare(self) -> Prepared {
        let program = self
            .program
            .or_else(|| real::find("sshd"))
            .expect("sshd is installed");
        let folder = tempfile::tempdir().expect("a temporary folder");
        // The user may be another one than ours, and reads authorized_keys as themselves.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))
            .expect("the folder is ours");
        let path = |name| folder.path().join(name);

        let user_key = KeyPair::generate(folder.path(), "user", KeyKind::Ed25519);
        let host_keys: Vec<_> = self
            .host_keys
            .iter()
            .enumerate()
            .map(|(index, kind)| KeyPair::generate(folder.path(), &format!("host{index}"), *kind))
            .collect();
        let authorized = format!("{}\n{}", user_key.public_line(), self.authorized);
        std::fs::write(path(AUTHORIZED_KEYS), authorized).expect("authorized_keys is written");

        let mut config = self.first_lines;
        for key in &host_keys {
            writeln!(config, "HostKey {}", key.private_path().display()).expect("a string");
        }
        writeln!(
            config,
            "AuthorizedKeysFile {}",
            path(AUTHORIZED_KEYS).display()
        )
        .expect("a string");
        config.push_str(CONFIG);
        config.push_str(&self.last_lines);
        std::fs::write(path(SSHD_CONFIG), config).expect("sshd_config is written");

        if rustix::process::geteuid().is_root() {
            std::fs::create_dir_all(PRIVILEGE_SEPARATION_FOLDER).expect("a folder for sshd");
        }
        let user = self.user.unwrap_or_else(current_user);
        let prepared = Prepared {
            program,
            folder,
            user,
            user_key,
            host_keys,
        };
        prepared.check();
        prepared
    }
}

/// An sshd with all its files, before it runs.
struct Prepared {
    program: PathBuf,
    folder: TempDir,
    user: String,
    user_key: KeyPair,
    host_keys: Vec<KeyPair>,
}

impl Prepared {
    fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg(mode)
            .arg("-f")
            .arg(self.folder.path().join(SSHD_CONFIG));
        command.arg("-E").arg(self.folder.path().join(LOG));
        command
    }

    #[track_caller]
    fn check(&self) {
        let mut command = Command::new(&self.program);
        command
            .arg("-t")
            .arg("-f")
            .arg(self.folder.path().join(SSHD_CONFIG));
        let output = command.stdin(Stdio::null()).output().expect("sshd starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "sshd refuses its configuration: {words}"
        );
    }

    fn finish(self, server: Server, addr: SocketAddr) -> Sshd {
        let Self {
            folder,
            user,
            user_key,
            host_keys,
            ..
        } = self;
        let sshd = Sshd {
            server,
            addr,
            user,
            user_key,
            host_keys,
            folder,
        };
        std::fs::write(sshd.known_hosts_path(), sshd.known_hosts())
            .expect("known_hosts is written");
        sshd
    }
}

fn current_user() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8_lossy(&output.stdout).trim_end().into()
}

/// What every private sshd has unless a test says otherwise. Without PAM and `StrictModes` it looks at nothing of
/// the machine's but the user's row in passwd; `MaxStartups` is out of the way of tests that log in a hundred times at once.
const CONFIG: &str = "\
PidFile none
UsePAM no
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
MaxStartups 1000
MaxSessions 1000
LogLevel DEBUG1
UseDNS no
";

/// Where OpenSSH on Debian confines its unauthenticated half; made at boot by the system's own unit, if that runs.
const PRIVILEGE_SEPARATION_FOLDER: &str = "/run/sshd";

pub(super) const AUTHORIZED_KEYS: &str = "authorized_keys";
pub(super) const SSHD_CONFIG: &str = "sshd_config";
pub(super) const LOG: &str = "log";
