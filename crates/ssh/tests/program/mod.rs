//! Runs real programs for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use adit_ssh::key::PublicKey;

/// Whether the program is there; where it has to be, its absence is a failure.
pub(crate) fn is_there(program: &str) -> bool {
    let is_there = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .is_ok();
    assert!(
        is_there || std::env::var_os("ADIT_REAL").is_none(),
        "{program} is missing"
    );
    if !is_there {
        println!("skipped: {program} is missing");
    }
    is_there
}

/// Runs to success and gives what was printed.
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A new key of ssh-keygen's, with its `.pub` beside it.
pub(crate) fn keygen(directory: &Path, name: &str, arguments: &[&str]) -> PathBuf {
    let path = directory.join(name);
    run(Command::new("ssh-keygen")
        .args(["-q", "-C", "a comment", "-f"])
        .arg(&path)
        .args(arguments));
    path
}

/// The key in the `.pub` file beside a private one.
pub(crate) fn public_of(path: &Path) -> PublicKey {
    let text = fs::read_to_string(path.with_extension("pub")).unwrap();
    let mut words = text.split_whitespace();
    let (name, base64) = (words.next().unwrap(), words.next().unwrap());
    PublicKey::from_openssh_text(&format!("{name} {base64}")).unwrap()
}
