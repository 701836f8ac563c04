//! The two questions xtask asks of a clock: how long something took, and what day it is.

use std::process::Command;
use std::time::Instant;

use anyhow::Context as _;

/// The time now, for measuring how long a stage or a reconnect took.
#[expect(
    clippy::disallowed_methods,
    reason = "xtask measures real programs in real time; nothing here is simulated"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Today in UTC as `2026-11-22`.
pub(crate) fn today() -> anyhow::Result<String> {
    let output = Command::new("date")
        .args(["-u", "+%F"])
        .output()
        .context("cannot run `date`")?;
    let text = String::from_utf8(output.stdout).context("`date` printed no text")?;
    Ok(text.trim().to_owned())
}
