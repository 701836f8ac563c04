//! Programs under the keeper, which is the real one: what is started ends, all of it, however we end.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::expect_used,
    reason = "tests"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use adit_flow::process::{ChildEnvironment, Keeper, Program};
use adit_testkit::wait;
use rustix::process::Pid;
use tempfile::TempDir;

mod keeper;
mod provider;
mod run;
mod service;

/// The program's own.
fn the_keeper() -> Keeper {
    Keeper {
        program: PathBuf::from(env!("CARGO_BIN_EXE_adit")),
        ..Keeper::of_this_program()
    }
}

/// A folder for what a test's programs write.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// A shell script, with what comes with every Debian in its `PATH`.
    fn script(&self, text: &str) -> Program {
        self.program(&["sh", "-c", text])
    }

    fn program(&self, argv: &[&str]) -> Program {
        Program {
            argv: argv.iter().map(|argument| (*argument).to_owned()).collect(),
            dir: self.path().to_owned(),
            env: children(&[]).with([]),
        }
    }

    /// Writes a program that is a shell script.
    fn executable(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// What a program has written to a file here, once it holds whole lines.
    fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        wait::until(name, || match fs::read_to_string(&path) {
            Ok(text) if text.ends_with('\n') => Ok(text),
            other => Err(other),
        })
    }

    /// As [`read`](Self::read), while the runtime goes on.
    async fn said(&self, name: &str) -> String {
        let path = self.path().join(name);
        wait::until_async(name, || async {
            match tokio::fs::read_to_string(&path).await {
                Ok(text) if text.ends_with('\n') => Ok(text),
                other => Err(other),
            }
        })
        .await
    }

    /// The process whose number a program has written.
    fn pid(&self, name: &str) -> Pid {
        let text = self.read(name);
        Pid::from_raw(text.trim().parse().unwrap()).unwrap()
    }
}

/// What children get beside `PATH`.
fn children(own: &[(&str, &str)]) -> ChildEnvironment {
    let path = [("PATH", PATH)];
    let all = path.iter().chain(own);
    ChildEnvironment::new(
        all.map(|(name, value)| (name.into(), value.into())),
        &adit_flow::file::Environment::default(),
        &std::collections::BTreeSet::new(),
    )
}

/// Zombies are not alive: whose they are has to take leave of them, and that may be the test's container.
fn is_alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.starts_with('Z'));
    state == Some(false)
}

fn wait_for_end(pid: Pid) {
    wait::until("a process has ended", || {
        if is_alive(pid) {
            Err("it runs")
        } else {
            Ok(())
        }
    });
}

const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
