//! Leases: what is held for whom, so that a gateway that starts again gives everybody their own back.
//!
//! They are kept without raising the version and without audit entries; only what an operator does with one
//! has both.

use adit_model::address::Scope;
use adit_model::id::{Epoch, LeaseId, PrincipalId};
use adit_model::lease::{Drawn, Holding, Lease, LeaseState};
use jiff::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::json;

use crate::change::{self, Change, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::rows::{moment, moments};
use crate::store::{ANSWER, Store};
use crate::table::lease;
use crate::text;

/// Until when nobody else may have what somebody held (security rule G16).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuarantineUntil {
    /// Ports, for 24 h by default.
    pub ports: Timestamp,
    /// Names, for 30 days by default.
    pub names: Timestamp,
}

const TABLE: &str = "adit_leases";

impl Store {
    /// Keeps leases as they are now, all or none, and returns their numbers in the same order. What is held
    /// tells which row is meant, so a lease that is new, or whose row is gone, gets a number. When this
    /// returns, they outlive the process and, unless the disk lies, the power.
    ///
    /// A late word changes nothing: a lease of the same principal with a lower epoch than the one that is kept.
    pub async fn keep_leases(&self, leases: &[Lease]) -> Result<Vec<LeaseId>, WriteError> {
        self.within(ANSWER, async {
            let tx = change::begin(&self.writer()).await?;
            let mut ids = Vec::with_capacity(leases.len());
            for lease in leases {
                ids.push(keep(&tx, lease).await?);
            }
            tx.commit().await?;
            Ok(ids)
        })
        .await
    }

    /// All leases that are kept, in the order of their numbers. A damaged row keeps nobody else's from them: it is
    /// logged, and if it says what is held and whose that is, that is in quarantine without an end; else left out.
    pub async fn leases(&self) -> Result<Vec<Lease>, ReadError> {
        self.within(ANSWER, async {
            let question = lease::Entity::find().order_by_asc(lease::Column::Id);
            let rows = question.all(&self.readers()).await?;
            Ok(rows.iter().filter_map(read_or_quarantine).collect())
        })
        .await
    }

    /// Forgets those of these leases whose quarantine is over at that time. One that somebody has meanwhile
    /// taken, which keeps its number, stays.
    pub async fn forget_leases(&self, ids: &[LeaseId], now: Timestamp) -> Result<(), WriteError> {
        let (quarantine, now) = state_text(LeaseState::Quarantine(now));
        self.within(ANSWER, async {
            let ids = ids.iter().map(|id| id.get());
            lease::Entity::delete_many()
                .filter(lease::Column::Id.is_in(ids))
                .filter(lease::Column::State.eq(quarantine))
                .filter(lease::Column::Until.lte(now.map(Timestamp::as_microsecond)))
                .exec(&self.writer())
                .await?;
            Ok(())
        })
        .await
    }

    /// Removes a lease as an operator's act: whoever asks first has what it held.
    pub async fn remove_lease(
        &self,
        change: &Change<'_>,
        id: LeaseId,
    ) -> Result<Written<Lease>, WriteError> {
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let row = lease::Entity::find_by_id(id.get()).one(&work.tx).await?;
            let row = row.ok_or_else(|| WriteError::Unknown {
                what: "lease",
                which: id.to_string(),
            })?;
            let it = read(&row)?;
            lease::Entity::delete_by_id(row.id).exec(&work.tx).await?;
            let details = json!({ "lease": id, "holding": it.holding, "principal": it.principal });
            let version = work.finish(change, "lease.remove", &details).await?;
            Ok(Written { it, version })
        })
        .await
    }
}

async fn keep(tx: &DatabaseTransaction, lease: &Lease) -> Result<LeaseId, WriteError> {
    let holding = holding_text(&lease.holding);
    let epoch = i64::try_from(lease.epoch.get());
    let epoch = epoch.map_err(|_| WriteError::Range { what: "epoch" })?;
    let (state, until) = state_text(lease.state);
    let known = lease::Entity::find()
        .filter(lease::Column::Holding.eq(holding.as_str()))
        .one(tx)
        .await?;
    if let Some(known) = &known
        && known.principal == lease.principal.get()
        && known.epoch > epoch
    {
        return Ok(LeaseId::new(known.id));
    }
    // Words that do not fit are not worth a refusal: the port is had again by its number.
    let drawn = lease.drawn.as_ref().filter(|drawn| {
        let is_fit = |words: &str| words.is_empty() || text::exact("words", words).is_ok();
        is_fit(&drawn.host) && is_fit(&drawn.label)
    });
    let row = lease::ActiveModel {
        id: known.as_ref().map_or(NotSet, |known| Set(known.id)),
        holding: Set(holding),
        scope: Set(lease.scope.to_string()),
        principal: Set(lease.principal.get()),
        epoch: Set(epoch),
        since: Set(lease.since.as_microsecond()),
        state: Set(String::from(state)),
        until: Set(until.map(Timestamp::as_microsecond)),
        drawn_host: Set(drawn.map(|drawn| drawn.host.clone())),
        drawn_label: Set(drawn.map(|drawn| drawn.label.clone())),
    };
    let id = match known {
        Some(known) => {
            row.update(tx).await?;
            known.id
        }
        None => lease::Entity::insert(row).exec(tx).await?.last_insert_id,
    };
    Ok(LeaseId::new(id))
}

/// Puts what a principal held into quarantine. Its sockets are in a folder of its own that is nobody else's,
/// and are forgotten.
pub(crate) async fn orphan(
    tx: &DatabaseTransaction,
    principal: PrincipalId,
    until: QuarantineUntil,
) -> Result<(), WriteError> {
    for (kind, until) in [
        (PORT, until.ports),
        (NAME, until.names),
        (SERVICE, until.names),
        (MEMBER, until.names),
    ] {
        let (state, until) = state_text(LeaseState::Quarantine(until));
        lease::Entity::update_many()
            .col_expr(lease::Column::State, Expr::val(state))
            .col_expr(
                lease::Column::Until,
                Expr::val(until.map(Timestamp::as_microsecond)),
            )
            .filter(lease::Column::Principal.eq(principal.get()))
            .filter(lease::Column::Holding.starts_with(kind))
            .exec(tx)
            .await?;
    }
    lease::Entity::delete_many()
        .filter(lease::Column::Principal.eq(principal.get()))
        .filter(lease::Column::Holding.starts_with(UNIX))
        .exec(tx)
        .await?;
    Ok(())
}

/// A damaged lease is nobody's to have, its own principal's apart.
fn read_or_quarantine(row: &lease::Model) -> Option<Lease> {
    let error = match read(row) {
        Ok(lease) => return Some(lease),
        Err(error) => error,
    };
    let holding = read_holding(&row.holding);
    tracing::error!(%error, is_kept = holding.is_some(),
        "a lease cannot be read; if it says what is held, nobody else gets that");
    Some(Lease {
        id: LeaseId::new(row.id),
        holding: holding?,
        scope: Scope::Loopback,
        principal: PrincipalId::new(row.principal),
        epoch: Epoch::new(u64::try_from(row.epoch).unwrap_or_default()),
        since: Timestamp::from_microsecond(row.since).unwrap_or(Timestamp::UNIX_EPOCH),
        state: LeaseState::Quarantine(Timestamp::MAX),
        drawn: None,
    })
}

fn read(row: &lease::Model) -> Result<Lease, ReadError> {
    let damaged = |what: &str| ReadError::Damaged {
        table: TABLE,
        row: row.id,
        what: String::from(what),
    };
    let until = moments(TABLE, row.id, row.until)?;
    Ok(Lease {
        id: LeaseId::new(row.id),
        holding: read_holding(&row.holding).ok_or_else(|| damaged("it holds nothing known"))?,
        scope: Scope::read(&row.scope).map_err(|_| damaged("its scope is none"))?,
        principal: PrincipalId::new(row.principal),
        epoch: u64::try_from(row.epoch)
            .map(Epoch::new)
            .map_err(|_| damaged("its epoch is below 0"))?,
        since: moment(TABLE, row.id, row.since)?,
        state: match (row.state.as_str(), until) {
            ("held", None) => LeaseState::Held,
            ("grace", Some(until)) => LeaseState::Grace(until),
            ("quarantine", Some(until)) => LeaseState::Quarantine(until),
            _ => return Err(damaged("its state is none")),
        },
        drawn: (row.drawn_host.clone().zip(row.drawn_label.clone()))
            .map(|(host, label)| Drawn { host, label }),
    })
}

const fn state_text(state: LeaseState) -> (&'static str, Option<Timestamp>) {
    match state {
        LeaseState::Held => ("held", None),
        LeaseState::Grace(until) => ("grace", Some(until)),
        LeaseState::Quarantine(until) => ("quarantine", Some(until)),
    }
}

/// What is held, as one text: `port:8080`, `unix:7:db.sock`, `name:red001`, `service:red001:22`, `member:red001:80:1`.
fn holding_text(holding: &Holding) -> String {
    match holding {
        Holding::Port(port) => format!("{PORT}{port}"),
        Holding::Unix(principal, name) => format!("{UNIX}{}:{name}", principal.get()),
        Holding::Name(name) => format!("{NAME}{name}"),
        Holding::Service(name, port) => format!("{SERVICE}{name}:{port}"),
        Holding::Member(name, port, place) => format!("{MEMBER}{name}:{port}:{place}"),
    }
}

fn read_holding(text: &str) -> Option<Holding> {
    if let Some(port) = text.strip_prefix(PORT) {
        return port.parse().ok().map(Holding::Port);
    }
    if let Some(name) = text.strip_prefix(NAME) {
        return name.parse().ok().map(Holding::Name);
    }
    if let Some(service) = text.strip_prefix(SERVICE) {
        let (name, port) = service.rsplit_once(':')?;
        let name = name.parse().ok()?;
        return port.parse().ok().map(|port| Holding::Service(name, port));
    }
    if let Some(member) = text.strip_prefix(MEMBER) {
        let (service, place) = member.rsplit_once(':')?;
        let (name, port) = service.rsplit_once(':')?;
        let (name, port) = (name.parse().ok()?, port.parse().ok()?);
        return place
            .parse()
            .ok()
            .map(|place| Holding::Member(name, port, place));
    }
    let (principal, name) = text.strip_prefix(UNIX)?.split_once(':')?;
    let principal = PrincipalId::new(principal.parse().ok()?);
    name.parse().ok().map(|name| Holding::Unix(principal, name))
}

const PORT: &str = "port:";
const UNIX: &str = "unix:";
const NAME: &str = "name:";
const SERVICE: &str = "service:";
const MEMBER: &str = "member:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_reads_back_as_it_was_written() {
        for holding in [
            Holding::Port(1),
            Holding::Port(65_535),
            Holding::Unix(PrincipalId::new(7), "db.sock".parse().unwrap()),
            Holding::Name("red001.example".parse().unwrap()),
            Holding::Service("red001".parse().unwrap(), 22),
            Holding::Member("red001".parse().unwrap(), 80, 1),
        ] {
            assert_eq!(read_holding(&holding_text(&holding)), Some(holding));
        }
        for text in [
            "",
            "port:",
            "port:70000",
            "unix:7",
            "unix:x:y",
            "service:red001",
            "8080",
        ] {
            assert_eq!(read_holding(text), None, "{text}");
        }
    }
}
