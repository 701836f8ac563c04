//! `adit serve`: the public end, until a signal.

use std::process::ExitCode;

use crate::cli::ServeArguments;
use crate::gateway;
use crate::gateway::settings::Settings;
use crate::log::say;

/// Serves until SIGINT or SIGTERM; with `--check`, says whether it could.
pub(crate) fn run(arguments: &ServeArguments) -> anyhow::Result<ExitCode> {
    let settings = Settings::read(arguments)?;
    if arguments.check {
        say("nothing is wrong with the settings");
        return Ok(ExitCode::SUCCESS);
    }
    gateway::run(arguments, settings)
}
