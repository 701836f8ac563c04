//! Orders about revocations: what is never taken, whoever has it.

use adit_model::id::Fingerprint;
use adit_store::{Revocation, Revoked};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Hands, Outcome, Row, row};

/// What is to be done with revocations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RevocationOrder {
    /// One more.
    Add {
        /// What is revoked.
        what: RevokedText,
        /// Words about it.
        note: String,
    },
    /// All of them.
    List {},
    /// It is taken back.
    Remove {
        /// Its number.
        id: i64,
    },
}

/// What is revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum RevokedText {
    /// That key, of anybody or of an authority.
    Key(Fingerprint),
    /// Certificates by their numbers.
    Serials {
        /// Whose.
        authority: Fingerprint,
        /// The lowest.
        from: u64,
        /// The highest.
        to: u64,
    },
    /// Certificates by their key id.
    KeyId {
        /// Whose.
        authority: Fingerprint,
        /// The id.
        id: String,
    },
}

/// A revocation as it is shown.
#[derive(Debug, Default, Serialize)]
struct Shown {
    id: i64,
    key: Option<String>,
    authority: Option<String>,
    serials: Option<String>,
    key_id: Option<String>,
    note: String,
    added: Timestamp,
}

pub(super) async fn carry_out(
    order: &RevocationOrder,
    hands: Hands<'_>,
) -> anyhow::Result<Outcome> {
    let change = hands.change();
    match order {
        RevocationOrder::Add { what, note } => {
            let what = Revoked::from(what);
            let added = hands.store.add_revocation(&change, &what, note);
            let id = added.await?.it;
            let all = hands.store.revocations().await?;
            let added = all.iter().find(|one| one.id == id);
            let rows = added.map(shown).transpose()?;
            let words = format!("revocation {id}: it lets nobody in, and closes what it let in");
            Ok(Outcome::done(words, rows))
        }
        RevocationOrder::List {} => {
            let all = hands.store.revocations().await?;
            Outcome::list(all.iter().map(shown))
        }
        RevocationOrder::Remove { id } => {
            let removed = hands.store.remove_revocation(&change, *id);
            removed.await?;
            let words = format!("revocation {id} is taken back");
            Ok(Outcome::done(words, []))
        }
    }
}

impl From<&RevokedText> for Revoked {
    fn from(text: &RevokedText) -> Self {
        match text.clone() {
            RevokedText::Key(key) => Self::Key(key),
            RevokedText::Serials {
                authority,
                from,
                to,
            } => Self::Serials {
                authority,
                from,
                to,
            },
            RevokedText::KeyId { authority, id } => Self::KeyId { authority, id },
        }
    }
}

fn shown(revocation: &Revocation) -> anyhow::Result<Row> {
    let mut shown = Shown {
        id: revocation.id,
        note: revocation.note.clone(),
        added: revocation.added,
        ..Shown::default()
    };
    match &revocation.what {
        Revoked::Key(key) => shown.key = Some(key.to_string()),
        Revoked::Serials {
            authority,
            from,
            to,
        } => {
            shown.authority = Some(authority.to_string());
            shown.serials = Some(format!("{from}-{to}"));
        }
        Revoked::KeyId { authority, id } => {
            shown.authority = Some(authority.to_string());
            shown.key_id = Some(id.clone());
        }
    }
    row(shown)
}
