//! Who may log in: a key or a certificate held against the policy of the moment.
//!
//! Everything is asked twice, when a key is shown and when it has signed, and nothing is remembered of the
//! first time (security rule S56). Whether who came in may stay is the [desk](super::desk)'s to ask, at every
//! bind and whenever the policy changes.
//!
//! The same is done for a key that is nobody's as for one that is somebody's: it is looked up, and refused
//! by the engine at the time at which all refusals leave.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use adit_model::id::{Fingerprint, PrincipalId};
use adit_ssh::auth::server::{
    Claim, KeyVerdict, LoginVerdict, PresentedKey, SecurityKeyRules, ServerQuestion,
};
use adit_ssh::certificate::{Certificate, Question, Refusal, Revocable, Wanted};
use adit_ssh::key::PublicKey;
use adit_ssh::printable::Printable;
use adit_ssh::provider::Verifier;
use jiff::Timestamp;
use tokio::sync::watch;

use super::desk::{Certified, Clock, Who};
use super::network::Network;
use super::policy::{Authority, Policy, Principal, Revoked};
use super::throttle::{Suspect, Throttle};
use crate::transport::ssh::{Admission, Answer, Decision};

/// Why a key does not let anybody in. For the gateway's log; the client is told nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoEntry {
    /// The key is nobody's.
    #[error("key is nobody's here")]
    UnknownKey,
    /// The key was revoked.
    #[error("key is revoked")]
    Revoked,
    /// The key's own time, or that of the authority, is over.
    #[error("key has expired")]
    Expired,
    /// The key may not be used from there.
    #[error("key may not be used from {0}")]
    Source(IpAddr),
    /// The principal is disabled, or its grant does not allow it now or from there.
    #[error("principal may not come in: {0}")]
    Principal(String),
    /// The certificate is not good.
    #[error("certificate is not good")]
    Certificate(#[source] Refusal),
    /// The certificate stands for nobody here, or for several and the user name chooses none of them.
    #[error("certificate stands for {0} principals here and the user name chooses none of them")]
    Ambiguous(usize),
}

/// What a key stands for.
struct Entry {
    principal: Arc<Principal>,
    rules: SecurityKeyRules,
    certificate: Option<Certified>,
    not_after: Option<Timestamp>,
}

/// What is looked at, and when.
struct Look<'a> {
    policy: &'a Policy,
    verifier: &'a dyn Verifier,
    source: IpAddr,
    now: Timestamp,
}

impl Look<'_> {
    fn key(&self, user: &str, shown: &PresentedKey) -> Result<Entry, NoEntry> {
        match &shown.certificate {
            None => self.plain(&shown.key),
            Some(certificate) => self.certificate(user, certificate),
        }
    }

    fn plain(&self, shown: &PublicKey) -> Result<Entry, NoEntry> {
        let fingerprint = fingerprint(shown);
        let key = fingerprint
            .as_ref()
            .and_then(|fingerprint| self.policy.keys.get(fingerprint))
            // Found by its digest, believed by all of it.
            .filter(|key| key.blob == shown.blob() && !shown.is_weak_point())
            .ok_or(NoEntry::UnknownKey)?;
        if self.is_revoked(Revocable::Key(shown)) {
            return Err(NoEntry::Revoked);
        }
        self.in_time(key.not_after)?;
        if !key.sources.contains(self.source) {
            return Err(NoEntry::Source(self.source));
        }
        Ok(Entry {
            principal: self.principal(key.principal)?,
            rules: SecurityKeyRules {
                touch_required: key.touch_required,
                verify_required: key.verify_required,
            },
            certificate: None,
            not_after: key.not_after,
        })
    }

    fn certificate(&self, user: &str, shown: &Certificate) -> Result<Entry, NoEntry> {
        let (authority, name, id) = self.choice(user, shown)?;
        let trusted = PublicKey::from_blob(&authority.blob).map_err(|_| NoEntry::UnknownKey)?;
        let approval = shown
            .check(
                self.verifier,
                &Question {
                    authorities: &[trusted],
                    is_revoked: &|what| self.is_revoked(what),
                    wanted: Wanted::Login {
                        principals: &[name],
                        source: Some(self.source),
                    },
                    now: u64::try_from(self.now.as_second()).unwrap_or_default(),
                },
            )
            .map_err(NoEntry::Certificate)?;
        self.in_time(authority.not_after)?;
        if !authority.sources.contains(self.source) {
            return Err(NoEntry::Source(self.source));
        }
        let expires = approval
            .expires
            .and_then(|expires| Timestamp::from_second(i64::try_from(expires).ok()?).ok());
        Ok(Entry {
            principal: self.principal(id)?,
            // What the certificate asks for, the engine asks for besides.
            rules: SecurityKeyRules::STANDARD,
            certificate: fingerprint(shown.authority()).map(|authority| Certified {
                authority,
                serial: shown.serial(),
                key_id: shown.key_id().to_string(),
                name: String::from(name),
            }),
            not_after: earlier(expires, authority.not_after),
        })
    }

    /// Whom a certificate is to stand for: of the names that it has and its authority may give, the one
    /// that is the user name, or else the only one there is (security rule G01).
    fn choice<'c>(
        &self,
        user: &str,
        shown: &'c Certificate,
    ) -> Result<(&Authority, &'c str, PrincipalId), NoEntry> {
        let authority = (self.policy.authorities.iter())
            .find(|authority| authority.blob == shown.authority().blob())
            .ok_or(NoEntry::UnknownKey)?;
        let candidates: Vec<(&str, PrincipalId)> = (shown.principals().iter())
            .filter_map(|name| Some((name.as_str(), *authority.names.get(name)?)))
            .collect();
        let chosen = (candidates.iter()).find(|(name, _)| *name == user);
        let (name, id) = match (chosen, candidates.first()) {
            (Some(chosen), _) => *chosen,
            (None, Some(first)) if candidates.iter().all(|(_, id)| *id == first.1) => *first,
            (None, _) => return Err(NoEntry::Ambiguous(candidates.len())),
        };
        Ok((authority, name, id))
    }

    fn principal(&self, id: PrincipalId) -> Result<Arc<Principal>, NoEntry> {
        let principal = (self.policy.principals.get(&id))
            .ok_or_else(|| NoEntry::Principal(String::from("it is disabled or gone")))?;
        principal
            .grant
            .admits(self.source, self.now)
            .map_err(|denied| NoEntry::Principal(denied.to_string()))?;
        Ok(Arc::clone(principal))
    }

    fn in_time(&self, not_after: Option<Timestamp>) -> Result<(), NoEntry> {
        match not_after {
            Some(until) if self.now >= until => Err(NoEntry::Expired),
            _ => Ok(()),
        }
    }

    fn is_revoked(&self, what: Revocable<'_>) -> bool {
        let (Revocable::Key(key)
        | Revocable::Serial { authority: key, .. }
        | Revocable::KeyId { authority: key, .. }) = what;
        let Some(shown) = fingerprint(key) else {
            return true;
        };
        self.policy.revoked.iter().any(|line| match (line, what) {
            (Revoked::Key(revoked), Revocable::Key(_)) => *revoked == shown,
            (
                Revoked::Serials {
                    authority,
                    from,
                    to,
                },
                Revocable::Serial { serial, .. },
            ) => *authority == shown && (*from..=*to).contains(&serial),
            (Revoked::KeyId { authority, id }, Revocable::KeyId { key_id, .. }) => {
                *authority == shown && id.as_bytes() == key_id
            }
            _ => false,
        })
    }
}

fn earlier(one: Option<Timestamp>, other: Option<Timestamp>) -> Option<Timestamp> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

/// The store's name of a key.
pub fn fingerprint(key: &PublicKey) -> Option<Fingerprint> {
    key.fingerprint().to_string().parse().ok()
}

/// What stays the same for all logins of a gateway.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who may do what, as it is now.
    pub policy: watch::Receiver<Arc<Policy>>,
    /// What checks the signatures of authorities.
    pub verifier: Arc<dyn Verifier>,
    /// What time it is.
    pub clock: Clock,
}

/// One login. Asked by the transport, and then by its owner who came in.
#[derive(Debug)]
pub struct Gate {
    rules: Rules,
    source: SocketAddr,
    throttle: Arc<Mutex<Throttle>>,
    /// Keys that were shown and let nobody in, each once.
    failed: Vec<Suspect>,
    admitted: Option<Who>,
}

impl Gate {
    /// For one who comes from there.
    pub const fn new(rules: Rules, source: SocketAddr, throttle: Arc<Mutex<Throttle>>) -> Self {
        Self {
            rules,
            source,
            throttle,
            failed: Vec::new(),
            admitted: None,
        }
    }

    /// Who came in.
    pub fn admitted(&mut self) -> Option<Who> {
        let who = self.admitted.take()?;
        let suspect = Suspect {
            network: Network::of(self.source.ip()),
            key: who.key.clone(),
        };
        self.throttle().succeeded(&suspect);
        Some(who)
    }

    /// Nobody came in: what was shown is held against whoever tries it again from the same network.
    pub fn failed(self) {
        let now = tokio::time::Instant::now().into_std();
        let mut throttle = self.throttle();
        for suspect in &self.failed {
            throttle.failed(suspect.clone(), now);
        }
    }

    fn throttle(&self) -> std::sync::MutexGuard<'_, Throttle> {
        // Its table is right after any panic.
        self.throttle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a key stands for at this moment.
    fn entry(&self, user: &str, key: &PresentedKey) -> Result<Entry, NoEntry> {
        let policy = Arc::clone(&self.rules.policy.borrow());
        Look {
            policy: &policy,
            verifier: self.rules.verifier.as_ref(),
            source: self.source.ip(),
            now: self.rules.clock.now(),
        }
        .key(user, key)
    }

    /// Who that is who has proved to have the key.
    fn who(&self, user: &str, key: &PresentedKey) -> Result<Who, NoEntry> {
        let entry = self.entry(user, key)?;
        Ok(Who {
            principal: entry.principal,
            key: fingerprint(&key.key),
            certificate: entry.certificate,
            source: self.source,
            user: Printable::new(user.as_bytes()).to_string(),
            not_after: entry.not_after,
        })
    }

    /// Notes a key that lets nobody in, and waits as long as its like from that network have to. Once a
    /// connection for all that are nobody's.
    async fn suspect(&mut self, key: &PresentedKey) {
        let known =
            fingerprint(&key.key).filter(|key| self.rules.policy.borrow().keys.contains_key(key));
        let suspect = Suspect {
            network: Network::of(self.source.ip()),
            key: known,
        };
        if !self.failed.contains(&suspect) {
            self.wait(&suspect).await;
            self.failed.push(suspect);
        }
    }

    /// Tells the audit of a key that is known here and refused by a rule. Of keys that are nobody's the net is
    /// full.
    fn tell_audit(&self, key: &PresentedKey, error: &NoEntry) {
        let reason = match error {
            NoEntry::UnknownKey => return,
            NoEntry::Certificate(refusal) => format!("{error}: {refusal}"),
            NoEntry::Revoked
            | NoEntry::Expired
            | NoEntry::Source(_)
            | NoEntry::Principal(_)
            | NoEntry::Ambiguous(_) => error.to_string(),
        };
        tracing::info!(
            target: "adit::audit",
            what = "login.refuse",
            who = %key.key.fingerprint(),
            source = %self.source.ip(),
            reason,
            "login was refused"
        );
    }

    async fn wait(&self, suspect: &Suspect) {
        let now = tokio::time::Instant::now().into_std();
        let delay = self.throttle().delay(suspect, now);
        if !delay.is_zero() {
            tracing::debug!(network = %suspect.network, ?delay, "login is delayed");
            tokio::time::sleep(delay).await;
        }
    }
}

impl Admission for Gate {
    fn key<'a>(&'a mut self, user: &'a str, key: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(async move {
            match self.entry(user, key) {
                Ok(entry) => KeyVerdict::Authorised(entry.rules),
                Err(error) => {
                    tracing::debug!(
                        visitor.addr = %self.source,
                        user = %Printable::new(user.as_bytes()),
                        key = %key.key.fingerprint(),
                        %error,
                        "key lets nobody in"
                    );
                    self.tell_audit(key, &error);
                    self.suspect(key).await;
                    KeyVerdict::Refused
                }
            }
        })
    }

    fn login<'a>(&'a mut self, question: &'a ServerQuestion) -> Answer<'a, Decision> {
        Box::pin(async move {
            // What is not a key that has signed lets nobody in here.
            let Claim::ProvedKey { key, .. } = &question.claim else {
                return Decision::Verdict(LoginVerdict::Reject);
            };
            let Ok(who) = self.who(&question.user, key) else {
                self.suspect(key).await;
                return Decision::Verdict(LoginVerdict::Reject);
            };
            self.admitted = Some(who);
            Decision::Verdict(LoginVerdict::Accept)
        })
    }
}

#[cfg(test)]
mod tests;
