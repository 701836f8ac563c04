//! Machines: a network namespace each, with a mount namespace in which accounts, names of hosts and homes are its own,
//! and a name. The machine that runs the tests keeps its own.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::{real, wait};
use rustix::process::Pid;
use tempfile::TempDir;

/// A machine. Its users are root, whose home is `root`, and pi, whose home is `pi`; no key and a password lets pi in.
pub(crate) struct Machine {
    pub(crate) name: &'static str,
    pub(crate) namespace: Namespace,
    /// Where it is from the laptop or, behind the manager, from there.
    pub(crate) addr: Ipv4Addr,
    folder: TempDir,
    /// Ends before the folder goes.
    sshd: Option<Process>,
}

/// What a program has said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The laptop, the manager, and two hosts behind it that the laptop has no route to.
pub(crate) struct Lab {
    pub(crate) laptop: Machine,
    pub(crate) red: Machine,
    pub(crate) workers: [Machine; 2],
}

/// The password of pi, everywhere.
pub(crate) const PASSWORD: &str = "raspberry-4711";
/// The number of pi.
const PI: u32 = 31_415;

const SCRIPT: &str = "\
mount --bind \"$1/passwd\" /etc/passwd || exit
mount --bind \"$1/shadow\" /etc/shadow || exit
mount --bind \"$1/hosts\" /etc/hosts || exit
echo \"$2\" > /proc/sys/kernel/hostname || exit
export HOME=\"$3\"
cd \"$3\" || exit
shift 3
exec \"$@\"
";

const SSHD: &str = "\
PidFile none
UsePAM no
PasswordAuthentication yes
PermitRootLogin no
UseDNS no
MaxStartups 1000
LogLevel DEBUG1
Subsystem sftp internal-sftp
";

/// Whether this machine can play the others.
macro_rules! require_machines {
    () => {
        adit_testkit::require!(root);
        adit_testkit::require!(
            "ip",
            "nsenter",
            "unshare",
            "setpriv",
            "openssl",
            "sshd",
            "ssh",
            "scp",
            "ssh-keygen"
        );
    };
}
pub(crate) use require_machines;

impl Machine {
    fn new(name: &'static str, namespace: Namespace, addr: Ipv4Addr) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        for (home, owner) in [("root", 0), ("pi", PI)] {
            let home = path.join(home);
            fs::create_dir(&home).unwrap();
            fs::set_permissions(&home, fs::Permissions::from_mode(0o755)).unwrap();
            chown(&home, Some(owner), Some(owner)).unwrap();
        }
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        let others = passwd.lines().filter(|line| !line.starts_with("root:"));
        let others: Vec<_> = others.collect();
        let shown = path.display();
        let passwd = format!(
            "root:x:0:0::{shown}/root:/bin/sh\npi:x:{PI}:{PI}::{shown}/pi:/bin/bash\n{}\n",
            others.join("\n")
        );
        fs::write(path.join("passwd"), passwd).unwrap();
        let output = Command::new("openssl")
            .args(["passwd", "-6", PASSWORD])
            .output();
        let hash = String::from_utf8(output.unwrap().stdout).unwrap();
        let shadow = format!(
            "root:*:19000:0:99999:7:::\npi:{}:19000:0:99999:7:::\n",
            hash.trim()
        );
        fs::write(path.join("shadow"), shadow).unwrap();
        fs::set_permissions(path.join("shadow"), fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path.join("hosts"), format!("127.0.0.1 localhost {name}\n")).unwrap();
        KeyPair::generate(path, "host_key", KeyKind::Ed25519);
        Self {
            name,
            namespace,
            addr,
            folder,
            sshd: None,
        }
    }

    /// Has names lead somewhere, from this machine.
    pub(crate) fn knows(&self, names: &[(&str, Ipv4Addr)]) {
        let lines = names.iter().map(|(name, addr)| format!("{addr} {name}\n"));
        let text = format!(
            "127.0.0.1 localhost {}\n{}",
            self.name,
            lines.collect::<String>()
        );
        fs::write(self.folder.path().join("hosts"), text).unwrap();
    }

    /// Gives pi another shell.
    pub(crate) fn has_shell(&self, shell: &str) {
        let passwd = self.folder.path().join("passwd");
        let text = fs::read_to_string(&passwd).unwrap();
        let lines = text.lines().map(|line| match line.rsplit_once(':') {
            Some((row, _)) if line.starts_with("pi:") => format!("{row}:{shell}\n"),
            _ => format!("{line}\n"),
        });
        // In its place: what is mounted is this file.
        fs::write(&passwd, lines.collect::<String>()).unwrap();
    }

    /// Starts its sshd, at port 22 of all its addresses.
    fn serve(&mut self) {
        let folder = self.folder.path();
        let config = folder.join("sshd_config");
        let key = folder.join("host_key");
        fs::write(&config, format!("HostKey {}\n{SSHD}", key.display())).unwrap();
        fs::create_dir_all("/run/sshd").unwrap();
        let program = real::find("sshd").unwrap();
        let log = folder.join("log");
        let words = [
            "-D",
            "-f",
            config.to_str().unwrap(),
            "-E",
            log.to_str().unwrap(),
        ];
        let mut sshd = Process::spawn(&mut self.command(program.to_str().unwrap(), &words));
        wait::until("sshd listens", || {
            let log = fs::read_to_string(&log).unwrap_or_default();
            let ended = sshd.exit_status();
            assert!(ended.is_none(), "{} {log}", sshd.stderr());
            if log.contains("Server listening on") {
                Ok(())
            } else {
                Err(log)
            }
        });
        self.sshd = Some(sshd);
    }

    /// Its processes whose command line begins with that: at least one.
    pub(crate) fn processes(&self, line: &str) -> Vec<Pid> {
        let name = self.namespace.name();
        let output = Command::new("ip").args(["netns", "pids", name]).output();
        let pids = String::from_utf8(output.unwrap().stdout).unwrap();
        let pids = pids.lines().filter_map(|pid| pid.parse().ok());
        let is_it = |pid: &i32| {
            let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            words.starts_with(line.as_bytes())
        };
        let found: Vec<_> = pids.filter(is_it).filter_map(Pid::from_raw).collect();
        assert!(!found.is_empty(), "nobody is {line:?}");
        found
    }

    /// What its sshd has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Its host key, as known_hosts has it.
    pub(crate) fn host_key(&self) -> String {
        let line = fs::read_to_string(self.folder.path().join("host_key.pub")).unwrap();
        line.rsplit_once(' ').unwrap().0.to_owned()
    }

    /// A file of root's home there.
    pub(crate) fn root(&self, file: &str) -> PathBuf {
        self.folder.path().join("root").join(file)
    }

    /// A file of pi's home there.
    pub(crate) fn pi(&self, file: &str) -> PathBuf {
        self.folder.path().join("pi").join(file)
    }

    /// Writes a file of pi's, with that mode.
    pub(crate) fn pi_writes(&self, file: &str, content: impl AsRef<[u8]>, mode: u32) {
        let path = self.pi(file);
        if let Some(above) = path.parent().filter(|above| !above.exists()) {
            fs::create_dir(above).unwrap();
            chown(above, Some(PI), Some(PI)).unwrap();
            fs::set_permissions(above, fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::write(&path, content).unwrap();
        chown(&path, Some(PI), Some(PI)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A program there, run by root, without a terminal.
    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        self.entered("root", &[&[program], words].concat())
    }

    /// The same, run by pi.
    pub(crate) fn command_of_pi(&self, program: &str, words: &[&str]) -> Command {
        let number = PI.to_string();
        let user = [
            "setpriv",
            "--reuid",
            &number,
            "--regid",
            &number,
            "--clear-groups",
            "--",
            program,
        ];
        self.entered("pi", &[&user, words].concat())
    }

    fn entered(&self, home: &str, words: &[&str]) -> Command {
        let folder = self.folder.path();
        let mut command = self.namespace.command("setsid");
        command
            .args([
                "-w", "unshare", "--mount", "--uts", "sh", "-c", SCRIPT, "machine",
            ])
            .arg(folder)
            .arg(self.name)
            .arg(folder.join(home))
            .args(words)
            .env_remove("SSH_AUTH_SOCK")
            .env_remove("XDG_STATE_HOME")
            .env("LC_ALL", "C");
        command
    }

    /// Runs a program there to its end.
    pub(crate) fn run(&self, program: &str, words: &[&str]) -> Said {
        said(&mut self.command(program, words))
    }

    /// `adit` there, to its end; it may have the password.
    pub(crate) fn adit(&self, words: &[&str]) -> Said {
        said(
            self.command(env!("CARGO_BIN_EXE_adit"), words)
                .env("ADIT_PASSWORD", PASSWORD),
        )
    }

    /// The same without any password.
    pub(crate) fn adit_with_keys(&self, words: &[&str]) -> Said {
        said(&mut self.command(env!("CARGO_BIN_EXE_adit"), words))
    }

    /// Makes root there know host keys.
    pub(crate) fn trusts(&self, hosts: &[(&str, &Self)]) {
        let lines = hosts
            .iter()
            .map(|(name, host)| format!("{name} {}\n", host.host_key()));
        fs::create_dir_all(self.root(".ssh")).unwrap();
        fs::set_permissions(self.root(".ssh"), fs::Permissions::from_mode(0o700)).unwrap();
        fs::write(self.root(".ssh/known_hosts"), lines.collect::<String>()).unwrap();
    }
}

impl Said {
    /// All is well.
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self
    }
}

pub(crate) fn said(command: &mut Command) -> Said {
    let mut process = Process::spawn(command);
    let status = process.wait(wait::DEADLINE);
    Said {
        code: status.code(),
        stdout: process.stdout(),
        stderr: process.stderr(),
    }
}

impl Lab {
    /// Everybody knows everybody's key who can reach them, and nobody is let in by one.
    pub(crate) fn new() -> Self {
        let [laptop, red, one, two] = [(); 4].map(|()| Namespace::new());
        let near = laptop.join(&red);
        let [first, second] = [red.join(&one), red.join(&two)];
        let laptop = Machine::new("laptop", laptop, near.v4(1));
        let mut red = Machine::new("red", red, near.v4(2));
        let mut workers = [
            Machine::new("red001", one, first.v4(2)),
            Machine::new("red002", two, second.v4(2)),
        ];
        laptop.knows(&[("red.local", red.addr)]);
        red.knows(&[("red001", workers[0].addr), ("red002", workers[1].addr)]);
        red.serve();
        for worker in &mut workers {
            worker.serve();
        }
        laptop.trusts(&[
            ("red.local", &red),
            ("red001", &workers[0]),
            ("red002", &workers[1]),
        ]);
        red.trusts(&[("red001", &workers[0]), ("red002", &workers[1])]);
        Self {
            laptop,
            red,
            workers,
        }
    }

    /// The same, where the laptop serves as well and red knows its key.
    pub(crate) fn with_a_laptop_that_serves() -> Self {
        let mut lab = Self::new();
        lab.laptop.serve();
        let Self { laptop, red, .. } = &lab;
        red.knows(&[("laptop", laptop.addr)]);
        red.trusts(&[("laptop", laptop)]);
        lab
    }

    /// The same after `adit ssh config` and `adit ssh copy-id`, as a person would do it.
    pub(crate) fn set_up() -> Self {
        let lab = Self::new();
        lab.laptop
            .adit(&["ssh", "config", "pi@red00[1-2]", "pi@red"])
            .ok();
        lab.laptop.adit(&["ssh", "copy-id", "red"]).ok();
        lab.laptop.adit(&["ssh", "copy-id", "red00[1-2]"]).ok();
        lab
    }
}

/// The permissions of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}
