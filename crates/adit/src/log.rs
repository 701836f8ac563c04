//! What adit says: one line on stderr for what people wait for, the log beside it.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::OnceLock;

use clap::ValueEnum;

use tracing_subscriber::EnvFilter;

/// Variable that sets what is logged, as `tracing` writes it: `debug`, `adit_tunnel=trace`.
const VARIABLE: &str = "ADIT_LOG";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Text, for people.
    Plain,
    /// One JSON object a line, for programs; what is else a line of its own is one of them.
    Json,
}

static FORMAT: OnceLock<Format> = OnceLock::new();

/// Sends the log to stderr: what changes, and with `verbose` each visitor too, or errors alone.
pub(crate) fn start(verbose: u8, is_quiet: bool, format: Format) {
    let level = match verbose {
        // A host key that is trusted unseen is told in any case. How a run ended is the last word of who
        // asked for it.
        0 if is_quiet => {
            "error,adit_tunnel::agent::connect::answers=warn,adit_flow::exec::engine=off"
        }
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = std::env::var(VARIABLE).unwrap_or_else(|_| level.to_owned());
    let log = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_target(false)
        // A log that cannot be written, on a full disk or to a reader that has gone, changes nothing else;
        // telling of it would be written there, too, and panic.
        .log_internal_errors(false);
    match format {
        Format::Plain => log.with_ansi(io::stderr().is_terminal()).init(),
        Format::Json => log.json().flatten_event(true).init(),
    }
    // There is one start.
    FORMAT.get_or_init(|| format);
}

/// Writes the program's last word to stderr: why it failed, behind the head of its line.
pub(crate) fn fail(head: &str, error: &anyhow::Error) {
    if FORMAT.get() == Some(&Format::Json) {
        tracing::error!("{error:#}");
    } else {
        say(&format!("{head} {error:#}"));
    }
}

/// Writes a line to stderr. Nobody may be there to read it, and that changes nothing.
pub(crate) fn say(line: &str) {
    if FORMAT.get() == Some(&Format::Json) {
        tracing::info!("{line}");
        return;
    }
    let written = writeln!(io::stderr().lock(), "{line}");
    drop(written);
}
