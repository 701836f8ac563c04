//! `adit up`: the tunnels of a file, until a signal or `adit down`.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::cli::UpArguments;
use crate::config::Surroundings;
use crate::config::file;
use crate::control::directory::Directories;
use crate::control::server::{self, Subject as _};
use crate::detach::{self, LetGo};
use crate::signal::signalled;
use crate::terminal::Restore;
use crate::tunnels::{Board, Tunnel, keep};

/// Runs the tunnels until SIGINT, SIGTERM or `adit down`.
pub(crate) fn run(arguments: &UpArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    if arguments.detach && !detach::is_second() {
        return detach::run();
    }
    let surroundings = Surroundings::of_this_process();
    let files = file::named_or_usual(&arguments.files)?;
    let tunnels = file::read(&files, &surroundings)?;
    let name = file::identity(&files)?;
    let lock = Directories::of_this_process(&surroundings).lock(&name)?;
    let board = Board::new(name, &tunnels);
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let let_go = arguments.detach.then(|| LetGo::new(verbose > 0));
    let result = runtime.block_on(async {
        let listener = server::bind(&lock)?;
        let stop = CancellationToken::new();
        let mut control = JoinSet::new();
        control.spawn(server::serve(listener, board.clone(), stop.clone()));
        Box::pin(serve(tunnels, board, stop, let_go)).await
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop((restore, lock));
    result
}

async fn serve(
    tunnels: Vec<Tunnel>,
    board: Board,
    stop: CancellationToken,
    let_go: Option<LetGo>,
) -> anyhow::Result<ExitCode> {
    let signal = signalled()?;
    let kept = keep(tunnels, &board, &stop);
    let mut kept = std::pin::pin!(kept);
    let mut signal = std::pin::pin!(signal);
    let mut changes = board.changes();
    let mut is_begun = false;
    let mut end = Ok(ExitCode::SUCCESS);
    loop {
        tokio::select! {
            biased;
            ended = &mut kept => {
                // It ends by itself only if it could not begin, else after `stop`.
                ended?;
                return end;
            }
            code = &mut signal, if !stop.is_cancelled() => {
                end = Ok(code);
                stop.cancel();
            }
            // The board outlives this.
            _ = changes.changed(), if !stop.is_cancelled() => {
                if let Some(let_go) = &let_go && board.is_ready() {
                    let_go.ready();
                }
                is_begun = is_begun || board.was_connected();
                // Whoever waits for all of them to be up waits in vain once one has failed.
                let waits_for_all = let_go.as_ref().is_some_and(|let_go| !let_go.is_done());
                if (!is_begun || waits_for_all)
                    && let Some(failure) = board.failure(!waits_for_all)
                {
                    end = Err(anyhow::anyhow!(failure));
                    stop.cancel();
                }
            }
        }
    }
}
