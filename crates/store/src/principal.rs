//! Principals: who may log in, and what they may do.

use adit_model::grant::Grant;
use adit_model::host::Name;
use adit_model::id::PrincipalId;
use jiff::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, QueryFilter};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, ModelTrait, QueryOrder, SqlErr};
use serde_json::json;

use crate::change::{Change, LONG, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::lease::QuarantineUntil;
use crate::rows::moment;
use crate::store::{ANSWER, Store};
use crate::table::{authority_name, key, principal, reservation, usage};
use crate::{lease, text};

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A person.
    User,
    /// A machine.
    Device,
}

/// Whether a principal may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It may.
    Enabled,
    /// It may not, until somebody says otherwise. Its keys and what it holds are remembered.
    Disabled,
}

/// A principal as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Principal {
    /// Its row; never given to another, also when this one is removed.
    pub id: PrincipalId,
    /// Its name, of which there is one.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// Whether it may be used.
    pub standing: Standing,
    /// What it may do.
    pub grant: Grant,
    /// When it was added, to the microsecond.
    pub created: Timestamp,
    /// Its maker's words.
    pub note: String,
}

/// A principal that is to be added. It is enabled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPrincipal {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: Kind,
    /// What it may do.
    pub grant: Grant,
    /// Words about it; cut after 200 characters.
    pub note: String,
}

/// The table's name, for what is damaged in it.
const TABLE: &str = "adit_principals";

impl Store {
    /// Adds a principal.
    ///
    /// # Errors
    /// [`WriteError::NameTaken`] besides the usual.
    pub async fn add_principal(
        &self,
        change: &Change<'_>,
        new: &NewPrincipal,
    ) -> Result<Written<PrincipalId>, WriteError> {
        let row = principal::ActiveModel {
            id: NotSet,
            name: Set(String::from(new.name.as_str())),
            kind: Set(String::from(kind_text(new.kind))),
            disabled: Set(false),
            grant_json: Set(grant_text(&new.grant)?),
            created: Set(change.when.as_microsecond()),
            note: Set(text::words("note", &new.note)?),
        };
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let added = principal::Entity::insert(row).exec(&work.tx).await;
            let id = added
                .map_err(|error| taken(error, &new.name))?
                .last_insert_id;
            let details =
                json!({ "principal": id, "name": new.name, "kind": new.kind, "grant": new.grant });
            let version = work.finish(change, "principal.add", &details).await?;
            let it = PrincipalId::new(id);
            Ok(Written { it, version })
        })
        .await
    }

    /// All principals in the order of their names.
    pub async fn principals(&self) -> Result<Vec<Principal>, ReadError> {
        self.within(ANSWER, async {
            let question = principal::Entity::find().order_by_asc(principal::Column::Name);
            let rows = question.all(&self.readers()).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// The principal of that name.
    pub async fn principal_named(&self, name: &Name) -> Result<Option<Principal>, ReadError> {
        self.within(ANSWER, async {
            let question = principal::Entity::find();
            let question = question.filter(principal::Column::Name.eq(name.as_str()));
            let row = question.one(&self.readers()).await?;
            row.map(read).transpose()
        })
        .await
    }

    /// Changes what a principal may do.
    pub async fn set_grant(
        &self,
        change: &Change<'_>,
        id: PrincipalId,
        grant: &Grant,
    ) -> Result<Written<()>, WriteError> {
        let text = grant_text(grant)?;
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let old = find(&work.tx, id).await?;
            principal::Entity::update_many()
                .col_expr(principal::Column::GrantJson, Expr::val(text))
                .filter(principal::Column::Id.eq(id.get()))
                .exec(&work.tx)
                .await?;
            let details = json!({ "principal": id, "name": old.name, "grant": grant });
            let version = work.finish(change, "principal.grant", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// Disables or enables a principal.
    pub async fn set_standing(
        &self,
        change: &Change<'_>,
        id: PrincipalId,
        standing: Standing,
    ) -> Result<Written<()>, WriteError> {
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let old = find(&work.tx, id).await?;
            let is_disabled = standing == Standing::Disabled;
            principal::Entity::update_many()
                .col_expr(principal::Column::Disabled, Expr::val(is_disabled))
                .filter(principal::Column::Id.eq(id.get()))
                .exec(&work.tx)
                .await?;
            let details = json!({ "principal": id, "name": old.name });
            let what = match standing {
                Standing::Enabled => "principal.enable",
                Standing::Disabled => "principal.disable",
            };
            let version = work.finish(change, what, &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// Removes a principal with its keys, its names at authorities and its reservations. What it held goes to
    /// quarantine: nobody else has its ports and names before then (security rule G16).
    pub async fn remove_principal(
        &self,
        change: &Change<'_>,
        id: PrincipalId,
        until: QuarantineUntil,
    ) -> Result<Written<()>, WriteError> {
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let old = find(&work.tx, id).await?;
            let of = id.get();
            let tx = &work.tx;
            let keys = key::Entity::delete_many().filter(key::Column::Principal.eq(of));
            let keys = keys.exec(tx).await?.rows_affected;
            let names = authority_name::Entity::delete_many();
            let names = names.filter(authority_name::Column::Principal.eq(of));
            names.exec(tx).await?;
            let reservations = reservation::Entity::delete_many();
            let reservations = reservations.filter(reservation::Column::Principal.eq(of));
            reservations.exec(tx).await?;
            let usages = usage::Entity::delete_many();
            let usages = usages.filter(usage::Column::Principal.eq(of));
            usages.exec(tx).await?;
            lease::orphan(tx, id, until).await?;
            let name = old.name.clone();
            old.delete(tx).await?;
            let details = json!({ "principal": id, "name": name, "keys": keys });
            let version = work.finish(change, "principal.remove", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }
}

/// The row of a principal that is to be changed.
pub(crate) async fn find(
    db: &impl ConnectionTrait,
    id: PrincipalId,
) -> Result<principal::Model, WriteError> {
    let row = principal::Entity::find_by_id(id.get()).one(db).await?;
    row.ok_or_else(|| WriteError::Unknown {
        what: "principal",
        which: id.to_string(),
    })
}

pub(crate) fn read(row: principal::Model) -> Result<Principal, ReadError> {
    let damaged = |what: String| ReadError::Damaged {
        table: TABLE,
        row: row.id,
        what,
    };
    Ok(Principal {
        id: PrincipalId::new(row.id),
        name: row
            .name
            .parse()
            .map_err(|_| damaged(String::from("its name is none")))?,
        kind: match row.kind.as_str() {
            "user" => Kind::User,
            "device" => Kind::Device,
            _ => return Err(damaged(String::from("its kind is neither user nor device"))),
        },
        standing: if row.disabled {
            Standing::Disabled
        } else {
            Standing::Enabled
        },
        grant: serde_json::from_str(&row.grant_json)
            .map_err(|error| damaged(format!("its grant cannot be read: {error}")))?,
        created: moment(TABLE, row.id, row.created)?,
        note: row.note,
    })
}

pub(crate) fn grant_text(grant: &Grant) -> Result<String, WriteError> {
    let text = serde_json::to_string(grant).map_err(|error| WriteError::Failed {
        source: Box::new(error),
    })?;
    if text.len() > LONG {
        return Err(WriteError::TooLarge {
            what: "grant",
            limit: LONG,
        });
    }
    Ok(text)
}

pub(crate) const fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::User => "user",
        Kind::Device => "device",
    }
}

pub(crate) fn taken(error: DbErr, name: &Name) -> WriteError {
    if let Some(SqlErr::UniqueConstraintViolation(_)) = error.sql_err() {
        WriteError::NameTaken {
            name: name.to_string(),
        }
    } else {
        WriteError::from(error)
    }
}
