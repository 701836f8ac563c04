//! `adit down`: ends an `adit up`, and takes its components down.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::cli::SourceArguments;
use crate::compose;
use crate::compose::service::{Scope, Service};
use crate::config::{Surroundings, file};
use crate::control::Ending;
use crate::control::client;
use crate::control::directory::{Directories, Running};
use crate::hosts::place;
use crate::log::{self, say};
use crate::signal::{Signal, signalled_before_the_end};
use crate::tunnels::Board;

/// Ends the `up` of that file, of the usual one, or the only one that runs. Where none runs, what it
/// would have taken down is taken down all the same; nothing to do is no error.
pub(crate) fn run(source: &SourceArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let directories = Directories::of_this_process(&surroundings);
    if let Some(running) = chosen(&source.files, &directories)? {
        client::end(&directories, &running, Ending::Down)?;
        return Ok(ExitCode::SUCCESS);
    }
    directories.are_trusted()?;
    let service = idle(source, &surroundings)?;
    say(NOTHING);
    match service {
        Some(service) => take_down(&service),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// What is said where there is nothing to end.
pub(super) const NOTHING: &str = "nothing is up here";

/// What a file says that does not run, if there is anything to take down.
fn idle(source: &SourceArguments, surroundings: &Surroundings) -> anyhow::Result<Option<Service>> {
    if source.files.is_empty() && file::usual().is_none() {
        return Ok(None);
    }
    let loaded = compose::load(&source.files, &source.environment, surroundings)?;
    if !loaded.can_clean() {
        return Ok(None);
    }
    let board = Board::new(PathBuf::new(), &[]);
    let service = Service::new(&loaded, Scope::Clean, surroundings, &board)?;
    Ok(Some(service))
}

fn take_down(service: &Service) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(async {
        let stop = CancellationToken::new();
        let mut signal = std::pin::pin!(signalled_before_the_end()?);
        let mut cleaned = std::pin::pin!(service.take_down(&stop));
        let mut end = ExitCode::SUCCESS;
        loop {
            tokio::select! {
                biased;
                done = &mut cleaned => return done.map(|()| end),
                by = &mut signal, if !stop.is_cancelled() => {
                    // Who has pressed Ctrl-C knows.
                    if by != Signal::Interrupt {
                        log::fail(&anyhow::anyhow!("the clean scripts were stopped by {by}"));
                    }
                    end = by.code();
                    stop.cancel();
                }
            }
        }
    })
}

/// The one that is meant, if it runs.
///
/// # Errors
///
/// Several run and none is named, or the file's path cannot be told.
pub(super) fn chosen(
    files: &[PathBuf],
    directories: &Directories,
) -> anyhow::Result<Option<Running>> {
    if let Some(file) = files.first().cloned().or_else(file::usual) {
        let name = file::identity(std::slice::from_ref(&file))?;
        return Ok(directories.find(&name));
    }
    let mut all = directories.all();
    // Tunnels to hosts outlive a slip in the wrong folder: adit host down ends them.
    all.retain(|running| !place::is_table(&running.holder.config));
    match (all.pop(), all.len()) {
        (only, 0) => Ok(only),
        _ => anyhow::bail!("several are up: name the file of one with -f; adit status shows them"),
    }
}
