//! Orders about reservations: what only one principal may hold.

use std::fmt::Write as _;

use adit_model::host::Name;
use adit_model::lease::{Lease, LeaseState, Reservation, Reserved};
use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::{Hands, Names, Outcome, Row, row};

/// What is to be done with reservations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum ReservationOrder {
    /// One more.
    Add {
        /// For whom.
        principal: Name,
        /// Of what.
        what: Reserved,
        /// Words about it.
        note: String,
    },
    /// All of them.
    List {},
    /// One.
    Show {
        /// Its number.
        id: i64,
    },
    /// It keeps nobody out any more.
    Remove {
        /// Its number.
        id: i64,
    },
}

/// A reservation as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    id: i64,
    principal: String,
    ports: Option<String>,
    name: Option<&'a Name>,
    note: &'a str,
}

pub(super) async fn carry_out(
    order: &ReservationOrder,
    hands: Hands<'_>,
) -> anyhow::Result<Outcome> {
    let change = hands.change();
    match order {
        ReservationOrder::Add {
            principal,
            what,
            note,
        } => add((principal, what, note), hands).await,
        ReservationOrder::List {} => {
            let names = hands.names().await?;
            let all = hands.store.reservations().await?;
            Outcome::list(all.iter().map(|one| shown(one, &names)))
        }
        ReservationOrder::Show { id } => {
            let found = find(*id, hands).await?;
            let names = hands.names().await?;
            Ok(Outcome::one(shown(&found, &names)?))
        }
        ReservationOrder::Remove { id } => {
            let removed = hands.store.remove_reservation(&change, *id);
            removed.await?;
            let words =
                format!("reservation {id} is removed; who holds something of it keeps that");
            Ok(Outcome::done(words, []))
        }
    }
}

async fn add(
    (principal, what, note): (&Name, &Reserved, &str),
    hands: Hands<'_>,
) -> anyhow::Result<Outcome> {
    let change = hands.change();
    let owner = hands.principal(principal).await?;
    let names = hands.names().await?;
    for other in hands.store.reservations().await? {
        if other.principal != owner.id
            && let Some(shared) = shared(&other.what, what)
        {
            let why = match other.note.as_str() {
                "" => String::new(),
                note => format!(" ({note})"),
            };
            bail!(
                "reservation {} keeps {} for {}{why}: remove it first, or reserve something else",
                other.id,
                text(&shared),
                names.of(other.principal)
            );
        }
    }
    let leases = hands.store.leases().await?;
    let others: Vec<_> = leases
        .iter()
        .filter(|lease| lease.principal != owner.id && what.covers(&lease.holding))
        .collect();
    let wanted = Reservation {
        id: 0,
        what: what.clone(),
        principal: owner.id,
        note: String::from(note),
    };
    // Of what a prefix makes, each port is a service: with one of them missing it is no scheme.
    let is_here = |lease: &&&Lease| !matches!(lease.state, LeaseState::Quarantine(_));
    if let (Some(prefix), Some(lease)) = (wanted.prefix(), others.iter().find(is_here)) {
        let (holding, holder) = (&lease.holding, names.of(lease.principal));
        let drawn = if lease.drawn.is_some() {
            ", by the gateway's choice"
        } else {
            ""
        };
        bail!(
            "{holding} of prefix {prefix} is {holder}'s now{drawn}: end that with adit lease remove, or take another \
             prefix"
        );
    }
    let added = hands.store.add_reservation(&change, what, owner.id, note);
    let id = added.await?.it;
    let mut words = format!(
        "reservation {id}: {principal} alone may have {}",
        text(what)
    );
    for lease in others {
        let (holding, holder) = (&lease.holding, names.of(lease.principal));
        write!(
            words,
            "; {holding} is {holder}'s until its lease ends (adit lease remove ends it)"
        )
        .ok();
    }
    let added = find(id, hands).await?;
    Ok(Outcome::done(words, [shown(&added, &names)?]))
}

async fn find(id: i64, hands: Hands<'_>) -> anyhow::Result<Reservation> {
    let all = hands.store.reservations().await?;
    let found = all.into_iter().find(|one| one.id == id);
    found.with_context(|| {
        format!("there is no reservation {id}: adit reservation list shows them all")
    })
}

/// What two reservations are both about.
fn shared(one: &Reserved, other: &Reserved) -> Option<Reserved> {
    match (one, other) {
        (Reserved::Ports(one), Reserved::Ports(other)) => {
            let ports = one.intersection(other);
            (!ports.is_empty()).then_some(Reserved::Ports(ports))
        }
        (Reserved::Name(one), Reserved::Name(other)) => {
            (one == other).then(|| Reserved::Name(one.clone()))
        }
        (Reserved::Ports(_), Reserved::Name(_)) | (Reserved::Name(_), Reserved::Ports(_)) => None,
    }
}

fn text(what: &Reserved) -> String {
    match what {
        Reserved::Ports(ports) => format!("ports {ports}"),
        Reserved::Name(name) => format!("name {name}"),
    }
}

fn shown(reservation: &Reservation, names: &Names) -> anyhow::Result<Row> {
    let (ports, name) = match &reservation.what {
        Reserved::Ports(ports) => (Some(ports.to_string()), None),
        Reserved::Name(name) => (None, Some(name)),
    };
    row(Shown {
        id: reservation.id,
        principal: names.of(reservation.principal),
        ports,
        name,
        note: &reservation.note,
    })
}
