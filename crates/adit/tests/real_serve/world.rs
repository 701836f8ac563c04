//! A gateway of a test's own, and stock ssh at it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use adit_testkit::echo;
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;

/// A folder with a data directory, a file of keys and two people's keys.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) ann: KeyPair,
    pub(crate) bob: KeyPair,
    pub(crate) ssh: Port,
    /// A port that forwards may have.
    pub(crate) public: Port,
    /// A service that says back what it is told.
    pub(crate) service: u16,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = |name| KeyPair::generate(folder.path(), name, KeyKind::Ed25519);
        let world = Self {
            ann: key("ann"),
            bob: key("bob"),
            ssh: Port::reserve(),
            public: Port::reserve(),
            service: echo::service(),
            folder,
        };
        world.keys(&[world.ann.public_line(), world.bob.public_line()]);
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the file of keys.
    pub(crate) fn keys(&self, lines: &[&str]) {
        let next = self.path("keys.next");
        std::fs::write(&next, format!("{}\n", lines.join("\n"))).unwrap();
        std::fs::rename(next, self.path("keys")).unwrap();
    }

    /// The gateway's command line, and what else it is given.
    pub(crate) fn serve(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        command
            .arg("serve")
            .args(["--domain", "localhost", "--data"])
            .arg(self.path("data"))
            .args(["--ssh", &format!("127.0.0.1:{}", self.ssh.number())])
            .args(["--ports", &self.public.number().to_string()])
            .arg("--authorized-keys")
            .arg(self.path("keys"))
            .args(more);
        command
    }

    /// A gateway that has started.
    pub(crate) fn start(&self, more: &[&str]) -> Process {
        let mut gateway = Process::spawn(&mut self.serve(more));
        gateway.wait_for_text("try: ");
        gateway
    }

    /// Stock ssh with a key, and nothing of this machine's configuration.
    pub(crate) fn ssh(&self, key: &KeyPair, words: &[&str]) -> Command {
        self.ssh_at(self.ssh.number(), key, words)
    }

    pub(crate) fn ssh_at(&self, port: u16, key: &KeyPair, words: &[&str]) -> Command {
        let mut command = Command::new("ssh");
        command
            .args([
                "-F",
                "none",
                "-o",
                "IdentityAgent=none",
                "-o",
                "IdentitiesOnly=yes",
            ])
            .args([
                "-o",
                "StrictHostKeyChecking=accept-new",
                "-o",
                "BatchMode=yes",
            ])
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                self.path("known_hosts").display()
            ))
            .arg("-i")
            .arg(key.private_path())
            .args(["-p", &port.to_string()])
            .args(words)
            .arg("me@127.0.0.1");
        command
    }

    /// What a forward of the public port to the service is called.
    pub(crate) fn forward(&self) -> String {
        format!("{}:127.0.0.1:{}", self.public.number(), self.service)
    }

    /// Stock ssh that forwards the public port, once it does.
    pub(crate) fn tunnel(&self, key: &KeyPair) -> Process {
        let forward = self.forward();
        let words = ["-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward];
        let mut ssh = Process::spawn(&mut self.ssh(key, &words));
        self.wait_for_service(&mut ssh);
        ssh
    }

    /// Waits until a visitor of the public port is answered.
    pub(crate) fn wait_for_service(&self, ssh: &mut Process) {
        wait::until("a visitor is answered", || {
            if let Some(status) = ssh.exit_status() {
                panic!("ssh ended with {status}: {}", ssh.stderr());
            }
            self.visit()
        });
    }

    /// Visits the public port.
    pub(crate) fn visit(&self) -> Result<(), String> {
        let address = SocketAddr::from(([127, 0, 0, 1], self.public.number()));
        let mut visitor = TcpStream::connect(address).map_err(|error| error.to_string())?;
        visitor.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        visitor
            .write_all(b"hello")
            .map_err(|error| error.to_string())?;
        visitor
            .shutdown(Shutdown::Write)
            .map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        visitor
            .read_to_end(&mut answer)
            .map_err(|error| error.to_string())?;
        if answer != b"hello" {
            return Err(format!("it says {answer:?}"));
        }
        Ok(())
    }
}
