//! A private PostgreSQL server for one test, an ordinary process in a folder of its own.
//!
//! It is always reached by its Unix socket, and in a network namespace by TCP as well. It writes nothing
//! through to the disk: nothing of it outlives the test.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Signal, kill_process};
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::Process;
use crate::{account, real};

/// A running private server; dropping it ends it.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    programs: PathBuf,
    // After the server, which uses it until it ends.
    folder: TempDir,
}

/// How a private server will be.
#[derive(Debug, Clone, Default)]
pub struct Builder {
    settings: Vec<String>,
    has_tls: bool,
}

/// Finds the folder of PostgreSQL's programs: that of `initdb` in `PATH`, or the newest of Debian's, which
/// are not in it.
pub fn find() -> Option<PathBuf> {
    let in_path = real::find("initdb").and_then(|path| path.canonicalize().ok());
    in_path
        .and_then(|path| path.parent().map(Path::to_owned))
        .or_else(newest)
}

/// Finds the folder as [`find`] does, or says that the test is skipped: see [`require!`](crate::require).
///
/// # Panics
///
/// When there is none and `ADIT_REAL` is `1`.
#[track_caller]
pub fn find_or_skip() -> Option<PathBuf> {
    let found = find();
    if found.is_none() {
        real::skip("PostgreSQL is not installed");
    }
    found
}

fn newest() -> Option<PathBuf> {
    let versions = std::fs::read_dir(DEBIAN).ok()?;
    let numbers = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let folder = |number: u32| Path::new(DEBIAN).join(number.to_string()).join("bin");
    numbers
        .filter(|number| folder(*number).join("initdb").is_file())
        .max()
        .map(folder)
}

impl Postgres {
    /// The port at which it listens in a namespace.
    pub const PORT: u16 = 5432;

    /// A server with one account, `postgres`, which is let in by the Unix socket and from the loopback.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Its Unix socket.
    pub fn socket_path(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", Self::PORT))
    }

    /// All that it has logged so far.
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Runs one statement, or several that are one transaction, and gives the rows: columns are divided by `|`.
    ///
    /// # Panics
    ///
    /// When a statement fails, with the server's words.
    #[track_caller]
    pub fn query(&self, statements: &str) -> String {
        let output = Command::new(self.programs.join("psql"))
            .args(["-X", "-q", "-t", "-A", "-U", USER, "-d", USER, "-h"])
            .arg(self.folder.path())
            .args(["-v", "ON_ERROR_STOP=1", "-c", statements])
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .expect("psql starts");
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{statements}: {words}");
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    }
}

impl Drop for Postgres {
    /// Asks for an immediate end, so that the system gets its shared memory back.
    fn drop(&mut self) {
        kill_process(self.process.id(), Signal::QUIT).ok();
        let start = Instant::now();
        while self.process.exit_status().is_none() && start.elapsed() < PATIENCE {
            std::thread::sleep(PAUSE);
        }
    }
}

impl Builder {
    /// Adds a setting: `wal_keep_size=64MB`, for example.
    #[must_use]
    pub fn setting(mut self, setting: &str) -> Self {
        self.settings.push(setting.into());
        self
    }

    /// Gives it a certificate, as Debian's servers have one. Needs `openssl`.
    #[must_use]
    pub fn tls(mut self) -> Self {
        self.has_tls = true;
        self
    }

    /// Starts it at its Unix socket alone. Returns when it serves.
    ///
    /// # Panics
    ///
    /// When it does not start, with its own words.
    #[track_caller]
    pub fn start(self) -> Postgres {
        let made = Made::new();
        made.initialise();
        made.start(&self, "", None)
    }

    /// Starts it in a namespace, at [`Postgres::PORT`] of one of its addresses as well. Returns when it serves.
    ///
    /// # Panics
    ///
    /// When it does not start, with its own words.
    #[track_caller]
    pub fn start_in(self, namespace: &Namespace, addr: IpAddr) -> Postgres {
        let made = Made::new();
        made.initialise();
        made.start(&self, &addr.to_string(), Some(namespace))
    }

    /// Copies the server at `primary`, as seen from the namespace, by `pg_basebackup`, and starts the copy
    /// there as its streaming replica, at its Unix socket alone. Returns when it serves.
    ///
    /// # Panics
    ///
    /// When the copy fails or does not start, with its own words.
    #[track_caller]
    pub fn start_replica_in(self, namespace: &Namespace, primary: SocketAddr) -> Postgres {
        let made = Made::new();
        let mut command = account::command(&made.programs.join("pg_basebackup"));
        command
            .args(["--no-sync", "--write-recovery-conf", "--checkpoint=fast"])
            .arg("--pgdata")
            .arg(made.data())
            .args(["--username", USER, "--host"])
            .arg(primary.ip().to_string())
            .args(["--port", &primary.port().to_string()]);
        run(&mut namespace.wrap(&command));
        made.start(&self, "", Some(namespace))
    }
}

/// A folder for a server.
struct Made {
    programs: PathBuf,
    folder: TempDir,
}

impl Made {
    #[track_caller]
    fn new() -> Self {
        let programs = find().expect("PostgreSQL is installed");
        let folder = tempfile::tempdir().expect("a temporary folder");
        account::give(folder.path());
        Self { programs, folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    #[track_caller]
    fn initialise(&self) {
        run(account::command(&self.programs.join("initdb"))
            .args(["--no-sync", "--auth=trust", "--locale=C", "--encoding=UTF8"])
            .args(["--username", USER, "--pgdata"])
            .arg(self.data()));
    }

    #[track_caller]
    fn start(
        self,
        builder: &Builder,
        listen_addr: &str,
        namespace: Option<&Namespace>,
    ) -> Postgres {
        let mut command = account::command(&self.programs.join("postgres"));
        command.arg("-D").arg(self.data());
        let mut set = |setting: &str| {
            command.args(["-c", setting]);
        };
        set(&format!("listen_addresses={listen_addr}"));
        set(&format!("port={}", Postgres::PORT));
        let folder = self.folder.path().display();
        set(&format!("unix_socket_directories={folder}"));
        SETTINGS.into_iter().for_each(&mut set);
        builder.settings.iter().for_each(|setting| set(setting));
        if builder.has_tls {
            self.certify();
            set("ssl=on");
        }
        if let Some(namespace) = namespace {
            command = namespace.wrap(&command);
        }
        let mut process = Process::spawn(command.current_dir("/"));
        process.wait_for_text("ready to accept");
        Postgres {
            process,
            programs: self.programs,
            folder: self.folder,
        }
    }

    /// Makes a key and a certificate under the names where PostgreSQL looks for them.
    #[track_caller]
    fn certify(&self) {
        run(
            account::command(&real::find("openssl").expect("openssl is installed"))
                .args(["req", "-x509", "-nodes", "-newkey", "ec"])
                .args(["-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=adit"])
                .arg("-keyout")
                .arg(self.data().join("server.key"))
                .arg("-out")
                .arg(self.data().join("server.crt")),
        );
    }
}

#[track_caller]
fn run(command: &mut Command) {
    let output = command
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    assert!(output.status.success(), "{command:?} failed: {output:?}");
}

/// Small, and quick to start and to stop.
const SETTINGS: [&str; 5] = [
    "fsync=off",
    "synchronous_commit=off",
    "shared_buffers=16MB",
    "dynamic_shared_memory_type=mmap",
    "logging_collector=off",
];

/// Where Debian has a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";

const USER: &str = "postgres";

/// An immediate end takes tens of milliseconds; then it is killed.
const PATIENCE: Duration = Duration::from_secs(5);

const PAUSE: Duration = Duration::from_millis(5);
