//! A gateway of the built program, its commands and its visitors.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::Signal;

/// What is taken away is gone within a second; five on a machine that does much else.
pub(crate) const GONE: Duration = Duration::from_secs(5);

/// A data directory with two ports for forwards, and the gateway that runs with it.
pub(crate) struct Gateway {
    pub(crate) folder: tempfile::TempDir,
    ports: [Port; 2],
    pub(crate) running: Option<(Process, SocketAddr)>,
}

impl Gateway {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            ports: [(); 2].map(|()| Port::reserve()),
            running: None,
        }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("gateway.yml")
    }

    pub(crate) fn port(&self, index: usize) -> u16 {
        self.ports[index].number()
    }

    pub(crate) fn key(&self, name: &str) -> KeyPair {
        KeyPair::generate(self.folder.path(), name, KeyKind::Ed25519)
    }

    pub(crate) fn start(&mut self) {
        let ports = format!("{},{}", self.port(0), self.port(1));
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(["serve", "--ssh", "127.0.0.1:0", "--ports", &ports, "--data"])
            .arg(self.data());
        if self.config().exists() {
            command.arg("--config").arg(self.config());
        }
        let mut process = Process::spawn(&mut command);
        process.wait_for_text("try: ");
        let told = process.stderr();
        let start = "listening for ssh at ";
        let address = told.lines().find_map(|line| line.split_once(start));
        let (_, address) = address.unwrap_or_else(|| panic!("{told}"));
        self.running = Some((process, address.trim().parse().unwrap()));
    }

    pub(crate) fn stop(&mut self, signal: Signal) {
        let (mut process, _) = self.running.take().unwrap();
        process.signal(signal);
        process.wait(wait::DEADLINE);
    }

    /// Somebody with a key of their own, who may listen at these ports.
    pub(crate) fn user(&self, name: &str, ports: &str) -> KeyPair {
        let key = self.key(name);
        self.done(&["user", "add", name]);
        self.done(&["key", "add", name, text(&key.public_path())]);
        self.done(&["grant", "add", name, "--ports", ports]);
        key
    }

    pub(crate) fn stderr(&self) -> String {
        let running = self.running.as_ref();
        running.map_or_else(String::new, |(process, _)| process.stderr())
    }

    /// Exit status, standard output and standard error of a command.
    pub(crate) fn admin(&self, words: &[&str]) -> (ExitStatus, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .args(words)
            .env("ADIT_DATA", self.data())
            .env_remove("ADIT_DATABASE_URL");
        let mut process = Process::spawn(&mut command);
        let status = process.wait(wait::DEADLINE);
        (status, process.stdout(), process.stderr())
    }

    /// Standard output of a command that does what it is told.
    #[track_caller]
    pub(crate) fn done(&self, words: &[&str]) -> String {
        let (status, stdout, stderr) = self.admin(words);
        assert!(
            status.success(),
            "{words:?}: {stdout}{stderr}\ngateway: {}",
            self.stderr()
        );
        stdout
    }

    /// Standard error of a command that fails.
    #[track_caller]
    pub(crate) fn refused(&self, words: &[&str]) -> String {
        let (status, stdout, stderr) = self.admin(words);
        assert_eq!(status.code(), Some(1), "{words:?}: {stdout}{stderr}");
        stderr
    }

    /// The lease of a port, as `lease list --json` has it.
    pub(crate) fn lease(&self, port: u16) -> Option<serde_json::Value> {
        let all = self.done(&["lease", "list", "--json"]);
        let all = all.lines().map(|line| serde_json::from_str(line).unwrap());
        let port = port.to_string();
        let mut all = all.filter(|row: &serde_json::Value| row["holding"] == *port);
        all.next()
    }

    #[track_caller]
    pub(crate) fn wait_for_lease(&self, port: u16, state: &str) -> serde_json::Value {
        wait::until(&format!("port {port} is {state}"), || {
            let lease = self.lease(port);
            match lease {
                Some(row) if row["state"] == state => Ok(row),
                other => Err((other, self.stderr())),
            }
        })
    }

    /// A stock ssh that forwards a port to a service here, and ends if it may not.
    pub(crate) fn ssh(&self, key: &KeyPair, port: u16, service: u16) -> Process {
        let forward = format!("{port}:127.0.0.1:{service}");
        self.ssh_with(
            key,
            &["-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward],
        )
    }

    /// A stock ssh with that key and those words.
    pub(crate) fn ssh_with(&self, key: &KeyPair, words: &[&str]) -> Process {
        let (_, address) = self.running.as_ref().unwrap();
        let mut command = Command::new("ssh");
        command
            .args(["-F", "none", "-o", "IdentitiesOnly=yes", "-i"])
            .arg(key.private_path())
            .args(["-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes"])
            .args(["-o", "UserKnownHostsFile=/dev/null"])
            .args(words)
            .args(["-p", &address.port().to_string(), "anybody@127.0.0.1"])
            .env_remove("SSH_AUTH_SOCK");
        Process::spawn(&mut command)
    }

    /// The same, once a visitor is served by it.
    #[track_caller]
    pub(crate) fn up(&self, key: &KeyPair, port: u16, service: u16) -> Process {
        let mut ssh = self.ssh(key, port, service);
        wait::until("a visitor is served", || {
            assert!(
                ssh.exit_status().is_none(),
                "{}\n{}",
                ssh.stderr(),
                self.stderr()
            );
            visit(port).ok_or_else(|| ssh.stderr())
        });
        ssh
    }
}

pub(crate) fn visit(port: u16) -> Option<()> {
    let mut visitor = TcpStream::connect(("127.0.0.1", port)).ok()?;
    visitor.set_read_timeout(Some(wait::DEADLINE)).ok()?;
    visitor.write_all(b"hello").ok()?;
    visitor.shutdown(Shutdown::Write).ok()?;
    let mut answer = Vec::new();
    visitor.read_to_end(&mut answer).ok()?;
    (answer == b"hello").then_some(())
}

pub(crate) fn fingerprint(key: &KeyPair) -> String {
    let mut command = Command::new("ssh-keygen");
    let output = command.arg("-lf").arg(key.public_path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.split(' ').nth(1).unwrap().to_owned()
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
