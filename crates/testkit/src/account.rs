//! The account under which servers run that refuse to run as root.

use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use rustix::process::geteuid;

/// The account that owns nothing, by its number on Debian, Fedora and Alpine.
const NOBODY: u32 = 65_534;

/// Whether there is another account to be taken, since this process is root.
pub(crate) fn is_another() -> bool {
    geteuid().is_root()
}

/// Gives a file or folder to the account, if it is another than ours.
#[track_caller]
pub(crate) fn give(path: &Path) {
    if is_another() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
    }
}

/// A program run by the account.
pub(crate) fn command(program: &Path) -> Command {
    if !is_another() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .arg(format!("--reuid={NOBODY}"))
        .arg(format!("--regid={NOBODY}"))
        .args(["--clear-groups", "--"])
        .arg(program);
    command
}
