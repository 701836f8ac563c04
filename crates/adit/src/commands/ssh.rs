//! `adit ssh`: stock ssh by names.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::cli::SshCommand;
use crate::signal::signalled;
use crate::terminal::Restore;

mod check;
mod config;
mod copy_id;
mod far;
mod file;

/// Does what was asked.
pub(crate) fn run(command: SshCommand) -> anyhow::Result<ExitCode> {
    match command {
        SshCommand::Config(arguments) => config::run(&arguments),
        SshCommand::CopyId(arguments) => copy_id::run(&arguments),
    }
}

/// Does the work, unless a signal comes before its end.
fn wait_for<T>(
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Result<T, ExitCode>> {
    let restore = Restore::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let done = runtime.block_on(async {
        let signal = signalled()?;
        tokio::select! {
            biased;
            code = signal => Ok(Err(code)),
            done = work => Ok(Ok(done?)),
        }
    });
    // A question that nobody has answered would be waited for.
    runtime.shutdown_background();
    drop(restore);
    done
}
