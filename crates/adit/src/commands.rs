//! The commands, a file each.

use std::process::ExitCode;

use crate::cli::Command;

pub(crate) mod forward;

/// Does what was asked.
pub(crate) fn run(command: Command, verbose: u8) -> anyhow::Result<ExitCode> {
    match command {
        Command::Forward(arguments) => forward::run(&arguments, verbose),
    }
}
