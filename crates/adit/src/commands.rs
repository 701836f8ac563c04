//! The commands, a file each.

use crate::cli::Command;

pub(crate) mod forward;

/// Does what was asked.
pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Forward(arguments) => forward::run(&arguments),
    }
}
