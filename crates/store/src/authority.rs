//! Authorities: whose certificates stand for principals.

use std::collections::{BTreeMap, HashMap};

use adit_model::id::{Fingerprint, PrincipalId};
use adit_model::source::SourceSet;
use jiff::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;

use crate::change::{Change, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::key::{bounded, source_text};
use crate::rows::{fingerprint, moment, moments, sources};
use crate::store::{ANSWER, Store};
use crate::table::{authority, authority_name};
use crate::text;

/// An authority as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Authority {
    /// The fingerprint of its key, of which there is one.
    pub fingerprint: Fingerprint,
    /// Its public key, as RFC 4253 section 6.6 encodes it.
    #[serde(skip)]
    pub blob: Vec<u8>,
    /// The names that its certificates may stand for, each with the principal that it is here.
    pub names: BTreeMap<String, PrincipalId>,
    /// Where its certificates may be used from.
    pub sources: SourceSet,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// Its maker's words.
    pub note: String,
    /// When it was added.
    pub added: Timestamp,
}

/// An authority that is to be added, without names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuthority {
    /// The fingerprint of `blob`.
    pub fingerprint: Fingerprint,
    /// Its public key.
    pub blob: Vec<u8>,
    /// Where its certificates may be used from.
    pub sources: SourceSet,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// Words about it; cut after 200 characters.
    pub note: String,
}

const TABLE: &str = "adit_authorities";

impl Store {
    /// Adds an authority. Nobody can log in by it until it has names.
    ///
    /// # Errors
    /// [`WriteError::AuthorityTaken`] besides the usual.
    pub async fn add_authority(
        &self,
        change: &Change<'_>,
        new: &NewAuthority,
    ) -> Result<Written<()>, WriteError> {
        let row = authority::ActiveModel {
            id: NotSet,
            fingerprint: Set(new.fingerprint.to_string()),
            blob: Set(bounded("key", new.blob.clone())?),
            sources: Set(source_text(&new.sources)?),
            not_after: Set(new.not_after.map(Timestamp::as_microsecond)),
            note: Set(text::words("note", &new.note)?),
            added: Set(change.when.as_microsecond()),
        };
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            if find(&work.tx, &new.fingerprint).await.is_ok() {
                return Err(WriteError::AuthorityTaken {
                    fingerprint: new.fingerprint.clone(),
                });
            }
            authority::Entity::insert(row).exec(&work.tx).await?;
            let details = json!({ "fingerprint": new.fingerprint });
            let version = work.finish(change, "authority.add", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// Says which principal a name in an authority's certificates is here, or was another before.
    pub async fn set_authority_name(
        &self,
        change: &Change<'_>,
        authority: &Fingerprint,
        name: &str,
        principal: PrincipalId,
    ) -> Result<Written<()>, WriteError> {
        let name = text::exact("name", name)?;
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let row = find(&work.tx, authority).await?;
            crate::principal::find(&work.tx, principal).await?;
            unname(&work.tx, row.id, &name).await?;
            let new = authority_name::ActiveModel {
                id: NotSet,
                authority: Set(row.id),
                name: Set(name.clone()),
                principal: Set(principal.get()),
            };
            authority_name::Entity::insert(new).exec(&work.tx).await?;
            let details = json!({ "fingerprint": authority, "name": name, "principal": principal });
            let version = work.finish(change, "authority.name", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// Takes a name from an authority.
    pub async fn remove_authority_name(
        &self,
        change: &Change<'_>,
        authority: &Fingerprint,
        name: &str,
    ) -> Result<Written<()>, WriteError> {
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let row = find(&work.tx, authority).await?;
            if unname(&work.tx, row.id, name).await? == 0 {
                return Err(WriteError::Unknown {
                    what: "name of that authority",
                    which: text::words("name", name)?,
                });
            }
            let details = json!({ "fingerprint": authority, "name": name });
            let version = work.finish(change, "authority.unname", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// All authorities, in the order in which they were added.
    pub async fn authorities(&self) -> Result<Vec<Authority>, ReadError> {
        self.within(ANSWER, async { all(&self.readers()).await })
            .await
    }

    /// Removes an authority with its names.
    pub async fn remove_authority(
        &self,
        change: &Change<'_>,
        authority: &Fingerprint,
    ) -> Result<Written<()>, WriteError> {
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let row = find(&work.tx, authority).await?;
            let names = authority_name::Entity::delete_many();
            let names = names.filter(authority_name::Column::Authority.eq(row.id));
            names.exec(&work.tx).await?;
            let rows = authority::Entity::delete_by_id(row.id);
            rows.exec(&work.tx).await?;
            let details = json!({ "fingerprint": authority });
            let version = work.finish(change, "authority.remove", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }
}

async fn unname(db: &impl ConnectionTrait, authority: i64, name: &str) -> Result<u64, WriteError> {
    let removed = authority_name::Entity::delete_many()
        .filter(authority_name::Column::Authority.eq(authority))
        .filter(authority_name::Column::Name.eq(name))
        .exec(db)
        .await?;
    Ok(removed.rows_affected)
}

async fn find(
    db: &impl ConnectionTrait,
    wanted: &Fingerprint,
) -> Result<authority::Model, WriteError> {
    let row = authority::Entity::find()
        .filter(authority::Column::Fingerprint.eq(wanted.as_str()))
        .one(db)
        .await?;
    row.ok_or_else(|| WriteError::Unknown {
        what: "authority",
        which: wanted.to_string(),
    })
}

/// All authorities with their names.
pub(crate) async fn all(db: &impl ConnectionTrait) -> Result<Vec<Authority>, ReadError> {
    let rows = authority::Entity::find()
        .order_by_asc(authority::Column::Id)
        .all(db)
        .await?;
    let mut names: HashMap<i64, BTreeMap<String, PrincipalId>> = HashMap::new();
    for row in authority_name::Entity::find().all(db).await? {
        let of = names.entry(row.authority).or_default();
        of.insert(row.name, PrincipalId::new(row.principal));
    }
    rows.into_iter()
        .map(|row| {
            Ok(Authority {
                fingerprint: fingerprint(TABLE, row.id, &row.fingerprint)?,
                blob: row.blob,
                names: names.remove(&row.id).unwrap_or_default(),
                sources: sources(TABLE, row.id, &row.sources)?,
                not_after: moments(TABLE, row.id, row.not_after)?,
                note: row.note,
                added: moment(TABLE, row.id, row.added)?,
            })
        })
        .collect()
}
