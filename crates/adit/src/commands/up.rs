//! `adit up`: the tunnels of a file, until a signal or `adit down`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::cli::UpArguments;
use crate::config::Surroundings;
use crate::config::file;
use crate::control::directory::{Directories, Lock};
use crate::control::server::{self, Subject as _};
use crate::detach::{self, LetGo};
use crate::signal::signalled;
use crate::terminal::Restore;
use crate::tunnels::{Board, Tunnel, keep};

/// How often it is looked whether the control socket is where others look for it.
const LOOK: Duration = Duration::from_secs(5);

/// Runs the tunnels until SIGINT, SIGTERM or `adit down`.
pub(crate) fn run(arguments: &UpArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    if arguments.detach && !detach::is_second()? {
        return detach::run();
    }
    let surroundings = Surroundings::of_this_process();
    let files = file::named_or_usual(&arguments.files)?;
    let tunnels = file::read(&files, &surroundings)?;
    let name = file::identity(&files)?;
    let lock = Directories::of_this_process(&surroundings).lock(&name)?;
    let board = Board::new(name.clone(), &tunnels);
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let let_go = arguments.detach.then(|| LetGo::new(verbose > 0));
    let result = runtime.block_on(async {
        let listener = server::bind(&lock)?;
        let stop = CancellationToken::new();
        let control = Control {
            surroundings,
            name,
            board: board.clone(),
            stop: stop.clone(),
        };
        let mut controlling = JoinSet::new();
        controlling.spawn(control.keep(lock, listener));
        let result = Box::pin(serve(tunnels, board, stop, let_go)).await;
        // The lock is let go of last, by this.
        controlling.shutdown().await;
        result
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    result
}

/// Who can be asked about the tunnels, wherever that has to be.
struct Control {
    surroundings: Surroundings,
    name: PathBuf,
    board: Board,
    stop: CancellationToken,
}

impl Control {
    /// Answers, for ever; and where the directory of the socket has gone, in the next.
    async fn keep(self, mut lock: Lock, mut listener: UnixListener) {
        loop {
            {
                let serving = server::serve(listener, self.board.clone(), self.stop.clone());
                tokio::select! {
                    () = serving => return,
                    () = gone(&lock) => {}
                }
            }
            drop(lock);
            (lock, listener) = loop {
                let again = Directories::of_this_process(&self.surroundings).lock(&self.name);
                match again.and_then(|lock| Ok((server::bind(&lock)?, lock))) {
                    Ok((listener, lock)) => break (lock, listener),
                    Err(error) => {
                        warn!("adit status and adit down do not reach this: {error:#}");
                        sleep(LOOK).await;
                    }
                }
            };
            info!(socket = %lock.socket().display(), "control socket is somewhere else now");
        }
    }
}

/// Waits until the files of a lock are not there any more.
async fn gone(lock: &Lock) {
    while lock.is_there() {
        sleep(LOOK).await;
    }
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
