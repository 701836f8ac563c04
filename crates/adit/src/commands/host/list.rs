//! `adit host tunnel list` and `check`.

use std::collections::HashMap;
use std::process::ExitCode;

use adit_fleet::table::Entry;
use anyhow::{Context as _, bail};
use serde_json::Value;

use super::{gateway, rows};
use crate::cli::ListArguments;
use crate::config::Surroundings;
use crate::control::client;
use crate::hosts;
use crate::hosts::place::Place;
use crate::names;
use crate::status::{ForwardState, Report, TunnelReport, TunnelState};

/// Names of what is printed.
const LISTED: [&str; 8] = [
    "port", "host", "user", "service", "bind", "state", "visitors", "reason",
];
const CHECKED: [&str; 8] = [
    "port", "host", "user", "service", "bind", "state", "ms", "reason",
];

/// Shows the table, and where its tunnels stand.
pub(super) fn list(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    if let Some(data) = &arguments.about.table.gateway {
        return gateway::list(arguments, data, &surroundings);
    }
    let place = Place::open(arguments.about.table.data.as_deref(), &surroundings)?;
    let entries = entries(&place, arguments, &surroundings)?;
    let report = match place.running(&surroundings) {
        Some(running) => Some(client::status(&running)?),
        None => None,
    };
    let rows = entries.iter().map(|entry| {
        let mut row = rows::of_entry(entry);
        let (state, visitors, reason) = standing(entry, report.as_ref());
        row.extend([("state", state), ("visitors", visitors), ("reason", reason)]);
        row
    });
    rows::print(rows.collect(), &LISTED, arguments.about.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// Has each service visited.
pub(super) fn check(arguments: &ListArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    if arguments.about.table.gateway.is_some() {
        bail!(
            "a gateway's tunnels are their devices': adit lease list --data DIR shows which are held"
        );
    }
    let place = Place::open(arguments.about.table.data.as_deref(), &surroundings)?;
    let entries = entries(&place, arguments, &surroundings)?;
    let running = place.running(&surroundings).with_context(|| {
        format!(
            "nobody keeps the tunnels of {}: adit host up does, and adit service install hosts at boot",
            place.folder().display()
        )
    })?;
    let report = client::status(&running)?;
    let checked = client::check(&running)?;
    let checked: HashMap<u16, _> = checked.into_iter().map(|one| (one.port, one)).collect();
    let mut is_well = true;
    let rows = entries.iter().map(|entry| {
        let mut row = rows::of_entry(entry);
        let found = checked.get(&entry.port);
        let ms = found.and_then(|found| found.ms);
        let (standing, _, waits) = standing(entry, Some(&report));
        // One that nobody can come to is not well, even if its service is.
        let is_bound = standing != "waiting";
        let is_reached = ms.is_some() && is_bound;
        is_well &= is_reached;
        let state = if is_reached { "ok" } else { "FAIL" };
        let reason = match found.and_then(|found| found.reason.clone()) {
            Some(reason) if !waits.is_null() => Value::from(format!("{reason}: {}", text(&waits))),
            Some(reason) => Value::from(reason),
            None => waits,
        };
        let ms = ms.map_or(Value::Null, |ms| Value::from((ms * 10.0).round() / 10.0));
        row.extend([
            ("state", Value::from(state)),
            ("ms", ms),
            ("reason", reason),
        ]);
        row
    });
    let rows = rows.collect();
    rows::print(rows, &CHECKED, arguments.about.output.output)?;
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn text(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

/// The entries that are meant, in the table's order.
fn entries(
    place: &Place,
    arguments: &ListArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<Vec<Entry>> {
    let table = place.read()?;
    let Some(names) = &arguments.names else {
        return Ok(table.entries().to_vec());
    };
    let hosts = names::expand(
        std::slice::from_ref(names),
        &arguments.about.groups,
        surroundings,
    )?;
    let meant = table
        .entries()
        .iter()
        .filter(|entry| hosts.iter().any(|host| host.name == entry.host));
    Ok(meant.cloned().collect())
}

/// The state of an entry, how many visitors it has, and why it is not up.
pub(super) fn standing(entry: &Entry, report: Option<&Report>) -> (Value, Value, Value) {
    let Some(report) = report else {
        return (
            Value::from("down"),
            Value::Null,
            Value::from("nobody keeps the table"),
        );
    };
    let Some((tunnel, forward)) = hosts::find(report, entry) else {
        return (
            Value::from("down"),
            Value::Null,
            Value::from("it is being read"),
        );
    };
    let state = if forward.state == ForwardState::Away {
        // It listens; what is missing is the connection.
        serde_json::to_value(tunnel.state)
    } else {
        serde_json::to_value(forward.state)
    };
    let state = state.unwrap_or_default();
    let reason = match (&forward.reason, why(tunnel)) {
        (Some(reason), _) => Value::from(reason.clone()),
        (None, Some(why)) => Value::from(why),
        (None, None) => Value::Null,
    };
    (state, forward.visitors.into(), reason)
}

/// Why there is no connection.
fn why(tunnel: &TunnelReport) -> Option<String> {
    if tunnel.state == TunnelState::Connected {
        return None;
    }
    tunnel
        .last_error
        .as_ref()
        .map(|trouble| trouble.what.clone())
}
