//! Orders about principals: people and machines that are known here.

use adit_model::grant::Grant;
use adit_model::host::Name;
use adit_store::{Kind, NewPrincipal, Principal, Standing};
use adit_tunnel::gateway::report::Report;
use anyhow::ensure;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Hands, Outcome, Row, grant, key, row};

/// What is to be done with principals of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PrincipalOrder {
    /// One more.
    Add {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Words about it.
        note: String,
    },
    /// All of them.
    List {
        /// What they are.
        kind: Kind,
    },
    /// One, with its keys and its grant.
    Show {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// It is nobody any more.
    Remove {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
    },
    /// Whether it may log in.
    Stand {
        /// What it is.
        kind: Kind,
        /// Its name.
        name: Name,
        /// Whether it may.
        standing: Standing,
    },
}

/// A principal as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    name: &'a Name,
    kind: Kind,
    standing: Standing,
    keys: usize,
    created: Timestamp,
    note: &'a str,
    id: i64,
}

/// What an agent has told, as it is shown.
#[derive(Debug, Serialize)]
struct Reported<'a> {
    host: Option<&'a str>,
    system: Option<&'a str>,
    version: Option<&'a str>,
    from: &'a str,
    heard: Timestamp,
    targets: Vec<Row>,
}

/// The service behind a forward, as its agent has found it.
#[derive(Debug, Serialize)]
struct Target<'a> {
    forward: &'a str,
    is_well: bool,
    found: &'a str,
    at: Timestamp,
}

pub(super) async fn carry_out(order: &PrincipalOrder, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    let change = hands.change();
    match order {
        PrincipalOrder::Add { kind, name, note } => {
            let new = NewPrincipal {
                name: name.clone(),
                kind: *kind,
                grant: Grant::default(),
                note: note.clone(),
            };
            hands.store.add_principal(&change, &new).await?;
            let word = word(*kind);
            let words = format!(
                "{word} {name} is known: give it a key with adit key add {name} FILE, and rights with adit grant \
                 add {name}"
            );
            let added = hands.principal(name).await?;
            Ok(Outcome::done(words, [shown(&added, 0)?]))
        }
        PrincipalOrder::List { kind } => list(*kind, hands).await,
        PrincipalOrder::Show { kind, name } => {
            let principal = of_kind(*kind, name, hands).await?;
            let keys = hands.store.keys(Some(principal.id)).await?;
            let mut shown = shown(&principal, keys.len())?;
            let keys = keys.iter().map(|one| key::shown(one, name.as_str()));
            let keys = keys.map(|row| row.map(Value::Object));
            shown.insert(String::from("keys"), keys.collect::<Result<Value, _>>()?);
            let grant = grant::shown(&principal.grant)?;
            shown.insert(String::from("grant"), Value::Object(grant));
            if let Some(report) = hands.reports.and_then(|all| all.of(principal.id)) {
                shown.insert(String::from("agent"), Value::Object(reported(&report)?));
            }
            Ok(Outcome::one(shown))
        }
        PrincipalOrder::Remove { kind, name } => {
            let principal = of_kind(*kind, name, hands).await?;
            let until = hands.quarantine()?;
            let removed = hands.store.remove_principal(&change, principal.id, until);
            removed.await?;
            let words = format!(
                "{} {name} is removed with its keys and reservations; what it held is kept from others until {}",
                word(*kind),
                seconds(until.ports)
            );
            Ok(Outcome::done(words, []))
        }
        PrincipalOrder::Stand {
            kind,
            name,
            standing,
        } => {
            let mut principal = of_kind(*kind, name, hands).await?;
            let changed = hands.store.set_standing(&change, principal.id, *standing);
            changed.await?;
            let words = match standing {
                Standing::Enabled => "may log in again",
                Standing::Disabled => {
                    "may not log in any more, and its connections are closed; its keys and grant are kept"
                }
            };
            principal.standing = *standing;
            let keys = hands.store.keys(Some(principal.id)).await?.len();
            let words = format!("{} {name} {words}", word(*kind));
            Ok(Outcome::done(words, [shown(&principal, keys)?]))
        }
    }
}

async fn list(kind: Kind, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    let keys = hands.store.keys(None).await?;
    let principals = hands.store.principals().await?;
    let of_kind = principals.iter().filter(|principal| principal.kind == kind);
    Outcome::list(of_kind.map(|principal| {
        let keys = keys.iter().filter(|key| key.principal == principal.id);
        shown(principal, keys.count())
    }))
}

/// The principal of that name, if it is of that kind.
async fn of_kind(kind: Kind, name: &Name, hands: Hands<'_>) -> anyhow::Result<Principal> {
    let found = hands.principal(name).await?;
    let other = word(found.kind);
    ensure!(
        found.kind == kind,
        "{name} is a {other}: say adit {other} in the place of adit {}",
        word(kind)
    );
    Ok(found)
}

fn shown(principal: &Principal, keys: usize) -> anyhow::Result<Row> {
    row(Shown {
        name: &principal.name,
        kind: principal.kind,
        standing: principal.standing,
        keys,
        created: principal.created,
        note: &principal.note,
        id: principal.id.get(),
    })
}

/// What an agent has told of its machine: its own words, fit to be shown.
fn reported(report: &Report) -> anyhow::Result<Row> {
    let facts = report.facts.as_ref();
    let targets = report.targets.iter().map(|target| {
        row(Target {
            forward: &target.forward,
            is_well: target.is_well,
            found: &target.words,
            at: target.at,
        })
    });
    row(Reported {
        host: facts.map(|facts| facts.host.as_str()),
        system: facts.map(|facts| facts.system.as_str()),
        version: facts.map(|facts| facts.version.as_str()),
        from: &report.from,
        heard: report.at,
        targets: targets.collect::<Result<_, _>>()?,
    })
}

/// What a person calls it.
const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Device => "device",
    }
}

/// A moment, to the second.
pub(super) fn seconds(moment: Timestamp) -> String {
    format!("{moment:.0}")
}
