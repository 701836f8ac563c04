//! `adit check`: what is wrong with a file.

use std::io::{self, Write as _};
use std::process::ExitCode;

use adit_tunnel::agent::chain;
use adit_tunnel::agent::connect::SshConnect;
use adit_tunnel::transport::ssh::Memory;
use tracing::warn;

use crate::cli::CheckArguments;
use crate::config::{Surroundings, file};

/// Reads the file as `up` does, and connects to nobody.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let files = file::named_or_usual(&arguments.files)?;
    let tunnels = file::read(&files, &Surroundings::of_this_process())?;
    for tunnel in &tunnels {
        // They may come later, or be somebody else's who will start it.
        if let Err(error) = SshConnect::new(&tunnel.config.peer, Memory::of_this_machine()) {
            warn!(tunnel = tunnel.name, "{}", chain(&error));
        }
    }
    let forwards = tunnels.iter().map(|tunnel| tunnel.config.forwards.len());
    let shown: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    writeln!(
        io::stdout().lock(),
        "{}: tunnels {}, forwards {}",
        shown.join(", "),
        tunnels.len(),
        forwards.sum::<usize>()
    )?;
    Ok(ExitCode::SUCCESS)
}
