//! Who did what. Entries are added and never changed.

use jiff::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use serde_json::Value;

use crate::change::{self, Change, enter};
use crate::error::{ReadError, WriteError};
use crate::rows::moment;
use crate::store::{ANSWER, Store};
use crate::table::audit;

/// One thing that was done.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct AuditEntry {
    /// Its number; later entries have higher ones.
    pub id: i64,
    /// When.
    pub when: Timestamp,
    /// Who did it.
    pub who: String,
    /// What: `principal.add`, `key.remove`.
    pub what: String,
    /// On what, and how. Nothing secret.
    pub details: Value,
}

/// Bytes of [`AuditEntry::what`] at the most.
const WHAT: usize = 64;
/// Entries in one answer at the most.
const PAGE: u64 = 1_000;

impl Store {
    /// Adds an entry about something that is no change of the store: a takeover, a login that was refused. The
    /// version stays.
    pub async fn note(
        &self,
        change: &Change<'_>,
        what: &str,
        details: &Value,
    ) -> Result<(), WriteError> {
        if what.len() > WHAT {
            return Err(WriteError::TooLarge {
                what: "kind of an audit entry",
                limit: WHAT,
            });
        }
        self.within(ANSWER, async {
            let tx = change::begin(&self.writer()).await?;
            enter(&tx, change, what, details).await?;
            tx.commit().await?;
            Ok(())
        })
        .await
    }

    /// Entries, the newest first: at most `limit` and 1,000, from before that number if one is given.
    pub async fn audit(
        &self,
        before: Option<i64>,
        limit: u64,
    ) -> Result<Vec<AuditEntry>, ReadError> {
        self.within(ANSWER, async {
            let mut question = audit::Entity::find().order_by_desc(audit::Column::Id);
            if let Some(before) = before {
                question = question.filter(audit::Column::Id.lt(before));
            }
            let rows = question.limit(limit.min(PAGE)).all(&self.readers()).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }
}

fn read(row: audit::Model) -> Result<AuditEntry, ReadError> {
    Ok(AuditEntry {
        id: row.id,
        when: moment("adit_audit", row.id, row.at)?,
        who: row.who,
        what: row.what,
        details: serde_json::from_str(&row.details).map_err(|error| ReadError::Damaged {
            table: "adit_audit",
            row: row.id,
            what: format!("its details cannot be read: {error}"),
        })?,
    })
}
