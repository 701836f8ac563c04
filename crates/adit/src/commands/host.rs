//! `adit host`: names of hosts, and the table of ports.

use std::io::{self, Read as _, Write as _};
use std::process::ExitCode;

use adit_fleet::range;
use anyhow::Context as _;

use crate::cli::{ExpandArguments, FoldArguments, HostCommand, TunnelCommand};
use crate::config::Surroundings;
use crate::names;

mod create;
mod delete;
mod gateway;
mod list;
mod rows;
mod up;

/// Most bytes of names on standard input.
const INPUT: u64 = 16 << 20;

/// Does what was asked.
pub(crate) fn run(command: HostCommand, verbose: u8) -> anyhow::Result<ExitCode> {
    match command {
        HostCommand::Expand(arguments) => expand(&arguments),
        HostCommand::Fold(arguments) => fold(&arguments),
        HostCommand::Tunnel(TunnelCommand::Create(arguments)) => create::run(&arguments),
        HostCommand::Tunnel(TunnelCommand::Delete(arguments)) => delete::run(&arguments),
        HostCommand::Tunnel(TunnelCommand::List(arguments)) => list::list(&arguments),
        HostCommand::Tunnel(TunnelCommand::Check(arguments)) => list::check(&arguments),
        HostCommand::Up(arguments) => up::run(&arguments, verbose),
        HostCommand::Down(arguments) => up::down(&arguments),
    }
}

fn expand(arguments: &ExpandArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let hosts = names::expand(&arguments.expressions, &arguments.groups, &surroundings)?;
    let mut text = String::new();
    for host in hosts {
        text.push_str(&host.to_string());
        text.push('\n');
    }
    print(&text)
}

fn fold(arguments: &FoldArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let mut expressions = Vec::new();
    for name in &arguments.names {
        if name == "-" {
            let mut text = String::new();
            let read = io::stdin().take(INPUT).read_to_string(&mut text);
            read.context("cannot read the names of standard input")?;
            expressions.extend(text.split_whitespace().map(str::to_owned));
        } else {
            expressions.push(name.clone());
        }
    }
    let hosts = names::expand(&expressions, &arguments.groups, &surroundings)?;
    let mut names: Vec<_> = hosts.iter().map(ToString::to_string).collect();
    if arguments.sort {
        names.sort_by(|one, other| range::order(one, other));
    }
    print(&format!(
        "{}\n",
        range::fold(names.iter().map(String::as_str))
    ))
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}
