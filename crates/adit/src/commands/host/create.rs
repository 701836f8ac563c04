//! `adit host tunnel create`.

use std::collections::BTreeSet;
use std::io;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use adit_fleet::host::{Host, HostName};
use adit_fleet::table::{Entry, Numbering, Plan, Service, Table, Wish};
use adit_tunnel::agent::listen::{Beside, ListenError, Shared};
use adit_tunnel::agent::network::Watcher;
use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::time::Instant;

use super::list::standing;
use super::{gateway, rows};
use crate::cli::{CreateArguments, Output};
use crate::config::Surroundings;
use crate::control::client;
use crate::hosts::place::{Held, Place};
use crate::hosts::{self, tunnel};
use crate::log::say;
use crate::names;
use crate::status::{ForwardState, Report, TunnelState};

/// Where ports begin, as in the document that asked for the command.
const START: u16 = 8_001;
/// Names of what is printed.
const COLUMNS: [&str; 8] = [
    "port", "host", "user", "service", "bind", "table", "state", "reason",
];
/// How long the first connection is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gives services ports, all of them or none.
pub(super) fn run(arguments: &CreateArguments) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings::of_this_process();
    let hosts = hosts(arguments, &surroundings)?;
    if let Some(data) = &arguments.about.table.gateway {
        return gateway::create(arguments, data, &hosts);
    }
    let place = Place::open(arguments.about.table.data.as_deref(), &surroundings)?;
    let held = place.hold()?;
    let table = place.read()?;
    let services = services(arguments);
    let plan = plan(&table, arguments, (&hosts, &services), bindable)?;
    let is_changed = plan.table != table;
    if arguments.dry_run {
        show(&plan, None, arguments.about.output.output)?;
        return Ok(ExitCode::SUCCESS);
    }
    if is_changed {
        place.write(&held, &plan.table)?;
    }
    keep(&place, &held, &table, arguments, &surroundings)?;
    drop(held);
    let report = settled(&place, &plan, &surroundings);
    show(&plan, report.as_ref(), arguments.about.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// The hosts that are meant, with who logs in there.
fn hosts(arguments: &CreateArguments, surroundings: &Surroundings) -> anyhow::Result<Vec<Host>> {
    let names = std::slice::from_ref(&arguments.names);
    let mut hosts = names::expand(names, &arguments.about.groups, surroundings)?;
    for host in &mut hosts {
        host.user = host.user.take().or_else(|| arguments.user.clone());
    }
    Ok(hosts)
}

pub(super) fn services(arguments: &CreateArguments) -> Vec<Service> {
    let host = arguments.to.clone().unwrap_or_else(HostName::localhost);
    let ports = arguments.services.0.iter();
    ports
        .map(|port| Service {
            host: host.clone(),
            port: *port,
        })
        .collect()
}

pub(super) fn numbering(arguments: &CreateArguments) -> Numbering {
    match arguments.port_prefix {
        Some(prefix) => Numbering::Prefix(prefix),
        None => Numbering::From(arguments.start.or(arguments.port).unwrap_or(START)),
    }
}

/// The table with what is wished for; `busy` tells of ports that others have.
fn plan(
    table: &Table,
    arguments: &CreateArguments,
    (hosts, services): (&[Host], &[Service]),
    busy: impl Fn(&[Entry]) -> anyhow::Result<Vec<(u16, String)>>,
) -> anyhow::Result<Plan> {
    let mut passed = BTreeSet::new();
    loop {
        let wish = Wish {
            hosts,
            services,
            numbering: numbering(arguments),
            bind: &arguments.bind,
            busy: &passed,
        };
        let plan = table.plan(&wish)?;
        let new = plan.entries.iter().filter(|(_, is_new)| *is_new);
        let new: Vec<Entry> = new.map(|(entry, _)| entry.clone()).collect();
        let taken = busy(&new)?;
        if taken.is_empty() {
            return Ok(plan);
        }
        if !arguments.skip_busy {
            let words: Vec<_> = taken.into_iter().map(|(_, words)| words).collect();
            bail!(
                "nothing is changed, for not all ports can be had (--skip-busy passes over those):\n  {}",
                words.join("\n  ")
            );
        }
        passed.extend(taken.into_iter().map(|(port, _)| port));
    }
}

/// Which of these cannot listen, and why: all are bound at once, and closed again.
fn bindable(new: &[Entry]) -> anyhow::Result<Vec<(u16, String)>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let taken = runtime.block_on(async {
        let (_watcher, network) = Watcher::start();
        let (mut bound, mut taken) = (Vec::new(), Vec::new());
        for entry in new {
            let forward = tunnel::forward(entry);
            let shared = Shared::default();
            match Beside::start(forward, std::sync::Arc::default(), &shared, &network).await {
                Ok(beside) => bound.push(beside),
                Err(error) => {
                    let words = format!(
                        "{} service {}: {}",
                        entry.host,
                        entry.service.port,
                        words(&error)
                    );
                    taken.push((entry.port, words));
                }
            }
        }
        taken
    });
    Ok(taken)
}

fn words(error: &ListenError) -> String {
    adit_tunnel::agent::chain(error)
}

/// Has what is new kept, by whoever keeps the table or by somebody who is started. Where it cannot be, the table is
/// as it was.
fn keep(
    place: &Place,
    held: &Held,
    before: &Table,
    arguments: &CreateArguments,
    surroundings: &Surroundings,
) -> anyhow::Result<()> {
    if let Some(running) = place.running(surroundings) {
        let told = client::reload(&running);
        let troubles = match told {
            Ok(troubles) => troubles,
            Err(error) => vec![format!("{error:#}")],
        };
        if troubles.is_empty() {
            return Ok(());
        }
        place.write(held, before)?;
        // It keeps what it kept before, whatever it says now.
        drop(client::reload(&running));
        bail!(
            "nothing is changed, for not all of it can be kept:\n  {}",
            troubles.join("\n  ")
        );
    }
    if arguments.no_start {
        say(
            "nobody keeps the table now: adit host up does, and adit service install hosts at boot",
        );
        return Ok(());
    }
    if let Err(error) = start(place) {
        place.write(held, before)?;
        return Err(error);
    }
    say("started in the background; adit service install hosts has it started at boot");
    Ok(())
}

/// Starts somebody in the background who keeps the table.
fn start(place: &Place) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let status = Command::new(program)
        .args(["host", "up", "--detach", "--data"])
        .arg(place.folder())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .context("cannot start adit host up")?;
    ensure!(
        status.success(),
        "adit host up could not be started: nothing is changed"
    );
    Ok(())
}

/// Waits for a while until each new tunnel is up, or says why not.
fn settled(place: &Place, plan: &Plan, surroundings: &Surroundings) -> Option<Report> {
    let running = place.running(surroundings)?;
    let new = plan.entries.iter().filter(|(_, is_new)| *is_new);
    let new: Vec<&Entry> = new.map(|(entry, _)| entry).collect();
    let began = Instant::now();
    let mut last = None;
    let watched = client::watch(&running, |report| {
        let is_settled = new.iter().all(|entry| {
            let found = hosts::find(&report, entry);
            found.is_some_and(|(tunnel, forward)| {
                let is_coming = matches!(
                    tunnel.state,
                    TunnelState::Connecting | TunnelState::Connected
                );
                forward.state != ForwardState::Away || !is_coming
            })
        });
        last = Some(report);
        if is_settled || began.elapsed() > PATIENCE {
            return Err(io::Error::other("seen enough"));
        }
        Ok(())
    });
    // Its end is what was waited for.
    drop(watched);
    last
}

fn show(plan: &Plan, report: Option<&Report>, output: Output) -> anyhow::Result<()> {
    let rows = plan.entries.iter().map(|(entry, is_new)| {
        let mut row = rows::of_entry(entry);
        let (state, reason) = match report {
            Some(report) => {
                let (state, _, reason) = standing(entry, Some(report));
                (state, reason)
            }
            None => (Value::from("-"), Value::Null),
        };
        let there = if *is_new { "new" } else { "there" };
        row.extend([
            ("table", Value::from(there)),
            ("state", state),
            ("reason", reason),
        ]);
        row
    });
    Ok(rows::print(rows.collect(), &COLUMNS, output)?)
}
