//! What the configuration files of ssh(1) add to a command line.

use std::path::{Path, PathBuf};

use adit_tunnel::agent::dial::Family;
use adit_tunnel::agent::forward::{Forward, Listens};
use adit_tunnel::ssh_config::{
    ConfigError, FileProblem, FileSystem, Files, Guard, Local, Owner, Placed, Presence, Settings,
    Source, Wanted, resolve,
};
use anyhow::Context as _;
use tracing::{debug, warn};

use super::option::SshOption;
use super::spec::{self, DefaultBind};
use super::{Surroundings, Written};

/// What messages call the options of the command line, where they name a file.
const COMMAND_LINE: &str = "command line";

/// Reads what the command line says about a host, and then what `-F` names, or the files of ssh(1).
pub(super) fn read(
    written: &Written,
    wanted: &Wanted,
    surroundings: &Surroundings,
) -> anyhow::Result<Settings> {
    let mut sources = vec![command_line()];
    sources.extend(match &written.config {
        Some(config) => Source::named(config),
        None => Source::standard(surroundings.home.as_deref()),
    });
    let local = Local::of_this_process(surroundings.user.clone(), surroundings.home.clone());
    let files = CommandLine(lines(written));
    let resolved = resolve(&sources, wanted, &local, &files)?;
    for warning in &resolved.warnings {
        warn!("{warning}");
    }
    for Placed { value, place } in &resolved.ignored {
        debug!(keyword = value, %place, "keyword is ignored");
    }
    Ok(resolved.settings)
}

/// Whether a line could stand in a file: its keyword and value are good, for some host.
pub(super) fn check_line(line: &str) -> Result<(), ConfigError> {
    // Nobody's name (RFC 2606 section 2), so that no jump leads to itself.
    let wanted = Wanted {
        host: String::from("destination.invalid"),
        user: Some(String::from("user")),
        port: None,
    };
    let files = CommandLine(format!("{line}\n"));
    resolve(&[command_line()], &wanted, &Local::default(), &files).map(drop)
}

/// The command line in the place of a first file.
fn command_line() -> Source {
    Source {
        path: Path::new(COMMAND_LINE).into(),
        owner: Owner::User,
        presence: Presence::Required,
    }
}

/// The options of a command line as lines of a file, in the order in which they count.
fn lines(written: &Written) -> String {
    let family = match written.family {
        Some(Family::V4) => Some("AddressFamily inet"),
        Some(Family::V6) => Some("AddressFamily inet6"),
        Some(Family::Any) | None => None,
    };
    let options = written.jump.iter().chain(&written.options);
    let lines = options.filter_map(|option| match option {
        SshOption::Line(line) => Some(line.as_str()),
        SshOption::UserKnownHostsFile(_)
        | SshOption::StrictHostKeyChecking(_)
        | SshOption::Algorithms(_) => None,
    });
    let lines = family.into_iter().chain(lines);
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// The file system, with the lines of the command line as a file more.
struct CommandLine(String);

impl Files for CommandLine {
    fn glob(&self, pattern: &Path) -> Result<Vec<PathBuf>, FileProblem> {
        FileSystem.glob(pattern)
    }

    fn read(&self, path: &Path, guard: Guard) -> Result<Vec<u8>, FileProblem> {
        if path == Path::new(COMMAND_LINE) {
            return Ok(self.0.clone().into_bytes());
        }
        FileSystem.read(path, guard)
    }
}

/// Tells what is not used.
pub(super) fn check(settings: &Settings) {
    let unused = [("HostKeyAlgorithms", settings.host_key_algorithms.is_some())];
    let unused = unused.iter().filter(|(_, is_said)| *is_said);
    let unused: Vec<&str> = unused.map(|(keyword, _)| *keyword).collect();
    if !unused.is_empty() {
        let keywords = unused.join(", ");
        warn!(keywords, "configuration has what adit does not use");
    }
}

/// The keys of the files that are there.
pub(super) fn keys(settings: &Settings) -> Option<Vec<PathBuf>> {
    let files = settings.identity_files.as_ref()?;
    Some(files.iter().filter(|file| file.exists()).cloned().collect())
}

/// The forwards of the files, in the order in which ssh(1) sets them up: our listeners first.
pub(super) fn forwards(settings: &Settings) -> anyhow::Result<Vec<Forward>> {
    let here = if settings.gateway_ports == Some(true) {
        DefaultBind::Everywhere
    } else {
        DefaultBind::Loopback
    };
    let kinds = [
        (
            "LocalForward",
            Listens::Here,
            here,
            &settings.local_forwards,
        ),
        (
            "DynamicForward",
            Listens::Here,
            here,
            &settings.dynamic_forwards,
        ),
        (
            "RemoteForward",
            Listens::There,
            DefaultBind::Loopback,
            &settings.remote_forwards,
        ),
    ];
    let mut forwards = Vec::new();
    for (keyword, listens, default, lines) in kinds {
        for Placed { value, place } in lines {
            let forward = spec::forward(value.clone(), listens, default);
            let forward = forward.map_err(anyhow::Error::new);
            forwards.push(forward.with_context(|| format!("{place}: {keyword} {value}"))?);
        }
    }
    Ok(forwards)
}

/// Reads a value that the files keep as text.
pub(super) fn list<T, E>(
    written: Option<&Placed<String>>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> anyhow::Result<Option<T>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let Some(Placed { value, place }) = written else {
        return Ok(None);
    };
    parse(value).map(Some).with_context(|| place.to_string())
}
