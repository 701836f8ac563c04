//! The signals that end the program in order.

use std::fmt;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// Whether the terminal has told of its end. Its shell may tell of it too, and a second signal would mean haste.
static HUNG_UP: AtomicBool = AtomicBool::new(false);

/// A signal that ends the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGINT: Ctrl-C of whoever sits at the terminal.
    Interrupt,
    /// SIGTERM.
    Terminate,
    /// SIGHUP, by which a terminal that is closed tells of it.
    HangUp,
}

impl Signal {
    /// The exit code of a program that a signal has kept from its end, as shells have it: 128 and the signal's
    /// number.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::HangUp => 129,
            Self::Interrupt => 130,
            Self::Terminate => 143,
        })
    }
}

/// As it is called: `SIGTERM`.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::HangUp => "SIGHUP",
        })
    }
}

/// Waits for SIGINT or SIGTERM, from this call on, and says what the program ends with. SIGHUP, by which a
/// terminal that is closed tells of it, is as SIGTERM, unless whoever has started the program wants it ignored
/// (nohup(1)).
pub(crate) fn signalled() -> anyhow::Result<impl Future<Output = ExitCode>> {
    let signal = signalled_before_the_end()?;
    Ok(async {
        match signal.await {
            interrupt @ Signal::Interrupt => interrupt.code(),
            Signal::Terminate | Signal::HangUp => ExitCode::SUCCESS,
        }
    })
}

/// As [`signalled`], for a program whose work has an end, which any of them keeps it from.
pub(crate) fn signalled_before_the_end() -> anyhow::Result<impl Future<Output = Signal>> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut hangup = if HUNG_UP.load(Ordering::Relaxed) || ignores_hangup() {
        None
    } else {
        Some(signal(SignalKind::hangup()).context("cannot wait for signals")?)
    };
    let hung_up = async move {
        let heard = match &mut hangup {
            Some(hangup) => hangup.recv().await,
            None => None,
        };
        if heard.is_none() {
            std::future::pending::<()>().await;
        }
    };
    Ok(async move {
        tokio::select! {
            () = hung_up => {
                HUNG_UP.store(true, Ordering::Relaxed);
                Signal::HangUp
            }
            _ = interrupt.recv() => Signal::Interrupt,
            _ = terminate.recv() => Signal::Terminate,
        }
    })
}

/// Whether SIGHUP is ignored, as `/proc/self/status` shows it. Where that cannot be known it stays as it is.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status).is_none_or(|signals| signals & 1 != 0)
}

/// The signals that a process ignores, the first of them (SIGHUP) as the lowest bit (proc_pid_status(5)).
fn ignored(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let signals = lines.find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(signals.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_ignores_is_in_its_status() {
        for (status, found) in [
            (
                "SigBlk:\t0000000000000001\nSigIgn:\t0000000000001000\n",
                Some(0x1000),
            ),
            ("Name:\ta\nSigIgn:\t0000000000000001\nSigCgt:\t0\n", Some(1)),
            ("SigIgn:\tx\n", None),
            ("", None),
        ] {
            assert_eq!(ignored(status), found, "{status}");
        }
    }
}
