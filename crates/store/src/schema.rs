//! The schema and its versions. They only go up: one that is newer than ours is refused, and before an older one
//! is changed a copy of it is made.
//!
//! A step may stop halfway where statements that change tables are no part of a transaction (MariaDB), so each
//! statement of a step may be said twice.

use jiff::Timestamp;
use sea_orm::sea_query::{Alias, ColumnDef, Expr, ExprTrait, Query, Table, TableCreateStatement};
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    SqliteTransactionMode, Statement, TransactionOptions, TransactionTrait,
};

mod column;
mod first;
mod second;
mod third;

/// The steps, in order: that at index n makes version n + 1.
const STEPS: [Step; 3] = [Step::First, Step::Second, Step::Third];

/// One step from a version to the next.
#[derive(Debug, Clone, Copy)]
enum Step {
    First,
    Second,
    Third,
}

/// Bears a row for each step that was made.
const VERSIONS: &str = "adit_schema";

/// What an opened database is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing of ours is in it.
    Empty,
    /// An older one; it is to be copied before it is changed.
    Older,
    /// As this program knows it.
    Current,
    /// A newer program's.
    Newer(i64),
}

/// The newest version that is known here.
pub(crate) fn known() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Looks which version is there.
pub(crate) async fn look(db: &DatabaseConnection) -> Result<Found, DbErr> {
    create(db, versions()).await?;
    Ok(match version(db).await? {
        0 => Found::Empty,
        version if version < known() => Found::Older,
        version if version == known() => Found::Current,
        version => Found::Newer(version),
    })
}

/// Makes the steps that are missing. Two processes that do it at the same time wait for each other.
pub(crate) async fn upgrade(
    db: &DatabaseConnection,
    now: Timestamp,
    instance: &str,
) -> Result<(), DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let tx = db.begin_with_options(options).await?;
    lock(&tx).await?;
    let at = version(&tx).await?;
    let done = usize::try_from(at).unwrap_or(usize::MAX);
    for (number, step) in (1_i64..).zip(STEPS).skip(done) {
        match step {
            Step::First => first::make(&tx, instance).await?,
            Step::Second => second::make(&tx).await?,
            Step::Third => third::make(&tx).await?,
        }
        let row = Query::insert()
            .into_table(Alias::new(VERSIONS))
            .columns([Alias::new("version"), Alias::new("at")])
            .values_panic([number.into(), now.as_microsecond().into()])
            .to_owned();
        tx.execute(&row).await?;
    }
    unlock(&tx).await?;
    tx.commit().await
}

async fn version(db: &impl ConnectionTrait) -> Result<i64, DbErr> {
    let question = Query::select()
        .expr_as(Expr::col("version").max(), "version")
        .from(Alias::new(VERSIONS))
        .to_owned();
    let row = db.query_one(&question).await?;
    let version = row
        .map(|row| row.try_get::<Option<i64>>("", "version"))
        .transpose()?;
    Ok(version.flatten().unwrap_or(0))
}

/// Holds other processes back: on PostgreSQL until the transaction ends, on MariaDB until [`unlock`]. SQLite's
/// transaction has the lock already.
async fn lock(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    let backend = tx.get_database_backend();
    if backend == DbBackend::Postgres {
        tx.execute_unprepared("SELECT pg_advisory_xact_lock(7233183901)")
            .await?;
    }
    if backend == DbBackend::MySql {
        let sql = "SELECT CAST(GET_LOCK('adit schema', 5) AS SIGNED) AS taken";
        let row = tx
            .query_one_raw(Statement::from_string(backend, sql))
            .await?;
        let taken = row.map(|row| row.try_get::<Option<i64>>("", "taken"));
        if taken.transpose()?.flatten() != Some(1) {
            let words = "another process is changing the tables";
            return Err(DbErr::Custom(String::from(words)));
        }
    }
    Ok(())
}

async fn unlock(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    if tx.get_database_backend() == DbBackend::MySql {
        tx.execute_unprepared("DO RELEASE_LOCK('adit schema')")
            .await?;
    }
    Ok(())
}

fn versions() -> TableCreateStatement {
    table(VERSIONS)
        .col(
            ColumnDef::new("version")
                .big_integer()
                .not_null()
                .primary_key(),
        )
        .col(ColumnDef::new("at").big_integer().not_null())
        .to_owned()
}

/// A table of ours, without its columns.
fn table(name: &str) -> TableCreateStatement {
    Table::create()
        .table(Alias::new(name))
        .if_not_exists()
        .to_owned()
}

/// Makes a table that is not there. Texts are compared byte by byte everywhere; MariaDB, left alone, would take
/// two fingerprints for one that differ in the case of a letter.
async fn create(db: &impl ConnectionTrait, mut table: TableCreateStatement) -> Result<(), DbErr> {
    if db.get_database_backend() == DbBackend::MySql {
        table
            .engine("InnoDB")
            .character_set("utf8mb4")
            .collate("utf8mb4_bin");
    }
    db.execute(&table).await?;
    Ok(())
}
