//! Finders for real programs: OpenSSH, autossh, curl and whatever else a test plays against.
//!
//! A missing program is a printed skip on a laptop. Where the environment variable `ADIT_REAL` is `1`
//! (CI) it is a failure, so that no test is silently absent there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Finds a program by its file name in `PATH` and in the folders where system daemons live.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    find_in(program, &path)
}

/// Finds a program as [`find`] does, or says that the test is skipped.
///
/// Called by [`require!`](crate::require), which returns from the test on `None`.
///
/// # Panics
///
/// When the program is missing and `ADIT_REAL` is `1`.
#[track_caller]
pub fn find_or_skip(program: &str) -> Option<PathBuf> {
    let found = find(program);
    if found.is_none() {
        skip(&format!("the program `{program}` is not installed"));
    }
    found
}

/// Debian's `python3`, which has the modules that apt installs, whatever else `PATH` has first; else that.
pub fn python() -> Option<PathBuf> {
    let own = PathBuf::from("/usr/bin/python3");
    if own.is_file() {
        return Some(own);
    }
    find("python3")
}

/// Finds a `python3` that can import `module`, or says that the test is skipped.
///
/// # Panics
///
/// When there is none and `ADIT_REAL` is `1`.
#[track_caller]
pub fn find_python_or_skip(module: &str) -> Option<PathBuf> {
    let found = python().filter(|python| imports(python, module));
    if found.is_none() {
        skip(&format!("no python3 with the module `{module}`"));
    }
    found
}

/// Whether this process is root, which namespaces and port 22 need; says that the test is skipped if not.
///
/// # Panics
///
/// When this process is not root and `ADIT_REAL` is `1`.
#[track_caller]
pub fn is_root_or_skip() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        skip("this test needs root");
    }
    root
}

/// Says that this test is skipped and why.
///
/// # Panics
///
/// When `ADIT_REAL` is `1`.
#[track_caller]
pub fn skip(reason: &str) {
    assert!(!must_be_real(), "ADIT_REAL=1, but {reason}");
    eprintln!("skipped at {}: {reason}", std::panic::Location::caller());
}

/// Finds programs, and returns from the test with a printed skip when one is missing.
///
/// `let sshd = require!("sshd");` gives the path; with several names it only checks that they are there.
/// `require!(python "asyncssh")` gives a python3 that imports the module, `require!(root)` checks for root,
/// `require!(postgres)` for PostgreSQL, whose programs are not in `PATH`.
/// Where `ADIT_REAL` is `1`, what is missing is a panic.
#[macro_export]
macro_rules! require {
    (root) => {
        if !$crate::real::is_root_or_skip() {
            return;
        }
    };
    (postgres) => {
        if $crate::postgres::find_or_skip().is_none() {
            return;
        }
    };
    (python $module:expr) => {
        match $crate::real::find_python_or_skip($module) {
            Some(path) => path,
            None => return,
        }
    };
    ($program:expr) => {
        match $crate::real::find_or_skip($program) {
            Some(path) => path,
            None => return,
        }
    };
    ($($program:expr),+ $(,)?) => {
        $(
            if $crate::real::find_or_skip($program).is_none() {
                return;
            }
        )+
    };
}

fn find_in(program: &str, path: &OsStr) -> Option<PathBuf> {
    std::env::split_paths(path)
        .chain(SYSTEM_FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok()
}

fn imports(python: &Path, module: &str) -> bool {
    Command::new(python)
        .args(["-c", &format!("import {module}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn must_be_real() -> bool {
    std::env::var_os("ADIT_REAL").is_some_and(|value| value == "1")
}

/// Where daemons are installed; a user's `PATH` on Debian has none of these.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_is_found_and_nonsense_is_not() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-such-program-of-adit"), None);
    }

    #[test]
    fn a_daemon_is_found_without_its_folder_in_the_path() {
        let daemons = ["sshd", "chroot", "agetty"];
        let found = daemons
            .iter()
            .filter_map(|name| find_in(name, OsStr::new("")));
        assert_ne!(
            found.count(),
            0,
            "none of {daemons:?} under {SYSTEM_FOLDERS:?}"
        );
    }

    #[test]
    fn a_file_that_nobody_may_run_is_not_a_program() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tool"), "text").unwrap();
        assert_eq!(find_in("tool", folder.path().as_os_str()), None);
    }

    #[test]
    #[ignore = "the next test runs it, in a process with an environment of its own"]
    fn a_test_that_requires_nonsense() {
        require!("no-such-program-of-adit");
        panic!("a test goes on without what it requires");
    }

    #[test]
    fn a_missing_program_is_a_printed_skip_here_and_a_failure_in_ci() {
        let reason = "the program `no-such-program-of-adit` is not installed";
        let cases = [
            (
                "0",
                true,
                "skipped at crates/testkit/src/real.rs".to_owned(),
            ),
            ("1", false, format!("ADIT_REAL=1, but {reason}")),
        ];
        for (value, passes, words) in cases {
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "--ignored", "--nocapture"])
                .arg("real::tests::a_test_that_requires_nonsense")
                .env("ADIT_REAL", value)
                .output()
                .unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.success(), passes, "{stderr}");
            assert!(
                stderr.contains(&words) && stderr.contains(reason),
                "{stderr}"
            );
        }
    }
}
