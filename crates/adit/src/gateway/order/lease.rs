//! Orders about leases: what is held, by whom, and until when.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use adit_model::host::Name;
use adit_model::id::LeaseId;
use adit_model::lease::{Holding, Lease, LeaseState, SocketName};
use adit_store::WriteError;
use adit_tunnel::gateway::desk::{Desk, LeaseRow, RowState};
use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Hands, Names, Outcome, row};

/// What is to be done with leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum LeaseOrder {
    /// All of them.
    List {},
    /// One.
    Show {
        /// What is held.
        held: Held,
    },
    /// Whoever asks first has it.
    Remove {
        /// What is held.
        held: Held,
    },
}

/// What is held, as an operator writes it: `10022`, `PRINCIPAL/SOCKET`, `NAME:PORT`,
/// `NAME:PORT#PLACE`, or a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) enum Held {
    /// A port.
    Port(u16),
    /// A socket in the folder of a principal.
    Socket(Name, SocketName),
    /// A name.
    Name(Name),
    /// A service of a name.
    Service(Name, u16),
    /// A further place in the pool of one.
    Member(Name, u16, u16),
}

/// A text that says nothing that could be held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("wanted a port, PRINCIPAL/SOCKET, NAME:PORT, NAME:PORT#PLACE, or a name")]
pub(crate) struct HeldError;

/// A lease as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    holding: String,
    principal: String,
    state: &'static str,
    until: Option<Timestamp>,
    since: Timestamp,
    source: Option<SocketAddr>,
    user: Option<String>,
    key: Option<String>,
    bind: Option<String>,
    addresses: Vec<SocketAddr>,
    urls: Vec<String>,
    scope: String,
    waiting: u32,
    epoch: u64,
    id: i64,
}

/// A lease that was found.
struct Found {
    id: LeaseId,
    holding: Holding,
    shown: Shown,
}

pub(super) async fn carry_out(order: &LeaseOrder, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    let change = hands.change();
    match order {
        LeaseOrder::List {} => {
            let all = all(hands).await?;
            Outcome::list(all.into_iter().map(|found| row(found.shown)))
        }
        LeaseOrder::Show { held } => {
            let found = find(held, hands).await?;
            Ok(Outcome::one(row(found.shown)?))
        }
        LeaseOrder::Remove { held } => {
            let found = find(held, hands).await?;
            let removed = hands.store.remove_lease(&change, found.id).await;
            match removed {
                // One that could not be kept yet is only at the desk.
                Ok(_) | Err(WriteError::Unknown { .. }) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(desk) = hands.desk {
                free(desk, &found.holding)?;
            }
            let words = format!(
                "{} is {}'s no more: whoever asks first has it",
                found.shown.holding, found.shown.principal
            );
            Ok(Outcome::done(words, []))
        }
    }
}

/// Takes a lease from its holder, and then out of quarantine.
fn free(desk: &Desk, holding: &Holding) -> anyhow::Result<()> {
    /// From a holder to quarantine, from there to nobody.
    const STEPS: u32 = 2;
    for _ in 0..STEPS {
        desk.release(holding);
    }
    if desk.principal(holding).is_some() {
        bail!("{holding} was taken again in the same moment: adit lease show says by whom");
    }
    Ok(())
}

async fn find(held: &Held, hands: Hands<'_>) -> anyhow::Result<Found> {
    let holding = match held {
        Held::Port(port) => Holding::Port(*port),
        Held::Name(name) => Holding::Name(name.clone()),
        Held::Service(name, port) => Holding::Service(name.clone(), *port),
        Held::Member(name, port, place) => Holding::Member(name.clone(), *port, *place),
        Held::Socket(name, socket) => {
            Holding::Unix(hands.principal(name).await?.id, socket.clone())
        }
    };
    let all = all(hands).await?;
    let found = all.into_iter().find(|found| found.holding == holding);
    found.with_context(|| format!("nobody has {held}: adit lease list shows what is held"))
}

async fn all(hands: Hands<'_>) -> anyhow::Result<Vec<Found>> {
    let names = hands.names().await?;
    if let Some(desk) = hands.desk {
        let rows = desk.rows().into_iter();
        return Ok(rows.map(|row| of_desk(row, &names)).collect());
    }
    let leases = hands.store.leases().await?.into_iter();
    Ok(leases.map(|lease| of_store(lease, &names)).collect())
}

fn of_desk(row: LeaseRow, names: &Names) -> Found {
    let mut shown = Shown {
        holding: text(&row.holding, names),
        principal: names.of(row.principal),
        state: "held",
        until: None,
        since: row.since,
        source: None,
        user: None,
        key: None,
        bind: None,
        addresses: row.addresses,
        urls: row.urls,
        scope: row.scope.to_string(),
        waiting: row.waiting,
        epoch: row.epoch.get(),
        id: row.id.get(),
    };
    match row.state {
        RowState::Held {
            source,
            user,
            key,
            bind,
            since: _,
        } => {
            shown.source = Some(source);
            shown.user = Some(user);
            shown.key = key.map(String::from);
            shown.bind = Some(bind);
        }
        RowState::Grace { until } => (shown.state, shown.until) = ("grace", Some(until)),
        RowState::Quarantine { until } => (shown.state, shown.until) = ("quarantine", Some(until)),
    }
    Found {
        id: row.id,
        holding: row.holding,
        shown,
    }
}

/// While no gateway runs, nobody holds anything: what was held waits for its owner.
fn of_store(lease: Lease, names: &Names) -> Found {
    let (state, until) = match lease.state {
        LeaseState::Held => ("grace", None),
        LeaseState::Grace(until) => ("grace", Some(until)),
        LeaseState::Quarantine(until) => ("quarantine", Some(until)),
    };
    let shown = Shown {
        holding: text(&lease.holding, names),
        principal: names.of(lease.principal),
        state,
        until,
        since: lease.since,
        source: None,
        user: None,
        key: None,
        bind: None,
        addresses: Vec::new(),
        urls: Vec::new(),
        scope: lease.scope.to_string(),
        waiting: 0,
        epoch: lease.epoch.get(),
        id: lease.id.get(),
    };
    Found {
        id: lease.id,
        holding: lease.holding,
        shown,
    }
}

/// What is held, in the form that [`Held`] reads.
fn text(holding: &Holding, names: &Names) -> String {
    match holding {
        Holding::Port(port) => port.to_string(),
        Holding::Unix(principal, name) => format!("{}/{name}", names.of(*principal)),
        Holding::Name(name) => name.to_string(),
        Holding::Service(name, port) => format!("{name}:{port}"),
        Holding::Member(name, port, place) => format!("{name}:{port}#{place}"),
    }
}

impl FromStr for Held {
    type Err = HeldError;

    fn from_str(text: &str) -> Result<Self, HeldError> {
        if let Some((name, socket)) = text.split_once('/') {
            let name = name.parse().map_err(|_| HeldError)?;
            let socket = socket.parse().map_err(|_| HeldError)?;
            return Ok(Self::Socket(name, socket));
        }
        if let Some((name, port)) = text.rsplit_once(':') {
            let name = name.parse().map_err(|_| HeldError)?;
            let (port, place) = match port.split_once('#') {
                Some((port, place)) => (port, place.parse().map_err(|_| HeldError)?),
                None => (port, 0),
            };
            let port: u16 = port.parse().map_err(|_| HeldError)?;
            return match (port, place) {
                (0, _) => Err(HeldError),
                (port, 0) => Ok(Self::Service(name, port)),
                (port, place) => Ok(Self::Member(name, port, place)),
            };
        }
        match (text.parse::<u16>(), text.parse()) {
            (Ok(port), _) if port != 0 => Ok(Self::Port(port)),
            (Err(_), Ok(name)) => Ok(Self::Name(name)),
            (Ok(_), _) | (Err(_), Err(_)) => Err(HeldError),
        }
    }
}

impl TryFrom<String> for Held {
    type Error = HeldError;

    fn try_from(text: String) -> Result<Self, HeldError> {
        text.parse()
    }
}

impl From<Held> for String {
    fn from(held: Held) -> Self {
        held.to_string()
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, "{port}"),
            Self::Socket(name, socket) => write!(f, "{name}/{socket}"),
            Self::Name(name) => write!(f, "{name}"),
            Self::Service(name, port) => write!(f, "{name}:{port}"),
            Self::Member(name, port, place) => write!(f, "{name}:{port}#{place}"),
        }
    }
}
