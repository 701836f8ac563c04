//! A private ssh-agent of the machine's, spoken to by the engine's codec.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_ssh::ssh_agent::{Frames, Request};
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{real, wait};

/// An ssh-agent with a connection to it.
pub(crate) struct Agent {
    /// The stock program, unless it is another.
    _process: Option<Process>,
    folder: tempfile::TempDir,
    socket: PathBuf,
    stream: UnixStream,
    frames: Frames,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let program = real::find("ssh-agent").unwrap();
        let process = Process::spawn(Command::new(program).arg("-D").arg("-a").arg(&socket));
        Self {
            _process: Some(process),
            folder,
            ..Self::at(&socket)
        }
    }

    /// The one that listens, or will, at that socket.
    pub(crate) fn at(socket: &Path) -> Self {
        let stream = wait::until("ssh-agent listens", || UnixStream::connect(socket));
        stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        Self {
            _process: None,
            folder: tempfile::tempdir().unwrap(),
            socket: socket.to_owned(),
            stream,
            frames: Frames::new(),
        }
    }

    /// Connects to it anew: one connection is for one session.
    pub(crate) fn reconnect(&mut self) {
        self.stream = UnixStream::connect(&self.socket).unwrap();
        self.stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        self.frames = Frames::new();
    }

    /// Hands it a new key, with a certificate if there is one beside the key.
    pub(crate) fn add(&self, key: &KeyPair) {
        self.ssh_add(&[], key);
    }

    /// Hands it a new key that it may use for one destination alone: `user@host` or `host`, where a
    /// file of known hosts says which keys that host has.
    pub(crate) fn add_for(&self, destination: &str, known_hosts: &Path, key: &KeyPair) {
        let known_hosts = known_hosts.display().to_string();
        self.ssh_add(&["-H", &known_hosts, "-h", destination], key);
    }

    fn ssh_add(&self, options: &[&str], key: &KeyPair) {
        let output = Command::new(real::find("ssh-add").unwrap())
            .arg("-q")
            .args(options)
            .arg(key.private_path())
            .env("SSH_AUTH_SOCK", &self.socket)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Its folder, for whatever else a test wants to keep as long.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn key(&self, name: &str, kind: KeyKind) -> KeyPair {
        KeyPair::generate(self.folder.path(), name, kind)
    }

    /// Sends a request and reads the answer, in pieces of a size that suits nobody.
    pub(crate) fn ask(&mut self, request: &Request<'_>) -> Vec<u8> {
        self.stream.write_all(&request.encode()).unwrap();
        loop {
            if let Some(message) = self.frames.next_message().unwrap() {
                return message;
            }
            let mut bytes = [0; 7];
            let count = self.stream.read(&mut bytes).unwrap();
            assert_ne!(count, 0, "ssh-agent hung up");
            self.frames.receive(bytes.get(..count).unwrap()).unwrap();
        }
    }
}
