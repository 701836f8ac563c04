//! What principals have carried in each month: kept now and then, so that a limit of a month is one over a restart.
//!
//! Like leases, numbers are kept without a version and without audit entries.

use adit_model::id::PrincipalId;
use adit_model::month::Month;
use sea_orm::ActiveValue::Set;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::change;
use crate::error::{ReadError, WriteError};
use crate::store::{ANSWER, Store};
use crate::table::usage;

/// What a principal has carried in a month.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Who.
    pub principal: PrincipalId,
    /// Bytes from visitors to it.
    pub down: u64,
    /// Bytes from it to visitors.
    pub up: u64,
}

const TABLE: &str = "adit_usages";
/// Rows of one statement: four values each, of the 32,766 that SQLite takes at a time.
const ROWS: usize = 1_000;

impl Store {
    /// Keeps what these principals have carried in that month so far, all or none, in the place of what was kept of
    /// them. Months that are more than a year older are forgotten. A number above 2^63 is kept as that.
    pub async fn keep_usages(&self, month: Month, usages: &[Usage]) -> Result<(), WriteError> {
        let bytes = |bytes: u64| Set(i64::try_from(bytes).unwrap_or(i64::MAX));
        let rows = usages.iter().map(|one| usage::ActiveModel {
            principal: Set(one.principal.get()),
            month: Set(month.number()),
            down: bytes(one.down),
            up: bytes(one.up),
        });
        let rows: Vec<_> = rows.collect();
        self.within(ANSWER, async {
            let tx = change::begin(&self.writer()).await?;
            for rows in rows.chunks(ROWS) {
                let mut or_else =
                    OnConflict::columns([usage::Column::Principal, usage::Column::Month]);
                or_else.update_columns([usage::Column::Down, usage::Column::Up]);
                usage::Entity::insert_many(rows.iter().cloned())
                    .on_conflict(or_else)
                    .exec_without_returning(&tx)
                    .await?;
            }
            usage::Entity::delete_many()
                .filter(usage::Column::Month.lt(month.a_year_before().number()))
                .exec(&tx)
                .await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// What principals have carried in that month, as it was kept last, in the order of their numbers.
    pub async fn usages(&self, month: Month) -> Result<Vec<Usage>, ReadError> {
        self.within(ANSWER, async {
            let rows = usage::Entity::find()
                .filter(usage::Column::Month.eq(month.number()))
                .order_by_asc(usage::Column::Principal)
                .all(&self.readers())
                .await?;
            rows.iter().map(read).collect()
        })
        .await
    }
}

fn read(row: &usage::Model) -> Result<Usage, ReadError> {
    let bytes = |bytes: i64| {
        u64::try_from(bytes).map_err(|_| ReadError::Damaged {
            table: TABLE,
            row: row.principal,
            what: String::from("a number of bytes below 0"),
        })
    };
    Ok(Usage {
        principal: PrincipalId::new(row.principal),
        down: bytes(row.down)?,
        up: bytes(row.up)?,
    })
}
