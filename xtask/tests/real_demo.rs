//! The demo as a newcomer meets it: a real sshd, the real program, and a Ctrl-C at the end.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

/// Ends the demo, however the test ends.
struct Demo(Pid);

impl Drop for Demo {
    fn drop(&mut self) {
        kill_process_group(self.0, Signal::KILL).ok();
    }
}

#[test]
fn ctrl_c_ends_the_demo_and_leaves_no_process_and_no_file_behind() {
    if ["/usr/sbin/sshd", "/usr/bin/sshd"]
        .iter()
        .all(|file| fs::metadata(file).is_err())
    {
        assert!(std::env::var_os("ADIT_REAL").is_none(), "sshd is missing");
        println!("skip: sshd is not installed");
        return;
    }
    // A folder of its own: whatever the demo starts has this path on its command line.
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().to_str().unwrap().to_owned();
    let mut child = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["demo", "--cuts", "1"])
        .env("TMPDIR", &place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let demo = Demo(Pid::from_child(&child));
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.ends_with("until Ctrl-C") {
            assert!(!commands_with(&place).is_empty(), "nothing runs in {place}");
            kill_process(demo.0, Signal::INT).unwrap();
        }
        said.push(line);
    }
    let status = child.wait().unwrap();
    let said = said.join("\n");
    assert!(status.success(), "{status}\n{said}");
    assert!(said.ends_with("stopped; nothing is left behind"), "{said}");
    assert_eq!(commands_with(&place), Vec::<String>::new());
    assert_eq!(fs::read_dir(&place).unwrap().count(), 0);
}

/// The command lines, of all processes, that name the folder.
fn commands_with(place: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| fs::read(entry.path().join("cmdline")).ok())
        .map(|words| String::from_utf8_lossy(&words).replace('\0', " "))
        .filter(|words| words.contains(place))
        .collect()
}
