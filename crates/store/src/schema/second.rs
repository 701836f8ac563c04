//! Version 2 of the schema: what principals have carried in each month, and what ports were drawn for.

use sea_orm::sea_query::{
    Alias, ColumnDef, Expr, ExprTrait, Index, Query, Table, TableCreateStatement,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr};

use super::column::number;
use super::{create, table};

/// The columns of leases that are new: the words that a port was drawn for.
const DRAWN: [&str; 2] = ["drawn_host", "drawn_label"];
const LEASES: &str = "adit_leases";

pub(super) async fn make(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    create(tx, usages()).await?;
    for name in DRAWN {
        if !is_there(tx, name).await? {
            let column = ColumnDef::new(name).string_len(255).to_owned();
            let table = Table::alter()
                .table(Alias::new(LEASES))
                .add_column(column)
                .to_owned();
            tx.execute(&table).await?;
        }
    }
    Ok(())
}

/// Numbers of an earlier month are never changed again. No principal is referred to: a word about one that was just
/// removed is no error.
fn usages() -> TableCreateStatement {
    table("adit_usages")
        .col(number("principal"))
        .col(number("month"))
        .col(number("down"))
        .col(number("up"))
        .primary_key(Index::create().col("principal").col("month"))
        .to_owned()
}

/// Whether an earlier try has added the column: only MySQL and MariaDB keep half a step.
async fn is_there(tx: &DatabaseTransaction, column: &str) -> Result<bool, DbErr> {
    if tx.get_database_backend() != DbBackend::MySql {
        return Ok(false);
    }
    let schema = Expr::cust("DATABASE()");
    let question = Query::select()
        .expr_as(Expr::cust("1"), "it")
        .from(("information_schema", "COLUMNS"))
        .and_where(Expr::col("TABLE_SCHEMA").eq(schema))
        .and_where(Expr::col("TABLE_NAME").eq(LEASES))
        .and_where(Expr::col("COLUMN_NAME").eq(column))
        .to_owned();
    Ok(tx.query_one(&question).await?.is_some())
}
