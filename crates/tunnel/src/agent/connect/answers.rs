//! Answers to the engine's questions on the way in.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use adit_ssh::auth::client::{PromptQuestion, SignQuestion};
use adit_ssh::certificate::Certificate;
use adit_ssh::error::ConnectionError;
use adit_ssh::kex::HostKeyOffer;
use adit_ssh::printable::Printable;
use adit_ssh::secret::Secret;
use adit_ssh::ssh_agent::Binding;
use tracing::{debug, info, warn};

use super::{Met, SshConnect, blocking};
use crate::agent::chain;
use crate::agent::login::credentials::{Holder, Offer, Tried, Validity};
use crate::agent::login::host;
use crate::agent::login::known_hosts::{
    HostKeyRefusal, HostKeys, HostVerdict, NewHosts, ProofKind,
};
use crate::agent::login::prompt::{Question, Told};
use crate::agent::login::ssh_agent::SshAgent;
use crate::transport::ssh::{Answer, Answerer, HostRefusal};

/// Answers for one login.
pub(super) struct Answers<'a> {
    connect: &'a SshConnect,
    pub(super) offers: &'a [Offer],
    agent: Option<SshAgent>,
    trust: Option<Trust<'a>>,
    /// Whether a password was asked for and kept back.
    pub(super) was_withheld: bool,
    /// Whether the host key was trusted, so that the login has begun.
    has_begun: bool,
    /// The offer that was made good on last. Once the login is done, it is the one that let us in.
    taken: Option<usize>,
}

/// A new host's key that may be written down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Trust<'a> {
    /// Type and fingerprint of the key that it showed.
    pub(super) shown: &'a str,
    /// Whether a person has looked at it.
    pub(super) is_seen: bool,
}

impl<'a> Answers<'a> {
    pub(super) const fn new(
        connect: &'a SshConnect,
        offers: &'a [Offer],
        agent: Option<SshAgent>,
        trust: Option<Trust<'a>>,
    ) -> Self {
        Self {
            connect,
            offers,
            agent,
            trust,
            was_withheld: false,
            has_begun: false,
            taken: None,
        }
    }

    /// What the login was by, once it is done.
    pub(super) fn taken(&self) -> Option<String> {
        self.offers.get(self.taken?).map(Offer::name)
    }

    /// Whether the server hung up because it had seen enough: sshd says "Too many authentication
    /// failures" with code 2 (RFC 4253 section 11.1: protocol error), others 14 (no more methods).
    pub(super) const fn was_cut_off(&self, error: &ConnectionError) -> bool {
        let is_refusal = matches!(error, ConnectionError::Disconnected { code: 2 | 14, .. });
        self.has_begun && is_refusal
    }

    /// That in words for a person.
    pub(super) fn cut_off(&self, source: ConnectionError) -> CutOff {
        let names = self.offers.iter().map(Offer::name);
        CutOff {
            offered: names.collect::<Vec<_>>().join(", "),
            source,
        }
    }

    async fn judge(&self, offer: &HostKeyOffer) -> Result<(), HostRefusal> {
        let verdict = self.judge_by(offer, self.connect.host_keys.clone()).await?;
        let (proof, is_seen) = match (verdict, self.trust) {
            (HostVerdict::Trusted(proof), _) => (proof, false),
            (HostVerdict::Refused(HostKeyRefusal::New { shown, .. }), Some(trust))
                if shown == trust.shown =>
            {
                let mut host_keys = self.connect.host_keys.clone();
                host_keys.new_hosts = NewHosts::Accept;
                match self.judge_by(offer, host_keys).await? {
                    HostVerdict::Trusted(proof) => (proof, trust.is_seen),
                    HostVerdict::Refused(refusal) => return Err(refusal.into()),
                }
            }
            (HostVerdict::Refused(refusal), _) => return Err(refusal.into()),
        };
        let fingerprint = offer.key().fingerprint();
        if let ProofKind::Added(file) = proof.kind() {
            if !is_seen {
                self.connect.strangers.store(true, Ordering::Relaxed);
            }
            let (host, file) = (self.connect.host.written(), file.display());
            warn!(host, %fingerprint, %file, "host was new; its key is trusted from here on");
        } else {
            debug!(%fingerprint, %proof, "host key is trusted");
        }
        let certificate = Certificate::from_blob(offer.blob()).ok();
        *self
            .connect
            .met
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Met {
            key: offer.key().into(),
            certificate: certificate.as_ref().map(Validity::of),
            proof,
        });
        Ok(())
    }

    async fn judge_by(
        &self,
        offer: &HostKeyOffer,
        host_keys: HostKeys,
    ) -> Result<HostVerdict, HostRefusal> {
        let host = self.connect.host.clone();
        let (key, blob) = (offer.key().clone(), offer.blob().to_vec());
        let verifier = Arc::clone(&self.connect.provider.verifier);
        let judge = move || host::judge(&host_keys, &host, &key, &blob, verifier.as_ref());
        Ok(blocking(judge).await?)
    }

    /// Tells the ssh-agent whose session it will sign for.
    async fn bind_agent(&mut self, offer: &HostKeyOffer) {
        let Some(agent) = &mut self.agent else { return };
        match agent.bind(offer.session_bind()).await {
            Ok(Binding::Bound) => {}
            Ok(Binding::Refused) => debug!("ssh-agent does not bind sessions"),
            Err(error) => {
                warn!(error = %chain(&error), "ssh-agent is not used");
                self.agent = None;
            }
        }
    }

    async fn signature(&mut self, question: &SignQuestion) -> Option<Vec<u8>> {
        let offer = self.offers.get(question.credential)?;
        self.taken = Some(question.credential);
        match &offer.holder {
            Holder::Signer(signer) => {
                let algorithm = question.algorithm.signature();
                signer.sign(algorithm, &question.data).ok()
            }
            Holder::SshAgent(key) => {
                let agent = self.agent.as_mut()?;
                let signed = agent.sign(key, &question.data, question.algorithm).await;
                signed
                    .inspect_err(|error| warn!(error = %chain(error), "no signature"))
                    .ok()
            }
            Holder::Person(_) => None,
        }
    }

    /// Whether what only a person knows may be sent to this host; it is not to one that was new in
    /// this run and that no person has looked at.
    fn may_tell(&mut self) -> bool {
        let is_stranger = self.connect.strangers.load(Ordering::Relaxed);
        self.was_withheld |= is_stranger;
        !is_stranger
    }

    /// How many offers of the same kind came before.
    fn attempt(&self, credential: usize) -> Option<usize> {
        match self.offers.get(credential)?.holder {
            Holder::Person(attempt) => Some(attempt),
            Holder::Signer(_) | Holder::SshAgent(_) => None,
        }
    }

    async fn ask_password(&mut self, credential: usize) -> Option<Secret<String>> {
        let attempt = self.attempt(credential)?;
        self.taken = Some(credential);
        if !self.may_tell() {
            return None;
        }
        let (ask, peer) = (Arc::clone(&self.connect.ask), self.connect.peer.clone());
        let question = move || {
            let peer = &peer;
            ask.secret(&Question::Password { peer, attempt })
        };
        blocking(question).await.ok()?.map(Told::into_secret)
    }

    async fn ask_prompts(&mut self, question: &PromptQuestion) -> Option<Vec<Secret<String>>> {
        let attempt = self.attempt(question.credential)?;
        self.taken = Some(question.credential);
        if !self.may_tell() {
            return None;
        }
        let (ask, peer) = (Arc::clone(&self.connect.ask), self.connect.peer.clone());
        let question = question.clone();
        let all = move || {
            let instruction = question.instruction.iter().map(Printable::as_str);
            let lines = std::iter::once(question.name.as_str()).chain(instruction);
            let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
            let mut heading = lines.as_slice();
            let mut answers = Vec::new();
            for prompt in &question.prompts {
                let question = Question::Prompt {
                    peer: &peer,
                    heading,
                    text: prompt.text.as_str(),
                    echo: prompt.echo,
                    attempt,
                };
                answers.push(ask.secret(&question)?.into_secret());
                heading = &[];
            }
            Some(answers)
        };
        blocking(all).await.ok()?
    }
}

impl Answerer for Answers<'_> {
    fn host_key<'a>(&'a mut self, offer: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        Box::pin(async move {
            self.judge(offer).await?;
            self.has_begun = true;
            self.bind_agent(offer).await;
            Ok(())
        })
    }

    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(self.signature(question))
    }

    fn password(&mut self, credential: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(self.ask_password(credential))
    }

    fn prompts<'a>(
        &'a mut self,
        question: &'a PromptQuestion,
    ) -> Answer<'a, Option<Vec<Secret<String>>>> {
        Box::pin(self.ask_prompts(question))
    }

    fn banner(&mut self, lines: &[Printable]) {
        for line in lines {
            info!(%line, "server's banner");
        }
    }
}

/// The login did not end in time.
#[derive(Debug, thiserror::Error)]
#[error("login took more than {} s", .0.as_secs())]
pub(super) struct TookTooLong(pub(super) Duration);

/// The server hung up in the middle of a login.
#[derive(Debug, thiserror::Error)]
#[error("server hung up on the login; there were to offer {offered}")]
pub(super) struct CutOff {
    offered: String,
    #[source]
    source: ConnectionError,
}

/// How the server refused all that was offered.
#[derive(Debug, thiserror::Error)]
#[error("{}{}; server accepts {}", list(tried), withheld(*was_withheld), if methods.is_empty() { "nothing" } else { methods })]
pub(super) struct LoginRefusal {
    pub(super) tried: Vec<Tried>,
    pub(super) methods: String,
    pub(super) was_withheld: bool,
}

fn list(tried: &[Tried]) -> String {
    let each: Vec<String> = tried.iter().map(ToString::to_string).collect();
    each.join(", ")
}

fn withheld(was_withheld: bool) -> &'static str {
    if was_withheld {
        "; no password is sent to a host that was new in this run: compare its key with the host's own, \
         and connect again"
    } else {
        ""
    }
}
