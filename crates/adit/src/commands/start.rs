//! `adit start`: as `adit up`, with components as they were set up before.

use std::process::ExitCode;

use super::up;
use crate::cli::UpArguments;
use crate::compose::service::SetUp;

/// Keeps what the file says until SIGINT, SIGTERM, `adit down` or `adit stop`.
pub(crate) fn run(arguments: &UpArguments, verbose: u8) -> anyhow::Result<ExitCode> {
    up::keep(arguments, SetUp::Passed, verbose)
}
