//! A machine that boots: Debian with systemd in a container of its own, whose changes are gone with it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use adit_testkit::process::{Process, children};
use adit_testkit::wait;
use rustix::process::Pid;

/// What is in it beside what every Debian has.
const PACKAGES: &str = "systemd,systemd-sysv,dbus,openssh-client,procps,iproute2,libnss-systemd";
/// Between an order and its end, in there.
const PATIENCE: Duration = Duration::from_secs(90);

/// One that runs.
pub(crate) struct Machine {
    process: Process,
    leader: Pid,
}

/// The folder of its files, made once: some minutes, and 260 MB.
fn root() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("debian");
    if !folder.exists() {
        let half = folder.with_extension("new");
        drop(std::fs::remove_dir_all(&half));
        let mut debootstrap = Command::new("debootstrap");
        debootstrap.args(["--variant=minbase", &format!("--include={PACKAGES}")]);
        let output = debootstrap.arg("bookworm").arg(&half).output().unwrap();
        assert!(output.status.success(), "{}", text(&output));
        std::fs::rename(&half, &folder).unwrap();
    }
    folder
}

impl Machine {
    /// Boots one that finds that folder at /srv.
    pub(crate) fn boot(shared: &Path) -> Self {
        Self::start(&root(), &["--volatile=overlay"], shared)
    }

    /// A copy of its files, which keeps what is changed.
    pub(crate) fn disk(at: &Path) {
        let mut copy = Command::new("cp");
        let output = copy
            .args(["-a", "--reflink=auto"])
            .arg(root())
            .arg(at)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
    }

    /// Boots with such a copy.
    pub(crate) fn boot_from(disk: &Path, shared: &Path) -> Self {
        Self::start(disk, &[], shared)
    }

    fn start(root: &Path, options: &[&str], shared: &Path) -> Self {
        let mut command = Command::new("systemd-nspawn");
        command
            .arg("--directory")
            .arg(root)
            .args(options)
            .args(["--boot", "--register=no"])
            .args(["--keep-unit", "--private-network", "--console=pipe"])
            .arg(format!("--bind={}:/srv", shared.display()));
        let mut process = Process::spawn(&mut command);
        // One that only prepares it comes and goes before.
        let is_init = |pid: &Pid| {
            let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()));
            name.is_ok_and(|name| name == "systemd\n")
        };
        let leader = wait::until_within(PATIENCE, "a machine", || {
            let ended = process.exit_status().map(|_| process.stderr());
            assert_eq!(ended, None, "it does not boot");
            children(process.id()).into_iter().find(is_init).ok_or(())
        });
        let machine = Self { process, leader };
        wait::until_within(PATIENCE, "a machine that has booted", || {
            let output = machine.run("systemctl is-system-running");
            // What fails of Debian's own in a container is nothing to us.
            let is_up = ["running\n", "degraded\n"]
                .iter()
                .any(|it| output.stdout == it.as_bytes());
            is_up.then_some(()).ok_or_else(|| text(&output))
        });
        machine
    }

    /// What comes of a line of a shell's in there, as root.
    pub(crate) fn run(&self, line: &str) -> Output {
        let leader = self.leader.as_raw_nonzero().to_string();
        Command::new("nsenter")
            .args(["--target", &leader, "--all", "--", "/bin/sh", "-c", line])
            .env_clear()
            .env(
                "PATH",
                "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            )
            .output()
            .unwrap()
    }

    /// What it says, when it succeeds.
    pub(crate) fn get(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(
            output.status.success(),
            "{line}: {}{}",
            text(&output),
            self.journal()
        );
        String::from_utf8(output.stdout).unwrap()
    }

    /// Waits until it succeeds and says something with these words.
    pub(crate) fn says(&self, line: &str, words: &str) -> String {
        wait::until_within(PATIENCE, line, || {
            let output = self.run(line);
            let is_said = output.status.success() && text(&output).contains(words);
            is_said
                .then(|| text(&output))
                .ok_or_else(|| text(&output) + &self.journal())
        })
    }

    /// The last lines of the logs of ours.
    fn journal(&self) -> String {
        text(&self.run("journalctl --no-pager --lines=60 --unit='adit-*'"))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // What is left of a test that failed is killed.
        if !std::thread::panicking() {
            self.run("systemctl poweroff");
            self.process.wait(PATIENCE);
        }
    }
}

pub(crate) fn text(output: &Output) -> String {
    let Output { stdout, stderr, .. } = output;
    String::from_utf8_lossy(&[stdout.as_slice(), stderr].concat()).into_owned()
}
