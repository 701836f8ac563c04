//! A program run beside a test: a process group of its own, its output kept, nothing of it left on drop, and next to
//! nothing if the test is killed.

use std::collections::HashMap;
use std::fs::File;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};
use tempfile::TempDir;

use crate::wait;

pub(crate) mod reaper;

/// A running program; dropping it kills it and everything that it started.
#[derive(Debug)]
pub struct Process {
    child: Child,
    command: String,
    output: TempDir,
}

impl Process {
    /// Starts a program with its standard output and error kept in files and an empty standard input.
    ///
    /// # Panics
    ///
    /// When the program cannot be started.
    #[track_caller]
    pub fn spawn(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt as _;

        let output = tempfile::tempdir().expect("a temporary folder");
        let file = |name| File::create(output.path().join(name)).expect("an output file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file(STDOUT))
            .stderr(file(STDERR))
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("could not start {command:?}: {error}"));
        reaper::watch(Pid::from_child(&child));
        Self {
            child,
            command: format!("{command:?}"),
            output,
        }
    }

    /// The process id of the program itself.
    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// What the program has written to its standard output so far.
    pub fn stdout(&self) -> String {
        self.read(STDOUT)
    }

    /// What the program has written to its standard error so far.
    pub fn stderr(&self) -> String {
        self.read(STDERR)
    }

    /// The program's exit status, or `None` while it runs.
    pub fn exit_status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    /// Waits until the program has ended.
    ///
    /// # Panics
    ///
    /// When it still runs after `within`, with its output.
    #[track_caller]
    pub fn wait(&mut self, within: Duration) -> ExitStatus {
        let level = format!("the end of {}", self.command);
        wait::until_within(within, &level, || {
            self.exit_status()
                .ok_or_else(|| (self.stdout(), self.stderr()))
        })
    }

    /// Waits until `text` stands in the program's standard output or error; gives all of that output.
    ///
    /// # Panics
    ///
    /// When it has not appeared within [`wait::DEADLINE`], or the program has ended without it, with its output.
    #[track_caller]
    pub fn wait_for_text(&mut self, text: &str) -> String {
        let level = format!("{text:?} from {}", self.command);
        wait::until(&level, || {
            let ended = self.exit_status();
            let (stdout, stderr) = (self.stdout(), self.stderr());
            if let Some(found) = [&stdout, &stderr]
                .into_iter()
                .find(|all| all.contains(text))
            {
                return Ok(found.clone());
            }
            let seen = format!("stdout: {stdout}\nstderr: {stderr}");
            assert!(
                ended.is_none(),
                "{} ended with {ended:?} before {text:?}; {seen}",
                self.command
            );
            Err(seen)
        })
    }

    /// Sends a signal to the program and everything that it started.
    pub fn signal(&self, signal: Signal) {
        signal_all(&tree(self.id()), signal);
    }

    /// Kills the program and everything that it started, and waits for the program's end.
    pub fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            kill_tree(self.id());
        }
        // What has left the tree because its parent ended is still in the group, unless it has left that as well.
        rustix::process::kill_process_group(self.id(), Signal::KILL).ok();
        drop(self.child.wait());
        reaper::forget(self.id());
    }

    fn read(&self, name: &str) -> String {
        let bytes = std::fs::read(self.output.path().join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A process and everything that descends from it now, the process itself first.
///
/// A descendant whose parent has already ended belongs to nobody and is not found.
pub fn tree(root: Pid) -> Vec<Pid> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    for row in processes() {
        children.entry(row.parent).or_default().push(row.pid);
    }
    let mut found = vec![root.as_raw_pid()];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found.into_iter().filter_map(Pid::from_raw).collect()
}

/// The processes that `parent` has started and that have not been waited for, but for those that have ended.
pub fn children(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_pid();
    let rows = processes().into_iter();
    rows.filter(|row| row.parent == parent && !row.ended)
        .filter_map(|row| Pid::from_raw(row.pid))
        .collect()
}

/// Sends a signal to each process; one that has ended meanwhile is passed over.
pub fn signal_all(processes: &[Pid], signal: Signal) {
    for pid in processes {
        rustix::process::kill_process(*pid, signal).ok();
    }
}

/// Kills a process and everything that descends from it.
///
/// They are stopped first, so that none can start another while the tree is walked.
pub fn kill_tree(root: Pid) {
    let mut known = 0;
    let processes = loop {
        let processes = tree(root);
        signal_all(&processes, Signal::STOP);
        if processes.len() == known {
            break processes;
        }
        known = processes.len();
    };
    signal_all(&processes, Signal::KILL);
}

/// A row of the process table.
struct Row {
    pid: i32,
    parent: i32,
    ended: bool,
}

/// Every process of the machine. A line of `/proc/PID/stat` is `pid (name) state parent ...`, where the name may hold
/// spaces and brackets (proc(5)).
fn processes() -> Vec<Row> {
    let Ok(folder) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = folder.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    numbers
        .filter_map(|pid| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            let (_, after_name) = stat.rsplit_once(')')?;
            let mut fields = after_name.split_whitespace();
            let ended = fields.next()? == "Z";
            Some(Row {
                pid,
                parent: fields.next()?.parse().ok()?,
                ended,
            })
        })
        .collect()
}

const STDOUT: &str = "stdout";
const STDERR: &str = "stderr";

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::spawn(Command::new("sh").args(["-c", script]))
    }

    fn is_alive(pid: Pid) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn output_and_exit_status_are_kept() {
        let mut process = shell("echo out; echo err >&2; exit 3");
        assert_eq!(process.wait(wait::DEADLINE).code(), Some(3));
        assert_eq!(
            (process.stdout().as_str(), process.stderr().as_str()),
            ("out\n", "err\n")
        );
    }

    #[test]
    fn a_grandchild_in_a_session_of_its_own_ends_with_the_process() {
        let mut process = shell("setsid sleep 1000 & echo started $!; wait");
        let text = process.wait_for_text("started");
        let raw = text.trim().rsplit(' ').next().unwrap().parse().unwrap();
        let grandchild = Pid::from_raw(raw).unwrap();
        assert!(is_alive(grandchild));
        drop(process);
        wait::until("the grandchild is gone", || {
            if is_alive(grandchild) {
                Err("alive")
            } else {
                Ok(())
            }
        });
    }

    #[test]
    #[should_panic(expected = "before \"ready\"")]
    fn a_program_that_ends_without_the_text_is_not_waited_for() {
        shell("echo broken").wait_for_text("ready");
    }
}
