//! The peers that Debian's packages do not simply give: libraries from PyPI, a newer OpenSSH beside
//! the installed one, and the small programs of Go and of russh.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::Context as _;

use crate::openssh;
use crate::workspace::{Workspace, run};

/// Makes them all ready in that folder. What is there already is kept, but for the programs that
/// are built from sources of ours.
pub(super) fn make_ready(
    workspace: &Workspace,
    folder: &Path,
) -> [(&'static str, anyhow::Result<()>); 4] {
    [
        ("asyncssh, paramiko and libssh2", python(folder)),
        ("OpenSSH 10.0", openssh::ensure(folder)),
        ("Go's x/crypto/ssh", go(workspace, folder)),
        ("russh", russh(workspace, folder)),
    ]
}

/// The libraries, at the versions that the table was last made with.
const PYTHON_PACKAGES: &[&str] = &[
    "asyncssh==2.24.1",
    "paramiko==5.1.0",
    "ssh2-python==1.2.0.post1",
];

fn python(folder: &Path) -> anyhow::Result<()> {
    let venv = folder.join("venv");
    if !venv.join("bin/python3").is_file() {
        run(quiet("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    run(quiet(venv.join("bin/pip"))
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON_PACKAGES))
}

/// Built with Debian's package of x/crypto, in Go's old way without modules.
fn go(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    run(quiet("go")
        .args(["build", "-o"])
        .arg(folder.join("go-peer"))
        .arg(workspace.root().join(GO_SOURCE))
        .env("GO111MODULE", "off")
        .env("GOPATH", "/usr/share/gocode")
        .env("GOCACHE", folder.join("go-cache")))
}

const GO_SOURCE: &str = "crates/tunnel/tests/real_interop/peer/programs/peer.go";

fn russh(workspace: &Workspace, folder: &Path) -> anyhow::Result<()> {
    let target = folder.join("russh");
    run(workspace
        .cargo()
        .current_dir(workspace.root().join("interop").join("russh"))
        .args(["build", "--locked", "--target-dir"])
        .arg(&target))?;
    let program = target.join("debug").join("russh-peer");
    fs::copy(&program, folder.join("russh-peer"))
        .with_context(|| format!("cannot copy {}", program.display()))?;
    Ok(())
}

/// A command that asks nothing.
fn quiet(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}
