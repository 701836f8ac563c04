//! Connects to a tunnel's peer over SSH: dial, key exchange, host key, login.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm};
use adit_ssh::connection::KeepAlive;
use adit_ssh::limits;
use adit_ssh::negotiate::Preferences;
use adit_ssh::provider::CryptoProvider;
use adit_ssh::ssh_agent::Identity;
use tokio::time::timeout;
use tracing::warn;

use self::answers::{TookTooLong, Trust};
pub use self::look::{HostKeyLook, Look, TrustError, Trusted};
use super::chain;
use super::dial::Dialler;
use super::haste::Pace;
use super::login::algorithms::AlgorithmListError;
use super::login::credentials::{CredentialError, Credentials, Holder, Offer, Validity};
use super::login::known_hosts::{
    HostAddress, HostAddressError, HostKeyRefusal, HostKeys, NewHosts, PinnedKey, Proof, comes_by,
};
use super::login::prompt::Ask;
use super::login::ssh_agent::{SshAgent, SshAgentError};
use super::supervise::{Connect, ConnectError, Connected, Peer, PeerConfig};
use crate::provider;
use crate::transport::ssh::{CongestionControl, Memory};

mod answers;
mod attempt;
mod look;
mod overlap;

/// Makes connections to one peer.
pub struct SshConnect {
    peer: Peer,
    dialler: Dialler,
    host: HostAddress,
    host_keys: HostKeys,
    credentials: Arc<Credentials>,
    ssh_agent: Option<PathBuf>,
    ask: Arc<dyn Ask>,
    /// Hosts' keys that were new to us since the start and that no person has looked at.
    strangers: AtomicBool,
    provider: Arc<CryptoProvider>,
    preferences: Preferences,
    keep_alive: KeepAlive,
    congestion: Option<CongestionControl>,
    /// Whether it was said that the kernel lacks it: once, not at each connection.
    is_lack_told: AtomicBool,
    memory: Memory,
    /// Who the peer was in the last attempt that got so far.
    met: Mutex<Option<Met>>,
    /// What the last login was by.
    taken: Mutex<Option<String>>,
    /// How long it took.
    login_time: Mutex<Duration>,
}

/// A peer whose key was found to be one to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Met {
    /// The key, out of its certificate if it came in one.
    pub key: PinnedKey,
    /// When the certificate that it came in is good.
    pub certificate: Option<Validity>,
    /// Why it is trusted.
    pub proof: Proof,
}

/// Why a peer's settings cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetUpError {
    /// The peer's name cannot be a host's.
    #[error("{host:?} is no host to connect to")]
    Host {
        /// The name.
        host: String,
        /// What is wrong with it.
        #[source]
        source: HostAddressError,
    },
    /// A peer on the way cannot be used.
    #[error("hop {hop}")]
    Hop {
        /// The hop.
        hop: String,
        /// Why not.
        #[source]
        source: Box<Self>,
    },
    /// There is nothing to log in with, or a key file cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The lists leave nothing to offer.
    #[error("nothing is left to offer in the key exchange")]
    Algorithms(#[source] AlgorithmListError),
}

/// Who asks so seldom whether the peer is there pays by the byte.
const METERED: Duration = Duration::from_secs(60);
/// Port of a host key's name that has none of its own.
const SSH_PORT: u16 = 22;

impl SshConnect {
    /// Checks the settings and reads the keys.
    pub fn new(config: &PeerConfig, memory: Memory) -> Result<Self, SetUpError> {
        let credentials = Credentials::load(&config.login)?;
        Self::with(credentials, config, memory)
    }

    fn with(
        credentials: Credentials,
        config: &PeerConfig,
        memory: Memory,
    ) -> Result<Self, SetUpError> {
        let peer = config.peer.clone();
        // What a key is kept under; as with OpenSSH, an alias stands without a port.
        let (name, port) = match &config.host_key_alias {
            Some(alias) => (alias, SSH_PORT),
            None => (&peer.host, peer.port),
        };
        let host = HostAddress::new(name, port).map_err(|source| SetUpError::Host {
            host: name.clone(),
            source,
        })?;
        let provider = Arc::new(provider::of_this_machine());
        let mut preferences = Preferences::client(provider.has_fast_aes);
        let lists = &config.algorithms;
        let ciphers: Vec<CipherAlgorithm> = lists
            .ciphers
            .apply(&preferences.cipher)
            .map_err(SetUpError::Algorithms)?;
        let kex: Vec<KexAlgorithm> = lists
            .kex
            .apply(&preferences.kex)
            .map_err(SetUpError::Algorithms)?;
        preferences.cipher = ciphers;
        preferences.kex = kex;
        Ok(Self {
            dialler: Dialler::new(&config.way, &memory)?,
            host_keys: config.host_keys.clone(),
            peer,
            host,
            credentials: Arc::new(credentials),
            ssh_agent: config.login.ssh_agent.clone(),
            ask: Arc::clone(&config.login.ask),
            strangers: AtomicBool::new(false),
            provider,
            preferences,
            keep_alive: KeepAlive {
                interval: config.keep_alive.interval,
                misses: config.keep_alive.misses,
            },
            congestion: config.congestion.clone(),
            is_lack_told: AtomicBool::new(false),
            memory,
            met: Mutex::new(None),
            taken: Mutex::new(None),
            login_time: Mutex::default(),
        })
    }

    /// The ssh-agent and its keys, if there is one.
    async fn reach_agent(&self) -> Result<Option<(SshAgent, Vec<Identity>)>, SshAgentError> {
        let Some(socket) = &self.ssh_agent else {
            return Ok(None);
        };
        let reached = async {
            let mut agent = SshAgent::connect(socket).await?;
            let identities = agent.identities().await?;
            Ok::<_, SshAgentError>((agent, identities))
        };
        let reached = reached.await.map(Some);
        reached.inspect_err(|error| warn!(error = %chain(error), "ssh-agent is not used"))
    }
}

impl Connect for SshConnect {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        self.connect_boxed(Pace::Steady).await
    }

    async fn connect_hastily(&self) -> Result<Connected, ConnectError> {
        // Who pays by the byte is in no haste.
        let is_metered = self.keep_alive.interval >= METERED;
        let pace = if is_metered {
            Pace::Steady
        } else {
            Pace::Hasty
        };
        self.connect_boxed(pace).await
    }

    fn public_host(&self) -> Option<&str> {
        self.dialler.is_direct().then_some(self.peer.host.as_str())
    }
}

impl SshConnect {
    /// Who the peer was, in the last attempt that got as far as a key that is trusted.
    pub fn met(&self) -> Option<Met> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        met.clone()
    }

    /// What the last login was by, in words for a person: the key, or the password.
    pub fn taken(&self) -> Option<String> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.clone()
    }

    /// The certificate files that there are for the keys, and when they are good.
    pub fn certificates(&self) -> Vec<(PathBuf, Validity)> {
        self.credentials.validities()
    }

    /// Whom it connects to.
    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// [`connect`](Connect::connect) for who is a part of it: a hop is connected to by the same code
    /// as what is behind it.
    pub(super) fn connect_boxed(
        &self,
        pace: Pace,
    ) -> Pin<Box<dyn Future<Output = Result<Connected, ConnectError>> + Send + '_>> {
        Box::pin(self.connect_once(pace))
    }

    async fn connect_once(&self, pace: Pace) -> Result<Connected, ConnectError> {
        // What a person has to be asked is asked while no server waits.
        let (reached, trouble) = match self.reach_agent().await {
            Ok(reached) => (reached, None),
            Err(error) => (None, Some(error)),
        };
        let (agent, identities) = reached.unzip();
        let credentials = Arc::clone(&self.credentials);
        let offers = blocking(move || credentials.offers(identities.as_deref()));
        let offers = self.in_time(offers).await??;
        let offers = offers.map_err(|error| {
            ConnectError::Keys(Box::new(match &trouble {
                Some(why) => error.without_agent(why),
                None => error,
            }))
        })?;
        match self.begin(agent, &offers, pace).await {
            Err(ConnectError::HostKey(HostKeyRefusal::New { host, shown }))
                if self.host_keys.new_hosts == NewHosts::Ask =>
            {
                self.meet(host, shown, &offers).await
            }
            Err(ConnectError::HostKey(refusal @ HostKeyRefusal::Unpinned { .. })) => {
                self.ask_for_others(refusal, &offers).await
            }
            other => other,
        }
    }

    /// A host shows one of its keys, and a fingerprint does not say of which type it is: asks for those
    /// of the other types until the pinned one comes, or none is left.
    async fn ask_for_others(
        &self,
        mut refusal: HostKeyRefusal,
        offers: &[Offer],
    ) -> Result<Connected, ConnectError> {
        let mut left = self.preferences.host_key.clone();
        while let HostKeyRefusal::Unpinned {
            kind, shown: all, ..
        } = &mut refusal
        {
            left.retain(|algorithm| !comes_by(*kind, *algorithm));
            if left.is_empty() {
                break;
            }
            let agent = self
                .reach_agent()
                .await
                .ok()
                .flatten()
                .map(|(agent, _)| agent);
            match self.attempt(agent, offers, None, &left).await {
                Err(ConnectError::HostKey(HostKeyRefusal::Unpinned {
                    kind: next, shown, ..
                })) => {
                    *kind = next;
                    all.push_str(" and ");
                    all.push_str(&shown);
                }
                // It has no other.
                Err(ConnectError::Handshake(_) | ConnectError::Dial(_)) => break,
                other => return other,
            }
        }
        Err(ConnectError::HostKey(refusal))
    }

    /// Waits for a person no longer than a login may take: at night nobody answers, and by morning the
    /// question may have answered itself.
    async fn in_time<T>(&self, answer: impl Future<Output = T>) -> Result<T, ConnectError> {
        let deadline = limits::LOGIN_DEADLINE;
        let answered = timeout(deadline, answer).await;
        answered.map_err(|_| ConnectError::Handshake(Box::new(TookTooLong(deadline))))
    }

    /// A host that was never seen: asks whether its key is right, with the connection closed, since a
    /// person takes time. Where nobody is there, the key is written down if none but keys can be
    /// sent.
    async fn meet(
        &self,
        host: String,
        shown: String,
        offers: &[Offer],
    ) -> Result<Connected, ConnectError> {
        let ask = Arc::clone(&self.ask);
        let question = (host.clone(), shown.clone());
        let is_trusted = blocking(move || ask.trusts(&question.0, &question.1));
        let is_trusted = self.in_time(is_trusted).await??;
        let has_key = |offer: &Offer| !matches!(offer.holder, Holder::Person(_));
        let is_seen = match is_trusted {
            Some(true) => true,
            None if offers.iter().any(has_key) => false,
            Some(false) | None => {
                let refusal = HostKeyRefusal::New { host, shown };
                return Err(ConnectError::HostKey(refusal));
            }
        };
        let agent = self
            .reach_agent()
            .await
            .ok()
            .flatten()
            .map(|(agent, _)| agent);
        let trust = Trust {
            shown: &shown,
            is_seen,
        };
        self.attempt(agent, offers, Some(trust), &self.preferences.host_key)
            .await
    }
}

impl fmt::Debug for SshConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshConnect")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

/// Does `work`, which waits for the file system, where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, BlockingError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(BlockingError)
}

/// Work on the file system came to nothing.
#[derive(Debug, thiserror::Error)]
#[error("files could not be looked at")]
struct BlockingError(#[source] tokio::task::JoinError);

impl From<BlockingError> for ConnectError {
    fn from(error: BlockingError) -> Self {
        Self::Handshake(Box::new(error))
    }
}

#[cfg(test)]
mod tests;
