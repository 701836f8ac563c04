//! Keys: what principals log in with.

use adit_model::id::{Fingerprint, PrincipalId};
use adit_model::source::SourceSet;
use jiff::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use serde_json::json;

use crate::change::{Change, LONG, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::rows::{fingerprint, moment, moments, sources};
use crate::store::{ANSWER, Store};
use crate::table::key;
use crate::text;

/// A public key as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Key {
    /// Its fingerprint, of which there is one: a key is of one principal (security rule G01).
    pub fingerprint: Fingerprint,
    /// Whose it is.
    pub principal: PrincipalId,
    /// The public key, as RFC 4253 section 6.6 encodes it.
    #[serde(skip)]
    pub blob: Vec<u8>,
    /// Its comment, without what a terminal would obey.
    pub comment: String,
    /// Where it may be used from, besides what the principal's grant says.
    pub sources: SourceSet,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// Whether a security key must have been touched.
    pub touch_required: bool,
    /// Whether a security key must have verified its owner.
    pub verify_required: bool,
    /// When it was added.
    pub added: Timestamp,
}

/// A key that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    /// Whose it will be.
    pub principal: PrincipalId,
    /// The fingerprint of `blob`.
    pub fingerprint: Fingerprint,
    /// The public key.
    pub blob: Vec<u8>,
    /// Words about it; cut after 200 characters.
    pub comment: String,
    /// Where it may be used from.
    pub sources: SourceSet,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// Whether a security key must have been touched.
    pub touch_required: bool,
    /// Whether a security key must have verified its owner.
    pub verify_required: bool,
}

const TABLE: &str = "adit_keys";

impl Store {
    /// Adds a key to a principal.
    ///
    /// # Errors
    /// [`WriteError::KeyTaken`] if anybody has it, this principal included (security rule G02).
    pub async fn add_key(
        &self,
        change: &Change<'_>,
        new: &NewKey,
    ) -> Result<Written<()>, WriteError> {
        let row = key::ActiveModel {
            id: NotSet,
            fingerprint: Set(new.fingerprint.to_string()),
            principal: Set(new.principal.get()),
            blob: Set(bounded("key", new.blob.clone())?),
            comment: Set(text::words("comment", &new.comment)?),
            sources: Set(source_text(&new.sources)?),
            not_after: Set(new.not_after.map(Timestamp::as_microsecond)),
            touch_required: Set(new.touch_required),
            verify_required: Set(new.verify_required),
            added: Set(change.when.as_microsecond()),
        };
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let owner = crate::principal::find(&work.tx, new.principal).await?;
            let known = key::Entity::find()
                .filter(key::Column::Fingerprint.eq(new.fingerprint.as_str()))
                .one(&work.tx)
                .await?;
            if let Some(known) = known {
                let of = crate::principal::find(&work.tx, PrincipalId::new(known.principal));
                return Err(WriteError::KeyTaken {
                    fingerprint: new.fingerprint.clone(),
                    owner: of.await?.name,
                });
            }
            key::Entity::insert(row).exec(&work.tx).await?;
            let details = json!({
                "principal": new.principal,
                "name": owner.name,
                "fingerprint": new.fingerprint,
            });
            let version = work.finish(change, "key.add", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }

    /// All keys, or those of one principal, in the order in which they were added.
    pub async fn keys(&self, of: Option<PrincipalId>) -> Result<Vec<Key>, ReadError> {
        self.within(ANSWER, async {
            let mut question = key::Entity::find().order_by_asc(key::Column::Id);
            if let Some(of) = of {
                question = question.filter(key::Column::Principal.eq(of.get()));
            }
            let rows = question.all(&self.readers()).await?;
            rows.into_iter().map(read).collect()
        })
        .await
    }

    /// Removes a key. It may be added again, also to somebody else; one that has fallen into wrong hands is
    /// revoked instead.
    pub async fn remove_key(
        &self,
        change: &Change<'_>,
        fingerprint: &Fingerprint,
    ) -> Result<Written<()>, WriteError> {
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            let removed = key::Entity::delete_many()
                .filter(key::Column::Fingerprint.eq(fingerprint.as_str()))
                .exec(&work.tx)
                .await?;
            if removed.rows_affected == 0 {
                return Err(WriteError::Unknown {
                    what: "key",
                    which: fingerprint.to_string(),
                });
            }
            let details = json!({ "fingerprint": fingerprint });
            let version = work.finish(change, "key.remove", &details).await?;
            Ok(Written { it: (), version })
        })
        .await
    }
}

pub(crate) fn read(row: key::Model) -> Result<Key, ReadError> {
    Ok(Key {
        fingerprint: fingerprint(TABLE, row.id, &row.fingerprint)?,
        principal: PrincipalId::new(row.principal),
        blob: row.blob,
        comment: row.comment,
        sources: sources(TABLE, row.id, &row.sources)?,
        not_after: moments(TABLE, row.id, row.not_after)?,
        touch_required: row.touch_required,
        verify_required: row.verify_required,
        added: moment(TABLE, row.id, row.added)?,
    })
}

/// A public key that is not larger than any.
pub(crate) fn bounded(what: &'static str, blob: Vec<u8>) -> Result<Vec<u8>, WriteError> {
    if blob.len() > BLOB {
        return Err(WriteError::TooLarge { what, limit: BLOB });
    }
    Ok(blob)
}

pub(crate) fn source_text(sources: &SourceSet) -> Result<String, WriteError> {
    let text = sources.to_string();
    if text.len() > LONG {
        return Err(WriteError::TooLarge {
            what: "list of sources",
            limit: LONG,
        });
    }
    Ok(text)
}

/// Bytes of a public key: that of RSA with 16,384 bits, the longest that OpenSSH takes, has 2,071.
const BLOB: usize = 8_192;
