//! Several targets at once, each one's output in one piece.

use std::io::Read as _;
use std::num::NonZeroUsize;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, bail};

use super::score::Score;
use crate::workspace::words;

/// What is shown of a target's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    All,
    /// All of it when the target failed, and else its counts alone.
    Faults,
}

/// Runs the command that `start` has for each name, so many at once, and prints what is to be shown of
/// each when it has ended. When one fails, those that run go on to their end and no other begins.
///
/// They stay in this process's group, so that a Ctrl-C ends them too.
pub(super) fn run(
    names: &[String],
    jobs: NonZeroUsize,
    shown: Shown,
    start: impl Fn(&str) -> anyhow::Result<Command> + Sync,
) -> anyhow::Result<()> {
    let waiting = Mutex::new(names.iter());
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..jobs.get().min(names.len()) {
            scope.spawn(|| {
                loop {
                    // Held for a line each, in which nothing can panic.
                    let is_over = !failed
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .is_empty();
                    let next = waiting
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .next();
                    let Some(name) = next.filter(|_| !is_over) else {
                        break;
                    };
                    if let Err(error) = start(name).and_then(|command| one(name, shown, command)) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(format!("{name} ({error:#})"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if !failed.is_empty() {
        bail!("found something: {}", failed.join(", "));
    }
    Ok(())
}

fn one(name: &str, shown: Shown, command: Command) -> anyhow::Result<()> {
    let said = words(&command);
    println!("begins: {name}");
    let (output, status) = collect(command).with_context(|| format!("cannot run `{said}`"))?;
    let score = Score::of(&output);
    // In one call, so that no other target's lines come between.
    if shown == Shown::All || !status.success() {
        println!("\n$ {said}\n{output}\n{name}\n{score}\n");
    } else {
        println!("{score}");
    }
    if !status.success() {
        bail!("{status}");
    }
    Ok(())
}

/// Both outputs of a command, in the order in which it wrote them.
fn collect(mut command: Command) -> anyhow::Result<(String, ExitStatus)> {
    let (mut reader, writer) = std::io::pipe()?;
    command.stdin(Stdio::null());
    command.stdout(writer.try_clone()?).stderr(writer);
    let mut child = command.spawn()?;
    // It holds copies of the pipe's writing end, which would keep the reader waiting.
    drop(command);
    let mut output = Vec::new();
    let read = reader.read_to_end(&mut output);
    let status = child.wait()?;
    read?;
    Ok((String::from_utf8_lossy(&output).into_owned(), status))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    fn run_all(
        names: &[&str],
        jobs: usize,
        script: impl Fn(&str) -> String + Sync,
    ) -> anyhow::Result<()> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let jobs = NonZeroUsize::new(jobs).unwrap();
        run(&names, jobs, Shown::Faults, |name| Ok(shell(&script(name))))
    }

    #[test]
    fn both_outputs_are_collected_in_order() {
        let (output, status) =
            collect(shell("echo one; echo two >&2; echo three; exit 4")).unwrap();
        assert_eq!(output, "one\ntwo\nthree\n");
        assert_eq!(status.code(), Some(4));
    }

    /// Each waits for the other's file: one after another would never end.
    #[test]
    fn so_many_run_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().display();
        run_all(&["a", "b"], 2, |name| {
            let other = if name == "a" { "b" } else { "a" };
            format!("mkfifo {folder}/{name} 2>&1; cat {folder}/{name} & until [ -p {folder}/{other} ]; do :; done; echo > {folder}/{other}; wait")
        })
        .unwrap();
    }

    #[test]
    fn none_begins_after_one_has_failed_and_that_one_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let begun = |name: &str| folder.path().join(name).exists();
        let outcome = run_all(&["a", "b", "c"], 1, |name| {
            let code = u8::from(name == "b");
            format!("touch {}/{name}; exit {code}", folder.path().display())
        });
        let error = outcome.unwrap_err().to_string();
        assert_eq!(error, "found something: b (exit status: 1)");
        assert!(begun("a") && begun("b") && !begun("c"));
    }
}
