//! The table of a gateway: ports that are reserved for devices, by their names.
//!
//! It is what the gateway's store says, and no file beside it: a reservation for each entry, whose note says which
//! service it is for, and a grant of that port. The device asks for its port as it always did.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

use adit_fleet::host::{Host, HostName};
use adit_fleet::table::{Entry, Service, Table, Wish};
use adit_model::grant::Reach;
use adit_model::host::Name;
use adit_model::lease::Reserved;
use adit_model::port::PortSet;
use anyhow::{Context as _, bail};
use serde_json::Value;

use super::create::{numbering, services};
use super::rows;
use crate::cli::{CreateArguments, DeleteArguments, GatewayArguments, ListArguments};
use crate::commands::admin::carry;
use crate::config::Surroundings;
use crate::gateway::order::{
    GrantChange, GrantOrder, GrantRemoval, LeaseOrder, Order, Outcome, ReservationOrder, Row,
};
use crate::log::say;
use crate::names;

/// What the note of a reservation begins with that is an entry.
const NOTE: &str = "host tunnel: service ";
/// Names of what is printed.
const COLUMNS: [&str; 6] = ["port", "host", "user", "service", "bind", "state"];

/// What a gateway has reserved.
struct Reservations {
    table: Table,
    /// The numbers of the reservations, in the table's order.
    ids: Vec<i64>,
    /// Ports that others have, and who.
    others: Vec<(PortSet, String)>,
}

/// A gateway by its data directory.
struct Gateway(GatewayArguments);

impl Gateway {
    fn at(data: &Path) -> Self {
        Self(GatewayArguments {
            data: Some(data.to_owned()),
            config: None,
            database_file: None,
            json: false,
        })
    }

    fn give(&self, order: &Order) -> anyhow::Result<Outcome> {
        carry(order, &self.0, &[]).map(|(outcome, _)| outcome)
    }

    fn reservations(&self) -> anyhow::Result<Reservations> {
        let outcome = self.give(&Order::Reservation(ReservationOrder::List {}))?;
        let (mut entries, mut ids, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for row in &outcome.rows {
            let text = |key: &str| row.get(key).and_then(Value::as_str).unwrap_or_default();
            let ports: PortSet = text("ports").parse().unwrap_or_default();
            let id = row.get("id").and_then(Value::as_i64).unwrap_or_default();
            match entry(text("principal"), &ports, text("note")) {
                Some(entry) => {
                    entries.push(entry);
                    ids.push(id);
                }
                None if ports.is_empty() => {}
                None => others.push((ports, format!("reservation {id}, {}'s", text("principal")))),
            }
        }
        let table = Table::of(entries).context("the gateway's reservations are no table")?;
        Ok(Reservations { table, ids, others })
    }

    fn reserve(&self, entry: &Entry) -> anyhow::Result<i64> {
        let principal = principal(&entry.host)?;
        let outcome = self.give(&Order::Reservation(ReservationOrder::Add {
            principal: principal.clone(),
            what: Reserved::Ports(PortSet::one(entry.port)),
            note: note(entry),
        }))?;
        let id = outcome.rows.first().and_then(|row| row.get("id"));
        let id = id
            .and_then(Value::as_i64)
            .context("the gateway gave no number")?;
        let change = GrantChange {
            ports: Some(PortSet::one(entry.port)),
            reach: Some(Reach::Public),
            ..GrantChange::default()
        };
        let change = Box::new(change);
        let granted = self.give(&Order::Grant(GrantOrder::Add { principal, change }));
        if let Err(error) = granted {
            self.release(id, None)?;
            return Err(error);
        }
        Ok(id)
    }

    fn release(&self, id: i64, entry: Option<&Entry>) -> anyhow::Result<()> {
        self.give(&Order::Reservation(ReservationOrder::Remove { id }))?;
        if let Some(entry) = entry {
            let removal = GrantRemoval {
                ports: Some(PortSet::one(entry.port)),
                ..GrantRemoval::default()
            };
            self.give(&Order::Grant(GrantOrder::Remove {
                principal: principal(&entry.host)?,
                removal: Box::new(removal),
            }))?;
        }
        Ok(())
    }
}

/// A device's name is a principal's.
fn principal(host: &HostName) -> anyhow::Result<Name> {
    let name = host.as_str().parse();
    name.with_context(|| format!("{host} is no name of a device"))
}

fn note(entry: &Entry) -> String {
    let prefix = entry
        .prefix
        .map_or_else(String::new, |prefix| format!(" prefix {prefix}"));
    format!("{NOTE}{}{prefix}", entry.service.port)
}

fn entry(principal: &str, ports: &PortSet, note: &str) -> Option<Entry> {
    let words = note.strip_prefix(NOTE)?;
    let (service, prefix) = match words.split_once(" prefix ") {
        Some((service, prefix)) => (service, Some(prefix.parse().ok()?)),
        None => (words, None),
    };
    let (port, 1) = (ports.nth(0)?, ports.len()) else {
        return None;
    };
    Some(Entry {
        host: principal.parse().ok()?,
        user: None,
        service: Service::local(service.parse().ok().filter(|port| *port > 0)?),
        port,
        bind: String::from("*"),
        prefix,
    })
}

/// Reserves ports for devices, all of them or none.
pub(super) fn create(
    arguments: &CreateArguments,
    data: &Path,
    hosts: &[Host],
) -> anyhow::Result<ExitCode> {
    let has_more = arguments.to.is_some()
        || arguments.bind != "*"
        || hosts.iter().any(|host| host.user.is_some());
    if has_more {
        names::usage(
            "at a gateway a device says itself where its service is and who listens: --to, --bind and users have no \
             meaning beside --gateway",
        );
    }
    let gateway = Gateway::at(data);
    let there = gateway.reservations()?;
    let services = services(arguments);
    let mut busy = BTreeSet::new();
    let plan = loop {
        let plan = there.table.plan(&Wish {
            hosts,
            services: &services,
            numbering: numbering(arguments),
            bind: "*",
            busy: &busy,
        })?;
        let new = plan.entries.iter().filter(|(_, is_new)| *is_new);
        let mut taken = new.filter_map(|(entry, _)| {
            let mut others = there.others.iter();
            let (_, whose) = others.find(|(ports, _)| ports.contains(entry.port))?;
            Some((entry, whose))
        });
        let Some((entry, whose)) = taken.next() else {
            break plan.clone();
        };
        if !arguments.skip_busy {
            bail!(
                "nothing is changed: port {} of {} service {} is kept by {whose} (--skip-busy passes over it)",
                entry.port,
                entry.host,
                entry.service.port
            );
        }
        busy.insert(entry.port);
    };
    if !arguments.dry_run {
        let mut made: Vec<(i64, &Entry)> = Vec::new();
        for (entry, _) in plan.entries.iter().filter(|(_, is_new)| *is_new) {
            match gateway.reserve(entry) {
                Ok(id) => made.push((id, entry)),
                Err(error) => {
                    for (id, entry) in made {
                        gateway.release(id, Some(entry))?;
                    }
                    return Err(error.context("nothing is changed"));
                }
            }
        }
    }
    let printed = plan.entries.iter().map(|(entry, is_new)| {
        let mut row = rows::of_entry(entry);
        row.push(("state", Value::from(if *is_new { "new" } else { "there" })));
        row
    });
    rows::print(printed.collect(), &COLUMNS, arguments.about.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// Takes reservations and grants away again.
pub(super) fn delete(
    arguments: &DeleteArguments,
    data: &Path,
    hosts: &[HostName],
) -> anyhow::Result<ExitCode> {
    let gateway = Gateway::at(data);
    let there = gateway.reservations()?;
    let is_meant = |entry: &Entry| {
        let services = arguments.services.as_ref();
        hosts.contains(&entry.host)
            && services.is_none_or(|ports| ports.0.contains(&entry.service.port))
    };
    let mut gone = Vec::new();
    for (entry, id) in there.table.entries().iter().zip(&there.ids) {
        if is_meant(entry) {
            if !arguments.dry_run {
                gateway.release(*id, Some(entry))?;
            }
            let mut row = rows::of_entry(entry);
            row.push(("state", Value::from("deleted")));
            gone.push(row);
        }
    }
    if gone.is_empty() {
        say("none of it is in the table");
    } else {
        rows::print(gone, &COLUMNS, arguments.about.output.output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows them, and which are held.
pub(super) fn list(
    arguments: &ListArguments,
    data: &Path,
    surroundings: &Surroundings,
) -> anyhow::Result<ExitCode> {
    let gateway = Gateway::at(data);
    let there = gateway.reservations()?;
    let leases = gateway.give(&Order::Lease(LeaseOrder::List {}))?;
    let hosts = match &arguments.names {
        Some(names) => {
            let names = std::slice::from_ref(names);
            Some(names::expand(names, &arguments.about.groups, surroundings)?)
        }
        None => None,
    };
    let is_meant = |entry: &&Entry| {
        let hosts = hosts.as_ref();
        hosts.is_none_or(|hosts| hosts.iter().any(|host| host.name == entry.host))
    };
    let printed = there.table.entries().iter().filter(is_meant).map(|entry| {
        let mut row = rows::of_entry(entry);
        row.push(("state", standing(entry, &leases.rows)));
        row
    });
    rows::print(printed.collect(), &COLUMNS, arguments.about.output.output)?;
    Ok(ExitCode::SUCCESS)
}

/// What the gateway says of the lease of that port.
fn standing(entry: &Entry, leases: &[Row]) -> Value {
    let holding = entry.port.to_string();
    let lease = leases
        .iter()
        .find(|row| row.get("holding").and_then(Value::as_str) == Some(&holding));
    lease
        .and_then(|row| row.get("state"))
        .cloned()
        .unwrap_or_else(|| Value::from("away"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_says_what_an_entry_is() {
        for (note_of_it, service, prefix) in [
            ("host tunnel: service 80", 80, None),
            ("host tunnel: service 22 prefix 401", 22, Some("401")),
        ] {
            let read = entry("red001", &PortSet::one(40_122), note_of_it).unwrap();
            assert_eq!((read.service.port, read.port), (service, 40_122));
            assert_eq!(read.prefix.map(|it| it.to_string()).as_deref(), prefix);
            assert_eq!(note(&read), note_of_it);
        }
        for note in [
            "",
            "mine",
            "host tunnel: service ",
            "host tunnel: service 0",
            "host tunnel: service 22 prefix x",
        ] {
            assert!(entry("red001", &PortSet::one(1), note).is_none(), "{note}");
        }
        assert!(entry("red001", &"1-2".parse().unwrap(), "host tunnel: service 80").is_none());
    }
}
