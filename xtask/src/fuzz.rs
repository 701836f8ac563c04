//! `cargo xtask fuzz`: strangers' bytes against every parser that meets them.
//!
//! The targets live in `fuzz/`, outside the workspace, and enter the engine below its ciphers. They are
//! built by cargo-fuzz with the pinned toolchain; what only a nightly would allow is unlocked for that
//! build alone by `RUSTC_BOOTSTRAP`. What a run finds goes to a folder of its own: the committed
//! corpus is read and never written.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::programs;
use crate::workspace::{Workspace, run};

/// How long each target runs unless something else was said.
const DEFAULT: Duration = Duration::from_mins(1);

/// `cargo xtask fuzz [--seconds N] [TARGET...]`.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let mut time = DEFAULT;
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word == "--seconds" {
            let seconds = words.next().context("--seconds wants a number")?;
            time = Duration::from_secs(seconds.parse().context("--seconds wants a number")?);
        } else if word.starts_with('-') {
            bail!("unknown option: {word}");
        } else {
            names.push(word.clone());
        }
    }
    let workspace = Workspace::find()?;
    let all = targets(&workspace)?;
    if let Some(unknown) = names.iter().find(|name| !all.contains(name)) {
        bail!("no target {unknown}; there are: {}", all.join(" "));
    }
    let names = if names.is_empty() { all } else { names };
    programs::ensure_tool(&workspace, &programs::FUZZ)?;
    fuzz(&workspace, &names, time)?;
    Ok(ExitCode::SUCCESS)
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

/// Runs each target for that long. Ends with the first that finds something.
pub(crate) fn fuzz(workspace: &Workspace, names: &[String], time: Duration) -> anyhow::Result<()> {
    let target_dir = workspace.target().join("fuzz");
    let found = target_dir.join("found");
    for name in names {
        let new = found.join(name);
        std::fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
        let corpus = workspace.root().join("fuzz/corpus").join(name);
        let mut command = workspace.cargo();
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(workspace.root())
            .args(["fuzz", "run", "--sanitizer=none", "--target-dir"])
            .arg(&target_dir)
            .arg(name)
            .arg(&new)
            .arg(&corpus)
            .arg("--")
            .arg(format!("-max_total_time={}", time.as_secs()))
            .args(["-rss_limit_mb=1024", "-timeout=10", "-print_final_stats=1"]);
        run(&mut command).with_context(|| format!("target {name} found something"))?;
    }
    Ok(())
}
