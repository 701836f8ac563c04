//! What a gateway is told from outside: to read everything again, or to end.

use std::process::ExitCode;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that a gateway listens to, from when this is made.
#[derive(Debug)]
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// What a signal means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Told {
    /// SIGHUP.
    Reload,
    /// SIGTERM, with code 0, or SIGINT, with code 130.
    End(ExitCode),
}

/// Exit code after SIGINT, as shells have it.
const INTERRUPTED: u8 = 130;

impl Signals {
    /// Listens.
    ///
    /// # Errors
    ///
    /// The system does not let us.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let kind = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            hangup: kind(SignalKind::hangup())?,
            interrupt: kind(SignalKind::interrupt())?,
            terminate: kind(SignalKind::terminate())?,
        })
    }

    /// The next one.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.hangup.recv() => Told::Reload,
            _ = self.interrupt.recv() => Told::End(ExitCode::from(INTERRUPTED)),
            _ = self.terminate.recv() => Told::End(ExitCode::SUCCESS),
        }
    }
}
