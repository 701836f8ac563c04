//! `cargo xtask fuzz`: strangers' bytes against every parser that meets them.
//!
//! The targets live in `fuzz/`, outside the workspace, and enter the engine below its ciphers. They are
//! built by cargo-fuzz with the pinned toolchain; what only a nightly would allow is unlocked for that
//! build alone by `RUSTC_BOOTSTRAP`. What a run finds goes to a folder of its own: the committed
//! corpus is read and never written.

mod crew;
mod score;

use std::num::NonZeroUsize;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::programs;
use crate::workspace::{Workspace, run};
use crew::Shown;

/// How long each target runs unless something else was said.
const DEFAULT: Duration = Duration::from_mins(1);

/// How targets are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Effort {
    /// How long each.
    pub(crate) time: Duration,
    /// How many at once. Each may take a core and 1 GiB.
    pub(crate) jobs: NonZeroUsize,
}

/// `cargo xtask fuzz [--seconds N] [--jobs N] [TARGET...]`.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let (effort, names) = parse(words)?;
    let workspace = Workspace::find()?;
    let all = targets(&workspace)?;
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        bail!("no target {unknown}; there are: {}", all.join(" "));
    }
    let names = if names.is_empty() { all } else { names };
    programs::ensure_tool(&workspace, &programs::FUZZ)?;
    fuzz(&workspace, &names, effort)?;
    Ok(ExitCode::SUCCESS)
}

/// The effort that the words ask for, and the targets that they name.
fn parse(words: &[String]) -> anyhow::Result<(Effort, Vec<String>)> {
    let mut effort = Effort {
        time: DEFAULT,
        jobs: NonZeroUsize::MIN,
    };
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seconds" => {
                let seconds = words.next().context("--seconds wants a number")?;
                let seconds = seconds.parse().context("--seconds wants a number")?;
                effort.time = Duration::from_secs(seconds);
            }
            "--jobs" => {
                let jobs = words.next().context("--jobs wants a number from 1")?;
                effort.jobs = jobs.parse().context("--jobs wants a number from 1")?;
            }
            option if option.starts_with('-') => bail!("unknown option: {option}"),
            name => names.push(name.to_owned()),
        }
    }
    Ok((effort, names))
}

/// The targets, in alphabetical order.
pub(crate) fn targets(workspace: &Workspace) -> anyhow::Result<Vec<String>> {
    let folder = workspace.root().join("fuzz/fuzz_targets");
    let mut names = Vec::new();
    for entry in folder
        .read_dir()
        .with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs")
            && let Some(name) = path.file_stem()
        {
            names.push(name.to_string_lossy().into_owned());
        }
    }
    names.sort();
    if names.is_empty() {
        bail!("no target in {}", folder.display());
    }
    Ok(names)
}

/// Runs the targets. Begins no more once one has found something.
///
/// One at a time they print as they go; several at once would mix their lines, so what each prints is
/// shown when it has ended.
pub(crate) fn fuzz(workspace: &Workspace, names: &[String], effort: Effort) -> anyhow::Result<()> {
    let start = |name: &str| target(workspace, name, effort.time);
    if effort.jobs == NonZeroUsize::MIN {
        for name in names {
            run(&mut start(name)?).with_context(|| format!("target {name} found something"))?;
        }
        return Ok(());
    }
    crew::run(names, effort.jobs, Shown::All, start)
}

/// Runs the targets one after another and prints the counts of each; all that one printed only if it
/// found something. Begins no more then.
pub(crate) fn smoke(workspace: &Workspace, names: &[String], time: Duration) -> anyhow::Result<()> {
    crew::run(names, NonZeroUsize::MIN, Shown::Faults, |name| {
        target(workspace, name, time)
    })
}

/// The command that runs one target, building it first.
fn target(workspace: &Workspace, name: &str, time: Duration) -> anyhow::Result<Command> {
    let target_dir = workspace.target().join("fuzz");
    let new = target_dir.join("found").join(name);
    std::fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
    let mut command = workspace.cargo();
    command
        .env("RUSTC_BOOTSTRAP", "1")
        .current_dir(workspace.root())
        .args(["fuzz", "run", "--sanitizer=none", "--target-dir"])
        .arg(&target_dir)
        .arg(name)
        .arg(&new)
        .arg(workspace.root().join("fuzz/corpus").join(name))
        .arg("--")
        .arg(format!("-max_total_time={}", time.as_secs()))
        .args(["-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1"]);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> anyhow::Result<(Effort, Vec<String>)> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&words)
    }

    #[test]
    fn what_is_not_said_is_every_target_for_a_minute_one_after_another() {
        for (line, seconds, jobs, wanted) in [
            ("", 60, 1, &[][..]),
            ("--jobs 2", 60, 2, &[]),
            (
                "packet --seconds 600 auth --jobs 3",
                600,
                3,
                &["packet", "auth"],
            ),
        ] {
            let (effort, names) = parse_line(line).unwrap();
            assert_eq!(effort.time, Duration::from_secs(seconds), "{line}");
            assert_eq!(effort.jobs.get(), jobs, "{line}");
            assert_eq!(names, wanted, "{line}");
        }
    }

    #[test]
    fn words_that_mean_nothing_are_named_in_the_error() {
        for (line, part) in [
            ("--jobs", "--jobs wants a number from 1"),
            ("--jobs 0", "--jobs wants a number from 1"),
            ("--jobs packet", "--jobs wants a number from 1"),
            ("--jobs -1", "--jobs wants a number from 1"),
            ("--seconds", "--seconds wants a number"),
            ("--seconds soon", "--seconds wants a number"),
            ("--job 2", "unknown option: --job"),
        ] {
            let error = parse_line(line).unwrap_err().to_string();
            assert_eq!(error, part, "{line}");
        }
    }
}
