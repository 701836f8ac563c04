//! `adit host up` and `down`: keeps what stands in the table of ports.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::cli::{HostDownArguments, HostUpArguments};
use crate::config::Surroundings;
use crate::control::stand::Stand;
use crate::control::{Ending, client, server};
use crate::detach::{self, LetGo};
use crate::files;
use crate::hosts::keeper::Keeper;
use crate::hosts::place::Place;
use crate::log::say;
use crate::signal::signalled;
use crate::terminal::Restore;

/// Keeps it until SIGINT, SIGTERM or `adit host down`.
pub(super) fn run(arguments: &HostUpArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    if arguments.detach && !detach::is_second()? {
        return detach::run();
    }
    files::raise();
    let surroundings = Surroundings::of_this_process();
    let place = Place::open(arguments.data.as_deref(), &surroundings)?;
    let name = place.table_file();
    let directories = place.directories(&surroundings);
    let lock = directories.lock(&name)?;
    let (keeper, kept) = Keeper::new(place, surroundings);
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let let_go = arguments.detach.then(|| LetGo::new(verbose > 0));
    let result = runtime.block_on(async {
        let listener = server::bind(&lock)?;
        let stand = Stand {
            directories: move || directories.clone(),
            name,
            subject: keeper.clone(),
        };
        let mut beside = JoinSet::new();
        beside.spawn(stand.keep(lock, listener));
        let mut signal = std::pin::pin!(signalled()?);
        let mut keeping = std::pin::pin!(kept.keep(|troubles| {
            for trouble in troubles {
                warn!("{trouble}");
            }
            info!("the table is kept");
            if let Some(let_go) = &let_go {
                let_go.ready();
            }
        }));
        let mut code = ExitCode::SUCCESS;
        let kept = loop {
            tokio::select! {
                biased;
                kept = &mut keeping => break kept,
                signalled = &mut signal, if !keeper.is_ending() => {
                    code = signalled;
                    keeper.end_all();
                }
            }
        };
        // The lock is let go of last, by this.
        beside.shutdown().await;
        kept.map(|()| code)
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    result
}

/// Ends whoever keeps it.
pub(super) fn down(arguments: &HostDownArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let place = Place::open(arguments.data.as_deref(), &surroundings)?;
    let directories = place.directories(&surroundings);
    if let Some(running) = place.running(&surroundings) {
        client::end(&directories, &running, Ending::Stop)?;
    } else {
        directories.are_trusted()?;
        say("nobody keeps the table");
    }
    Ok(ExitCode::SUCCESS)
}
