//! Lines as principals, keys and authorities of a policy.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use adit_model::id::{Fingerprint, PrincipalId};

use super::{AuthorizedKeys, Line, Rejected, Role, Why};
use crate::gateway::policy::{Authority, Key, Kind, Policy, Principal};

/// Who a line makes known. What is written to the store about them is found again by this, not by a line's number.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Identity {
    /// Whoever has that key.
    Key(Fingerprint),
    /// Whoever has a certificate of that authority for that name. The same name of another authority is somebody
    /// else.
    Certificate {
        /// The authority's key.
        authority: Fingerprint,
        /// The name.
        name: String,
    },
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(fingerprint) => fingerprint.fmt(f),
            Self::Certificate { authority, name } => write!(f, "{name}@{authority}"),
        }
    }
}

impl Line {
    /// Who it makes known: one for a key, one for each name of an authority.
    pub fn identities(&self) -> Vec<Identity> {
        match &self.role {
            Role::Key { .. } => vec![Identity::Key(self.fingerprint.clone())],
            Role::Authority { names } => names.iter().map(|name| self.certified(name)).collect(),
        }
    }

    fn certified(&self, name: &str) -> Identity {
        Identity::Certificate {
            authority: self.fingerprint.clone(),
            name: String::from(name),
        }
    }
}

impl AuthorizedKeys {
    /// Adds what the lines say to a policy. `row` gives the row of somebody, the same each time.
    ///
    /// A key that the policy has already is refused, since only one of two restrictions could count (security rule
    /// G02); those lines are given back.
    pub fn add_to(
        &self,
        policy: &mut Policy,
        mut row: impl FnMut(&Identity) -> PrincipalId,
    ) -> Vec<Rejected> {
        let authorities = policy.authorities.iter();
        let known: HashSet<Vec<u8>> = authorities.map(|known| known.blob.clone()).collect();
        let mut refused = Vec::new();
        for line in &self.lines {
            let is_taken = match line.role {
                Role::Key { .. } => policy.keys.contains_key(&line.fingerprint),
                Role::Authority { .. } => known.contains(&line.blob),
            };
            if is_taken {
                refused.push(Rejected {
                    line: line.number,
                    column: 1,
                    why: Why::Taken,
                });
            } else {
                line.add_to(policy, &mut row);
            }
        }
        refused
    }
}

impl Line {
    fn add_to(&self, policy: &mut Policy, row: &mut impl FnMut(&Identity) -> PrincipalId) {
        let mut admit = |identity: &Identity| {
            let id = row(identity);
            let principal = Principal {
                id,
                name: identity.to_string(),
                kind: Kind::User,
                grant: self.grant.clone(),
            };
            policy.principals.insert(id, Arc::new(principal));
            id
        };
        match &self.role {
            Role::Key {
                touch_required,
                verify_required,
            } => {
                let principal = admit(&Identity::Key(self.fingerprint.clone()));
                let key = Key {
                    principal,
                    blob: self.blob.clone(),
                    sources: self.sources.clone(),
                    not_after: self.not_after,
                    touch_required: *touch_required,
                    verify_required: *verify_required,
                };
                policy.keys.insert(self.fingerprint.clone(), Arc::new(key));
            }
            Role::Authority { names } => {
                let names = names
                    .iter()
                    .map(|name| (name.clone(), admit(&self.certified(name))))
                    .collect();
                policy.authorities.push(Arc::new(Authority {
                    blob: self.blob.clone(),
                    names,
                    sources: self.sources.clone(),
                    not_after: self.not_after,
                }));
            }
        }
    }
}
