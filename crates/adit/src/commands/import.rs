//! `adit import`: prints what says the same as another program's file.

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cli::ImportArguments;
use crate::import;
use crate::log::say;

/// Prints it, and tells what has no like here.
pub(crate) fn run(arguments: &ImportArguments) -> anyhow::Result<ExitCode> {
    let imported = import::read(arguments.kind, &arguments.file)?;
    let mut stdout = io::stdout().lock();
    stdout.write_all(imported.text.as_bytes())?;
    stdout.flush()?;
    for left in &imported.left {
        say(&left.to_string());
    }
    Ok(if imported.left.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
