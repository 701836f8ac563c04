//! `adit up`: what a file says, until a signal, `adit down` or `adit stop`.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::task::JoinSet;

use self::whole::Whole;
use crate::cli::UpArguments;
use crate::compose;
use crate::compose::service::SetUp;
use crate::config::Surroundings;
use crate::config::file;
use crate::control::directory::Directories;
use crate::control::server;
use crate::control::stand::Stand;
use crate::detach::{self, LetGo};
use crate::files;
use crate::log::{self, Console};
use crate::terminal::Restore;

mod stop_file;
mod whole;

/// Keeps what the file says until SIGINT, SIGTERM, `adit down` or `adit stop`.
pub(crate) fn run(arguments: &UpArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    keep(arguments, SetUp::Done, verbose)
}

/// As [`run`], with components set up or not.
pub(super) fn keep(
    arguments: &UpArguments,
    set_up: SetUp,
    verbose: u8,
) -> anyhow::Result<ExitCode> {
    if arguments.detach && !detach::is_second()? {
        return detach::run();
    }
    files::raise();
    let surroundings = Surroundings::of_this_process();
    let source = &arguments.source;
    let loaded = compose::load(&source.files, &source.environment, &surroundings)?;
    let name = file::identity(&loaded.files)?;
    let lock = Directories::of_this_process(&surroundings).lock(&name)?;
    log::heed(&loaded.compose.loggers, Console::Heeded)?;
    let whole = Whole::new(name.clone(), &loaded, set_up, &surroundings)?;
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let let_go = arguments.detach.then(|| LetGo::new(verbose > 0));
    let result = runtime.block_on(async {
        let listener = server::bind(&lock)?;
        let control = Stand {
            directories: move || Directories::of_this_process(&surroundings),
            name,
            subject: whole.clone(),
        };
        let mut controlling = JoinSet::new();
        controlling.spawn(control.keep(lock, listener));
        let result = Box::pin(whole.serve(loaded.tunnels, let_go)).await;
        // The lock is let go of last, by this.
        controlling.shutdown().await;
        result
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    result
}
