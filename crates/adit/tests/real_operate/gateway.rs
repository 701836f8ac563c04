//! A gateway to be watched.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use adit_testkit::process::Process;
use adit_testkit::wait;
use rustix::process::Signal;
use tempfile::TempDir;

/// A gateway that runs, with a folder of its own.
pub(crate) struct Gateway {
    pub(crate) process: Process,
    pub(crate) folder: TempDir,
}

/// How long an end takes at the most.
const END: Duration = Duration::from_secs(20);

/// What starts a gateway with its things in that folder and no port of its own choice.
pub(crate) fn command(folder: &TempDir) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
    command.env("HOME", folder.path()).args(arguments(folder));
    command
}

/// The same as words.
pub(crate) fn arguments(folder: &TempDir) -> Vec<String> {
    let data = folder.path().join("data").display().to_string();
    ["serve", "--data", &data, "--ssh", "127.0.0.1:0"]
        .map(String::from)
        .to_vec()
}

impl Gateway {
    /// One with these arguments more, that serves.
    pub(crate) fn start(folder: TempDir, more: &[&OsStr]) -> Self {
        let mut command = command(&folder);
        Self::spawn(folder, command.args(more))
    }

    /// What that command starts, once it serves.
    pub(crate) fn spawn(folder: TempDir, command: &mut Command) -> Self {
        let mut process = Process::spawn(command);
        process.wait_for_text("try: ssh");
        Self { process, folder }
    }

    /// The address behind those words of its.
    pub(crate) fn address(&self, words: &str) -> SocketAddr {
        let said = self.process.stderr();
        let rest = said.split(words).nth(1);
        let rest = rest.unwrap_or_else(|| panic!("no {words:?} in {said}"));
        let end = rest.find(|c: char| c == '/' || c.is_whitespace());
        rest[..end.unwrap_or(rest.len())].parse().unwrap()
    }

    pub(crate) fn ssh(&self) -> SocketAddr {
        self.address("listening for ssh at ")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Waits until it has said that so often.
    pub(crate) fn says(&self, words: &str, times: usize) {
        wait::until(words, || {
            let said = self.process.stderr();
            if said.matches(words).count() >= times {
                Ok(())
            } else {
                Err(said)
            }
        });
    }

    /// Ends it in order.
    pub(crate) fn end(&mut self) {
        self.process.signal(Signal::TERM);
        let status = self.process.wait(END);
        assert!(status.success(), "{status}: {}", self.process.stderr());
    }
}
