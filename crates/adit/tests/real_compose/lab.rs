//! A folder with a compose file, a home, and programs of its own on the path.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::{Command, Output};

use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::wait;

use crate::stand_in::VARIABLE;

pub(crate) struct Lab {
    folder: tempfile::TempDir,
}

/// Exit code, standard output and standard error.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Lab {
    pub(crate) fn new(compose: &str) -> Self {
        let lab = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut builder = fs::DirBuilder::new();
        builder.mode(0o700).recursive(true);
        builder.create(lab.path("run")).unwrap();
        builder.create(lab.path("bin")).unwrap();
        builder.create(lab.path(".ssh")).unwrap();
        lab.write("model-compose.yml", compose);
        let program = std::env::current_exe().unwrap();
        let stand_in = format!(
            "{VARIABLE}=\"$*\" exec '{}' --exact stand_in::stand_in --nocapture",
            program.display()
        );
        lab.program("uvicorn", &stand_in);
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// A shell script on the path.
    pub(crate) fn program(&self, name: &str, script: &str) {
        let file = self.path("bin").join(name);
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_adit"));
        let path = format!(
            "{}:/usr/local/bin:/usr/bin:/bin",
            self.path("bin").display()
        );
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("PATH", path)
            .env("HOME", self.folder.path())
            .env("XDG_RUNTIME_DIR", self.path("run"))
            .env_remove("SSH_AUTH_SOCK");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Said {
        let Output {
            status,
            stdout,
            stderr,
        } = self.command(arguments).output().unwrap();
        Said {
            code: status.code(),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        Process::spawn(&mut self.command(arguments))
    }

    /// An `adit up` of which runs can be asked.
    pub(crate) fn up(&self) -> Process {
        let mut up = self.start(&["up"]);
        up.wait_for_text("[Controller] Listening on");
        up
    }

    /// Ends what is up, and looks for what it may have left behind.
    pub(crate) fn down(&self, mut up: Process, ports: &[Port]) {
        let down = self.run(&["down"]);
        assert_eq!(down.code, Some(0), "{down:?}\n{}", up.stderr());
        assert_eq!(up.wait(wait::DEADLINE).code(), Some(0), "{}", up.stderr());
        self.is_clean(ports);
    }

    /// No port is bound, no lock and no socket is there, no `.stop`, no process runs here.
    pub(crate) fn is_clean(&self, ports: &[Port]) {
        for port in ports {
            TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
        }
        let left = fs::read_dir(self.path("run/adit"));
        assert_eq!(left.map_or(0, Iterator::count), 0);
        assert!(!self.path(".stop").exists());
        assert_eq!(self.processes(), [""; 0]);
    }

    /// Waits until only so many processes run in this folder.
    #[track_caller]
    pub(crate) fn wait_for_processes(&self, left: usize) {
        wait::until("so few processes are left", || {
            let processes = self.processes();
            if processes.len() == left {
                Ok(())
            } else {
                Err(processes)
            }
        });
    }

    /// Command lines of the processes that run in this folder.
    pub(crate) fn processes(&self) -> Vec<String> {
        let here = self.folder.path().canonicalize().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let processes = processes.filter(|entry| {
            let folder = fs::read_link(entry.path().join("cwd"));
            folder.is_ok_and(|folder| folder == here)
        });
        processes
            .map(|entry| fs::read_to_string(entry.path().join("cmdline")).unwrap_or_default())
            .collect()
    }
}
