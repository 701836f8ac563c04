//! `adit check`: what is wrong with a file.

use std::io::{self, Write as _};
use std::process::ExitCode;

use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::transport::ssh::Memory;

use crate::cli::CheckArguments;
use crate::compose::{self, Loaded};
use crate::config::Surroundings;
use crate::log;

/// Reads the file as `up` does, and connects to nobody.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let loaded = compose::load(&arguments.files, &arguments.environment, &surroundings)?;
    warn_of_tunnels(&loaded);
    let mut counts = Vec::new();
    if !(loaded.tunnels.is_empty() && loaded.has_compose()) {
        counts.push((loaded.tunnels.len(), "tunnels"));
        counts.push((loaded.forwards(), "forwards"));
    }
    if loaded.has_compose() {
        counts.push((loaded.compose.components.len(), "components"));
        counts.push((loaded.compose.workflows.len(), "workflows"));
        counts.push((loaded.compose.callback_servers.len(), "listeners"));
        counts.push((loaded.compose.exposes.len(), "gateways"));
    }
    let counts = counts.iter().map(|(count, what)| format!("{what} {count}"));
    let shown = loaded.files.iter().map(|file| file.display().to_string());
    writeln!(
        io::stdout().lock(),
        "{}: {}",
        shown.collect::<Vec<_>>().join(", "),
        counts.collect::<Vec<_>>().join(", ")
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Tells what tunnels lack: it may come later, or be somebody else's who will start them.
pub(crate) fn warn_of_tunnels(loaded: &Loaded) {
    for tunnel in &loaded.tunnels {
        if let Err(error) = SshConnect::new(&tunnel.config.peer, Memory::of_this_machine()) {
            log::warn(&format!("tunnel {}: {}", tunnel.name, chain(&error)));
        }
    }
}
