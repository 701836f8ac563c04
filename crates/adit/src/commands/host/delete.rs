//! `adit host tunnel delete`.

use std::process::ExitCode;

use adit_fleet::host::HostName;
use adit_fleet::table::{Entry, Table};
use anyhow::bail;
use serde_json::Value;

use super::{gateway, rows};
use crate::cli::{DeleteArguments, Output};
use crate::config::Surroundings;
use crate::control::client;
use crate::hosts::place::Place;
use crate::names;

/// Names of what is printed.
const COLUMNS: [&str; 6] = ["port", "host", "user", "service", "bind", "state"];

/// Takes services out of the table.
pub(super) fn run(arguments: &DeleteArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let names = std::slice::from_ref(&arguments.names);
    let hosts = names::expand(names, &arguments.about.groups, &surroundings)?;
    let hosts: Vec<HostName> = hosts.into_iter().map(|host| host.name).collect();
    if let Some(data) = &arguments.about.table.gateway {
        return gateway::delete(arguments, data, &hosts);
    }
    let place = Place::open(arguments.about.table.data.as_deref(), &surroundings)?;
    let held = place.hold()?;
    let table = place.read()?;
    let (without, gone) = without(&table, &hosts, arguments);
    if !arguments.dry_run && !gone.is_empty() {
        place.write(&held, &without)?;
        if let Some(running) = place.running(&surroundings)
            && let Err(error) = client::reload(&running)
        {
            bail!("it is out of the table, but whoever keeps that has not heard of it: {error:#}");
        }
    }
    show(&gone, arguments.about.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// The table without what is meant, and what that is.
fn without(table: &Table, hosts: &[HostName], arguments: &DeleteArguments) -> (Table, Vec<Entry>) {
    let Some(ports) = &arguments.services else {
        return table.without(hosts, &[]);
    };
    // Of each host whatever has one of these ports, wherever behind it.
    let is_meant =
        |entry: &&Entry| hosts.contains(&entry.host) && ports.0.contains(&entry.service.port);
    let services: Vec<_> = table
        .entries()
        .iter()
        .filter(is_meant)
        .map(|it| it.service.clone())
        .collect();
    if services.is_empty() {
        return (table.clone(), Vec::new());
    }
    table.without(hosts, &services)
}

fn show(gone: &[Entry], output: Output) -> anyhow::Result<()> {
    if gone.is_empty() && output == Output::Table {
        crate::log::say("none of it is in the table");
        return Ok(());
    }
    let rows = gone.iter().map(|entry| {
        let mut row = rows::of_entry(entry);
        row.push(("state", Value::from("deleted")));
        row
    });
    Ok(rows::print(rows.collect(), &COLUMNS, output)?)
}
