//! A private OpenSSH server for one test, with keys of its own.
//!
//! By default it serves on a port of 127.0.0.1 that nobody else can take: this process listens itself and hands
//! each connection to an `sshd -i` of its own, as inetd did. Forwards (`-R`, `-L`) work there as in any sshd.
//! Where the listening sshd itself matters (`MaxStartups`, port 22), [`Builder::start_in`] runs a `sshd -D` in a
//! network namespace.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::key_pair::KeyPair;
use crate::namespace::Namespace;
use crate::process::{self, Process};
use crate::{real, wait};

mod builder;
mod per_connection;

pub use builder::Builder;
use builder::{AUTHORIZED_KEYS, LOG, SSHD_CONFIG};
use per_connection::PerConnection;

/// A running private sshd; dropping it ends it with all its connections.
#[derive(Debug)]
pub struct Sshd {
    server: Server,
    addr: SocketAddr,
    user: String,
    user_key: KeyPair,
    host_keys: Vec<KeyPair>,
    // After the server, whose processes use the files until they end.
    folder: TempDir,
}

/// How an `sshd -D` is started.
#[derive(Debug)]
struct Launch {
    namespace: Namespace,
    program: PathBuf,
    arguments: Vec<OsString>,
    log: PathBuf,
}

/// Who listens.
#[derive(Debug)]
enum Server {
    /// This process; one `sshd -i` for each connection.
    PerConnection(PerConnection),
    /// `sshd -D`.
    Listening(Process, Launch),
}

impl Launch {
    /// Returns when it listens.
    #[track_caller]
    fn start(&self) -> Process {
        let log =
            || String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned();
        let before = log().matches(LISTENS).count();
        let mut command = self.namespace.command(&self.program);
        let mut process = Process::spawn(command.args(&self.arguments));
        wait::until("sshd listens", || {
            let log = log();
            if log.matches(LISTENS).count() > before {
                return Ok(());
            }
            let ended = process.exit_status();
            assert!(
                ended.is_none(),
                "sshd ended: {ended:?} {} {log}",
                process.stderr()
            );
            Err(log)
        });
        process
    }
}

/// What sshd logs for each address once it listens.
const LISTENS: &str = "Server listening on";

impl Sshd {
    /// An sshd with an Ed25519 host key that lets the user who runs the test in by a key made for this test.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Where clients connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The name of the user who may log in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The key by which that user logs in.
    pub fn user_key(&self) -> &KeyPair {
        &self.user_key
    }

    /// The host keys, in the order they were asked for.
    pub fn host_keys(&self) -> &[KeyPair] {
        &self.host_keys
    }

    /// One `known_hosts` line per host key for [`Self::addr`].
    pub fn known_hosts(&self) -> String {
        let host = match self.addr.port() {
            22 => self.addr.ip().to_string(),
            port => format!("[{}]:{port}", self.addr.ip()),
        };
        self.host_keys.iter().fold(String::new(), |mut lines, key| {
            writeln!(lines, "{host} {}", key.public_key()).expect("a string can be written");
            lines
        })
    }

    /// A file that holds [`Self::known_hosts`].
    pub fn known_hosts_path(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    /// A folder of this sshd's life for whatever else a test wants to keep.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Lets the user log in by one more key: a line of an `authorized_keys` file.
    pub fn authorize(&self, line: &str) {
        self.append(AUTHORIZED_KEYS, line);
    }

    /// Adds a line to the end of `sshd_config`, for connections from now on: `HostCertificate`, for example, with a
    /// certificate of [`Self::host_keys`].
    ///
    /// # Panics
    ///
    /// For an sshd that listens itself, which reads its configuration once.
    #[track_caller]
    pub fn add_config_line(&self, line: &str) {
        let reads_again = matches!(self.server, Server::PerConnection(_));
        assert!(reads_again, "this sshd has read its configuration");
        self.append(SSHD_CONFIG, line);
    }

    /// The stock `ssh` ready to log in here by the user's key: see [`Self::ssh_without_key`].
    ///
    /// # Panics
    ///
    /// When `ssh` is missing.
    #[track_caller]
    pub fn ssh(&self, options: &[&str]) -> Command {
        let key = self.user_key.private_path().display().to_string();
        let own = [
            "-i",
            &key,
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            "IdentityAgent=none",
        ];
        self.ssh_without_key(&[&own, options].concat())
    }

    /// The stock `ssh` that knows this host's keys, reads no configuration of the machine's, and has no key but what
    /// `options` give it.
    ///
    /// The destination is the last argument and what a test adds to the command is run there.
    ///
    /// # Panics
    ///
    /// When `ssh` is missing.
    #[track_caller]
    pub fn ssh_without_key(&self, options: &[&str]) -> Command {
        let mut command = Command::new(real::find("ssh").expect("ssh is installed"));
        command
            .args([
                "-F",
                "none",
                "-o",
                "BatchMode=yes",
                "-o",
                "StrictHostKeyChecking=yes",
            ])
            .args(["-o", "GlobalKnownHostsFile=none", "-o"])
            .arg(format!(
                "UserKnownHostsFile={}",
                self.known_hosts_path().display()
            ))
            .args(["-p", &self.addr.port().to_string()])
            .args(options)
            // After the options, whose identities come first: instead of those in the user's home.
            .args(["-o", "IdentityFile=none"])
            .arg(format!("{}@{}", self.user, self.addr.ip()))
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null());
        command
    }

    /// All that the server has logged so far, at `DEBUG1`.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join(LOG)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until `text` stands in the log.
    ///
    /// # Panics
    ///
    /// When it has not appeared within [`wait::DEADLINE`], with the log.
    #[track_caller]
    pub fn wait_for_log(&self, text: &str) {
        wait::until(&format!("{text:?} in the log of sshd"), || {
            let log = self.log();
            if log.contains(text) { Ok(()) } else { Err(log) }
        });
    }

    /// How many connections are open now.
    pub fn connection_count(&self) -> usize {
        self.sessions().len()
    }

    /// Cuts every connection: its processes are killed, so that the system closes the sockets, and has ended after this
    /// call. The server goes on listening.
    pub fn kill_connections(&self) {
        for session in self.sessions() {
            process::kill_tree(session);
        }
        wait::until("every sshd of a connection has ended", || {
            match self.connection_count() {
                0 => Ok(()),
                left => Err(format!("{left} left")),
            }
        });
    }

    /// Stops every process that serves, as if the host hung: sockets stay open, no byte is answered, and a new
    /// connection is accepted by the system alone.
    pub fn freeze(&self) {
        if let Server::PerConnection(server) = &self.server {
            server.freeze();
        }
        self.signal(Signal::STOP);
    }

    /// Lets everything that [`Self::freeze`] stopped go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
        if let Server::PerConnection(server) = &self.server {
            server.thaw();
        }
    }

    /// Closes the port: from now on connections are refused by the system. Those that are open stay.
    ///
    /// The port stays reserved, so that [`Self::open_port`] finds it free.
    ///
    /// # Panics
    ///
    /// For an sshd that listens itself: a test that wants this ends it instead.
    #[track_caller]
    pub fn close_port(&mut self) {
        self.per_connection().close_port();
    }

    /// Opens the port again that [`Self::close_port`] has closed.
    ///
    /// # Panics
    ///
    /// For an sshd that listens itself.
    #[track_caller]
    pub fn open_port(&mut self) {
        self.per_connection().open_port();
    }

    /// Ends an sshd that listens itself, with all its connections, and starts it again at the same port.
    ///
    /// # Panics
    ///
    /// For one that does not listen itself, and as [`Builder::start_in`].
    #[track_caller]
    pub fn restart(&mut self) {
        let Server::Listening(process, launch) = &mut self.server else {
            panic!("this sshd does not listen itself");
        };
        process.kill();
        *process = launch.start();
    }

    fn append(&self, name: &str, line: &str) {
        let path = self.folder.path().join(name);
        let file = std::fs::OpenOptions::new().append(true).open(path);
        let written = file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
        written.expect("a file written at start can be added to");
    }

    #[track_caller]
    fn per_connection(&mut self) -> &mut PerConnection {
        match &mut self.server {
            Server::PerConnection(server) => server,
            Server::Listening(..) => panic!("this sshd listens by itself"),
        }
    }

    fn signal(&self, signal: Signal) {
        if let Server::Listening(process, _) = &self.server {
            process.signal(signal);
        }
        for session in self.sessions() {
            process::signal_all(&process::tree(session), signal);
        }
    }

    /// The first process of every open connection.
    fn sessions(&self) -> Vec<Pid> {
        match &self.server {
            Server::PerConnection(server) => server.sessions(),
            Server::Listening(process, _) => process::children(process.id()),
        }
    }
}
