//! Who may log in: what the store has and what files of keys say, as one snapshot, made anew whenever either
//! may have changed.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use adit_model::grant::{Grant, Reach};
use adit_model::host::Name;
use adit_model::id::{Fingerprint, PrincipalId};
use adit_model::port::PortSet;
use adit_store::{
    Change, Kind as StoredKind, NewPrincipal, Revoked as StoredRevoked, Rows, Standing, Store,
    WriteError,
};
use adit_tunnel::gateway::authorized_keys::{AuthorizedKeys, Defaults, Identity, Line};
use adit_tunnel::gateway::policy::{Authority, Key, Kind, Policy, Principal, Revoked};
use anyhow::Context as _;
use aws_lc_rs::digest::{SHA256, digest};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::{debug, error, warn};

use super::settings::Settings;

/// Who adds principals for the keys of files, as the audit has it.
const WHO: &str = "authorized_keys";
/// What the name of such a principal begins with.
const PREFIX: &str = "file-";
/// Digits of a key's digest in the name of its principal: 160 bits.
const DIGITS: usize = 40;

/// The files of keys, as they were read.
#[derive(Debug, Clone, Default)]
pub(super) struct KeyFiles(Vec<(PathBuf, AuthorizedKeys)>);

impl KeyFiles {
    /// Reads them all. A line that cannot be used is logged and lets nobody in.
    ///
    /// # Errors
    ///
    /// One of them cannot be used at all.
    pub(super) fn read(settings: &Settings) -> anyhow::Result<Self> {
        let defaults = Defaults {
            grant: default_grant(settings),
            zone: TimeZone::system(),
        };
        let read = |path: &PathBuf| {
            let keys = AuthorizedKeys::read(path, &defaults);
            let keys = keys.with_context(|| format!("cannot use {}", path.display()))?;
            tell_of(path, &keys, &settings.defaults.ports);
            Ok((path.clone(), keys))
        };
        let read: anyhow::Result<Vec<_>> = settings.authorized_keys.iter().map(read).collect();
        Ok(Self(read?))
    }

    fn identities(&self) -> impl Iterator<Item = Identity> + '_ {
        let lines = self.0.iter().flat_map(|(_, keys)| &keys.lines);
        lines.flat_map(Line::identities)
    }
}

/// Says what of a file does not count, or not as its writer may think.
fn tell_of(path: &Path, keys: &AuthorizedKeys, ports: &PortSet) {
    let path = path.display();
    for rejected in &keys.rejected {
        warn!("{path}: {rejected}: nobody logs in by this line");
    }
    for line in &keys.lines {
        let number = line.number;
        for note in &line.notes {
            warn!("{path}: line {number}: {note}");
        }
        let had = line.grant.ports.intersection(ports);
        if had != line.grant.ports {
            warn!(
                "{path}: line {number}: of its ports ({}), this gateway has {had}",
                line.grant.ports
            );
        }
    }
}

/// Reads who may log in.
///
/// # Errors
///
/// The store does not answer.
pub(super) async fn policy(
    store: &Store,
    settings: &Settings,
    files: &KeyFiles,
) -> anyhow::Result<Policy> {
    let mut rows = load(store).await?;
    let known: HashMap<Name, PrincipalId> = names(&rows);
    let mut ids = HashMap::new();
    let mut is_new = false;
    for identity in files.identities() {
        let name = name_of(&identity)?;
        let id = if let Some(id) = known.get(&name) {
            Some(*id)
        } else {
            is_new = true;
            add(store, &name, &identity).await?
        };
        if let Some(id) = id {
            ids.insert(identity, id);
        }
    }
    if is_new {
        rows = load(store).await?;
    }
    let mut policy = of_rows(&rows);
    // Those of files are what their lines say, and no more.
    for id in ids.values() {
        policy.principals.remove(id);
    }
    for (path, keys) in &files.0 {
        let mut keys = keys.clone();
        keys.lines.retain(|line| {
            let is_whole = line.identities().iter().all(|identity| ids.contains_key(identity));
            if !is_whole {
                error!(
                    "{}: line {}: what the store has of it is damaged: nobody logs in by this line until that is mended",
                    path.display(),
                    line.number
                );
            }
            is_whole
        });
        let refused = keys.add_to(&mut policy, |identity| {
            ids.get(identity).copied().unwrap_or(PrincipalId::new(0))
        });
        for rejected in refused {
            debug!(
                "{}: {rejected}: nobody logs in by this line",
                path.display()
            );
        }
    }
    policy.anonymous = anonymous(&rows, settings);
    // Whatever anybody says of whom an operator has disabled.
    for row in &rows.principals {
        if row.standing == Standing::Disabled {
            policy.principals.remove(&row.id);
        }
    }
    for principal in policy.principals.values_mut() {
        let grant = &mut Arc::make_mut(principal).grant;
        grant.ports = grant.ports.intersection(&settings.defaults.ports);
        if settings.is_local_only {
            grant.reach = Reach::Local;
        }
    }
    Ok(policy)
}

/// Those users of the store that the settings name.
fn anonymous(rows: &Rows, settings: &Settings) -> HashSet<PrincipalId> {
    let users = rows
        .principals
        .iter()
        .filter(|row| row.kind == StoredKind::User && settings.anonymous.contains(&row.name));
    users.map(|row| row.id).collect()
}

/// Says as whom anybody may log in: nobody is to learn that from a stranger.
pub(super) fn tell_of_anonymous(settings: &Settings, policy: &Policy) {
    for name in &settings.anonymous {
        let is_there = policy.anonymous.iter().any(|id| {
            let principal = policy.principals.get(id);
            principal.is_some_and(|principal| principal.name == name.as_str())
        });
        if is_there {
            warn!(
                "ANYBODY may log in as {name}, without a key; what they may do then is what adit grant show {name} shows"
            );
        } else {
            warn!("anonymous: {name} is no user who may log in, so nobody comes in like that");
        }
    }
}

async fn load(store: &Store) -> anyhow::Result<Rows> {
    store.load().await.context("cannot read who may log in")
}

/// What a key may do that nobody says anything else of.
pub(super) fn default_grant(settings: &Settings) -> Grant {
    let defaults = &settings.defaults;
    Grant {
        ports: defaults.ports.clone(),
        any_port: true,
        any_name: settings.serves_names(),
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
    let mut name = format!("{PREFIX}{}", digits.collect::<String>());
    name.truncate(DIGITS.saturating_add(PREFIX.len()));
    name.parse().context("a digest makes no name")
}

/// Whether that is the name in the store of somebody who is known by a file alone.
pub(super) fn is_of_file(name: &Name) -> bool {
    let digits = name.as_str().strip_prefix(PREFIX);
    digits.is_some_and(|digits| {
        digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Adds somebody who is known by a file alone; `None` if a row of that name is there that cannot be read.
async fn add(
    store: &Store,
    name: &Name,
    identity: &Identity,
) -> anyhow::Result<Option<PrincipalId>> {
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
    match store.add_principal(&change, &new).await {
        Ok(added) => Ok(Some(added.it)),
        Err(WriteError::NameTaken { .. }) => Ok(None),
        Err(error) => Err(error).context("cannot write down a key of a file"),
    }
}

/// What the store has. Keys of somebody who is disabled are there too, so that nobody else has them: they let nobody in.
fn of_rows(rows: &Rows) -> Policy {
    let principals = rows.principals.iter();
    let principals: HashMap<PrincipalId, Arc<Principal>> = principals
        .map(|row| {
            let principal = Principal {
                id: row.id,
                name: row.name.to_string(),
                kind: match row.kind {
                    StoredKind::User => Kind::User,
                    StoredKind::Device => Kind::Device,
                },
                grant: row.grant.clone(),
            };
            (row.id, Arc::new(principal))
        })
        .collect();
    let keys = rows.keys.iter();
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
        anonymous: HashSet::new(),
    }
}

/// A line of a revocation list, as logins are held against it.
pub(super) fn revoked(what: &StoredRevoked) -> Revoked {
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
