//! Who may log in: what the store has and what files of keys say, as one snapshot, made anew whenever either
//! may have changed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use adit_model::grant::{Grant, Reach};
use adit_model::host::Name;
use adit_model::id::{Fingerprint, PrincipalId};
use adit_store::{
    Change, Kind as StoredKind, NewPrincipal, Revoked as StoredRevoked, Rows, Standing, Store,
};
use adit_tunnel::gateway::authorized_keys::{AuthorizedKeys, Defaults, Identity, Line};
use adit_tunnel::gateway::policy::{Authority, Key, Kind, Policy, Principal, Revoked};
use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::warn;

use super::settings::Settings;

/// Who adds principals for the keys of files, as the audit has it.
const WHO: &str = "authorized_keys";
/// Digits of a key's digest in the name of its principal: 160 bits.
const DIGITS: usize = 40;

/// Reads everything that says who may log in.
///
/// # Errors
///
/// The store does not answer, or a file of keys cannot be used at all. A line that cannot be used is logged and
/// lets nobody in.
pub(super) async fn policy(store: &Store, settings: &Settings) -> anyhow::Result<Policy> {
    let files = files(settings)?;
    let mut rows = store.load().await.context("cannot read who may log in")?;
    let known: HashMap<Name, PrincipalId> = names(&rows);
    let mut ids = HashMap::new();
    for identity in files
        .iter()
        .flat_map(|(_, keys)| &keys.lines)
        .flat_map(Line::identities)
    {
        let name = name_of(&identity)?;
        let id = match known.get(&name) {
            Some(id) => *id,
            None => add(store, &name, &identity).await?,
        };
        ids.insert(identity, id);
    }
    if ids
        .values()
        .any(|id| rows.principals.iter().all(|row| row.id != *id))
    {
        rows = store.load().await.context("cannot read who may log in")?;
    }
    let mut policy = of_rows(&rows, settings);
    // Those of files are what their lines say, and no more.
    for id in ids.values() {
        policy.principals.remove(id);
    }
    for (path, keys) in &files {
        let refused = keys.add_to(&mut policy, |identity| {
            ids.get(identity).copied().unwrap_or(PrincipalId::new(0))
        });
        let path = path.display();
        for rejected in keys.rejected.iter().chain(&refused) {
            warn!("{path}: {rejected}: nobody logs in by this line");
        }
        for line in &keys.lines {
            for note in &line.notes {
                warn!("{path}: line {}: {note}", line.number);
            }
        }
    }
    if settings.is_local_only {
        keep_local(&mut policy);
    }
    Ok(policy)
}

/// The files of keys with what they say.
fn files(settings: &Settings) -> anyhow::Result<Vec<(PathBuf, AuthorizedKeys)>> {
    let defaults = Defaults {
        grant: default_grant(settings),
        zone: TimeZone::system(),
    };
    let read = |path: &PathBuf| {
        let keys = AuthorizedKeys::read(path, &defaults);
        let keys = keys.with_context(|| format!("cannot use {}", path.display()))?;
        Ok((path.clone(), keys))
    };
    settings.authorized_keys.iter().map(read).collect()
}

/// What a key may do that nobody says anything else of.
pub(super) fn default_grant(settings: &Settings) -> Grant {
    let defaults = &settings.defaults;
    Grant {
        ports: defaults.ports.clone(),
        any_port: true,
        reach: defaults.reach,
        takeover: defaults.takeover,
        limits: defaults.limits,
        ..Grant::default()
    }
}

fn names(rows: &Rows) -> HashMap<Name, PrincipalId> {
    let principals = rows.principals.iter();
    principals.map(|row| (row.name.clone(), row.id)).collect()
}

/// The name in the store of somebody who is known by a file alone.
fn name_of(identity: &Identity) -> anyhow::Result<Name> {
    let text = identity.to_string();
    let digest = digest(&SHA256, text.as_bytes());
    let digits = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
    let mut name = format!("file-{}", digits.collect::<String>());
    name.truncate(DIGITS.saturating_add(5));
    name.parse().context("a digest makes no name")
}

async fn add(store: &Store, name: &Name, identity: &Identity) -> anyhow::Result<PrincipalId> {
    let change = Change {
        when: Timestamp::now(),
        who: WHO,
    };
    let new = NewPrincipal {
        name: name.clone(),
        kind: StoredKind::User,
        // What it may do stands in the file.
        grant: Grant::default(),
        note: format!("{identity}, of a file of keys"),
    };
    let added = store.add_principal(&change, &new).await;
    Ok(added.context("cannot write down a key of a file")?.it)
}

/// What the store has. Ports are those of the gateway, whatever a grant says.
fn of_rows(rows: &Rows, settings: &Settings) -> Policy {
    let enabled = rows.principals.iter();
    let enabled = enabled.filter(|row| row.standing == Standing::Enabled);
    let principals: HashMap<PrincipalId, Arc<Principal>> = enabled
        .map(|row| {
            let mut grant = row.grant.clone();
            grant.ports = grant.ports.intersection(&settings.defaults.ports);
            let principal = Principal {
                id: row.id,
                name: row.name.to_string(),
                kind: match row.kind {
                    StoredKind::User => Kind::User,
                    StoredKind::Device => Kind::Device,
                },
                grant,
            };
            (row.id, Arc::new(principal))
        })
        .collect();
    let keys = rows.keys.iter();
    let keys = keys.filter(|row| principals.contains_key(&row.principal));
    let keys: HashMap<Fingerprint, Arc<Key>> = keys
        .map(|row| {
            let key = Key {
                principal: row.principal,
                blob: row.blob.clone(),
                sources: row.sources.clone(),
                not_after: row.not_after,
                touch_required: row.touch_required,
                verify_required: row.verify_required,
            };
            (row.fingerprint.clone(), Arc::new(key))
        })
        .collect();
    let authorities = rows.authorities.iter().map(|row| {
        let names = row.names.iter();
        Arc::new(Authority {
            blob: row.blob.clone(),
            names: names.map(|(name, id)| (name.clone(), *id)).collect(),
            sources: row.sources.clone(),
            not_after: row.not_after,
        })
    });
    let revoked = rows.revocations.iter().map(|row| revoked(&row.what));
    Policy {
        version: rows.version,
        principals,
        keys,
        authorities: authorities.collect(),
        revoked: revoked.collect(),
        reservations: rows.reservations.clone(),
    }
}

fn revoked(what: &StoredRevoked) -> Revoked {
    match what {
        StoredRevoked::Key(fingerprint) => Revoked::Key(fingerprint.clone()),
        StoredRevoked::Serials {
            authority,
            from,
            to,
        } => Revoked::Serials {
            authority: authority.clone(),
            from: *from,
            to: *to,
        },
        StoredRevoked::KeyId { authority, id } => Revoked::KeyId {
            authority: authority.clone(),
            id: id.clone(),
        },
    }
}

/// Forwards of everybody listen on this machine alone.
fn keep_local(policy: &mut Policy) {
    for principal in policy.principals.values_mut() {
        Arc::make_mut(principal).grant.reach = Reach::Local;
    }
}
