//! `adit status` and `adit stop` of a gateway: how the one that runs with a data directory is, and its end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::admin::{Look, show};
use crate::gateway::control::{Request, client};
use crate::gateway::directory::DataDirectory;
use crate::gateway::order::{Outcome, Row};
use crate::log::say;

/// Longer than any gateway takes to end: visitors of connections and of sockets have an hour each at the most
/// (`drain:`), and what follows a minute.
const END: Duration = Duration::from_secs(2 * 3_600 + 60);
/// Time between two looks at whether it has ended.
const LOOK: Duration = Duration::from_millis(20);
/// An end that takes longer is spoken of.
const SILENT: Duration = Duration::from_secs(1);

/// Shows how it is; succeeds where it is ready.
pub(super) fn status(data: &Path, is_json: bool) -> anyhow::Result<ExitCode> {
    let outcome = ask(&DataDirectory::found(data)?, &Request::Status {})?;
    let is_ready = |row: &Row| row.get("ready") == Some(&true.into());
    let is_ready = outcome.rows.iter().all(is_ready);
    let look = if is_json { Look::Json } else { Look::Details };
    let shown = show(&outcome, look)?;
    Ok(if is_ready { shown } else { ExitCode::FAILURE })
}

/// Has it end, and waits until nobody has its data directory any more.
pub(super) fn stop(data: &Path) -> anyhow::Result<ExitCode> {
    let directory = DataDirectory::found(data)?;
    ask(&directory, &Request::Stop {})?;
    let mut waited = Duration::ZERO;
    let mut is_told = false;
    while directory.try_lock()?.is_none() {
        if waited >= SILENT && !std::mem::replace(&mut is_told, true) {
            say("waiting for visitors to leave; Ctrl-C stops waiting");
        }
        ensure!(waited < END, "it has not ended");
        std::thread::sleep(LOOK);
        waited = waited.saturating_add(LOOK);
    }
    Ok(ExitCode::SUCCESS)
}

fn ask(directory: &DataDirectory, request: &Request) -> anyhow::Result<Outcome> {
    let outcome = client::ask(&directory.control(), request)?;
    outcome.with_context(|| format!("no gateway runs with {}", directory.path().display()))
}
