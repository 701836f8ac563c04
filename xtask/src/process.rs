//! A program in a process group of its own, which ends with everything that it started.
//!
//! `PR_SET_PDEATHSIG` would look simpler and is a trap: it fires when the *thread* that started the
//! program ends, and it does not reach what the program starts in turn. A group alone does not
//! either: an sshd gives each connection a session of its own. So the descendants are looked up in
//! `/proc` before the group is killed, and killed too.

use std::fs;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::clock;
use crate::workspace::words;

/// A running program that is killed, with its descendants, when this is dropped.
#[derive(Debug)]
pub(crate) struct Group {
    child: Child,
    pid: Pid,
}

impl Group {
    /// Starts a program as the head of a new process group, so that a Ctrl-C at the terminal
    /// reaches xtask alone, which then stops things in the right order.
    pub(crate) fn start(command: &mut Command) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt as _;

        let child = command
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run `{}`", words(command)))?;
        let pid = Pid::from_child(&child);
        Ok(Self { child, pid })
    }

    /// The started process itself, for taking its pipes.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How the program ended, or `None` while it runs.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .context("cannot ask for the exit status")
    }

    /// The processes below the program now, nearest first.
    pub(crate) fn descendants(&self) -> Vec<Pid> {
        descendants_of(self.pid)
    }

    /// The program itself and the processes below it now.
    pub(crate) fn tree(&self) -> Vec<Pid> {
        let mut tree = vec![self.pid];
        tree.extend(self.descendants());
        tree
    }

    /// Kills what runs below the program and leaves the program itself running. Returns how many
    /// processes it killed.
    pub(crate) fn kill_descendants(&self) -> usize {
        let below = self.descendants();
        below
            .iter()
            .filter(|pid| kill_process(**pid, Signal::KILL).is_ok())
            .count()
    }

    /// Asks the program to end as Ctrl-C would, waits that long, then kills what is left.
    pub(crate) fn stop(mut self, patience: Duration) -> anyhow::Result<ExitStatus> {
        let below = self.descendants();
        kill_process_group(self.pid, Signal::INT).ok();
        let asked = clock::now();
        let status = loop {
            if let Some(status) = self.ended()? {
                break status;
            }
            if asked.elapsed() > patience {
                kill_process_group(self.pid, Signal::KILL).ok();
                break self.child.wait().context("cannot wait for the program")?;
            }
            thread::sleep(POLL);
        };
        for pid in below {
            kill_process(pid, Signal::KILL).ok();
        }
        Ok(status)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        let below = self.descendants();
        kill_process_group(self.pid, Signal::KILL).ok();
        for pid in below {
            kill_process(pid, Signal::KILL).ok();
        }
        // After SIGKILL this returns as soon as the kernel has taken the process down.
        self.child.wait().ok();
    }
}

/// Whether a process of that number exists and is not a zombie.
pub(crate) fn is_alive(pid: Pid) -> bool {
    stat(pid.as_raw_nonzero().get()).is_some_and(|stat| stat.state != 'Z')
}

fn descendants_of(pid: Pid) -> Vec<Pid> {
    let all: Vec<Stat> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?))
        .filter(|stat| stat.state != 'Z')
        .collect();
    let mut below = Vec::new();
    let mut parents = vec![pid.as_raw_nonzero().get()];
    while let Some(parent) = parents.pop() {
        for stat in all.iter().filter(|stat| stat.parent == parent) {
            parents.push(stat.pid);
            below.extend(Pid::from_raw(stat.pid));
        }
    }
    below
}

struct Stat {
    pid: i32,
    state: char,
    parent: i32,
}

/// Reads `/proc/PID/stat`: `PID (NAME) STATE PARENT ...`, where the name may hold anything, so the
/// fields are counted from the last closing parenthesis (proc(5)).
fn stat(pid: i32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(") ")?;
    let mut fields = fields.split(' ');
    Some(Stat {
        pid,
        state: fields.next()?.chars().next()?,
        parent: fields.next()?.parse().ok()?,
    })
}

/// How often an exit status is asked for: often enough that nobody sees the pause.
const POLL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::process::Stdio;

    /// A shell that runs a `sleep` in a session of its own and says its number.
    fn shell_with_a_runaway() -> (Group, Pid) {
        let mut group = Group::start(
            Command::new("sh")
                .args(["-c", "setsid sleep 600 & echo $!; wait"])
                .stdout(Stdio::piped()),
        )
        .unwrap();
        let mut line = String::new();
        BufReader::new(group.child().stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
        (group, pid)
    }

    fn assert_ends(pid: Pid) {
        let started = clock::now();
        while is_alive(pid) {
            assert!(started.elapsed() < Duration::from_secs(5), "{pid:?} lives");
            thread::yield_now();
        }
    }

    #[test]
    fn dropping_a_group_ends_a_descendant_that_left_the_group() {
        let (group, runaway) = shell_with_a_runaway();
        assert!(group.descendants().contains(&runaway));
        drop(group);
        assert_ends(runaway);
    }

    #[test]
    fn stopping_a_group_ends_a_descendant_that_left_the_group() {
        let (group, runaway) = shell_with_a_runaway();
        group.stop(Duration::from_secs(5)).unwrap();
        assert_ends(runaway);
    }

    #[test]
    fn killing_the_descendants_leaves_the_program_running() {
        let mut group = Group::start(
            Command::new("sh")
                .args(["-c", "sleep 600 & echo started; wait; read forever"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped()),
        )
        .unwrap();
        let mut line = String::new();
        BufReader::new(group.child().stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(group.kill_descendants(), 1);
        assert!(group.ended().unwrap().is_none());
    }
}
