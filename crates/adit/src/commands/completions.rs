//! `adit completions`: what makes a shell complete the command line.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;

use crate::cli::{Cli, CompletionsArguments};

/// Prints the script of a shell.
pub(crate) fn run(arguments: &CompletionsArguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut Cli::command(), "adit", &mut script);
    let mut stdout = io::stdout().lock();
    stdout.write_all(&script).context("nobody reads it")?;
    stdout.flush().context("nobody reads it")?;
    Ok(ExitCode::SUCCESS)
}
