//! What some files say together: tunnels, workflows or both, read and checked as one.
//!
//! Files are merged as trees, a later one counting before an earlier one, key by key; then variables
//! are filled in, and everything that is wrong is told at once. A file of tunnels and a compose file
//! differ in nothing but what is written there.

use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

use adit_flow::file::{Dialect, Environment, Files, Source, check_public};
use adit_flow::http::is_here;
use adit_flow::model::Compose;
use adit_flow::model::expose::ExposeConfig;
use adit_text::{Node, Place, Problem, Problems, Severity};
use adit_tunnel::agent::forward::{Destination, Listens};
use adit_tunnel::agent::probe::public_port;
use adit_tunnel::transport::Target;

pub(crate) use self::fingerprint::Fingerprint;
use crate::cli::EnvironmentArguments;
use crate::config::{Surroundings, file};
use crate::expose::config::bare;
use crate::log;
use crate::names;
use crate::tunnels::Tunnel;

mod component;
mod fingerprint;
mod need;
mod report;
mod run;
mod secret;
pub(crate) mod service;
mod source;

/// What was read.
pub(crate) struct Loaded {
    /// The files, in the order in which they count.
    pub(crate) files: Vec<PathBuf>,
    /// The tunnels.
    pub(crate) tunnels: Vec<Tunnel>,
    /// Everything else.
    pub(crate) compose: Compose,
    /// What variables stood for, and children get.
    pub(crate) environment: Environment,
    /// Tells whether another process has read the same.
    pub(crate) fingerprint: Fingerprint,
}

/// File of variables that is read where none is named.
const VARIABLES: &str = ".env";

impl Loaded {
    /// Whether there is anything but tunnels.
    pub(crate) fn has_compose(&self) -> bool {
        !is_empty(&self.compose)
    }

    /// Whether there is anything to take down.
    pub(crate) fn can_clean(&self) -> bool {
        let every = self.compose.every_component();
        let mut managed = every.iter().filter_map(|one| component::managed(one));
        managed.any(|(manage, _)| !manage.clean.is_empty())
    }

    /// How many forwards its tunnels have together.
    pub(crate) fn forwards(&self) -> usize {
        let forwards = self
            .tunnels
            .iter()
            .map(|tunnel| tunnel.config.forwards.len());
        forwards.sum()
    }
}

/// Reads those that were named, or the usual one, and tells warnings.
///
/// # Errors
///
/// As of [`load_silently`].
pub(crate) fn load(
    files: &[PathBuf],
    environment: &EnvironmentArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<Loaded> {
    let (loaded, problems) = load_silently(files, environment, surroundings)?;
    warn_of(&problems, Detail::Whole);
    Ok(loaded)
}

/// Reads those that were named, or the usual one; what is doubtful there is among the problems.
///
/// # Errors
///
/// A file cannot be read; or everything that is wrong with them, each with its place.
pub(crate) fn load_silently(
    files: &[PathBuf],
    environment: &EnvironmentArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<(Loaded, Problems)> {
    let files = file::named_or_usual(files)?;
    let (loaded, problems) = read(files, environment, surroundings)?;
    match loaded {
        Some(loaded) => Ok((loaded, problems)),
        None => Err(unusable(&problems)),
    }
}

/// Everything that is wrong with some files, and what is only doubtful.
pub(crate) fn unusable(problems: &Problems) -> anyhow::Error {
    let mut lines: Vec<String> = problems
        .into_iter()
        .map(|problem| {
            let head = match problem.severity() {
                Severity::Error => "",
                Severity::Warning => "warning: ",
            };
            format!("{head}{}", line(problem, Detail::Whole))
        })
        .collect();
    if let more @ 1.. = problems.count().saturating_sub(lines.len()) {
        lines.push(format!("and {more} more"));
    }
    anyhow::anyhow!("the configuration has errors:\n{}", lines.join("\n"))
}

/// `FILE:LINE:COLUMN: what`, with what helps below.
fn line(problem: &Problem, detail: Detail) -> String {
    let words = format!("{}: {}", problem.place(), problem.message());
    match problem.help().filter(|_| detail == Detail::Whole) {
        Some(help) => format!("{words}\nhelp: {help}"),
        None => words,
    }
}

/// How much is told of a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What it is and what helps.
    Whole,
    /// What it is, in a line.
    Line,
}

/// Tells what is not wrong enough to be an error: `warning: FILE:LINE:COLUMN: what`.
pub(crate) fn warn_of(problems: &Problems, detail: Detail) {
    for problem in problems {
        log::warn(&line(problem, detail));
    }
    let listed = problems.into_iter().count();
    if let more @ 1.. = problems.count().saturating_sub(listed) {
        log::warn(&format!("and {more} more"));
    }
}

/// Reads some files; what is wrong with them, or only doubtful, is among the problems, and if any of
/// it is an error there is nothing to be had.
///
/// # Errors
///
/// A file cannot be read.
pub(crate) fn read(
    files: Vec<PathBuf>,
    environment: &EnvironmentArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<(Option<Loaded>, Problems)> {
    let mut problems = Problems::new();
    let environment = variables(environment, &mut problems)?;
    log::hide(secret::named(&environment));
    let named: Vec<(String, Vec<u8>)> = files
        .iter()
        .map(|file| {
            Ok((
                file.display().to_string(),
                source::bytes(file, &mut problems)?,
            ))
        })
        .collect::<anyhow::Result<_>>()?;
    let dialects = dialects(&files);
    let sources: Vec<Source<'_>> = named
        .iter()
        .zip(dialects)
        .map(|((name, bytes), dialect)| Source {
            name,
            bytes,
            dialect,
        })
        .collect();
    let Some(parsed) = Files::parse(&sources, &environment, &mut problems) else {
        return Ok((None, problems));
    };
    let folder = files.first().and_then(|file| file.parent());
    let folder = folder.unwrap_or_else(|| Path::new(""));
    let tunnels = file::tunnels(&parsed, folder, surroundings, &mut problems);
    let compose = parsed.compose(&mut problems);
    if let Some(compose) = &compose {
        let mut public = public_ports(&parsed, tunnels.as_deref().unwrap_or_default(), compose);
        public.extend(ports_of_gateways(compose));
        check_public(compose, &public, &mut problems);
        log::hide(secret::masked(compose, &environment, surroundings));
    }
    let groups = names::read(parsed.root(), &mut problems);
    let is_without = tunnels.is_none() && groups.names().next().is_none();
    let says_nothing = is_without && compose.as_ref().is_some_and(is_empty);
    if says_nothing && !problems.has_errors() {
        let message = "there are neither tunnels nor workflows in it";
        problems.push(Problem::error(&place(&parsed), message));
    }
    let loaded = compose
        .filter(|_| !problems.has_errors())
        .map(|compose| Loaded {
            fingerprint: Fingerprint::of(parsed.root()),
            files,
            tunnels: tunnels.unwrap_or_default(),
            compose,
            environment,
        });
    Ok((loaded, problems))
}

/// The ports of this machine that tunnels make public, and the tunnel that does it (security rules G86 and G87).
fn public_ports<'f>(
    parsed: &'f Files,
    tunnels: &[Tunnel],
    compose: &Compose,
) -> Vec<(u16, &'f Place)> {
    let written = parsed.tunnels().and_then(Node::as_mapping);
    let mut ports = Vec::new();
    for tunnel in tunnels {
        let entry = written.and_then(|written| written.entry(&tunnel.name));
        let Some(place) = entry.map(|entry| &entry.place) else {
            continue;
        };
        for forward in &tunnel.config.forwards {
            let is_public =
                forward.listens == Listens::There && public_port(&forward.bind).is_some();
            if let Destination::One(Target::Tcp { host, port }) = &forward.to
                && is_public
                && (is_here(host) || is_here_beyond_loopback(host, *port, compose))
            {
                ports.push((*port, place));
            }
        }
    }
    ports
}

/// The ports of this machine that gateways make public at an address that is ours and not the loopback's. Those of
/// the loopback are seen wherever the file is read.
fn ports_of_gateways(compose: &Compose) -> impl Iterator<Item = (u16, &Place)> {
    let forwards = compose.exposes.iter().flat_map(|one| match &one.value {
        ExposeConfig::Ssh(ssh) => ssh.forwards.as_slice(),
        ExposeConfig::Http(_) => &[],
    });
    let here = forwards.filter(|one| is_here_beyond_loopback(&one.host, one.port, compose));
    here.map(|one| (one.port, &one.remote.place))
}

/// Whether an address is one of this machine's, at which the controller, its page or a listener is reached.
fn is_here_beyond_loopback(host: &str, port: u16, compose: &Compose) -> bool {
    let Ok(address) = bare(host).parse::<IpAddr>() else {
        return false;
    };
    let controller = compose.controller.iter();
    let adapters = controller.clone().flat_map(|one| &one.adapters);
    let pages = controller.filter_map(|one| one.web_ui.as_ref());
    let adapters = adapters.map(|one| (&one.host, one.port.value));
    let pages = pages.map(|one| (&one.host, one.port.value));
    let listeners = compose.callback_servers.iter();
    let listeners = listeners.map(|one| (&one.host, one.port.value));
    let mut all = adapters.chain(pages).chain(listeners);
    let listens = all.any(|(host, own)| {
        let bound = bare(host).parse::<IpAddr>();
        let is_reached = |bound: IpAddr| bound.is_unspecified() || bound == address;
        own == port && (host.is_empty() || bound.is_ok_and(is_reached))
    });
    // The system lets a socket have no address but its own; nothing is sent.
    listens && UdpSocket::bind((address, 0)).is_ok()
}

/// Where what is missing should be.
fn place(files: &Files) -> Place {
    let root = files.root().place();
    Place {
        line: root.line.max(1),
        column: root.column.max(1),
        ..root.clone()
    }
}

/// Whether nothing but tunnels, or nothing at all, stands in a file.
fn is_empty(compose: &Compose) -> bool {
    let Compose {
        controller,
        exposes,
        callback_servers,
        components,
        workflows,
        loggers: _,
        private_variables: _,
        secret_variables: _,
    } = compose;
    controller.is_none()
        && exposes.is_empty()
        && callback_servers.is_empty()
        && components.is_empty()
        && workflows.is_empty()
}

/// Whose rules each file follows: by its name where that begins as theirs do, else those of the file
/// before it, and adit's own if it is the first.
fn dialects(files: &[PathBuf]) -> Vec<Dialect> {
    let mut dialect = Dialect::Adit;
    let dialects = files.iter().map(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("model-compose") {
            dialect = Dialect::ModelCompose;
        } else if name.starts_with("adit") {
            dialect = Dialect::Adit;
        }
        dialect
    });
    dialects.collect()
}

/// What was said on the command line, what the process has, and what stands in files.
fn variables(
    arguments: &EnvironmentArguments,
    problems: &mut Problems,
) -> anyhow::Result<Environment> {
    let process = std::env::vars_os().filter_map(|(name, value)| {
        // What is no text cannot stand in a file either.
        Some((name.into_string().ok()?, value.into_string().ok()?))
    });
    let mut environment = Environment::of_process(process);
    let usual = Path::new(VARIABLES);
    if arguments.env_files.is_empty() && usual.exists() {
        let bytes = source::bytes(usual, problems)?;
        environment.read_file(VARIABLES, &bytes, problems);
    }
    for file in &arguments.env_files {
        let bytes = source::bytes(file, problems)?;
        environment.read_file(&file.display().to_string(), &bytes, problems);
    }
    for entry in &arguments.variables {
        environment.say(entry)?;
    }
    Ok(environment)
}

#[cfg(test)]
mod tests;
