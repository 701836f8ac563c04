//! Version 3 of the schema: enrolment codes.

use sea_orm::sea_query::{ColumnDef, TableCreateStatement};
use sea_orm::{DatabaseTransaction, DbErr};

use super::column::{long, moment, number, text};
use super::{create, table};

pub(super) async fn make(tx: &DatabaseTransaction) -> Result<(), DbErr> {
    create(tx, invites()).await
}

/// Of a code there is its hash alone. No principal is referred to: a code outlives the device that it was used for,
/// until it is over.
fn invites() -> TableCreateStatement {
    table("adit_invites")
        .col(ColumnDef::new("id").big_integer().not_null().primary_key())
        .col(text("hash", 64))
        .col(text("name", 63))
        .col(long("grant_json"))
        .col(text("note", 255))
        .col(moment("device"))
        .col(number("created"))
        .col(number("expires"))
        .col(number("wrong"))
        .col(moment("used"))
        .col(ColumnDef::new("used_by").string_len(64))
        .to_owned()
}
