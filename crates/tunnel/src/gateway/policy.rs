//! Who may log in and what they may do: one immutable value, published whole, asked at every login, bind
//! and open.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use adit_model::grant::Grant;
use adit_model::id::{Fingerprint, PrincipalId};
use adit_model::lease::Reservation;
use adit_model::source::SourceSet;
use adit_ssh::key::PublicKey;
use jiff::Timestamp;

/// Everything that is known about principals at one version of the store.
#[derive(Debug, Clone, Default)]
pub struct Policy {
    /// The version of the store that it shows.
    pub version: u64,
    /// Principals by their rows. One that is disabled is not here.
    pub principals: HashMap<PrincipalId, Arc<Principal>>,
    /// Keys by their fingerprints. A fingerprint is of one principal only (security rule G01).
    pub keys: HashMap<Fingerprint, Arc<Key>>,
    /// Users whom an operator lets anybody log in as, by the user's name and without any proof.
    pub anonymous: HashSet<PrincipalId>,
    /// Authorities whose certificates are taken.
    pub authorities: Vec<Arc<Authority>>,
    /// What is revoked: keys of users and of authorities alike.
    pub revoked: Vec<Revoked>,
    /// What only one principal may hold.
    pub reservations: Vec<Reservation>,
}

impl Policy {
    /// The fingerprints of authorities that are here and not in `next`, by which nobody comes in any more.
    pub fn authorities_gone(&self, next: &Self) -> Vec<String> {
        let gone = self.authorities.iter().filter(|authority| {
            !(next.authorities.iter()).any(|other| other.blob == authority.blob)
        });
        gone.filter_map(|authority| PublicKey::from_blob(&authority.blob).ok())
            .map(|key| key.fingerprint().to_string())
            .collect()
    }
}

/// Somebody who may log in.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Its row.
    pub id: PrincipalId,
    /// Its name, for people: of a user, of a device, or the fingerprint of a key that has no other.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// What it may do.
    pub grant: Grant,
}

/// What a principal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A person.
    User,
    /// A machine, which may open the control subsystem.
    Device,
}

/// A key that somebody may log in with.
#[derive(Debug, Clone)]
pub struct Key {
    /// Whose it is.
    pub principal: PrincipalId,
    /// The public key, as RFC 4253 section 6.6 encodes it. Compared whole: the fingerprint only finds it.
    pub blob: Vec<u8>,
    /// Where it may be used from, besides what the principal's grant says.
    pub sources: SourceSet,
    /// Until when.
    pub not_after: Option<Timestamp>,
    /// What a security key must report.
    pub touch_required: bool,
    /// What a security key must report.
    pub verify_required: bool,
}

/// An authority: certificates that it signed stand for the principals that they name.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Its public key.
    pub blob: Vec<u8>,
    /// The names that its certificates may stand for, each with the principal that it is here. Exact names,
    /// no patterns.
    pub names: HashMap<String, PrincipalId>,
    /// Where they may be used from.
    pub sources: SourceSet,
    /// Until when.
    pub not_after: Option<Timestamp>,
}

/// One line of a revocation list.
#[derive(Debug, Clone, PartialEq, Eq)]
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

#[cfg(test)]
mod tests {
    use adit_ssh::provider::aws_lc;

    use super::*;

    fn with(seeds: &[u8]) -> Policy {
        let authority = |seed: &u8| {
            let signer = aws_lc::sign::ed25519(&[*seed; 32]).unwrap();
            Arc::new(Authority {
                blob: signer.public_key().blob().to_vec(),
                names: HashMap::new(),
                sources: SourceSet::default(),
                not_after: None,
            })
        };
        Policy {
            authorities: seeds.iter().map(authority).collect(),
            ..Policy::default()
        }
    }

    #[test]
    fn g129_an_authority_that_is_gone_is_named_and_one_that_came_is_not() {
        let gone = with(&[1, 2]).authorities_gone(&with(&[2, 3]));
        let first = aws_lc::sign::ed25519(&[1; 32]).unwrap();
        assert_eq!(gone, [first.public_key().fingerprint().to_string()]);
    }
}
