//! `cargo xtask reference`: the reference pages that are made from the sources.
//!
//! `limits` has every limit of the SSH engine, from `crates/ssh/src/limits.rs`. That file is read as text, `pub const NAME: TYPE = VALUE;` under doc comments, so that xtask needs no crate
//! of ours; anything else in it that looks like a constant is an error, not a gap in the page.
//! `commands` has every command of the program, which prints it itself.

use std::fs;
use std::process::{ExitCode, Stdio};

use anyhow::{Context as _, bail};

use crate::workspace::Workspace;

/// `cargo xtask reference`.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let mut mode = Mode::Write;
    let mut pages: Vec<&Page> = Vec::new();
    for word in words {
        if word == "--check" {
            mode = Mode::Check;
            continue;
        }
        let page = PAGES.iter().find(|page| page.name == word);
        pages.push(page.with_context(|| format!("unknown argument: {word}"))?);
    }
    if pages.is_empty() {
        pages = PAGES.iter().collect();
    }
    let workspace = Workspace::find()?;
    for page in pages {
        settle(&workspace, page, mode)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether pages are written or only compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Write them.
    Write,
    /// Fail if they are not what would be written.
    Check,
}

/// A page that is made.
#[derive(Debug)]
struct Page {
    name: &'static str,
    file: &'static str,
    make: fn(&Workspace) -> anyhow::Result<String>,
}

/// All of them, below the root.
const PAGES: &[Page] = &[
    Page {
        name: "limits",
        file: "docs/reference/limits.md",
        make: limits,
    },
    Page {
        name: "commands",
        file: "docs/reference/commands.md",
        make: commands,
    },
];

/// Writes a page, or compares it.
fn settle(workspace: &Workspace, page: &Page, mode: Mode) -> anyhow::Result<()> {
    let text = (page.make)(workspace)?;
    let (file, target) = (page.file, workspace.root().join(page.file));
    match mode {
        Mode::Write => {
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).context("cannot make docs/reference")?;
            }
            fs::write(&target, text).with_context(|| format!("cannot write {file}"))?;
            println!("{file}: written");
        }
        Mode::Check => {
            if fs::read_to_string(&target).unwrap_or_default() != text {
                bail!("{file} is stale: run `cargo xtask reference`");
            }
            println!("{file}: as it would be written");
        }
    }
    Ok(())
}

/// Every limit of the SSH engine.
fn limits(workspace: &Workspace) -> anyhow::Result<String> {
    let source = workspace.root().join(LIMITS_SOURCE);
    let text =
        fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let limits = parse(&text).with_context(|| format!("cannot understand {LIMITS_SOURCE}"))?;
    Ok(page(&limits))
}

/// Every command of the program, as the program prints them.
fn commands(workspace: &Workspace) -> anyhow::Result<String> {
    let mut cargo = workspace.cargo();
    let cargo = cargo.args(["run", "--quiet", "--package=adit", "--bin=adit"]);
    let output = cargo
        .args(["--", "man", "--markdown"])
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("`adit man --markdown` failed");
    }
    String::from_utf8(output.stdout).context("`adit man --markdown` printed no text")
}

const LIMITS_SOURCE: &str = "crates/ssh/src/limits.rs";

#[derive(Debug, PartialEq, Eq)]
struct Limit {
    name: String,
    value: String,
    meaning: String,
}

fn parse(source: &str) -> anyhow::Result<Vec<Limit>> {
    let mut limits = Vec::new();
    let mut meaning: Vec<&str> = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if let Some(comment) = line.strip_prefix("///") {
            meaning.push(comment.trim());
            continue;
        }
        if line.starts_with("#[cfg(test)]") {
            break;
        }
        if let Some(start) = line.strip_prefix("pub const ") {
            let mut statement = start.to_owned();
            while !statement.ends_with(';') {
                let next = lines.next().context("a constant does not end")?;
                statement.push(' ');
                statement.push_str(next.trim());
            }
            let limit = limit(&statement, &meaning.join(" "));
            limits.push(limit.with_context(|| format!("not NAME: TYPE = VALUE; but {statement}"))?);
        }
        meaning.clear();
    }
    if let Some(bare) = limits.iter().find(|limit| limit.meaning.is_empty()) {
        bail!("{} does not say what it limits", bare.name);
    }
    if limits.is_empty() {
        bail!("no constant in it");
    }
    Ok(limits)
}

fn limit(statement: &str, meaning: &str) -> Option<Limit> {
    let (name, rest) = statement.strip_suffix(';')?.split_once(": ")?;
    let (_type, value) = rest.split_once(" = ")?;
    let is_constant = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    name.chars().all(is_constant).then(|| Limit {
        name: name.to_owned(),
        value: plain(value),
        meaning: meaning.to_owned(),
    })
}

/// A value as a person writes it: `65_536` as 65,536, `1 << 30` as 2^30 and
/// `Duration::from_secs(15)` as 15 s.
fn plain(value: &str) -> String {
    let units = [
        ("Duration::from_millis(", " ms"),
        ("Duration::from_secs(", " s"),
        ("Duration::from_mins(", " min"),
        ("Duration::from_hours(", " h"),
    ];
    for (start, unit) in units {
        let inner = value
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(')'));
        if let Some(inner) = inner {
            return format!("{}{unit}", plain(inner));
        }
    }
    value
        .replace("1 << ", "2^")
        .replace(['(', ')'], "")
        .replace('_', ",")
}

fn page(limits: &[Limit]) -> String {
    let row = |limit: &Limit| {
        let meaning = limit.meaning.replace('|', "\\|");
        format!("| `{}` | {} | {meaning} |", limit.name, limit.value)
    };
    let rows: Vec<String> = limits.iter().map(row).collect();
    format!("{HEAD}{}\n", rows.join("\n"))
}

const HEAD: &str = "\
# Limits of the SSH engine

Made by `cargo xtask reference` from `crates/ssh/src/limits.rs`; do not edit it here.
Who goes over one of them is refused or disconnected; only a key exchange too many is answered later (`REKEY_REFILL`).

| Limit | Value | Meaning |
|---|---|---|
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_constant_becomes_a_row_with_its_value_and_meaning() {
        let source = "\
//! Limits.

use std::time::Duration;

/// Longest line in bytes
/// (RFC 4253 section 4.2).
pub const LINE: usize = 255;
/// Most bytes.
pub const BYTES: u64 =
    65_536;
/// A power.
pub const POWER: u64 = (1 << 32) - (1 << 16);
/// How long.
pub const DEADLINE: Duration = Duration::from_secs(1_200);

#[cfg(test)]
mod tests {
    pub const NOT_A_LIMIT: usize = 1;
}
";
        let page = page(&parse(source).unwrap());
        let rows: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("| `"))
            .collect();
        assert_eq!(
            rows,
            [
                "| `LINE` | 255 | Longest line in bytes (RFC 4253 section 4.2). |",
                "| `BYTES` | 65,536 | Most bytes. |",
                "| `POWER` | 2^32 - 2^16 | A power. |",
                "| `DEADLINE` | 1,200 s | How long. |",
            ]
        );
    }

    #[test]
    fn a_source_that_cannot_be_a_whole_page_is_refused() {
        let cases = [
            ("", "no constant"),
            ("pub const A: u32 = 1;\n", "A does not say"),
            ("/// A.\npub const A = 1;\n", "not NAME"),
            ("/// A.\npub const fn a() -> u32 { 1 };\n", "not NAME"),
            ("/// A.\npub const A: u32 = 1\n", "does not end"),
        ];
        for (source, reason) in cases {
            let error = parse(source).unwrap_err().to_string();
            assert!(error.contains(reason), "{source}: {error}");
        }
    }
}
