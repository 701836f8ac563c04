//! Revocations: what is never taken, whoever has it.

use adit_model::id::Fingerprint;
use jiff::Timestamp;
use sea_orm::ActiveValue::{NotSet, Set};
use serde_json::{Value, json};

use crate::change::{Change, Work, Written};
use crate::error::{ReadError, WriteError};
use crate::rows::{fingerprint, moment};
use crate::rule::{self, Table};
use crate::store::{ANSWER, Store};
use crate::table::revocation;
use crate::text;

/// A revocation as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Revocation {
    /// Its row.
    pub id: i64,
    /// What is revoked.
    pub what: Revoked,
    /// Its maker's words.
    pub note: String,
    /// When it was added.
    pub added: Timestamp,
}

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Revoked {
    /// That key, of a user or an authority, alone or in a certificate.
    Key(Fingerprint),
    /// Certificates of that authority with serial numbers from the first to the second.
    Serials {
        /// The authority's fingerprint.
        authority: Fingerprint,
        /// The lowest.
        from: u64,
        /// The highest.
        to: u64,
    },
    /// Certificates of that authority with that key id.
    KeyId {
        /// The authority's fingerprint.
        authority: Fingerprint,
        /// The id.
        id: String,
    },
}

const TABLE: &str = "adit_revocations";

impl Store {
    /// Revokes; the row's number is returned. Neither the key nor the authority has to be known here.
    pub async fn add_revocation(
        &self,
        change: &Change<'_>,
        what: &Revoked,
        note: &str,
    ) -> Result<Written<i64>, WriteError> {
        let digits = |serial: u64| Some(format!("{serial:020}"));
        let (kind, of, serials, key_id) = match what {
            Revoked::Key(key) => ("key", key, (None, None), None),
            Revoked::Serials {
                authority,
                from,
                to,
            } => ("serials", authority, (digits(*from), digits(*to)), None),
            Revoked::KeyId { authority, id } => {
                let id = text::exact("key id", id)?;
                ("key_id", authority, (None, None), Some(id))
            }
        };
        let row = revocation::ActiveModel {
            id: NotSet,
            kind: Set(String::from(kind)),
            fingerprint: Set(of.to_string()),
            serial_from: Set(serials.0),
            serial_to: Set(serials.1),
            key_id: Set(key_id),
            note: Set(text::words("note", note)?),
            added: Set(change.when.as_microsecond()),
        };
        self.within(ANSWER, async {
            let work = Work::begin(&self.writer()).await?;
            rule::add(work, change, row, json!({ "of": what })).await
        })
        .await
    }

    /// All revocations, in the order in which they were added.
    pub async fn revocations(&self) -> Result<Vec<Revocation>, ReadError> {
        self.rules::<revocation::Entity>().await
    }

    /// Takes a revocation back.
    pub async fn remove_revocation(
        &self,
        change: &Change<'_>,
        id: i64,
    ) -> Result<Written<()>, WriteError> {
        self.remove_rule::<revocation::Entity>(change, id).await
    }
}

impl Table for revocation::Entity {
    type Rule = Revocation;

    const NOUN: &'static str = "revocation";
    const ID: Self::Column = revocation::Column::Id;

    fn read(row: revocation::Model) -> Result<Revocation, ReadError> {
        read(row)
    }

    fn what(rule: &Revocation) -> Value {
        json!(rule.what)
    }
}

fn read(row: revocation::Model) -> Result<Revocation, ReadError> {
    let of = fingerprint(TABLE, row.id, &row.fingerprint)?;
    let serial = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok());
    let serials = (
        serial(row.serial_from.as_deref()),
        serial(row.serial_to.as_deref()),
    );
    let what = match (row.kind.as_str(), serials, row.key_id) {
        ("key", _, _) => Revoked::Key(of),
        ("serials", (Some(from), Some(to)), _) => Revoked::Serials {
            authority: of,
            from,
            to,
        },
        ("key_id", _, Some(id)) => Revoked::KeyId { authority: of, id },
        _ => {
            return Err(ReadError::Damaged {
                table: TABLE,
                row: row.id,
                what: String::from("it does not say what is revoked"),
            });
        }
    };
    Ok(Revocation {
        id: row.id,
        what,
        note: row.note,
        added: moment(TABLE, row.id, row.added)?,
    })
}
