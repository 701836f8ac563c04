//! A newer OpenSSH beside the installed one: a second of work and 1.6 MB.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::workspace::run;

/// Debian 12's backports have it. Its package lists are fetched into the folder, so that the
/// machine's own sources stay as they are, and its packages are unpacked and not installed.
pub(crate) fn ensure(folder: &Path) -> anyhow::Result<()> {
    let target = folder.join("openssh-10.0");
    if target.join("usr/sbin/sshd").is_file() {
        return Ok(());
    }
    let apt = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part)).context("cannot make a folder for apt")?;
    }
    fs::write(apt.join("sources.list"), BACKPORTS).context("cannot write a source for apt")?;
    let options = [
        format!(
            "Dir::Etc::sourcelist={}",
            apt.join("sources.list").display()
        ),
        String::from("Dir::Etc::sourceparts=/dev/null"),
        format!("Dir::State::lists={}", apt.join("lists").display()),
        format!("Dir::Cache={}", apt.join("cache").display()),
    ];
    let apt_get = || {
        let mut command = Command::new("apt-get");
        command.stdin(Stdio::null()).current_dir(&apt).args([
            "--quiet",
            "-o",
            "APT::Sandbox::User=root",
        ]);
        command.args(options.iter().flat_map(|option| ["-o", option]));
        command
    };
    run(apt_get().arg("update"))?;
    run(apt_get().args(["download", "openssh-client", "openssh-server"]))?;
    let mut count = 0_usize;
    for entry in fs::read_dir(&apt).context("cannot read apt's folder")? {
        let path = entry?.path();
        if path.extension().is_some_and(|ending| ending == "deb") {
            run(Command::new("dpkg")
                .arg("-x")
                .arg(&path)
                .arg(&target)
                .stdin(Stdio::null()))?;
            count = count.saturating_add(1);
        }
    }
    if count != 2 {
        bail!("apt-get left {count} packages instead of 2");
    }
    Ok(())
}

const BACKPORTS: &str = "\
deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm-backports main
";
