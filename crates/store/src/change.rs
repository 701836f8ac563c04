//! A change: one transaction that raises the version and leaves an audit entry, or nothing at all.

use jiff::Timestamp;
use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use serde_json::Value;

use crate::error::{ReadError, WriteError};
use crate::table::{audit, meta};
use crate::text;

/// When a change is made, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// When, as its maker's clock has it.
    pub when: Timestamp,
    /// Who: `uid 0`, the name of a principal. Cut after 200 characters.
    pub who: &'a str,
}

/// What came of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written<T> {
    /// What was made or found.
    pub it: T,
    /// The version that shows it first.
    pub version: u64,
}

/// A change that is being made. Dropped, it is undone.
pub(crate) struct Work {
    pub(crate) tx: DatabaseTransaction,
}

impl Work {
    /// Takes the place of the one writer: the version is raised first, and until the change is made or undone
    /// every other writer waits at that row.
    pub(crate) async fn begin(writer: &DatabaseConnection) -> Result<Self, DbErr> {
        let tx = begin(writer).await?;
        meta::Entity::update_many()
            .col_expr(
                meta::Column::Version,
                Expr::col(meta::Column::Version).add(1_i64),
            )
            .filter(meta_row())
            .exec(&tx)
            .await?;
        Ok(Self { tx })
    }

    /// Writes who did what, and makes the change. The version is returned.
    pub(crate) async fn finish(
        self,
        change: &Change<'_>,
        what: &str,
        details: &Value,
    ) -> Result<u64, WriteError> {
        enter(&self.tx, change, what, details).await?;
        let version = version(&self.tx).await?;
        self.tx.commit().await?;
        Ok(version)
    }
}

/// A transaction that writes. SQLite is told so, since one that read first could not write any more if another
/// process has written meanwhile.
pub(crate) async fn begin(writer: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    writer.begin_with_options(options).await
}

/// Adds an audit entry.
pub(crate) async fn enter(
    tx: &DatabaseTransaction,
    change: &Change<'_>,
    what: &str,
    details: &Value,
) -> Result<(), WriteError> {
    let details = details.to_string();
    if details.len() > LONG {
        return Err(WriteError::TooLarge {
            what: "details of an audit entry",
            limit: LONG,
        });
    }
    let row = audit::ActiveModel {
        id: ActiveValue::NotSet,
        at: ActiveValue::Set(change.when.as_microsecond()),
        who: ActiveValue::Set(text::words("actor", change.who)?),
        what: ActiveValue::Set(String::from(what)),
        details: ActiveValue::Set(details),
    };
    audit::Entity::insert(row).exec(tx).await?;
    Ok(())
}

/// The one row of the table.
pub(crate) async fn row(db: &impl sea_orm::ConnectionTrait) -> Result<meta::Model, ReadError> {
    let row = meta::Entity::find().filter(meta_row()).one(db).await?;
    row.ok_or_else(|| ReadError::Damaged {
        table: "adit_meta",
        row: META_ROW,
        what: String::from("it is missing"),
    })
}

pub(crate) async fn version(db: &impl sea_orm::ConnectionTrait) -> Result<u64, ReadError> {
    let row = row(db).await?;
    u64::try_from(row.version).map_err(|_| ReadError::Damaged {
        table: "adit_meta",
        row: META_ROW,
        what: String::from("a version below 0"),
    })
}

pub(crate) fn meta_row() -> Expr {
    Expr::col(meta::Column::Id).eq(META_ROW)
}

const META_ROW: i64 = 1;

/// Bytes of a long text: what MariaDB's `TEXT` holds, less a margin.
pub(crate) const LONG: usize = 60_000;
