//! A private ssh-agent of the machine's, spoken to by the engine's codec.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Command;

use adit_ssh::ssh_agent::{Frames, Request};
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{real, wait};

/// A running ssh-agent with a connection to it.
pub(crate) struct Agent {
    _process: Process,
    folder: tempfile::TempDir,
    stream: UnixStream,
    frames: Frames,
}

impl Agent {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("agent");
        let program = real::find("ssh-agent").unwrap();
        let process = Process::spawn(Command::new(program).arg("-D").arg("-a").arg(&socket));
        let stream = wait::until("ssh-agent listens", || UnixStream::connect(&socket));
        stream.set_read_timeout(Some(wait::DEADLINE)).unwrap();
        Self {
            _process: process,
            folder,
            stream,
            frames: Frames::new(),
        }
    }

    /// Hands it a new key, with a certificate if there is one beside the key.
    pub(crate) fn add(&self, key: &KeyPair) {
        let output = Command::new(real::find("ssh-add").unwrap())
            .arg("-q")
            .arg(key.private_path())
            .env("SSH_AUTH_SOCK", self.folder.path().join("agent"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
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
