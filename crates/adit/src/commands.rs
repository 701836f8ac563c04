//! The commands, a file each.

use std::process::ExitCode;

use crate::cli::Command;

mod check;
mod completions;
mod doctor;
mod down;
pub(crate) mod forward;
pub(crate) mod keeper;
mod man;
mod status;
mod trust;
mod up;

/// Does what was asked.
pub(crate) fn run(command: Command, verbose: u8) -> anyhow::Result<ExitCode> {
    match command {
        Command::Forward(arguments) => forward::run(&arguments, verbose),
        Command::Up(arguments) => up::run(&arguments, verbose),
        Command::Down(arguments) => down::run(arguments.file.as_deref()),
        Command::Status(arguments) => status::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Trust(arguments) => trust::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}
