//! Whether somebody who has logged in may still be here: asked at every bind and whenever anything changes.

use std::sync::Arc;

use adit_model::grant::Denied;
use adit_model::id::Fingerprint;
use adit_ssh::key::PublicKey;
use jiff::Timestamp;

use super::who::{Certified, Who};
use crate::gateway::policy::{Policy, Principal, Revoked};

/// Why somebody may not be here any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fallen {
    /// The principal is not known, or disabled.
    #[error("your account is not known here any more; ask the operator")]
    Principal,
    /// The key is not of that principal any more, or revoked.
    #[error("your key is not accepted here any more; ask the operator")]
    Key,
    /// Nobody comes in as that user any more who proves nothing.
    #[error("nobody may be here without a key any more; ask the operator")]
    Anonymous,
    /// The certificate or its authority is not accepted any more.
    #[error("your certificate is not accepted here any more; ask the operator for a new one")]
    Certificate,
    /// What it logged in with is not valid any more.
    #[error("your key or certificate has expired at {at:.0}; ask the operator for a new one")]
    Expired {
        /// When.
        at: Timestamp,
    },
    /// The grant says so.
    #[error(transparent)]
    Denied(#[from] Denied),
}

/// What somebody is who may be here.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The principal as it is now.
    pub principal: Arc<Principal>,
    /// When that is over at the latest; sooner if the policy changes.
    pub until: Option<Timestamp>,
}

impl Policy {
    /// The principal as it is now, if it may be here by what it logged in with.
    ///
    /// # Errors
    /// It may not, and why.
    pub fn standing(&self, who: &Who, now: Timestamp) -> Result<Standing, Fallen> {
        let principal = self.principals.get(&who.principal.id);
        let principal = principal.ok_or(Fallen::Principal)?;
        if let Some(at) = who.not_after.filter(|at| *at <= now) {
            return Err(Fallen::Expired { at });
        }
        let credential = match (&who.certificate, &who.key) {
            (Some(certificate), key) => self.certificate(who, certificate, key.as_ref(), now)?,
            (None, Some(key)) => self.key(who, key, now)?,
            (None, None) if self.anonymous.contains(&principal.id) => None,
            (None, None) => return Err(Fallen::Anonymous),
        };
        principal.grant.admits(who.source.ip(), now)?;
        let ends = [who.not_after, credential, principal.grant.not_after];
        Ok(Standing {
            principal: Arc::clone(principal),
            until: ends.into_iter().flatten().min(),
        })
    }

    /// Until when the key is good.
    fn key(
        &self,
        who: &Who,
        fingerprint: &Fingerprint,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Fallen> {
        let key = self.keys.get(fingerprint);
        let key = key.filter(|key| key.principal == who.principal.id);
        let key = key.filter(|_| !self.is_revoked(fingerprint));
        let key = key.ok_or(Fallen::Key)?;
        within(key.not_after, now)?;
        if !key.sources.contains(who.source.ip()) {
            let address = who.source.ip();
            return Err(Denied::Source { address }.into());
        }
        Ok(key.not_after)
    }

    /// Until when its authority is good.
    fn certificate(
        &self,
        who: &Who,
        certificate: &Certified,
        key: Option<&Fingerprint>,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Fallen> {
        let authority = self.authorities.iter().find(|authority| {
            fingerprint(&authority.blob).as_ref() == Some(&certificate.authority)
                && authority.names.get(&certificate.name) == Some(&who.principal.id)
        });
        let authority = authority.ok_or(Fallen::Certificate)?;
        within(authority.not_after, now)?;
        if !authority.sources.contains(who.source.ip()) {
            let address = who.source.ip();
            return Err(Denied::Source { address }.into());
        }
        let is_listed = self.revoked.iter().any(|line| match line {
            Revoked::Key(listed) => *listed == certificate.authority || Some(listed) == key,
            Revoked::Serials {
                authority,
                from,
                to,
            } => *authority == certificate.authority && (*from..=*to).contains(&certificate.serial),
            Revoked::KeyId { authority, id } => {
                *authority == certificate.authority && *id == certificate.key_id
            }
        });
        if is_listed {
            return Err(Fallen::Certificate);
        }
        Ok(authority.not_after)
    }

    fn is_revoked(&self, fingerprint: &Fingerprint) -> bool {
        self.revoked
            .iter()
            .any(|line| matches!(line, Revoked::Key(key) if key == fingerprint))
    }
}

/// The name of a key by its blob.
fn fingerprint(blob: &[u8]) -> Option<Fingerprint> {
    let key = PublicKey::from_blob(blob).ok()?;
    key.fingerprint().to_string().parse().ok()
}

fn within(not_after: Option<Timestamp>, now: Timestamp) -> Result<(), Fallen> {
    match not_after {
        Some(at) if at <= now => Err(Fallen::Expired { at }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
