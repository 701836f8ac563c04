//! Orders about keys: what principals log in with.

use adit_model::host::Name;
use adit_model::id::Fingerprint;
use adit_model::source::SourceSet;
use adit_store::{Key, NewKey as Stored};
use adit_tunnel::gateway::authorized_keys::{AuthorizedKeys, Defaults, Line};
use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use super::{Hands, Outcome, Row, row};

/// What is to be done with keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum KeyOrder {
    /// One more of a principal.
    Add(NewKey),
    /// All of them, or those of one principal.
    List {
        /// Whose.
        principal: Option<Name>,
    },
    /// One.
    Show {
        /// Which.
        fingerprint: Fingerprint,
    },
    /// It lets nobody in any more.
    Remove {
        /// Which.
        fingerprint: Fingerprint,
    },
}

/// A key that somebody is to log in with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewKey {
    /// Whose.
    pub(crate) principal: Name,
    /// The public key in OpenSSH's form.
    pub(crate) text: String,
    /// Where it may be used from.
    pub(crate) sources: SourceSet,
    /// Until when.
    pub(crate) not_after: Option<Timestamp>,
    /// Whether a security key must have been touched.
    pub(crate) touch_required: bool,
    /// Whether a security key must have verified its owner.
    pub(crate) verify_required: bool,
}

/// A key as it is shown.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    fingerprint: &'a Fingerprint,
    principal: &'a str,
    comment: &'a str,
    from: String,
    not_after: Option<Timestamp>,
    touch_required: bool,
    verify_required: bool,
    added: Timestamp,
}

pub(super) async fn carry_out(order: &KeyOrder, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    let change = hands.change();
    match order {
        KeyOrder::Add(new) => add(new, hands).await,
        KeyOrder::List { principal } => {
            let of = match principal {
                Some(name) => Some(hands.principal(name).await?.id),
                None => None,
            };
            let names = hands.names().await?;
            let keys = hands.store.keys(of).await?;
            Outcome::list(keys.iter().map(|key| shown(key, &names.of(key.principal))))
        }
        KeyOrder::Show { fingerprint } => {
            let (key, owner) = find(fingerprint, hands).await?;
            Ok(Outcome::one(shown(&key, &owner)?))
        }
        KeyOrder::Remove { fingerprint } => {
            let (key, owner) = find(fingerprint, hands).await?;
            let removed = hands.store.remove_key(&change, &key.fingerprint);
            removed.await?;
            let words = format!(
                "{fingerprint} of {owner} lets nobody in any more; if it may be in wrong hands, keep it out for good \
                 with adit revoke add --key {fingerprint}"
            );
            Ok(Outcome::done(words, []))
        }
    }
}

async fn add(new: &NewKey, hands: Hands<'_>) -> anyhow::Result<Outcome> {
    let change = hands.change();
    let owner = hands.principal(&new.principal).await?;
    let read = read(&new.text)?;
    let stored = Stored {
        principal: owner.id,
        fingerprint: read.fingerprint.clone(),
        blob: read.blob,
        comment: read.comment,
        sources: new.sources.clone(),
        not_after: new.not_after,
        touch_required: new.touch_required,
        verify_required: new.verify_required,
    };
    hands.store.add_key(&change, &stored).await?;
    let (key, owner) = find(&read.fingerprint, hands).await?;
    let words = format!("{} lets {owner} in", key.fingerprint);
    Ok(Outcome::done(words, [shown(&key, &owner)?]))
}

async fn find(fingerprint: &Fingerprint, hands: Hands<'_>) -> anyhow::Result<(Key, String)> {
    let keys = hands.store.keys(None).await?;
    let found = keys.into_iter().find(|key| key.fingerprint == *fingerprint);
    let found = found
        .with_context(|| format!("there is no key {fingerprint}: adit key list shows them all"))?;
    let owner = hands.names().await?.of(found.principal);
    Ok((found, owner))
}

/// One public key in OpenSSH's form, without options.
///
/// # Errors
///
/// It is something else, above all a private key.
pub(super) fn read(text: &str) -> anyhow::Result<Line> {
    refuse_private(text)?;
    let text = text.trim();
    let is_bare = ["ssh-", "ecdsa-", "sk-"]
        .iter()
        .any(|start| text.starts_with(start));
    ensure!(
        is_bare && !text.contains('\n'),
        "that is no public key: wanted one line, TYPE BASE64 COMMENT, as a .pub file of ssh-keygen has it \
         (options of authorized_keys are flags here)"
    );
    let defaults = Defaults {
        grant: adit_model::grant::Grant::default(),
        zone: TimeZone::UTC,
    };
    let read = AuthorizedKeys::parse(text.as_bytes(), &defaults)?;
    if let Some(rejected) = read.rejected.first() {
        bail!("that is no public key: {}", rejected.why);
    }
    let line = read.lines.into_iter().next();
    line.context("that is no public key: there is nothing in it")
}

/// Nobody's private key has any business here (security rule G122).
pub(crate) fn refuse_private(text: &str) -> anyhow::Result<()> {
    let is_private = text.contains("PRIVATE KEY") || text.contains("PuTTY-User-Key-File");
    ensure!(
        !is_private,
        "that is a private key, which never leaves its owner: name the public one, the file beside it that ends \
         in .pub (nothing was kept)"
    );
    Ok(())
}

pub(super) fn shown(key: &Key, owner: &str) -> anyhow::Result<Row> {
    row(Shown {
        fingerprint: &key.fingerprint,
        principal: owner,
        comment: &key.comment,
        from: sources(&key.sources),
        not_after: key.not_after,
        touch_required: key.touch_required,
        verify_required: key.verify_required,
        added: key.added,
    })
}

/// Where something may be used from, in a text that says so also of everywhere.
pub(super) fn sources(sources: &SourceSet) -> String {
    if sources.is_everywhere() {
        String::from("*")
    } else {
        sources.to_string()
    }
}
