//! `cargo xtask interop`: the whole table of our two ends with everybody else's.
//!
//! It makes the peers ready under `interop` in the build directory, runs the test `the_whole_table`
//! of `real_interop`, and writes `docs/reference/interop.md` from what that test left there. A peer
//! that cannot be had is named and has no column. `cargo xtask soak interop` keeps every line, too.

mod page;
mod peers;

use std::fs;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail};

use crate::clock;
use crate::programs::{self, Found};
use crate::workspace::{Workspace, run};

/// `cargo xtask interop [--only PEER] [--seed N]`.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let request = Request::parse(words)?;
    let workspace = Workspace::find()?;
    let folder = workspace.target().join("interop");
    fs::create_dir_all(&folder).context("cannot make a folder for the peers")?;
    if let Found::Without(packages) = programs::ensure(programs::INTEROP)? {
        println!(
            "without {}: what needs them is left out",
            packages.join(", ")
        );
    }
    for (name, result) in peers::make_ready(&workspace, &folder) {
        if let Err(error) = result {
            println!("without {name}: {error:#}");
        }
    }
    let seed = match request.seed {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    println!("seed {seed}");
    run(workspace
        .cargo()
        .args(["test", "--package=adit-tunnel", "--test=real_interop", "--"])
        .args(["--ignored", "--exact", "the_whole_table", "--nocapture"])
        .env("ADIT_INTEROP_SEED", seed.to_string())
        .env(
            "ADIT_INTEROP_ONLY",
            request.only.as_deref().unwrap_or_default(),
        ))?;
    let lines = fs::read_to_string(folder.join("outcomes.tsv"))
        .context("the test left no outcomes behind")?;
    let table = page::Table::parse(&lines)?;
    println!("{}", table.summary());
    if request.only.is_none() {
        write(&workspace, &table, seed)?;
    }
    Ok(if table.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    /// Only peers whose name contains this; the page is not written then.
    only: Option<String>,
    /// For the random combinations.
    seed: Option<u64>,
}

impl Request {
    fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut request = Self::default();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let value = words.next();
            let value = value.with_context(|| format!("no value, or unknown argument: {word}"));
            match word.as_str() {
                "--only" => request.only = Some(value?.clone()),
                "--seed" => request.seed = Some(value?.parse().context("--seed is a number")?),
                _ => bail!("unknown argument: {word}"),
            }
        }
        Ok(request)
    }
}

fn write(workspace: &Workspace, table: &page::Table, seed: u64) -> anyhow::Result<()> {
    let page = table.page(&clock::today()?, seed);
    fs::write(workspace.root().join(PAGE), page).with_context(|| format!("cannot write {PAGE}"))?;
    println!("{PAGE}");
    Ok(())
}

const PAGE: &str = "docs/reference/interop.md";

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> anyhow::Result<Request> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Request::parse(&words)
    }

    #[test]
    fn a_peer_and_a_seed_can_be_asked_for() {
        let request = parse("--only paramiko --seed 7").unwrap();
        assert_eq!(request.only.as_deref(), Some("paramiko"));
        assert_eq!(request.seed, Some(7));
        assert_eq!(parse("").unwrap(), Request::default());
        for line in ["--everything", "--seed", "--seed many", "paramiko now"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
