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
use adit_ssh::version::Ident;
use jiff::Timestamp;
use tokio::sync::watch;

use super::desk::{Certified, Clock, Who};
use super::enroll::{self, Applicant, Enrolment, Step};
use super::network::Network;
use super::policy::{Authority, Kind, Policy, Principal, Revoked};
use super::throttle::Throttle;
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

/// Most characters of what a client calls itself that are kept.
const SOFTWARE: usize = 64;

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
    /// What the client calls itself.
    software: String,
    /// A key was shown that lets nobody in.
    has_failed: bool,
    admitted: Option<Who>,
    /// Whether it may become a device here.
    enrolment: Option<Arc<Enrolment>>,
    applicant: Applicant,
}

impl Gate {
    /// For one who comes from there.
    pub fn new(rules: Rules, source: SocketAddr, throttle: Arc<Mutex<Throttle>>) -> Self {
        Self {
            rules,
            source,
            throttle,
            software: String::new(),
            has_failed: false,
            admitted: None,
            enrolment: None,
            applicant: Applicant::default(),
        }
    }

    /// Where machines can become devices.
    #[must_use]
    pub(super) fn enrolling(mut self, enrolment: Option<Arc<Enrolment>>) -> Self {
        self.enrolment = enrolment;
        self
    }

    /// Who came in.
    pub fn admitted(&mut self) -> Option<Who> {
        self.admitted.take()
    }

    /// Nobody came in: that is held against whoever shows a wrong key from the same network.
    pub fn failed(self) {
        if self.has_failed {
            let now = tokio::time::Instant::now().into_std();
            let network = self.network();
            self.throttle().failed(network, now);
        }
    }

    fn network(&self) -> Network {
        Network::of(self.source.ip())
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
            software: self.software.clone(),
            not_after: entry.not_after,
            line: Arc::default(),
        })
    }

    /// A key that is proved so that a code can be given for it.
    fn enrolling_key(&self, enrolment: &Enrolment, key: &PresentedKey) -> KeyVerdict {
        let policy = Arc::clone(&self.rules.policy.borrow());
        let look = Look {
            policy: &policy,
            verifier: self.rules.verifier.as_ref(),
            source: self.source.ip(),
            now: self.rules.clock.now(),
        };
        if look.is_revoked(Revocable::Key(&key.key)) {
            return KeyVerdict::Refused;
        }
        enrolment.key(key, self.source.ip())
    }

    /// One step of a machine that becomes a device.
    async fn enroll(&mut self, enrolment: &Enrolment, question: &ServerQuestion) -> Decision {
        let source = self.source.ip();
        let key = match enrolment
            .step(
                &mut self.applicant,
                (&question.claim, &question.proved),
                source,
            )
            .await
        {
            Step::Decided(decision) => return decision,
            Step::Enrolled(key) => key,
        };
        let mut policy = self.rules.policy.clone();
        let known = fingerprint(&key.key);
        let is_known = |policy: &Arc<Policy>| {
            known
                .as_ref()
                .is_some_and(|key| policy.keys.contains_key(key))
        };
        let published = tokio::time::timeout(enroll::PUBLISHED, policy.wait_for(is_known)).await;
        let is_published = published.is_ok_and(|published| published.is_ok());
        match self.who(&question.user, &key) {
            Ok(who) => {
                self.admitted = Some(who);
                Decision::Verdict(LoginVerdict::Accept)
            }
            Err(error) => {
                tracing::warn!(is_published, %error, "a machine is enrolled, and cannot come in");
                Decision::Verdict(LoginVerdict::Reject)
            }
        }
    }

    /// Whom somebody may be who proves nothing: a user that the operator has named for that, by its very name. Never
    /// a device, which holds names and hears of others.
    fn anonymous(&self, user: &str) -> Option<Who> {
        let policy = Arc::clone(&self.rules.policy.borrow());
        let mut named = policy.anonymous.iter();
        let principal = named.find_map(|id| {
            let principal = policy.principals.get(id)?;
            (principal.name == user && principal.kind == Kind::User).then_some(principal)
        })?;
        let now = self.rules.clock.now();
        principal.grant.admits(self.source.ip(), now).ok()?;
        Some(Who {
            principal: Arc::clone(principal),
            key: None,
            certificate: None,
            source: self.source,
            user: Printable::new(user.as_bytes()).to_string(),
            software: self.software.clone(),
            not_after: None,
            line: Arc::default(),
        })
    }

    /// Notes a key that lets nobody in, and waits as long as one from that network has to, once a connection:
    /// whether it is somebody's who may not come in or nobody's, so that the time tells no stranger which.
    async fn suspect(&mut self) {
        if !std::mem::replace(&mut self.has_failed, true) {
            self.wait().await;
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
            software = self.software,
            policy.version = self.rules.policy.borrow().version,
            reason,
            "login was refused"
        );
    }

    async fn wait(&self) {
        let network = self.network();
        let now = tokio::time::Instant::now().into_std();
        let delay = self.throttle().delay(network, now);
        if !delay.is_zero() {
            tracing::debug!(%network, ?delay, "login is delayed");
            tokio::time::sleep(delay).await;
        }
    }
}

impl Admission for Gate {
    fn meets(&mut self, client: &Ident) {
        if self.software.is_empty() {
            let all = Printable::new(client.software()).to_string();
            self.software = all.chars().take(SOFTWARE).collect();
        }
    }

    fn key<'a>(&'a mut self, user: &'a str, key: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(async move {
            if let Some(enrolment) = self.enrolment.as_ref().filter(|_| user == enroll::USER) {
                return self.enrolling_key(enrolment, key);
            }
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
                    self.suspect().await;
                    KeyVerdict::Refused
                }
            }
        })
    }

    fn login<'a>(&'a mut self, question: &'a ServerQuestion) -> Answer<'a, Decision> {
        Box::pin(async move {
            if let Some(enrolment) = self.enrolment.clone()
                && question.user == enroll::USER
            {
                return self.enroll(&enrolment, question).await;
            }
            if let Claim::Nothing = &question.claim {
                self.admitted = self.anonymous(&question.user);
                return Decision::Verdict(match self.admitted {
                    Some(_) => LoginVerdict::Accept,
                    None => LoginVerdict::Reject,
                });
            }
            // What else is not a key that has signed lets nobody in here.
            let Claim::ProvedKey { key, .. } = &question.claim else {
                return Decision::Verdict(LoginVerdict::Reject);
            };
            let Ok(who) = self.who(&question.user, key) else {
                self.suspect().await;
                return Decision::Verdict(LoginVerdict::Reject);
            };
            self.admitted = Some(who);
            Decision::Verdict(LoginVerdict::Accept)
        })
    }
}

#[cfg(test)]
mod tests;
