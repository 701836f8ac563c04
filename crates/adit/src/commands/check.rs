//! `adit check`: what is wrong with a file.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cli::CheckArguments;
use crate::config::{Surroundings, file};

/// Reads the file as `up` does, and connects to nobody.
pub(crate) fn run(arguments: &CheckArguments) -> anyhow::Result<ExitCode> {
    let files = file::named_or_usual(&arguments.files)?;
    let tunnels = file::read(&files, &Surroundings::of_this_process())?;
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
