//! `adit stop`: ends an `adit up`, and leaves its components as they were set up.

use std::process::ExitCode;

use super::down::{NOTHING, chosen};
use crate::cli::SourceArguments;
use crate::config::Surroundings;
use crate::control::Ending;
use crate::control::client;
use crate::control::directory::Directories;
use crate::log::say;

/// Ends the `up` of that file, of the usual one, or the only one that runs; where none does, that is no error.
pub(crate) fn run(source: &SourceArguments) -> anyhow::Result<ExitCode> {
    let directories = Directories::of_this_process(&Surroundings::of_this_process());
    if let Some(running) = chosen(&source.files, &directories)? {
        client::end(&directories, &running, Ending::Stop)?;
    } else {
        directories.are_trusted()?;
        say(NOTHING);
    }
    Ok(ExitCode::SUCCESS)
}
