//! `adit down`: ends an `adit up`.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context as _;

use crate::config::{Surroundings, file};
use crate::control::client;
use crate::control::directory::{Directories, Running};

/// Ends the `up` of that file, of the usual one, or the only one that runs.
pub(crate) fn run(file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let directories = Directories::of_this_process(&Surroundings::of_this_process());
    let running = chosen(file, &directories)?;
    client::down(&directories, &running)?;
    Ok(ExitCode::SUCCESS)
}

fn chosen(file: Option<&Path>, directories: &Directories) -> anyhow::Result<Running> {
    let usual = file.map(Path::to_owned).or_else(file::usual);
    if let Some(file) = usual {
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
