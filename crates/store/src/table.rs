//! The tables as rows of plain columns. What a row means is said by the module of its noun.
//!
//! Moments are microseconds after 1970; serial numbers, which take all of 64 bits, are texts of 20 digits.

/// One module for a table, in the shape that sea-orm derives from.
macro_rules! table {
    ($(#[$doc:meta])* $module:ident, $name:literal, { $($(#[$attribute:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[expect(unreachable_pub, reason = "the derives make public items")]
        pub(crate) mod $module {
            use sea_orm::entity::prelude::*;

            #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
            #[sea_orm(table_name = $name)]
            pub struct Model {
                $($(#[$attribute])* pub $field: $type,)*
            }

            #[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
            pub enum Relation {}

            impl ActiveModelBehavior for ActiveModel {}
        }
    };
}

table!(
    /// One row: the version, the epoch floor, which store it is.
    meta, "adit_meta", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i64,
    version: i64,
    epoch_floor: i64,
    instance: String,
});

table!(principal, "adit_principals", {
    #[sea_orm(primary_key)]
    id: i64,
    name: String,
    kind: String,
    disabled: bool,
    grant_json: String,
    created: i64,
    note: String,
});

table!(key, "adit_keys", {
    #[sea_orm(primary_key)]
    id: i64,
    fingerprint: String,
    principal: i64,
    blob: Vec<u8>,
    comment: String,
    sources: String,
    not_after: Option<i64>,
    touch_required: bool,
    verify_required: bool,
    added: i64,
});

table!(authority, "adit_authorities", {
    #[sea_orm(primary_key)]
    id: i64,
    fingerprint: String,
    blob: Vec<u8>,
    sources: String,
    not_after: Option<i64>,
    note: String,
    added: i64,
});

table!(authority_name, "adit_authority_names", {
    #[sea_orm(primary_key)]
    id: i64,
    authority: i64,
    name: String,
    principal: i64,
});

table!(revocation, "adit_revocations", {
    #[sea_orm(primary_key)]
    id: i64,
    kind: String,
    fingerprint: String,
    serial_from: Option<String>,
    serial_to: Option<String>,
    key_id: Option<String>,
    note: String,
    added: i64,
});

table!(reservation, "adit_reservations", {
    #[sea_orm(primary_key)]
    id: i64,
    ports: Option<String>,
    name: Option<String>,
    principal: i64,
    note: String,
});

table!(
    /// A lease bears the number of its principal and refers to no row: it outlives a principal that is
    /// removed, so that nobody else has its port at once.
    lease, "adit_leases", {
    #[sea_orm(primary_key)]
    id: i64,
    holding: String,
    scope: String,
    principal: i64,
    epoch: i64,
    since: i64,
    state: String,
    until: Option<i64>,
    drawn_host: Option<String>,
    drawn_label: Option<String>,
});

table!(invite, "adit_invites", {
    #[sea_orm(primary_key, auto_increment = false)]
    id: i64,
    hash: String,
    name: String,
    grant_json: String,
    note: String,
    device: Option<i64>,
    created: i64,
    expires: i64,
    wrong: i64,
    used: Option<i64>,
    used_by: Option<String>,
});

table!(usage, "adit_usages", {
    #[sea_orm(primary_key, auto_increment = false)]
    principal: i64,
    #[sea_orm(primary_key, auto_increment = false)]
    month: i64,
    down: i64,
    up: i64,
});

table!(
    /// Rows are added and never changed.
    audit, "adit_audit", {
    #[sea_orm(primary_key)]
    id: i64,
    at: i64,
    who: String,
    what: String,
    details: String,
});
