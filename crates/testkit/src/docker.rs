//! A docker of one test's own, on a host of its own: a daemon in a network namespace, with its own folders, bridges and
//! published ports. Nothing is pulled: what is not built in the test is the machine's own programs, read-only.
//!
//! The daemon puts its containers in process groups of their own, so it is ended by its own commands, not by signals alone.

use std::ffi::OsStr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::namespace::Namespace;
use crate::process::Process;
use crate::{real, wait};

/// A daemon that runs; dropping it ends it with all its containers.
#[derive(Debug)]
pub struct Docker {
    daemon: Process,
    host: Namespace,
    folder: TempDir,
}

/// An image that sees this machine's programs: `-v /usr:/usr:ro` and this name.
pub const MACHINE: &str = "machine";
/// The daemon's start and end, and what a build takes.
const PATIENCE: Duration = Duration::from_secs(60);

impl Docker {
    /// Starts a daemon on that host: its published ports are the host's.
    ///
    /// # Panics
    ///
    /// When it does not start, with its log. It needs root: `require!(root)` and `require!("docker", "dockerd",
    /// "iptables")`.
    #[track_caller]
    pub fn start_in(host: &Namespace) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let mut command = host.command(program("dockerd"));
        command
            .arg("--data-root")
            .arg(path("data"))
            .arg("--exec-root")
            .arg(path("run"))
            .arg("--pidfile")
            .arg(path("pid"))
            .arg(format!("--host=unix://{}", path(SOCKET).display()))
            // One process for each published port otherwise.
            .args(["--userland-proxy=false", "--log-level=warn"]);
        let daemon = Process::spawn(&mut command);
        let mut docker = Self {
            daemon,
            host: host.clone(),
            folder,
        };
        wait::until_within(PATIENCE, "a docker daemon that answers", || {
            let output = docker.output(&["version", "--format", "{{.Server.Version}}"]);
            assert!(
                docker.daemon.exit_status().is_none(),
                "dockerd ended: {}",
                docker.daemon.stderr()
            );
            if output.status.success() {
                Ok(())
            } else {
                Err((said(&output), docker.daemon.stderr()))
            }
        });
        docker.import_machine();
        docker
    }

    /// The host that it is on.
    pub const fn host(&self) -> &Namespace {
        &self.host
    }

    /// The `docker` of this daemon.
    pub fn command(&self) -> Command {
        self.of("docker")
    }

    /// The `docker-compose` of this daemon. It sees nothing of the environment but `PATH`.
    pub fn compose(&self) -> Command {
        self.of("docker-compose")
    }

    fn of(&self, name: &str) -> Command {
        let socket = self.folder.path().join(SOCKET);
        let mut command = Command::new(program(name));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("DOCKER_HOST", format!("unix://{}", socket.display()))
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::null());
        command
    }

    /// Runs `docker` with these words and gives what became of it.
    pub fn output(&self, words: &[&str]) -> Output {
        let mut command = self.command();
        command.args(words);
        command.output().expect("docker starts")
    }

    /// Runs `docker` with these words, and gives what it printed.
    ///
    /// # Panics
    ///
    /// When it fails, with its words.
    #[track_caller]
    pub fn run(&self, words: &[&str]) -> String {
        let output = self.output(words);
        assert!(
            output.status.success(),
            "docker {}: {}",
            words.join(" "),
            said(&output)
        );
        String::from_utf8_lossy(&output.stdout).trim_end().into()
    }

    /// What a container has said so far.
    pub fn log(&self, container: &str) -> String {
        said(&self.output(&["logs", container]))
    }

    /// Waits until a container has said that.
    ///
    /// # Panics
    ///
    /// When it does not within [`wait::DEADLINE`], with all that it said.
    #[track_caller]
    pub fn wait_for_log(&self, container: &str, text: &str) -> String {
        wait::until(&format!("{text:?} from {container}"), || {
            let log = self.log(container);
            if log.contains(text) {
                Ok(log)
            } else {
                Err(log)
            }
        })
    }

    /// The address of a container in a network.
    #[track_caller]
    pub fn address(&self, container: &str, network: &str) -> String {
        let what = format!("{{{{(index .NetworkSettings.Networks {network:?}).IPAddress}}}}");
        self.run(&["inspect", "--format", &what, container])
    }

    /// An image whose folders are links to what is mounted at /usr: a container of it runs this machine's programs.
    fn import_machine(&self) {
        let tree = self.folder.path().join("machine");
        for folder in ["etc", "tmp", "usr", "var", "root", "run"] {
            std::fs::create_dir_all(tree.join(folder)).expect("a folder of ours");
        }
        for name in ["bin", "sbin", "lib", "lib64"] {
            symlink(Path::new("usr").join(name), tree.join(name)).expect("a link of ours");
        }
        for (name, text) in [
            (
                "passwd",
                "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/tmp:/bin/sh\n",
            ),
            ("group", "root:x:0:\nnogroup:x:65534:\n"),
            (
                "nsswitch.conf",
                "passwd: files\ngroup: files\nhosts: files dns\n",
            ),
        ] {
            std::fs::write(tree.join("etc").join(name), text).expect("a file of ours");
        }
        let tar = tree.with_extension("tar");
        let packed = Command::new("tar")
            .arg("--create")
            .arg("--file")
            .arg(&tar)
            .arg("--directory")
            .arg(&tree)
            .arg(".")
            .status();
        assert!(packed.is_ok_and(|status| status.success()), "tar packs");
        let path = tar.display().to_string();
        self.run(&["import", &path, MACHINE]);
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        let all = self.output(&["ps", "--all", "--quiet"]);
        let all = String::from_utf8_lossy(&all.stdout).into_owned();
        let all: Vec<&str> = all.split_whitespace().collect();
        if !all.is_empty() {
            let words = [&["rm", "--force", "--volumes"], &all[..]].concat();
            drop(self.output(&words));
        }
        // It ends its containerd, and takes its mounts away.
        rustix::process::kill_process(self.daemon.id(), Signal::TERM).ok();
        let start = std::time::Instant::now();
        while self.daemon.exit_status().is_none() && start.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// What a command printed, both of it.
pub fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

#[track_caller]
fn program(name: impl AsRef<OsStr>) -> PathBuf {
    let name = name.as_ref().to_string_lossy().into_owned();
    real::find(&name).unwrap_or_else(|| panic!("{name} is installed"))
}

const SOCKET: &str = "docker.sock";
