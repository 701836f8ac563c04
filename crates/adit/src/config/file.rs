//! `adit.yml`: the tunnels of a file, and all that is wrong with it at once.
//!
//! A path in it is from the file's own folder, and `~/` is the home directory. What a tunnel does not
//! say stands in the files of ssh(1), as on a command line.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_text::{Document, Node, Place, Problem, Problems, Unset};
use adit_tunnel::agent::forward::Listens;
use adit_tunnel::transport::Bind;
use anyhow::Context as _;
use tracing::warn;

use super::Surroundings;
use super::ask::PASSWORD;
use crate::tunnels::Tunnel;

mod forward;
mod tunnel;

/// Names that are looked for where none is named.
const USUAL: [&str; 2] = ["adit.yml", "adit.yaml"];
/// Shortest time between two probes of a path that works, and between two keep-alives.
const SHORTEST: Duration = Duration::from_secs(1);
/// Most tunnels of one program; each is a connection.
const TUNNELS: usize = 128;
/// Most forwards of one program: a report of all fits into one line of the control socket.
const FORWARDS: usize = 500;

/// The file of this folder, if there is one.
pub(crate) fn usual() -> Option<PathBuf> {
    let mut names = USUAL.iter().map(PathBuf::from);
    names.find(|name| name.is_file())
}

/// Those that were named, or the usual one.
pub(crate) fn named_or_usual(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    if named.is_empty() {
        let usual = usual().context("there is no adit.yml here: name a file with -f")?;
        return Ok(vec![usual]);
    }
    Ok(named.to_vec())
}

/// What tells one `up` from others: the first file, without links.
pub(crate) fn identity(files: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let first = files.first().context("no file is named")?;
    let found = first.canonicalize();
    found.with_context(|| format!("cannot find {}", first.display()))
}

/// Reads the tunnels of some files, a later one counting before an earlier one.
///
/// # Errors
///
/// A file cannot be read; or everything that is wrong with them, each with its place.
pub(crate) fn read(files: &[PathBuf], surroundings: &Surroundings) -> anyhow::Result<Vec<Tunnel>> {
    let variable = |name: &str| std::env::var(name).ok();
    let mut merged: Option<Document> = None;
    let mut problems = Problems::new();
    for file in files {
        match parse(file)? {
            Ok(document) => {
                merged = Some(match merged {
                    None => document,
                    Some(earlier) => earlier.merge(document),
                });
            }
            Err(found) => problems.append(found),
        }
    }
    let folder = files.first().and_then(|file| file.parent());
    let folder = folder.unwrap_or_else(|| Path::new(""));
    if let Some(document) = &mut merged {
        document.resolve_environment(&variable, Unset::Refuse, &mut problems);
    }
    let tunnels = match &merged {
        Some(document) => tunnels(document, folder, surroundings, &mut problems),
        None => Vec::new(),
    };
    if problems.has_errors() {
        anyhow::bail!("what is written cannot be used\n{problems}");
    }
    for problem in &problems {
        warn!("{problem}");
    }
    Ok(tunnels)
}

fn parse(file: &Path) -> anyhow::Result<Result<Document, Problems>> {
    let shown = file.display();
    let most = u64::try_from(adit_text::limits::FILE_BYTES).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|opened| {
        // One byte more, so that one that is too long is found to be.
        let mut opened = opened.take(most.saturating_add(1));
        opened.read_to_end(&mut bytes)
    });
    read.with_context(|| format!("cannot read {shown}"))?;
    Ok(adit_text::parse(&shown.to_string(), &bytes))
}

fn tunnels(
    document: &Document,
    folder: &Path,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Vec<Tunnel> {
    let Some(mut fields) = document.root().fields(problems) else {
        return Vec::new();
    };
    let mut is_full = None;
    let tunnels = fields.required("tunnels", |node, problems| {
        let is_alone = node.as_mapping().is_some_and(|all| all.entries().len() == 1);
        if !is_alone && std::env::var_os(PASSWORD).is_some() {
            let message = format!("{PASSWORD} is not used: it does not say whose of several it is");
            let help = "name a password_file at its tunnel";
            problems.push(Problem::warning(node.place(), message).with_help(help));
        }
        let all = node.named(problems, |entry, problems| {
            let here = Here {
                folder,
                surroundings,
                is_alone,
            };
            let tunnel = tunnel::read(entry, &here, problems)?;
            Some((entry.place.clone(), tunnel))
        })?;
        twice(&all, problems);
        let all: Vec<Tunnel> = all.into_iter().map(|(_, tunnel)| tunnel).collect();
        let forwards: usize = all.iter().map(|one| one.config.forwards.len()).sum();
        if all.len() > TUNNELS || forwards > FORWARDS {
            is_full = Some(Problem::error(
                node.place(),
                format!(
                    "there are {} tunnels with {forwards} forwards; {TUNNELS} and {FORWARDS} are the most",
                    all.len()
                ),
            ));
        }
        Some(all)
    });
    fields.finish();
    if let Some(problem) = is_full {
        problems.push(problem);
    }
    tunnels.unwrap_or_default()
}

/// Who listens, the server's host and port or this machine, and where.
type Listener<'a> = (Option<(&'a str, u16)>, &'a Bind);

/// What stands around a tunnel.
struct Here<'a> {
    /// Where paths are from.
    folder: &'a Path,
    surroundings: &'a Surroundings,
    /// Whether it is the only one.
    is_alone: bool,
}

/// Finds forwards that listen at the same place, of which only one ever could.
fn twice(tunnels: &[(Place, Tunnel)], problems: &mut Problems) {
    let mut seen: HashMap<Listener<'_>, &str> = HashMap::new();
    for (place, tunnel) in tunnels {
        let peer = &tunnel.config.peer.peer;
        for forward in &tunnel.config.forwards {
            if forward.bind.port() == Some(0) {
                continue;
            }
            let server = match forward.listens {
                Listens::Here => None,
                Listens::There => Some((peer.host.as_str(), peer.port)),
            };
            if let Some(first) = seen.insert((server, &forward.bind), &tunnel.name) {
                let (bind, name) = (&forward.bind, &tunnel.name);
                let at = if server.is_some() { " there" } else { " here" };
                let message = if first == name {
                    format!("{name} listens at {bind}{at} twice")
                } else {
                    format!("{name} listens at {bind}{at}, as {first} does")
                };
                problems.push(Problem::error(place, message));
            }
        }
    }
}

/// A duration of a second at least: what asks more often than that is in the way of what it watches.
fn duration(node: &Node, problems: &mut Problems) -> Option<Duration> {
    let duration = node.duration(problems)?;
    if duration < SHORTEST {
        let problem = Problem::error(node.place(), "wanted a second at least");
        problems.push(problem.with_help("for example: 10s"));
        return None;
    }
    Some(duration)
}

#[cfg(test)]
mod tests;
