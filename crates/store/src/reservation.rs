//! Reservations: what only one principal may hold.

use adit_model::id::PrincipalId;
use adit_model::lease::{Reservation, Reserved};
use sea_orm::ActiveValue::{NotSet, Set};
use serde_json::{Value, json};

use crate::change::{Change, LONG, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::rule::{self, Table};
use crate::store::{ANSWER, Store};
use crate::table::reservation;
use crate::text;

const TABLE: &str = "adit_reservations";

impl Store {
    /// Reserves ports or a name; the row's number is returned. Whether it meets another reservation is the
    /// business of whoever makes policy of them.
    pub async fn add_reservation(
        &self,
        change: &Change<'_>,
        what: &Reserved,
        principal: PrincipalId,
        note: &str,
    ) -> Result<Written<i64>, WriteError> {
        let (ports, name) = match what {
            Reserved::Ports(ports) => (Some(ports.to_string()), None),
            Reserved::Name(name) => (None, Some(name.to_string())),
        };
        if ports.as_ref().is_some_and(|ports| ports.len() > LONG) {
            return Err(WriteError::TooLarge {
                what: "set of ports",
                limit: LONG,
            });
        }
        let row = reservation::ActiveModel {
            id: NotSet,
            ports: Set(ports),
            name: Set(name),
            principal: Set(principal.get()),
            note: Set(text::words("note", note)?),
        };
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            crate::principal::find(&work.tx, principal).await?;
            let details = json!({ "of": what, "principal": principal });
            rule::add(work, change, row, details).await
        })
        .await
    }

    /// All reservations, in the order in which they were added.
    pub async fn reservations(&self) -> Result<Vec<Reservation>, ReadError> {
        self.rules::<reservation::Entity>().await
    }

    /// Removes a reservation. Whoever holds something of it keeps it.
    pub async fn remove_reservation(
        &self,
        change: &Change<'_>,
        id: i64,
    ) -> Result<Written<()>, WriteError> {
        self.remove_rule::<reservation::Entity>(change, id).await
    }
}

impl Table for reservation::Entity {
    type Rule = Reservation;

    const NOUN: &'static str = "reservation";
    const ID: Self::Column = reservation::Column::Id;

    fn read(row: reservation::Model) -> Result<Reservation, ReadError> {
        read(row)
    }

    fn what(rule: &Reservation) -> Value {
        json!(rule.what)
    }
}

fn read(row: reservation::Model) -> Result<Reservation, ReadError> {
    let ports = row.ports.as_deref().map(str::parse);
    let name = row.name.as_deref().map(str::parse);
    let what = match (ports, name) {
        (Some(Ok(ports)), None) => Reserved::Ports(ports),
        (None, Some(Ok(name))) => Reserved::Name(name),
        _ => {
            return Err(ReadError::Damaged {
                table: TABLE,
                row: row.id,
                what: String::from("it does not say what is reserved"),
            });
        }
    };
    Ok(Reservation {
        id: row.id,
        what,
        principal: PrincipalId::new(row.principal),
        note: row.note,
    })
}
