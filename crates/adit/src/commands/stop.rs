//! `adit stop`: ends an `adit up`, and leaves its components as they were set up; or ends a gateway.

use std::process::ExitCode;

use super::down::{NOTHING, chosen};
use super::gateway;
use crate::cli::StopArguments;
use crate::config::Surroundings;
use crate::control::Ending;
use crate::control::client;
use crate::control::directory::Directories;
use crate::log::say;

/// Ends the `up` of that file, of the usual one, or the only one that runs; where none does, that is no error.
pub(crate) fn run(arguments: &StopArguments) -> anyhow::Result<ExitCode> {
    if let Some(data) = &arguments.data {
        return gateway::stop(data);
    }
    let source = &arguments.source;
    let directories = Directories::of_this_process(&Surroundings::of_this_process());
    if let Some(running) = chosen(&source.files, &directories)? {
        client::end(&directories, &running, Ending::Stop)?;
    } else {
        directories.are_trusted()?;
        say(NOTHING);
    }
    Ok(ExitCode::SUCCESS)
}
