//! Version 1 of the schema, of adit 0.1.

use sea_orm::sea_query::{
    Alias, ColumnDef, Expr, ExprTrait, ForeignKey, ForeignKeyAction, ForeignKeyCreateStatement,
    Index, IndexCreateStatement, Query, TableCreateStatement,
};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbErr};

use super::column::{bytes, flag, id, long, moment, number, text};
use super::{create, table};

pub(super) async fn make(tx: &DatabaseTransaction, instance: &str) -> Result<(), DbErr> {
    for table in [
        meta(),
        principals(),
        keys(),
        authorities(),
        authority_names(),
        revocations(),
        reservations(),
        leases(),
        audit(),
    ] {
        create(tx, table).await?;
    }
    let has_row = Query::select()
        .column("id")
        .from(Alias::new("adit_meta"))
        .and_where(Expr::col("id").eq(1_i64))
        .to_owned();
    if tx.query_one(&has_row).await?.is_some() {
        return Ok(());
    }
    let row = Query::insert()
        .into_table(Alias::new("adit_meta"))
        .columns(["id", "version", "epoch_floor", "instance"].map(Alias::new))
        .values_panic([1_i64.into(), 1_i64.into(), 0_i64.into(), instance.into()])
        .to_owned();
    tx.execute(&row).await?;
    Ok(())
}

fn meta() -> TableCreateStatement {
    table("adit_meta")
        .col(ColumnDef::new("id").big_integer().not_null().primary_key())
        .col(number("version"))
        .col(number("epoch_floor"))
        .col(text("instance", 32))
        .to_owned()
}

fn principals() -> TableCreateStatement {
    table("adit_principals")
        .col(id())
        .col(text("name", 63).unique_key())
        .col(text("kind", 16))
        .col(flag("disabled"))
        .col(long("grant_json"))
        .col(number("created"))
        .col(text("note", 255))
        .to_owned()
}

fn keys() -> TableCreateStatement {
    table("adit_keys")
        .col(id())
        .col(text("fingerprint", 64).unique_key())
        .col(number("principal"))
        .col(bytes("blob"))
        .col(text("comment", 255))
        .col(long("sources"))
        .col(moment("not_after"))
        .col(flag("touch_required"))
        .col(flag("verify_required"))
        .col(number("added"))
        .foreign_key(&mut of_principal("adit_keys"))
        .to_owned()
}

fn authorities() -> TableCreateStatement {
    table("adit_authorities")
        .col(id())
        .col(text("fingerprint", 64).unique_key())
        .col(bytes("blob"))
        .col(long("sources"))
        .col(moment("not_after"))
        .col(text("note", 255))
        .col(number("added"))
        .to_owned()
}

fn authority_names() -> TableCreateStatement {
    let table_name = "adit_authority_names";
    table(table_name)
        .col(id())
        .col(number("authority"))
        .col(text("name", 255))
        .col(number("principal"))
        .index(&mut once(["authority", "name"]))
        .foreign_key(&mut of_principal(table_name))
        .foreign_key(
            ForeignKey::create()
                .from(Alias::new(table_name), "authority")
                .to(Alias::new("adit_authorities"), "id")
                .on_delete(ForeignKeyAction::Cascade),
        )
        .to_owned()
}

fn revocations() -> TableCreateStatement {
    table("adit_revocations")
        .col(id())
        .col(text("kind", 16))
        .col(text("fingerprint", 64))
        .col(ColumnDef::new("serial_from").string_len(20))
        .col(ColumnDef::new("serial_to").string_len(20))
        .col(ColumnDef::new("key_id").string_len(255))
        .col(text("note", 255))
        .col(number("added"))
        .to_owned()
}

fn reservations() -> TableCreateStatement {
    table("adit_reservations")
        .col(id())
        .col(ColumnDef::new("ports").text())
        .col(ColumnDef::new("name").string_len(63))
        .col(number("principal"))
        .col(text("note", 255))
        .foreign_key(&mut of_principal("adit_reservations"))
        .to_owned()
}

fn leases() -> TableCreateStatement {
    table("adit_leases")
        .col(id())
        .col(text("holding", 160).unique_key())
        .col(text("scope", 64))
        .col(number("principal"))
        .col(number("epoch"))
        .col(number("since"))
        .col(text("state", 16))
        .col(moment("until"))
        .to_owned()
}

fn audit() -> TableCreateStatement {
    table("adit_audit")
        .col(id())
        .col(number("at"))
        .col(text("who", 255))
        .col(text("what", 64))
        .col(long("details"))
        .to_owned()
}

fn once(columns: [&'static str; 2]) -> IndexCreateStatement {
    let [first, second] = columns;
    Index::create().unique().col(first).col(second).to_owned()
}

fn of_principal(table_name: &'static str) -> ForeignKeyCreateStatement {
    ForeignKey::create()
        .from(Alias::new(table_name), "principal")
        .to(Alias::new("adit_principals"), "id")
        .on_delete(ForeignKeyAction::Cascade)
        .to_owned()
}
