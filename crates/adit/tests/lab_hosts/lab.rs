//! The cluster: namespaces laptop, manager and workers, with an sshd and a web server on each worker's loopback.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::wait;
use serde_json::Value;
use tempfile::TempDir;

pub(crate) struct Lab {
    pub(crate) laptop: Namespace,
    pub(crate) manager: Namespace,
    pub(crate) workers: Vec<Worker>,
    /// The manager's address for the laptop.
    pub(crate) address: Ipv4Addr,
    /// The home directory at the manager.
    pub(crate) home: TempDir,
}

pub(crate) struct Worker {
    pub(crate) sshd: Sshd,
    /// The manager's end of the cable to it.
    pub(crate) device: String,
    _namespace: Namespace,
}

/// Where the echo of each worker listens, besides its pages at port 80.
pub(crate) const ECHO: u16 = 7;

impl Lab {
    /// With workers red001, red002 and so on.
    pub(crate) fn new(workers: usize) -> Self {
        let (laptop, manager) = (Namespace::new(), Namespace::new());
        let address = laptop.join(&manager).v4(2);
        let home = tempfile::tempdir().unwrap();
        let mut config = String::new();
        let mut all = Vec::new();
        for number in 1..=workers {
            let name = format!("red{number:03}");
            let namespace = Namespace::new();
            let cable = manager.join(&namespace);
            let at = cable.v4(2);
            let sshd = Sshd::builder().start_in(&namespace, at.into());
            let loopback = |port: u16| SocketAddr::from(([127, 0, 0, 1], port));
            pages(
                namespace.enter(|| TcpListener::bind(loopback(80)).unwrap()),
                name.clone(),
            );
            echo(namespace.enter(|| TcpListener::bind(loopback(ECHO)).unwrap()));
            writeln!(
                config,
                "Host {name}\n HostName {at}\n User {}\n IdentityFile {}\n UserKnownHostsFile {}\n ServerAliveInterval 1\n \
                 ServerAliveCountMax 2",
                sshd.user(),
                sshd.user_key().private_path().display(),
                sshd.known_hosts_path().display(),
            )
            .unwrap();
            all.push(Worker {
                sshd,
                device: format!("veth{}", cable.v4(1).octets()[2]),
                _namespace: namespace,
            });
        }
        let ssh = home.path().join(".ssh");
        fs::create_dir(&ssh).unwrap();
        fs::write(ssh.join("config"), config).unwrap();
        let run = home.path().join("run");
        fs::create_dir(&run).unwrap();
        fs::set_permissions(&run, fs::Permissions::from_mode(0o700)).unwrap();
        Self {
            laptop,
            manager,
            workers: all,
            address,
            home,
        }
    }

    /// The folder of the manager's table.
    pub(crate) fn table(&self) -> PathBuf {
        self.home.path().join("table")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.manager.command(env!("CARGO_BIN_EXE_adit"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path().join("run"))
            .current_dir(self.home.path());
        command
    }

    /// A command of adit's at the manager, about its table.
    pub(crate) fn adit(&self, arguments: &[&str]) -> Output {
        let table = self.table();
        let table = table.to_str().unwrap();
        self.command(&[arguments, &["--data", table]].concat())
            .output()
            .unwrap()
    }

    /// A command of adit's at the manager that knows nothing of the table.
    pub(crate) fn plain(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The same, which succeeds; what it prints as JSON.
    pub(crate) fn rows(&self, arguments: &[&str]) -> Value {
        let output = self.adit(&[arguments, &["--output", "json"]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", words(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The ports of what a command prints, with their hosts.
    pub(crate) fn ports(&self, arguments: &[&str]) -> Vec<(u64, String)> {
        let rows = self.rows(arguments);
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| {
            let host = row["host"].as_str().unwrap().to_owned();
            (row["port"].as_u64().unwrap(), host)
        })
        .collect()
    }

    /// As the manager boots: whoever keeps the table is started by the line of the unit.
    pub(crate) fn boot(&self) -> Process {
        let table = self.table();
        Process::spawn(&mut self.command(&["host", "up", "--data", table.to_str().unwrap()]))
    }

    /// Kills whoever keeps the table, and gives its process.
    pub(crate) fn kill(&self) -> String {
        let lock = self.keeper().unwrap();
        let killed = Command::new("kill").args(["-9", &lock]).status().unwrap();
        assert!(killed.success());
        wait::until("nobody keeps the table", || match self.keeper() {
            None => Ok(()),
            Some(pid) => Err(pid),
        });
        lock
    }

    /// The process that keeps the table.
    pub(crate) fn keeper(&self) -> Option<String> {
        let output = self.command(&["status", "--json"]).output().unwrap();
        let report: Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(report.get("pid")?.as_u64()?.to_string())
    }

    /// A page, as the laptop sees it at that address of the manager's.
    pub(crate) fn page_at(&self, address: IpAddr, port: u16) -> Result<String, String> {
        let url = format!("http://{address}:{port}/");
        let mut curl = self.laptop.command("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--noproxy",
            "*",
            "--max-time",
            "15",
            &url,
        ]);
        let output = curl.output().unwrap();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(words(&output))
        }
    }

    pub(crate) fn page(&self, port: u16) -> Result<String, String> {
        self.page_at(self.address.into(), port)
    }

    /// Waits until the laptop sees that page.
    pub(crate) fn shows(&self, port: u16, page: &str) {
        wait::until(page, || {
            let seen = self.page(port);
            if seen.as_deref() == Ok(page) {
                Ok(())
            } else {
                Err(seen)
            }
        });
    }

    /// A visitor from the laptop, who stays.
    pub(crate) fn visitor(&self, port: u16) -> Visitor {
        let addr = SocketAddr::from((self.address, port));
        let socket = self.laptop.enter(|| TcpStream::connect(addr).unwrap());
        socket.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        Visitor(BufReader::new(socket))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // It was started in the background, and is nobody's child. Where none is, there is nothing to end.
        let table = self.table();
        drop(
            self.command(&["host", "down", "--data", table.to_str().unwrap_or_default()])
                .output(),
        );
    }
}

/// Somebody at an echo.
pub(crate) struct Visitor(BufReader<TcpStream>);

impl Visitor {
    /// Says a line and hears it.
    pub(crate) fn speaks(&mut self, line: &str) {
        self.0
            .get_mut()
            .write_all(format!("{line}\n").as_bytes())
            .unwrap();
        let mut heard = String::new();
        self.0.read_line(&mut heard).unwrap();
        assert_eq!(heard.trim_end(), line);
    }
}

/// All that a program has said.
pub(crate) fn words(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// Serves one page to whoever asks.
fn pages(listener: TcpListener, page: String) {
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            // A visitor who leaves early harms nobody.
            drop(socket.and_then(|socket| answer(socket, &page)));
        }
    });
}

/// Says back what it hears, at once.
fn echo(listener: TcpListener) {
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || drop(std::io::copy(&mut &socket, &mut &socket)));
        }
    });
}

fn answer(mut socket: TcpStream, page: &str) -> std::io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(socket.try_clone()?);
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let length = page.len();
    write!(
        socket,
        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{page}"
    )
}

/// What stands in a file.
pub(crate) fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}
