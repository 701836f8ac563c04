//! The programs that a stage needs beside the Rust toolchain, and getting those that are missing.
//!
//! Debian's programs come from apt when we are root, else they are named with the command that
//! installs them. Cargo's tools are built by `cargo install` at one pinned version, because what
//! they refuse changes between versions. In CI a program that stays missing is a failure; on a
//! laptop it is a printed skip, and the tests that need it skip themselves.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::bail;

use crate::workspace::{Workspace, run};

/// A program of Debian's that tests run for real.
#[derive(Debug)]
pub(crate) struct Program {
    /// What is called, or the whole path of a file that is used otherwise.
    command: &'static str,
    /// The package that has it.
    package: &'static str,
    /// With these arguments it succeeds only if all that is wanted of it is there: Debian's packages
    /// leave out parts of some programs.
    proof: &'static [&'static str],
}

/// The programs the real-program tests and the lab run.
pub(crate) const REAL: &[Program] = &[
    SSH,
    SSHD,
    SSH_KEYGEN,
    SSH_AGENT,
    IP,
    DROPBEAR,
    DBCLIENT,
    DROPBEARCONVERT,
    PLINK,
    PUTTYGEN,
    PYTHON,
    CURL,
    CHROMIUM,
    OPENSSL,
    UNSHARE,
    STRACE,
    NSENTER,
    SETPRIV,
    TINYPROXY,
    MARIADBD,
    MARIADB_INSTALL_DB,
    MARIADB,
    POSTGRES,
    MAN,
    GROFF,
    MANDOC,
    HAPROXY,
    NGINX,
    H2LOAD,
    WEBSOCKETS,
    GRPC,
    SYSTEMD_ANALYZE,
    AUTOSSH,
    DOCKER,
    DOCKER_COMPOSE,
    IPTABLES,
    RSYNC,
    STRIP,
];

/// The programs that `cargo xtask interop` runs.
pub(crate) const INTEROP: &[Program] = &[
    SSH,
    SSHD,
    SSH_KEYGEN,
    DROPBEAR,
    DBCLIENT,
    DROPBEARCONVERT,
    PLINK,
    PUTTYGEN,
    PYTHON,
    OPENSSL,
    UNSHARE,
    GO,
    GO_CRYPTO,
];

/// The programs the demo runs.
pub(crate) const DEMO: &[Program] = &[SSHD, SSH_KEYGEN];

/// The programs the bench runs.
pub(crate) const BENCH: &[Program] = &[SSH, SSHD, SSH_KEYGEN, IP, IPERF3];

/// What `cargo xtask soak` runs beyond what tests run: a machine that boots.
pub(crate) const SOAK: &[Program] = &[NSPAWN, DEBOOTSTRAP];

/// The programs that `cargo xtask bench edge` runs.
pub(crate) const BENCH_EDGE: &[Program] = &[
    SSH, SSHD, SSH_KEYGEN, IPERF3, NGINX, HAPROXY, CADDY, WRK, H2LOAD, OPENSSL, PYTHON,
];

/// The programs that `cargo xtask bench forward` runs.
pub(crate) const BENCH_FORWARD: &[Program] = &[SSH, SSHD, SSH_KEYGEN, IPERF3, AUTOSSH];

const NSPAWN: Program = Program {
    command: "systemd-nspawn",
    package: "systemd-container",
    proof: &[],
};
const DEBOOTSTRAP: Program = Program {
    command: "debootstrap",
    package: "debootstrap",
    proof: &[],
};
const SSH: Program = Program {
    command: "ssh",
    package: "openssh-client",
    proof: &[],
};
const SSHD: Program = Program {
    command: "sshd",
    package: "openssh-server",
    proof: &[],
};
const SSH_KEYGEN: Program = Program {
    command: "ssh-keygen",
    package: "openssh-client",
    proof: &[],
};
const SSH_AGENT: Program = Program {
    command: "ssh-agent",
    package: "openssh-client",
    proof: &[],
};
const IP: Program = Program {
    command: "ip",
    package: "iproute2",
    proof: &[],
};
const HAPROXY: Program = Program {
    command: "haproxy",
    package: "haproxy",
    proof: &[],
};
const CADDY: Program = Program {
    command: "caddy",
    package: "caddy",
    proof: &[],
};
const WRK: Program = Program {
    command: "wrk",
    package: "wrk",
    proof: &[],
};
const H2LOAD: Program = Program {
    command: "h2load",
    package: "nghttp2-client",
    proof: &[],
};
const NGINX: Program = Program {
    command: "nginx",
    package: "nginx",
    proof: &[],
};
/// Looks at the units of examples/; nothing is booted.
const SYSTEMD_ANALYZE: Program = Program {
    command: "systemd-analyze",
    package: "systemd",
    proof: &[],
};
const DROPBEAR: Program = Program {
    command: "dropbear",
    package: "dropbear-bin",
    proof: &[],
};
const DBCLIENT: Program = Program {
    command: "dbclient",
    package: "dropbear-bin",
    proof: &[],
};
const DROPBEARCONVERT: Program = Program {
    command: "dropbearconvert",
    package: "dropbear-bin",
    proof: &[],
};
const PLINK: Program = Program {
    command: "plink",
    package: "putty-tools",
    proof: &[],
};
const PUTTYGEN: Program = Program {
    command: "puttygen",
    package: "putty-tools",
    proof: &[],
};
const PYTHON: Program = Program {
    command: "python3",
    package: "python3-venv",
    proof: &["-c", "import ensurepip, venv"],
};
const WEBSOCKETS: Program = Program {
    // Debian's own: apt's modules are for no other.
    command: "/usr/bin/python3",
    package: "python3-websockets",
    proof: &["-c", "import websockets"],
};
const GRPC: Program = Program {
    // Debian's own: apt's modules are for no other.
    command: "/usr/bin/python3",
    package: "python3-grpcio",
    proof: &["-c", "import grpc"],
};
const CURL: Program = Program {
    command: "curl",
    package: "curl",
    proof: &[],
};
const CHROMIUM: Program = Program {
    command: "chromium",
    package: "chromium",
    proof: &[],
};
const OPENSSL: Program = Program {
    command: "openssl",
    package: "openssl",
    proof: &[],
};
const UNSHARE: Program = Program {
    command: "unshare",
    package: "util-linux",
    proof: &[],
};
const STRACE: Program = Program {
    command: "strace",
    package: "strace",
    proof: &[],
};
const NSENTER: Program = Program {
    command: "nsenter",
    package: "util-linux",
    proof: &[],
};
const SETPRIV: Program = Program {
    command: "setpriv",
    package: "util-linux",
    proof: &[],
};
const TINYPROXY: Program = Program {
    command: "tinyproxy",
    package: "tinyproxy-bin",
    proof: &[],
};
/// The server alone: `mariadb-server` would start a service as well.
const MARIADBD: Program = Program {
    command: "mariadbd",
    package: "mariadb-server-core",
    proof: &[],
};
const MARIADB_INSTALL_DB: Program = Program {
    command: "mariadb-install-db",
    package: "mariadb-server-core",
    proof: &[],
};
const MARIADB: Program = Program {
    command: "mariadb",
    package: "mariadb-client-core",
    proof: &[],
};
/// The server's own programs lie in a folder named by the version; this one is beside every server.
const POSTGRES: Program = Program {
    command: "pg_createcluster",
    package: "postgresql",
    proof: &[],
};
const MAN: Program = Program {
    command: "man",
    package: "man-db",
    proof: &[],
};
const GROFF: Program = Program {
    command: "groff",
    package: "groff-base",
    proof: &[],
};
const MANDOC: Program = Program {
    command: "mandoc",
    package: "mandoc",
    proof: &[],
};
const AUTOSSH: Program = Program {
    command: "autossh",
    package: "autossh",
    proof: &[],
};
/// The daemon; Debian's package has the client as well.
const DOCKER: Program = Program {
    command: "dockerd",
    package: "docker.io",
    proof: &[],
};
const DOCKER_COMPOSE: Program = Program {
    command: "docker-compose",
    package: "docker-compose",
    proof: &[],
};
const IPTABLES: Program = Program {
    command: "iptables",
    package: "iptables",
    proof: &[],
};
const RSYNC: Program = Program {
    command: "rsync",
    package: "rsync",
    proof: &[],
};
const STRIP: Program = Program {
    command: "strip",
    package: "binutils",
    proof: &[],
};
const GO: Program = Program {
    command: "go",
    package: "golang-go",
    proof: &[],
};
const GO_CRYPTO: Program = Program {
    command: "/usr/share/gocode/src/golang.org/x/crypto/ssh/client.go",
    package: "golang-golang-x-crypto-dev",
    proof: &[],
};

const IPERF3: Program = Program {
    command: "iperf3",
    package: "iperf3",
    proof: &[],
};

/// A tool that is called as `cargo NAME`.
#[derive(Debug)]
pub(crate) struct CargoTool {
    /// The crate and the program.
    name: &'static str,
    /// The version that is built when the tool is missing.
    version: &'static str,
}

/// Runs the tests.
pub(crate) const NEXTEST: CargoTool = CargoTool {
    name: "cargo-nextest",
    version: "0.9.143",
};

/// Checks licences, bans and sources.
pub(crate) const DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
};

/// Builds and runs the fuzz targets.
pub(crate) const FUZZ: CargoTool = CargoTool {
    name: "cargo-fuzz",
    version: "0.13.2",
};

/// What became of the wish for some programs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All are there now.
    All,
    /// These packages are missing and could not be installed.
    Without(Vec<&'static str>),
}

/// Looks for the programs and installs the packages of those that are missing, if we are root.
pub(crate) fn ensure(programs: &[Program]) -> anyhow::Result<Found> {
    let packages = missing(programs);
    if packages.is_empty() {
        return Ok(Found::All);
    }
    let names = packages.join(" ");
    if !rustix::process::geteuid().is_root() || find("apt-get").is_none() {
        println!("missing: {names}");
        println!("  on Debian: sudo apt-get install {names}");
        return Ok(Found::Without(packages));
    }
    run(apt_get().arg("update"))?;
    run(apt_get()
        .args(["install", "--yes", "--no-install-recommends"])
        .args(&packages))?;
    let packages = missing(programs);
    if packages.is_empty() {
        Ok(Found::All)
    } else {
        bail!("apt-get installed {names}, but its programs are still not found");
    }
}

/// Builds the tool at its pinned version if no `cargo NAME` is found at all. A tool that is there
/// is used as it is: its owner chose it.
pub(crate) fn ensure_tool(workspace: &Workspace, tool: &CargoTool) -> anyhow::Result<()> {
    if find(tool.name).is_some() {
        return Ok(());
    }
    run(workspace
        .cargo()
        .args(["install", "--locked", tool.name, "--version", tool.version]))
}

/// Where a program is: in `PATH`, in the folders for daemons that a user's `PATH` often lacks, or
/// where cargo installs.
pub(crate) fn find(command: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo"));
    env::split_paths(&path)
        .chain(DAEMON_FOLDERS.iter().map(PathBuf::from))
        .chain(cargo_home.or(home).map(|folder| folder.join("bin")))
        .map(|folder| folder.join(command))
        .find(|file| file.is_file())
}

fn missing(programs: &[Program]) -> Vec<&'static str> {
    let mut packages: Vec<_> = programs
        .iter()
        .filter(|program| !program.is_there())
        .map(|program| program.package)
        .collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command
        .env("DEBIAN_FRONTEND", "noninteractive")
        .arg("--quiet")
        .stdin(Stdio::null());
    command
}

impl Program {
    fn is_there(&self) -> bool {
        let Some(file) = find(self.command) else {
            return false;
        };
        self.proof.is_empty()
            || Command::new(file)
                .args(self.proof)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .is_ok_and(|status| status.success())
    }
}

const DAEMON_FOLDERS: &[&str] = &["/usr/local/sbin", "/usr/sbin", "/sbin"];

#[cfg(test)]
mod tests {
    use super::*;

    const NOWHERE: Program = Program {
        command: "no-such-program-of-adit",
        package: "no-such-package-of-adit",
        proof: &[],
    };

    #[test]
    fn a_program_in_the_path_is_found() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-of-adit"), None);
    }

    #[test]
    fn a_program_that_lacks_a_part_is_missing() {
        let half = Program {
            command: "sh",
            package: "the-other-half",
            proof: &["-c", "exit 1"],
        };
        assert_eq!(missing(&[half]), ["the-other-half"]);
    }

    #[test]
    fn a_package_is_named_once_however_many_of_its_programs_are_missing() {
        assert_eq!(missing(&[NOWHERE, NOWHERE]), ["no-such-package-of-adit"]);
    }
}
