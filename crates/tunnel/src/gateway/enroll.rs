//! Logins of machines that want to become devices: by a key that nobody knows yet, and a code.
//!
//! Who logs in as [`USER`] proves to have a key, which lets nobody in by itself, and is then asked for a code. Only a
//! code that is good makes of it a login, and the session that follows is that of the new device: there is no
//! session in between (security rule G42). Whatever is wrong with a code, the answer is the same refusal at the time
//! at which all refusals leave.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use adit_model::id::Fingerprint;
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{
    Claim, Factor, KeyVerdict, LoginVerdict, PresentedKey, SecurityKeyRules, ServerPrompt,
    ServerPrompts,
};
use adit_ssh::key::PublicKey;
use tokio::sync::Semaphore;

use super::admission::fingerprint;
use super::network::Network;
use super::seam::Later;
use crate::enroll::Code;
use crate::transport::ssh::Decision;

pub use crate::enroll::USER;

/// Keeps the codes, and makes devices of those who have one.
pub trait Enroll: fmt::Debug + Send + Sync {
    /// Uses a code: once done, that key is a device's. Who asks again with the same code and key, because an answer
    /// was lost, gets the same answer.
    ///
    /// # Errors
    /// The code is of no use, or cannot be looked up now. That is for the log; whoever gave it is refused.
    fn redeem<'a>(
        &'a self,
        code: &'a Code,
        key: NewDeviceKey,
        source: IpAddr,
    ) -> Later<'a, Result<(), NotEnrolled>>;
}

/// A key that was proved in the login that brings a code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeviceKey {
    /// Its fingerprint.
    pub fingerprint: Fingerprint,
    /// The key, as RFC 4253 section 6.6 encodes it.
    pub blob: Vec<u8>,
}

/// Why a code made nobody a device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("nobody is enrolled: {reason}")]
pub struct NotEnrolled {
    /// In words for an operator.
    pub reason: String,
}

/// Enrolment at one gateway, for all of its logins.
#[derive(Debug)]
pub(super) struct Enrolment {
    seam: Arc<dyn Enroll>,
    tries: Mutex<Tries>,
    turns: Semaphore,
}

/// One login that wants to be an enrolment.
#[derive(Debug, Default)]
pub(super) struct Applicant {
    has_tried: bool,
}

/// What of a login has to be decided.
#[derive(Debug)]
pub(super) enum Step {
    /// It is decided.
    Decided(Decision),
    /// The key is a device's by now: it is let in as one.
    Enrolled(Box<PresentedKey>),
}

/// How long it may take until a device that was made is known to the policy.
pub(super) const PUBLISHED: Duration = Duration::from_secs(10);
/// Codes of no use that a network may give in a [`MINUTE`] (security rule G41).
const TRIES: u32 = 10;
/// The time in which they are counted.
const MINUTE: Duration = Duration::from_secs(60);
/// Networks that are counted. When there are more, the one that began first is forgotten.
const NETWORKS: usize = 4_096;
/// Codes that are looked up at a time: the store has others to answer.
const TURNS: usize = 4;
/// What the person at a stock ssh sees.
const PROMPT: &str = "Enrolment code: ";

impl Enrolment {
    /// With what keeps the codes.
    pub(super) fn new(seam: Arc<dyn Enroll>) -> Self {
        Self {
            seam,
            tries: Mutex::default(),
            turns: Semaphore::new(TURNS),
        }
    }

    /// Whether a key may be proved, so that a code can be given for it.
    pub(super) fn key(&self, key: &PresentedKey, source: IpAddr) -> KeyVerdict {
        let network = Network::of(source);
        let is_good = key.certificate.is_none() && key.key.trust().is_ok();
        if is_good && self.tries().is_free(network, now()) {
            KeyVerdict::Authorised(SecurityKeyRules::STANDARD)
        } else {
            KeyVerdict::Refused
        }
    }

    /// What becomes of a login, given what is claimed now and was proved before.
    pub(super) async fn step(
        &self,
        applicant: &mut Applicant,
        (claim, proved): (&Claim, &[Factor]),
        source: IpAddr,
    ) -> Step {
        let proved = proved.iter().find_map(|factor| {
            let Factor::Key { key, .. } = factor else {
                return None;
            };
            Some(key)
        });
        let decided = |verdict| Step::Decided(Decision::Verdict(verdict));
        match (claim, proved) {
            (Claim::ProvedKey { .. }, None) => decided(LoginVerdict::Partial {
                remaining: vec![Method::KeyboardInteractive],
            }),
            (Claim::Dialog, Some(_)) if !applicant.has_tried => {
                Step::Decided(Decision::Ask(ServerPrompts {
                    prompts: vec![ServerPrompt {
                        text: String::from(PROMPT),
                        echo: false,
                    }],
                    ..ServerPrompts::default()
                }))
            }
            (Claim::Answers(answers), Some(key)) if !applicant.has_tried => {
                applicant.has_tried = true;
                let code = answers
                    .first()
                    .and_then(|answer| answer.expose().parse().ok());
                match self.redeem(code, &key.key, source).await {
                    Ok(()) => Step::Enrolled(Box::new(key.clone())),
                    Err(error) => {
                        tracing::info!(%source, key = %key.key.fingerprint(), %error, "enrolment is refused");
                        decided(LoginVerdict::Reject)
                    }
                }
            }
            _ => decided(LoginVerdict::Reject),
        }
    }

    async fn redeem(
        &self,
        code: Option<Code>,
        key: &PublicKey,
        source: IpAddr,
    ) -> Result<(), NotEnrolled> {
        let failed = |reason: &str| NotEnrolled {
            reason: String::from(reason),
        };
        let network = Network::of(source);
        // Counted before it is looked up, so that those who come at once are counted, too.
        if !self.tries().take(network, now()) {
            return Err(failed("too many codes of no use came from its network"));
        }
        let code = code.ok_or_else(|| failed("what was given is no code"))?;
        let turn = self.turns.acquire().await;
        let _turn = turn.map_err(|_| failed("the gateway stops"))?;
        let fingerprint = fingerprint(key).ok_or_else(|| failed("its key has no name"))?;
        let key = NewDeviceKey {
            fingerprint,
            blob: key.blob().to_vec(),
        };
        self.seam.redeem(&code, key, source).await?;
        self.tries().give_back(network);
        Ok(())
    }

    fn tries(&self) -> MutexGuard<'_, Tries> {
        // Its table is right after any panic.
        self.tries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Codes of no use of late, by network. Pure.
#[derive(Debug, Default)]
struct Tries {
    counts: HashMap<Network, (u32, Instant)>,
}

impl Tries {
    /// Whether one more may be tried from there.
    fn is_free(&self, network: Network, now: Instant) -> bool {
        let count = self.counts.get(&network);
        count.is_none_or(|(count, since)| *count < TRIES || is_over(*since, now))
    }

    /// Takes one try, if there is one left.
    fn take(&mut self, network: Network, now: Instant) -> bool {
        if !self.is_free(network, now) {
            return false;
        }
        if !self.counts.contains_key(&network) && self.counts.len() >= NETWORKS {
            self.make_room(now);
        }
        let (count, since) = self.counts.entry(network).or_insert((0, now));
        if is_over(*since, now) {
            (*count, *since) = (0, now);
        }
        *count = count.saturating_add(1);
        true
    }

    /// It was a good one, which is not counted.
    fn give_back(&mut self, network: Network) {
        if let Some((count, _)) = self.counts.get_mut(&network) {
            *count = count.saturating_sub(1);
        }
    }

    fn make_room(&mut self, now: Instant) {
        self.counts.retain(|_, (_, since)| !is_over(*since, now));
        if self.counts.len() < NETWORKS {
            return;
        }
        let oldest = self.counts.iter().min_by_key(|(_, (_, since))| *since);
        if let Some(oldest) = oldest.map(|(network, _)| *network) {
            self.counts.remove(&oldest);
        }
    }
}

fn is_over(since: Instant, now: Instant) -> bool {
    now.saturating_duration_since(since) >= MINUTE
}

#[cfg(test)]
mod tests;
