//! Which file is meant, and the tunnels in it.
//!
//! A path of a tunnel is from the file's own folder, and `~/` is the home directory. What a tunnel does not
//! say stands in the files of ssh(1), as on a command line.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use adit_flow::file::Files;
use adit_text::{Node, Place, Problem, Problems};
use adit_tunnel::agent::forward::Listens;
use adit_tunnel::transport::Bind;
use anyhow::Context as _;

use super::ask::PASSWORD;
use super::{HOST_KEY, Surroundings};
use crate::log;
use crate::tunnels::Tunnel;

mod forward;
mod tunnel;

/// Names that are looked for where none is named: adit's own, and model-compose's.
const USUAL: [[&str; 2]; 2] = [
    ["adit.yml", "adit.yaml"],
    ["model-compose.yml", "model-compose.yaml"],
];
/// Shortest time between two probes of a path that works, and between two keep-alives.
const SHORTEST: Duration = Duration::from_secs(1);
/// Most tunnels of one program; each is a connection.
const TUNNELS: usize = 128;
/// Most forwards of one program: a report of all fits into one line of the control socket.
const FORWARDS: usize = 500;

/// The file of this folder, if there is one.
pub(crate) fn usual() -> Option<PathBuf> {
    both().into_iter().flatten().next()
}

/// Those that were named, or the usual one.
pub(crate) fn named_or_usual(named: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    if !named.is_empty() {
        return Ok(named.to_vec());
    }
    if let [Some(own), Some(other)] = both() {
        let (own, other) = (own.display(), other.display());
        let words = format!(
            "{other} is not read, since {own} is here too; name the one that is meant with -f"
        );
        log::warn(&words);
    }
    let usual = usual();
    let usual =
        usual.context("there is no adit.yml or model-compose.yml here: name a file with -f")?;
    Ok(vec![usual])
}

/// adit's own file of this folder, and model-compose's.
fn both() -> [Option<PathBuf>; 2] {
    USUAL.map(|names| {
        let mut names = names.iter().map(PathBuf::from);
        names.find(|name| name.is_file())
    })
}

/// What tells one `up` from others: the first file, without links.
pub(crate) fn identity(files: &[PathBuf]) -> anyhow::Result<PathBuf> {
    let first = files.first().context("no file is named")?;
    let found = first.canonicalize();
    found.with_context(|| format!("cannot find {}", first.display()))
}

/// Reads `tunnels:` of some files, if it is there. Paths are from `folder`.
pub(crate) fn tunnels(
    files: &Files,
    folder: &Path,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Option<Vec<Tunnel>> {
    files.tunnels().filter(|node| !node.is_null())?;
    // Who reads the rest tells of keys that nobody knows.
    let mut fields = files.root().fields(problems)?;
    fields.optional("tunnels", |node, problems| {
        Some(listed(node, folder, surroundings, problems))
    })
}

fn listed(
    node: &Node,
    folder: &Path,
    surroundings: &Surroundings,
    problems: &mut Problems,
) -> Vec<Tunnel> {
    let is_alone = node
        .as_mapping()
        .is_some_and(|all| all.entries().len() == 1);
    if !is_alone && std::env::var_os(PASSWORD).is_some() {
        let message = format!("{PASSWORD} is not used: it does not say whose of several it is");
        let help = "name a password_file at its tunnel";
        problems.push(Problem::warning(node.place(), message).with_help(help));
    }
    if !is_alone && std::env::var_os(HOST_KEY).is_some_and(|keys| !keys.is_empty()) {
        let message = format!("{HOST_KEY} does not say whose of several it is");
        let help = "name a host_key at its tunnel";
        problems.push(Problem::error(node.place(), message).with_help(help));
    }
    let all = node.named(problems, |entry, problems| {
        let here = Here {
            folder,
            surroundings,
            is_alone,
        };
        let tunnel = tunnel::read(entry, &here, problems)?;
        Some((entry.place.clone(), tunnel))
    });
    let all = all.unwrap_or_default();
    twice(&all, problems);
    let all: Vec<Tunnel> = all.into_iter().map(|(_, tunnel)| tunnel).collect();
    let forwards: usize = all.iter().map(|one| one.config.forwards.len()).sum();
    if all.len() > TUNNELS || forwards > FORWARDS {
        let message = format!(
            "there are {} tunnels with {forwards} forwards; {TUNNELS} and {FORWARDS} are the most",
            all.len()
        );
        problems.push(Problem::error(node.place(), message));
    }
    all
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
