//! `adit man`: the manual, written by the program that it is about.

use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::ManArguments;
use crate::manual;

/// Writes the pages into a folder, or prints them as one in Markdown.
pub(crate) fn run(arguments: &ManArguments) -> anyhow::Result<ExitCode> {
    let Some(folder) = &arguments.folder else {
        let page = manual::markdown();
        io::stdout()
            .write_all(page.as_bytes())
            .context("nobody reads it")?;
        return Ok(ExitCode::SUCCESS);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for page in manual::pages()? {
        let file = folder.join(&page.file);
        fs::write(&file, page.text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}
