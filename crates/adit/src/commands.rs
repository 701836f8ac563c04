//! The commands, a file each.

use std::process::ExitCode;

use adit_store::Kind;

use crate::cli::Command;

mod admin;
mod check;
mod completions;
mod doctor;
mod down;
mod expose;
pub(crate) mod forward;
mod gateway;
mod host;
mod import;
mod join;
pub(crate) mod keeper;
mod man;
mod run;
mod serve;
mod start;
mod status;
mod stop;
mod trust;
mod up;
mod validate;

/// Does what was asked.
pub(crate) fn run(command: Command, verbose: u8) -> anyhow::Result<ExitCode> {
    match command {
        Command::Forward(arguments) => forward::run(&arguments, verbose),
        Command::Up(arguments) => up::run(&arguments, verbose),
        Command::Start(arguments) => start::run(&arguments, verbose),
        Command::Down(source) => down::run(&source),
        Command::Stop(arguments) => stop::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::User(arguments) => admin::principals(arguments, Kind::User),
        Command::Device(arguments) => admin::principals(arguments, Kind::Device),
        Command::Key(arguments) => admin::keys(arguments),
        Command::Grant(arguments) => admin::grants(arguments),
        Command::Lease(arguments) => admin::leases(arguments),
        Command::Reservation(arguments) => admin::reservations(arguments),
        Command::Authority(arguments) => admin::authorities(arguments),
        Command::Revoke(arguments) => admin::revocations(arguments),
        Command::HostKey(arguments) => admin::host_keys(&arguments),
        Command::Invite(arguments) => admin::invites(arguments),
        Command::Audit(arguments) => admin::audit(&arguments),
        Command::Reload(arguments) => admin::reload(&arguments),
        Command::Join(arguments) => join::run(&arguments),
        Command::Expose(arguments) => expose::run(&arguments),
        Command::Host(command) => host::run(command, verbose),
        Command::Import(arguments) => import::run(&arguments),
        Command::Run(arguments) => run::run(&arguments, verbose),
        Command::Status(arguments) => status::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Validate(source) => validate::run(&source),
        Command::Doctor(arguments) => doctor::run(&arguments),
        Command::Trust(arguments) => trust::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments),
        Command::Man(arguments) => man::run(&arguments),
    }
}
