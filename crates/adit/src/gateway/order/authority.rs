//! Orders about authorities: whose certificates stand for principals.

use std::collections::BTreeMap;

use adit_model::host::Name;
use adit_model::id::Fingerprint;
use adit_model::source::SourceSet;
use adit_store::{Authority, NewAuthority};
use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::{read, sources};
use super::{Hands, Names, Outcome, Row, row};

/// What is to be done with authorities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum AuthorityOrder {
    /// One more.
    Add {
        /// Its public key in OpenSSH's form.
        text: String,
        /// Where its certificates may be used from.
        sources: SourceSet,
        /// Until when.
        not_after: Option<Timestamp>,
        /// Words about it.
        note: String,
    },
    /// All of them.
    List {},
    /// One.
    Show {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// Its certificates let nobody in any more.
    Remove {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// Whom a name in its certificates stands for.
    Name {
        /// Which.
        fingerprint: Fingerprint,
        /// The name in certificates, exactly.
        name: String,
        /// Who that is here.
        principal: Name,
    },
    /// A name stands for nobody any more.
    Unname {
        /// Which.
        fingerprint: Fingerprint,
        /// The name in certificates.
        name: String,
    },
}

/// An authority as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    fingerprint: &'a Fingerprint,
    names: BTreeMap<&'a str, String>,
    from: String,
    not_after: Option<Timestamp>,
    note: &'a str,
    added: Timestamp,
}

pub(super) async fn carry_out(order: &AuthorityOrder, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    let change = hands.change();
    let store = hands.store;
    match order {
        AuthorityOrder::Add {
            text,
            sources,
            not_after,
            note,
        } => {
            let key = read(text)?;
            let new = NewAuthority {
                fingerprint: key.fingerprint.clone(),
                blob: key.blob,
                sources: sources.clone(),
                not_after: *not_after,
                note: note.clone(),
            };
            store.add_authority(&change, &new).await?;
            let fingerprint = &key.fingerprint;
            let words = format!(
                "authority {fingerprint} is known: its certificates let nobody in until adit authority name \
                 {fingerprint} NAME PRINCIPAL says for whom they stand"
            );
            now(words, fingerprint, hands).await
        }
        AuthorityOrder::List {} => {
            let names = hands.names().await?;
            let all = store.authorities().await?;
            Outcome::list(all.iter().map(|one| shown(one, &names)))
        }
        AuthorityOrder::Show { fingerprint } => {
            let found = find(fingerprint, hands).await?;
            let names = hands.names().await?;
            Ok(Outcome::one(shown(&found, &names)?))
        }
        AuthorityOrder::Remove { fingerprint } => {
            store.remove_authority(&change, fingerprint).await?;
            let words = format!("certificates of {fingerprint} let nobody in any more");
            Ok(Outcome::done(words, []))
        }
        AuthorityOrder::Name {
            fingerprint,
            name,
            principal,
        } => {
            let owner = hands.principal(principal).await?;
            let named = store.set_authority_name(&change, fingerprint, name, owner.id);
            named.await?;
            let words = format!("certificates of {fingerprint} for {name:?} let {principal} in");
            now(words, fingerprint, hands).await
        }
        AuthorityOrder::Unname { fingerprint, name } => {
            let unnamed = store.remove_authority_name(&change, fingerprint, name);
            unnamed.await?;
            let words =
                format!("certificates of {fingerprint} for {name:?} let nobody in any more");
            now(words, fingerprint, hands).await
        }
    }
}

/// What was done, and the authority as it is now.
async fn now(
    words: String,
    fingerprint: &Fingerprint,
    hands: Hands<'_>,
) -> anyhow::Result<Outcome> {
    let found = find(fingerprint, hands).await?;
    let names = hands.names().await?;
    Ok(Outcome::done(words, [shown(&found, &names)?]))
}

async fn find(fingerprint: &Fingerprint, hands: Hands<'_>) -> anyhow::Result<Authority> {
    let all = hands.store.authorities().await?;
    let found = all.into_iter().find(|one| one.fingerprint == *fingerprint);
    found.with_context(|| {
        format!("there is no authority {fingerprint}: adit authority list shows them all")
    })
}

fn shown(authority: &Authority, names: &Names) -> anyhow::Result<Row> {
    let pairs = authority.names.iter();
    row(Shown {
        fingerprint: &authority.fingerprint,
        names: pairs
            .map(|(name, id)| (name.as_str(), names.of(*id)))
            .collect(),
        from: sources(&authority.sources),
        not_after: authority.not_after,
        note: &authority.note,
        added: authority.added,
    })
}
