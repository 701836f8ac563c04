//! Names of hosts, as they are written on a command line.

use std::fmt;
use std::path::{Path, PathBuf};

use adit_fleet::host::Host;
use adit_fleet::range::{self, Groups, RangeError};
use adit_text::Problems;
use anyhow::Context as _;
use clap::CommandFactory as _;
use clap::error::ErrorKind;

use crate::cli::{Cli, GroupArguments};
use crate::compose::unusable;
use crate::config::Surroundings;

/// Names of adit's own file.
const USUAL: [&str; 2] = ["adit.yml", "adit.yaml"];
/// The machine's.
const OF_MACHINE: &str = "/etc/adit/adit.yml";

/// The hosts that some expressions stand for, in order. What is no expression ends the program with code 2, and is
/// shown where it is wrong.
///
/// # Errors
///
/// The groups cannot be read.
pub(crate) fn expand(
    expressions: &[String],
    arguments: &GroupArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<Vec<Host>> {
    let groups = groups(&arguments.files, surroundings)?;
    let expanded = range::expand(
        expressions.iter().map(String::as_str),
        arguments.except.iter().map(String::as_str),
        &groups,
    );
    Ok(expanded.unwrap_or_else(|error| refuse(&error)))
}

/// Ends the program with code 2.
fn refuse(error: &RangeError) -> ! {
    usage(format!("{error}\n\n{}\n", indented(&error.caret())))
}

/// Ends the program with code 2, for something that is wrong with its command line.
pub(crate) fn usage(words: impl fmt::Display) -> ! {
    Cli::command()
        .error(ErrorKind::ValueValidation, words)
        .exit()
}

fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

/// The groups of some files; where none is named, of the adit.yml of this folder, else of the user's or the
/// machine's.
///
/// # Errors
///
/// A file cannot be read, or its groups are none.
pub(crate) fn groups(files: &[PathBuf], surroundings: &Surroundings) -> anyhow::Result<Groups> {
    let mut problems = Problems::new();
    let files = if files.is_empty() {
        usual(surroundings).into_iter().collect()
    } else {
        files.to_vec()
    };
    let mut merged: Option<adit_text::Document> = None;
    for file in &files {
        let bytes =
            std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        match adit_text::parse(&file.display().to_string(), &bytes) {
            Ok(document) => {
                merged = Some(match merged {
                    Some(earlier) => earlier.merge(document),
                    None => document,
                });
            }
            Err(found) => problems.append(found),
        }
    }
    let groups = merged.map(|document| read(document.root(), &mut problems));
    if problems.has_errors() {
        return Err(unusable(&problems));
    }
    Ok(groups.unwrap_or_default())
}

fn usual(surroundings: &Surroundings) -> Option<PathBuf> {
    let here = USUAL.map(PathBuf::from).into_iter();
    let ours = surroundings
        .below_home(Path::new(".config/adit/adit.yml"))
        .ok();
    let mut all = here.chain(ours).chain([PathBuf::from(OF_MACHINE)]);
    all.find(|path| path.is_file())
}

/// Reads `groups:` of a file, and looks at each group by itself.
pub(crate) fn read(root: &adit_text::Node, problems: &mut Problems) -> Groups {
    let entry = root.as_mapping().and_then(|all| all.entry("groups"));
    let Some(entry) = entry.filter(|entry| !entry.node.is_null()) else {
        return Groups::default();
    };
    let mut places = Vec::new();
    let listed = entry.node.named(problems, |entry, problems| {
        let text = entry.node.text(problems)?.to_owned();
        if !range::is_group(&entry.key) {
            let words = format!(
                "{:?} is no name of a group: letters, digits, '_', '-' and '.'",
                entry.key
            );
            problems.push(adit_text::Problem::error(&entry.place, words));
            return None;
        }
        places.push((entry.key.clone(), entry.node.place().clone()));
        Some((entry.key.clone(), text))
    });
    let groups = Groups::new(listed.unwrap_or_default());
    for (name, place) in places {
        if let Err(error) = range::expand([groups.get(&name).unwrap_or_default()], [], &groups) {
            let words = format!("group {name}: {error}");
            problems.push(
                adit_text::Problem::error(&place, words)
                    .with_help(error.caret().replace('\n', " ")),
            );
        }
    }
    groups
}
