//! The signals that end the program in order.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Exit code after SIGINT, as shells have it: 128 and the signal's number.
const INTERRUPTED: u8 = 130;

/// Waits for SIGINT or SIGTERM, from this call on, and says what the program ends with.
pub(crate) fn signalled() -> anyhow::Result<impl Future<Output = ExitCode>> {
    signalled_before_the_end(ExitCode::SUCCESS)
}

/// As [`signalled`], for a program whose work has an end, which SIGTERM keeps it from.
pub(crate) fn signalled_before_the_end(
    terminated: ExitCode,
) -> anyhow::Result<impl Future<Output = ExitCode>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => ExitCode::from(INTERRUPTED),
            _ = terminate.recv() => terminated,
        }
    })
}
