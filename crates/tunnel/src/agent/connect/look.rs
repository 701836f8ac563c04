//! Sees which key a host has, and leaves before any login: for a person who wants to know, or who knows
//! already and has it written down.

use std::fmt;

use adit_ssh::algorithm::KeyAlgorithm;
use adit_ssh::auth::client::{PromptQuestion, SignQuestion};
use adit_ssh::certificate::Certificate;
use adit_ssh::kex::HostKeyOffer;
use adit_ssh::key::PublicKey;
use adit_ssh::printable::Printable;
use adit_ssh::secret::Secret;
use tokio::time::timeout;

use super::answers::TookTooLong;
use super::attempt::LOGIN_DEADLINE;
use super::{SetUpError, SshConnect, blocking};
use crate::agent::haste::Pace;
use crate::agent::login::credentials::{Credentials, Validity};
use crate::agent::login::host;
use crate::agent::login::known_hosts::{
    HostKeyRefusal, HostKeys, HostVerdict, NewHosts, PinnedKey, Place, Proof, ProofKind, comes_by,
};
use crate::agent::supervise::{ConnectError, PeerConfig};
use crate::enroll::HostHash;
use crate::transport::ssh::{self, Answer, Answerer, HostRefusal, Memory};

/// Looks at the key of one host, and never logs in there. Hosts on the way are logged in at.
pub struct HostKeyLook(SshConnect);

/// A key as a host showed it and proved to hold it, and what known_hosts files and pins say of it.
#[derive(Debug)]
pub struct Look {
    /// The key, out of its certificate if it came in one.
    pub key: PinnedKey,
    /// When the certificate that it came in is good.
    pub certificate: Option<Validity>,
    /// Whether it is trusted. A new host's is not.
    pub verdict: HostVerdict,
}

/// How a key is known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trusted {
    /// It was before, by this line.
    Already(Place),
    /// By this line, which has just been written.
    Written(Place),
}

/// Why a key was not written down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The host was not reached, or did not get as far as its key.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It has other keys.
    #[error("host {host} does not have the key {wanted}: it shows {shown}; nothing was written")]
    Other {
        /// The host.
        host: String,
        /// The key that was wanted.
        wanted: PinnedKey,
        /// Types and fingerprints of its keys.
        shown: String,
    },
    /// It has other keys than the one that an enrolment code was made for.
    #[error(
        "{host} is not the gateway that the code is of: it shows {shown}. Somebody may be in between, or the host key \
         was changed since the code was made; nothing of the code was sent"
    )]
    OtherGateway {
        /// The host.
        host: String,
        /// Types and fingerprints of its keys.
        shown: String,
    },
    /// It has the key, but something speaks against it.
    #[error("nothing was written")]
    Refused(#[source] HostKeyRefusal),
    /// It was written, and is not found there.
    #[error(
        "host {host} was written down and is not found there: does another program write the file?"
    )]
    Lost {
        /// The host.
        host: String,
    },
}

impl HostKeyLook {
    /// Checks the settings. Nothing is needed to log in with, but at hosts on the way.
    pub fn new(config: &PeerConfig, memory: Memory) -> Result<Self, SetUpError> {
        SshConnect::with(Credentials::none(), config, memory).map(Self)
    }

    /// Sees the key that the host shows to who knows what we know of it. Nothing is written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives the attempt up.
    pub async fn look(&self) -> Result<Look, ConnectError> {
        let offer = self.see(&self.0.preferences.host_key).await?;
        let mut host_keys = self.0.host_keys.clone();
        host_keys.new_hosts = NewHosts::Refuse;
        let (host, verifier) = (self.0.host.clone(), self.0.provider.verifier.clone());
        let (key, blob) = (offer.key().clone(), offer.blob().to_vec());
        let judge = move || host::judge(&host_keys, &host, &key, &blob, verifier.as_ref());
        Ok(Look {
            verdict: blocking(judge).await?,
            certificate: Certificate::from_blob(offer.blob())
                .ok()
                .as_ref()
                .map(Validity::of),
            key: offer.key().into(),
        })
    }

    /// Writes the host's key of that fingerprint down, if the host has it. It is asked for a key of each
    /// type in turn, and for no certificate.
    ///
    /// # Errors
    ///
    /// The host has no such key; it is known by another; the files cannot be used. Nothing was written
    /// then.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives it up, unless the line is being written.
    pub async fn trust(&self, wanted: &PinnedKey) -> Result<Trusted, TrustError> {
        self.trust_if(&|key| wanted.is(key), |host, shown| TrustError::Other {
            host,
            wanted: *wanted,
            shown,
        })
        .await
    }

    /// The same by what an enrolment code says of the key.
    ///
    /// # Errors
    ///
    /// As [`trust`](Self::trust).
    ///
    /// # Cancel safety
    ///
    /// As [`trust`](Self::trust).
    pub async fn trust_hashed(&self, wanted: HostHash) -> Result<Trusted, TrustError> {
        let is_it = |key: &PublicKey| HostHash::of(key) == wanted;
        let other = |host, shown| TrustError::OtherGateway { host, shown };
        self.trust_if(&is_it, other).await
    }

    async fn trust_if(
        &self,
        is_it: &(dyn Fn(&PublicKey) -> bool + Sync),
        other: impl FnOnce(String, String) -> TrustError,
    ) -> Result<Trusted, TrustError> {
        let mut left = self.0.preferences.host_key.clone();
        left.retain(|algorithm| !algorithm.is_certificate());
        let mut shown = Vec::new();
        while !left.is_empty() {
            let offer = match self.see(&left).await {
                Ok(offer) => offer,
                // It has none of the types that are left.
                Err(ConnectError::Handshake(_)) if !shown.is_empty() => break,
                Err(error) => return Err(error.into()),
            };
            let key = offer.key();
            if is_it(key) {
                return self.write(key.clone()).await;
            }
            shown.push(format!("{} {}", key.key_type(), key.fingerprint()));
            left.retain(|algorithm| !comes_by(key.key_type(), *algorithm));
        }
        Err(other(self.0.host.written(), shown.join(", ")))
    }

    async fn write(&self, key: PublicKey) -> Result<Trusted, TrustError> {
        let host_keys = HostKeys {
            // Whatever is done about hosts that nobody has looked at: somebody has at this.
            new_hosts: NewHosts::Accept,
            pinned: Vec::new(),
            ..self.0.host_keys.clone()
        };
        let host = self.0.host.clone();
        let (first, second) = blocking(move || {
            let first = host_keys.verify(&host, &key);
            let is_added = matches!(&first, HostVerdict::Trusted(proof) if is_added(proof));
            // Where it stands is read back, so that what is said is what is there.
            let second = is_added.then(|| host_keys.verify(&host, &key));
            (first, second)
        })
        .await
        .map_err(ConnectError::from)?;
        let is_new = second.is_some();
        match second.unwrap_or(first) {
            HostVerdict::Trusted(proof) => match proof.kind() {
                ProofKind::Known(place) if is_new => Ok(Trusted::Written(place.clone())),
                ProofKind::Known(place) => Ok(Trusted::Already(place.clone())),
                ProofKind::Authority(_) | ProofKind::Added(_) | ProofKind::Pinned => {
                    let host = self.0.host.written();
                    Err(TrustError::Lost { host })
                }
            },
            HostVerdict::Refused(refusal) => Err(TrustError::Refused(refusal)),
        }
    }

    /// Goes there, sees the key, and leaves. The host may show keys of these kinds.
    async fn see(&self, kinds: &[KeyAlgorithm]) -> Result<HostKeyOffer, ConnectError> {
        let order = self.0.order(kinds).await?;
        let (carrier, mut keeper) = self.0.dial(Pace::Steady).await?;
        let config = self.0.client_config(order, &[]);
        let mut eyes = Eyes::default();
        let login = ssh::connect(carrier, config, self.0.memory.clone(), &mut eyes);
        let came = timeout(LOGIN_DEADLINE, keeper.beside(login)).await;
        let error: HostRefusal = match (eyes.0, came) {
            (Some(offer), _) => {
                keeper.end().await;
                return Ok(offer);
            }
            (None, Err(_)) => Box::new(TookTooLong(LOGIN_DEADLINE)),
            (None, Ok(Err(error))) => Box::new(error),
            (None, Ok(Ok(_))) => Box::new(NotSeen),
        };
        Err(keeper.explain(ConnectError::Handshake(error)).await)
    }
}

fn is_added(proof: &Proof) -> bool {
    matches!(proof.kind(), ProofKind::Added(_))
}

impl fmt::Debug for HostKeyLook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HostKeyLook").field(&self.0).finish()
    }
}

/// Keeps the host's key and trusts nobody.
#[derive(Default)]
struct Eyes(Option<HostKeyOffer>);

/// A key was seen, and that was all.
#[derive(Debug, thiserror::Error)]
#[error("host key was looked at")]
struct Seen;

/// The login was over without a host key, which the engine never does.
#[derive(Debug, thiserror::Error)]
#[error("host showed no key")]
struct NotSeen;

impl Answerer for Eyes {
    fn host_key<'a>(&'a mut self, offer: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        self.0 = Some(offer.clone());
        Box::pin(async { Err(HostRefusal::from(Seen)) })
    }

    fn sign<'a>(&'a mut self, _: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async { None })
    }

    fn password(&mut self, _: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(async { None })
    }

    fn prompts<'a>(&'a mut self, _: &'a PromptQuestion) -> Answer<'a, Option<Vec<Secret<String>>>> {
        Box::pin(async { None })
    }

    fn banner(&mut self, _: &[Printable]) {}
}
