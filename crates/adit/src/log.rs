//! What adit says: one line on stderr for what people wait for, the log beside it.

use std::io::{self, IsTerminal as _, Write as _};

use tracing_subscriber::EnvFilter;

/// Variable that sets what is logged, as `tracing` writes it: `debug`, `adit_tunnel=trace`.
const VARIABLE: &str = "ADIT_LOG";

/// Sends the log to stderr: what changes, and with `verbose` each visitor too, or errors alone.
pub(crate) fn start(verbose: u8, is_quiet: bool) {
    let level = match verbose {
        0 if is_quiet => "error",
        0 => "info",
        1 => "debug",
        _ => "trace",
    };
    let filter = std::env::var(VARIABLE).unwrap_or_else(|_| level.to_owned());
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}

/// Writes a line to stderr. Nobody may be there to read it, and that changes nothing.
pub(crate) fn say(line: &str) {
    let written = writeln!(io::stderr().lock(), "{line}");
    drop(written);
}
