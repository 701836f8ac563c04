//! adit: gets a service out from behind a NAT, and keeps it out.
#![forbid(unsafe_code)]

use std::process::ExitCode;

mod cli;
mod commands;
mod compose;
mod config;
mod control;
mod detach;
mod enrolled;
mod expose;
mod files;
mod gateway;
mod hosts;
mod import;
mod log;
mod manual;
mod memory;
mod names;
mod progress;
mod signal;
mod status;
mod task;
mod tell;
mod terminal;
mod tunnels;

/// Smallest with many idle connections (docs/decision/0002-dependencies.md).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    if let Some(code) = commands::keeper::run_if_meant() {
        return code;
    }
    let cli = cli::Cli::read();
    log::start(cli.verbose, cli.command.is_quiet(), cli.log_format);
    match memory::withhold().and_then(|()| commands::run(cli.command, cli.verbose)) {
        Ok(code) => code,
        Err(error) => {
            log::fail(&error);
            ExitCode::FAILURE
        }
    }
}
