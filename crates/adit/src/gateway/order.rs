//! What an operator wants done with a gateway's store: one order, carried out whole or not at all.
//!
//! The same code carries it out in a gateway that runs, which then publishes what has changed, and in a command
//! that found none running and holds the data directory's lock instead. The order comes over the control socket
//! as it is here; what it gives are rows, JSON objects whose keys are those of `--json`.

use std::path::Path;

use adit_model::host::Name;
use adit_model::id::PrincipalId;
use adit_model::port::PortSet;
use adit_store::{Change, QuarantineUntil, Store};
use adit_tunnel::gateway::desk::Desk;
use adit_tunnel::gateway::report::Reports;
use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

pub(crate) use self::authority::AuthorityOrder;
pub(crate) use self::grant::{GrantChange, GrantOrder, GrantRemoval, Setting, Target};
pub(crate) use self::host_key::HostKeyOrder;
pub(crate) use self::invite::{InviteOrder, LASTS};
pub(crate) use self::key::{KeyOrder, NewKey, refuse_private};
pub(crate) use self::lease::{Held, LeaseOrder};
pub(crate) use self::principal::PrincipalOrder;
pub(crate) use self::reservation::ReservationOrder;
pub(crate) use self::revocation::{RevocationOrder, RevokedText};
use super::settings::Leases;

mod authority;
mod grant;
mod host_key;
mod invite;
mod key;
mod lease;
mod principal;
mod reservation;
mod revocation;
#[cfg(test)]
mod tests;

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// With principals.
    Principal(PrincipalOrder),
    /// With their keys.
    Key(KeyOrder),
    /// With what they may do.
    Grant(GrantOrder),
    /// With what is held.
    Lease(LeaseOrder),
    /// With what only one may hold.
    Reservation(ReservationOrder),
    /// With whose certificates are taken.
    Authority(AuthorityOrder),
    /// With what is never taken.
    Revocation(RevocationOrder),
    /// With the keys that the gateway is known by.
    HostKey(HostKeyOrder),
    /// With codes by which machines become devices.
    Invite(InviteOrder),
    /// Who changed what, the newest first.
    Audit {
        /// So many at the most.
        limit: u64,
        /// Those before that number.
        before: Option<i64>,
    },
}

/// One line of what an order gives.
pub(crate) type Row = Map<String, Value>;

/// What came of an order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// What was asked for, or what is there now.
    pub(crate) rows: Vec<Row>,
    /// What was done, for a person; `None` of a question.
    pub(crate) done: Option<String>,
}

/// What an order is carried out with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hands<'a> {
    /// Where everything is kept.
    pub(crate) store: &'a Store,
    /// Who holds what now, in a gateway that runs.
    pub(crate) desk: Option<&'a Desk>,
    /// What agents have told of their machines, in a gateway that runs.
    pub(crate) reports: Option<&'a Reports>,
    /// Whose order it is, as the audit has it.
    pub(crate) who: &'a str,
    /// How long what is released is kept from others.
    pub(crate) leases: Leases,
    /// The ports that forwards have here, if that is known: of a gateway that runs.
    pub(crate) ports: Option<&'a PortSet>,
    /// The folder of the host keys.
    pub(crate) host_keys: &'a Path,
    /// The file of the secret that names are given by.
    pub(crate) names: &'a Path,
}

impl Order {
    /// Whether it only asks.
    pub(crate) const fn is_question(&self) -> bool {
        let is_of_all = matches!(
            self,
            Self::Principal(PrincipalOrder::List { .. })
                | Self::Key(KeyOrder::List { .. })
                | Self::Grant(GrantOrder::List {})
                | Self::Lease(LeaseOrder::List {})
                | Self::Reservation(ReservationOrder::List {})
                | Self::Authority(AuthorityOrder::List {})
                | Self::Revocation(RevocationOrder::List {})
                | Self::HostKey(HostKeyOrder::List {})
                | Self::Invite(InviteOrder::List {})
                | Self::Audit { .. }
        );
        is_of_all || self.is_of_one()
    }

    /// Whether it asks for everything about one thing.
    pub(crate) const fn is_of_one(&self) -> bool {
        matches!(
            self,
            Self::Principal(PrincipalOrder::Show { .. })
                | Self::Key(KeyOrder::Show { .. })
                | Self::Grant(GrantOrder::Show { .. } | GrantOrder::Proof { .. })
                | Self::Lease(LeaseOrder::Show { .. })
                | Self::Reservation(ReservationOrder::Show { .. })
                | Self::Authority(AuthorityOrder::Show { .. })
        )
    }
}

/// Carries an order out.
///
/// # Errors
///
/// Nothing of it is done, in words for whoever gave it.
pub(crate) async fn carry_out(order: &Order, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    match order {
        Order::Principal(order) => principal::carry_out(order, hands).await,
        Order::Key(order) => key::carry_out(order, hands).await,
        Order::Grant(order) => grant::carry_out(order, hands).await,
        Order::Lease(order) => lease::carry_out(order, hands).await,
        Order::Reservation(order) => reservation::carry_out(order, hands).await,
        Order::Authority(order) => authority::carry_out(order, hands).await,
        Order::Revocation(order) => revocation::carry_out(order, hands).await,
        Order::HostKey(order) => host_key::carry_out(order, hands).await,
        Order::Invite(order) => invite::carry_out(order, hands).await,
        Order::Audit { limit, before } => {
            let entries = hands.store.audit(*before, *limit).await?;
            Outcome::list(entries.iter().map(row))
        }
    }
}

impl Outcome {
    /// Rows that were asked for.
    fn list(rows: impl IntoIterator<Item = anyhow::Result<Row>>) -> anyhow::Result<Self> {
        Ok(Self {
            rows: rows.into_iter().collect::<Result<_, _>>()?,
            done: None,
        })
    }

    /// One row that was asked for.
    fn one(row: Row) -> Self {
        Self {
            rows: vec![row],
            done: None,
        }
    }

    /// What was done, and what is there now.
    fn done(words: String, rows: impl IntoIterator<Item = Row>) -> Self {
        Self {
            rows: rows.into_iter().collect(),
            done: Some(words),
        }
    }
}

impl Hands<'_> {
    fn change(&self) -> Change<'_> {
        Change {
            when: Timestamp::now(),
            who: self.who,
        }
    }

    /// Until when nobody else may have what is released now.
    fn quarantine(&self) -> anyhow::Result<QuarantineUntil> {
        let now = Timestamp::now();
        let after = |time| now.checked_add(time).context("quarantine lasts too long");
        Ok(QuarantineUntil {
            ports: after(self.leases.port_quarantine)?,
            names: after(self.leases.name_quarantine)?,
        })
    }

    /// The principal of that name.
    async fn principal(&self, name: &Name) -> anyhow::Result<adit_store::Principal> {
        let found = self.store.principal_named(name).await?;
        found.with_context(|| {
            format!(
                "nobody is called {name}: adit user list and adit device list show who is there"
            )
        })
    }

    /// Names of principals by their numbers.
    async fn names(&self) -> anyhow::Result<Names> {
        let principals = self.store.principals().await?;
        Ok(Names(principals))
    }
}

/// Names of principals by their numbers.
#[derive(Debug)]
struct Names(Vec<adit_store::Principal>);

impl Names {
    /// The name, or the number of one that has been removed.
    fn of(&self, id: PrincipalId) -> String {
        let found = self.0.iter().find(|principal| principal.id == id);
        found.map_or_else(|| id.to_string(), |principal| principal.name.to_string())
    }
}

/// A row of what has one.
fn row(it: impl Serialize) -> anyhow::Result<Row> {
    let value = serde_json::to_value(it).context("cannot write a row")?;
    serde_json::from_value(value).context("a row is an object")
}
