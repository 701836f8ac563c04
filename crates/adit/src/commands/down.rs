//! `adit down`: ends an `adit up`, and takes its components down.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::SourceArguments;
use crate::config::{Surroundings, file};
use crate::control::Ending;
use crate::control::client;
use crate::control::directory::{Directories, Running};

/// Ends the `up` of that file, of the usual one, or the only one that runs.
pub(crate) fn run(source: &SourceArguments) -> anyhow::Result<ExitCode> {
    let directories = Directories::of_this_process(&Surroundings::of_this_process());
    let running = chosen(&source.files, &directories)?;
    client::end(&directories, &running, Ending::Down)?;
    Ok(ExitCode::SUCCESS)
}

/// The one that is meant.
///
/// # Errors
///
/// None is, or it does not run.
pub(super) fn chosen(files: &[PathBuf], directories: &Directories) -> anyhow::Result<Running> {
    if let Some(file) = files.first().cloned().or_else(file::usual) {
        let name = file::identity(std::slice::from_ref(&file))?;
        let running = directories.find(&name);
        return running.with_context(|| format!("{} is not up", file.display()));
    }
    let mut all = directories.all();
    match (all.pop(), all.len()) {
        (Some(only), 0) => Ok(only),
        (Some(_), _) => {
            anyhow::bail!("several are up: name the file of one with -f; adit status shows them")
        }
        (None, _) => anyhow::bail!("nothing is up"),
    }
}
