//! A private MariaDB server for one test, an ordinary process in a folder of its own.
//!
//! It is always reached by its Unix socket, and in a network namespace by TCP as well. It writes nothing
//! through to the disk: nothing of it outlives the test.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::Process;
use crate::{account, real};

/// A running private server; dropping it ends it.
#[derive(Debug)]
pub struct MariaDb {
    process: Process,
    // After the server, which uses it until it ends.
    folder: TempDir,
}

/// How a private server will be.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    options: Vec<String>,
    hosts: Option<String>,
}

impl MariaDb {
    /// The port at which it listens in a namespace.
    pub const PORT: u16 = 3306;

    /// A server with one account, `root`, which has no password and is let in by the Unix socket.
    ///
    /// Its programs: `require!("mariadbd", "mariadb-install-db", "mariadb")`.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its Unix socket.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.path().join(SOCKET)
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Runs statements as `root`, and gives their rows: columns are divided by tabs, `NULL` is a word.
    ///
    /// # Panics
    ///
    /// When a statement fails, with the server's words.
    #[track_caller]
    pub fn query(&self, statements: &str) -> String {
        let output = client(&self.socket_path())
            .args(["--execute", statements])
            .output()
            .expect("the client starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {words}");
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    }

    /// The value of a status variable that is a number.
    ///
    /// # Panics
    ///
    /// When there is no such.
    #[track_caller]
    pub fn status(&self, variable: &str) -> u64 {
        let row = self.query(&format!("SHOW GLOBAL STATUS LIKE '{variable}'"));
        let value = row
            .split_once('\t')
            .and_then(|(_, value)| value.parse().ok());
        value.unwrap_or_else(|| panic!("{variable} is {row:?}"))
    }

    /// What it shows of its work as a replica under one name of `SHOW SLAVE STATUS`, or nothing where it is
    /// none.
    pub fn replica_status(&self, name: &str) -> Option<String> {
        let rows = self.query("SHOW SLAVE STATUS\\G");
        rows.lines().find_map(|line| {
            let value = line.trim().strip_prefix(name)?.strip_prefix(':')?;
            Some(value.trim().to_owned())
        })
    }
}

impl Builder {
    /// Adds an option of the server: `--log-bin`, for example.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.options.push(option.into());
        self
    }

    /// Gives the server a `hosts` file of its own, so that it knows the names of those who connect. Needs root.
    #[must_use]
    pub fn hosts(mut self, lines: &str) -> Self {
        self.hosts = Some(lines.into());
        self
    }

    /// Starts it at its Unix socket alone. Returns when it serves.
    ///
    /// # Panics
    ///
    /// When it does not start, with its own words.
    #[track_caller]
    pub fn start(self) -> MariaDb {
        let options = vec![String::from("--skip-networking")];
        self.start_with(&options, None)
    }

    /// Starts it in a namespace, at [`MariaDb::PORT`] of one of its addresses as well. Returns when it serves.
    ///
    /// # Panics
    ///
    /// When it does not start, with its own words.
    #[track_caller]
    pub fn start_in(self, namespace: &Namespace, addr: IpAddr) -> MariaDb {
        let options = vec![
            format!("--bind-address={addr}"),
            format!("--port={}", MariaDb::PORT),
        ];
        self.start_with(&options, Some(namespace))
    }

    #[track_caller]
    fn start_with(self, options: &[String], namespace: Option<&Namespace>) -> MariaDb {
        let folder = tempfile::tempdir().expect("a temporary folder");
        account::give(folder.path());
        let data = folder.path().join("data");
        install(&data);
        let mut command = Command::new(program("mariadbd"));
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", folder.path().join(SOCKET).display()))
            .arg(format!(
                "--pid-file={}",
                folder.path().join("pid").display()
            ))
            .args(account_options())
            .args(OPTIONS)
            .args(options)
            .args(&self.options);
        if let Some(hosts) = &self.hosts {
            let path = folder.path().join("hosts");
            std::fs::write(&path, hosts).expect("a file in our folder");
            command = with_hosts(&path, &command);
        }
        if let Some(namespace) = namespace {
            command = namespace.wrap(&command);
        }
        let mut process = Process::spawn(&mut command);
        process.wait_for_text("ready for connections");
        MariaDb { process, folder }
    }
}

/// Makes the system tables.
#[track_caller]
fn install(data: &Path) {
    let output = Command::new(program("mariadb-install-db"))
        .args(["--no-defaults", "--skip-test-db"])
        .arg("--auth-root-authentication-method=normal")
        .arg(format!("--datadir={}", data.display()))
        .args(account_options())
        .args(OPTIONS)
        .stdin(Stdio::null())
        .output()
        .expect("mariadb-install-db starts");
    assert!(output.status.success(), "{output:?}");
}

/// Runs a command that sees this file as `/etc/hosts`.
fn with_hosts(hosts: &Path, command: &Command) -> Command {
    let mut wrapped = Command::new("unshare");
    wrapped
        .args(["--mount", "--", "sh", "-c"])
        .arg("mount --bind \"$0\" /etc/hosts && exec \"$@\"")
        .arg(hosts)
        .arg(command.get_program())
        .args(command.get_args());
    wrapped
}

fn client(socket: &Path) -> Command {
    let mut command = Command::new(program("mariadb"));
    command
        .args([
            "--no-defaults",
            "--user=root",
            "--batch",
            "--skip-column-names",
        ])
        .arg(format!("--socket={}", socket.display()))
        .stdin(Stdio::null());
    command
}

#[track_caller]
fn program(name: &str) -> PathBuf {
    real::find(name).unwrap_or_else(|| panic!("{name} is installed"))
}

/// mariadbd changes to another account by itself, and refuses to stay root.
fn account_options() -> &'static [&'static str] {
    if account::is_another() {
        &["--user=nobody"]
    } else {
        &[]
    }
}

/// Small, and quick to start.
const OPTIONS: [&str; 5] = [
    "--debug-no-sync",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=4M",
    "--innodb-flush-log-at-trx-commit=0",
    "--skip-innodb-doublewrite",
];

const SOCKET: &str = "socket";
