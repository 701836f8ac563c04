//! Connects to a tunnel's peer over SSH: dial, key exchange, host key, login.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm};
use adit_ssh::auth::client::{ClientLogin, LoginFailure, Outcome};
use adit_ssh::connection::{ClientConfig, KeepAlive, TransportConfig};
use adit_ssh::limits;
use adit_ssh::negotiate::Preferences;
use adit_ssh::printable::Printable;
use adit_ssh::provider::CryptoProvider;
use adit_ssh::ssh_agent::Identity;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, warn};

use self::answers::{Answers, LoginRefusal, TookTooLong, Trust};
pub use self::look::{HostKeyLook, Look, TrustError, Trusted};
use super::chain;
use super::dial::{Dialler, Keeper};
use super::login::algorithms::AlgorithmListError;
use super::login::credentials::{CredentialError, Credentials, Holder, Offer, Validity};
use super::login::known_hosts::{
    HostAddress, HostAddressError, HostKeyRefusal, HostKeys, NewHosts, PinnedKey, Proof, comes_by,
};
use super::login::prompt::Ask;
use super::login::ssh_agent::{SshAgent, SshAgentError};
use super::supervise::{Connect, ConnectError, Connected, Peer, PeerConfig};
use crate::provider;
use crate::transport::ssh::{self, Carrier, CongestionControl, Memory};

mod answers;
mod look;

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
/// Keys are renewed each hour (RFC 4253 section 9), at 4.4 KB; over such a line, where hardly anything is
/// sealed with them, once a day. Renewing them by volume is not touched.
const METERED_REKEY_AGE: Duration = Duration::from_hours(24);
/// Port of a host key's name that has none of its own.
const SSH_PORT: u16 = 22;
/// From a connected socket to a login where nobody types anything. With a person it is the engine's own
/// deadline, 120 s (`limits::LOGIN_DEADLINE`), as sshd(8)'s LoginGraceTime.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
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
        })
    }

    fn client_config(&self, host_key: Vec<KeyAlgorithm>, offers: &[Offer]) -> ClientConfig {
        let pool = self.memory.pool.clone();
        let mut transport = TransportConfig::client(Arc::clone(&self.provider), pool);
        transport.preferences = self.preferences.clone();
        transport.preferences.host_key = host_key;
        transport.keep_alive = Some(self.keep_alive);
        if self.keep_alive.interval >= METERED {
            transport.rekey.age = Some(METERED_REKEY_AGE);
        }
        let offered = offers.iter().map(|offer| offer.credential.clone());
        ClientConfig {
            transport,
            login: ClientLogin {
                user: self.peer.user.clone(),
                credentials: offered.collect(),
            },
        }
    }

    fn choose_congestion_control(&self, socket: &TcpStream) {
        if let Some(congestion) = &self.congestion
            && let Err(error) = congestion.set_on(socket)
            && !self.is_lack_told.swap(true, Ordering::Relaxed)
        {
            warn!(
                host = self.peer.host, %congestion, %error,
                "congestion control is not to be had; the socket keeps its own"
            );
        }
    }

    fn login_error(&self, failure: &LoginFailure, answers: &Answers<'_>) -> ConnectError {
        let tried = answers.offers.iter().zip(&failure.outcomes);
        // Who has three tries needs no three lines.
        let tried = tried.filter(|(offer, outcome)| {
            !matches!(
                (&offer.holder, outcome),
                (Holder::Person(1..), Outcome::NotTried | Outcome::NotGiven)
            )
        });
        let methods: Vec<&str> = failure.methods.iter().map(Printable::as_str).collect();
        let source = LoginRefusal {
            tried: tried
                .map(|(offer, outcome)| offer.tried(*outcome))
                .collect(),
            methods: methods.join(", "),
            was_withheld: answers.was_withheld,
        };
        ConnectError::Login {
            user: self.peer.user.clone(),
            source: Box::new(source),
        }
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
        self.connect_boxed().await
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
    ) -> Pin<Box<dyn Future<Output = Result<Connected, ConnectError>> + Send + '_>> {
        Box::pin(self.connect_once())
    }

    async fn connect_once(&self) -> Result<Connected, ConnectError> {
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
        match self
            .attempt(agent, &offers, None, &self.preferences.host_key)
            .await
        {
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

    /// One attempt: dial, shake hands, check the host key, log in. The host may show keys of these kinds.
    async fn attempt(
        &self,
        agent: Option<SshAgent>,
        offers: &[Offer],
        trust: Option<Trust<'_>>,
        kinds: &[KeyAlgorithm],
    ) -> Result<Connected, ConnectError> {
        let order = self.order(kinds).await?;
        let (carrier, mut keeper) = self.dial().await?;
        let answers = Answers::new(self, offers, agent, trust);
        match keeper.beside(self.log_in(carrier, order, answers)).await {
            Ok(Connected { connection, task }) => Ok(Connected {
                connection,
                task: keeper.keep(task),
            }),
            Err(error) => Err(keeper.explain(error).await),
        }
    }
}

impl SshConnect {
    /// In which order to ask the host for keys of these kinds.
    async fn order(&self, kinds: &[KeyAlgorithm]) -> Result<Vec<KeyAlgorithm>, ConnectError> {
        let (host, host_keys) = (self.host.clone(), self.host_keys.clone());
        let kinds = kinds.to_vec();
        let order = blocking(move || host_keys.order(&host, &kinds)).await?;
        order.map_err(|source| {
            let host = self.host.written();
            ConnectError::HostKey(HostKeyRefusal::Store { host, source })
        })
    }

    /// Goes the way to the peer.
    async fn dial(&self) -> Result<(Box<dyn Carrier>, Keeper), ConnectError> {
        let tune = |socket: &TcpStream| {
            if let Err(error) = ssh::tune(socket) {
                debug!(%error, "socket options were not taken");
            }
            self.choose_congestion_control(socket);
        };
        let dialled = self.dialler.dial(&self.peer, &tune).await;
        dialled.map_err(ConnectError::Dial)
    }

    /// Logs in over a socket, asking for the host's key in that order.
    async fn log_in<S: Carrier + 'static>(
        &self,
        socket: S,
        order: Vec<KeyAlgorithm>,
        mut answers: Answers<'_>,
    ) -> Result<Connected, ConnectError> {
        let config = self.client_config(order, answers.offers);
        let memory = self.memory.clone();
        let deadline = if self.ask.is_person() {
            limits::LOGIN_DEADLINE
        } else {
            LOGIN_DEADLINE
        };
        let login = ssh::connect(socket, config, memory, &mut answers);
        let Ok(login) = timeout(deadline, login).await else {
            return Err(ConnectError::Handshake(Box::new(TookTooLong(deadline))));
        };
        match login {
            Ok((connection, driver)) => {
                *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = answers.taken();
                Ok(Connected {
                    connection,
                    task: Box::pin(async move {
                        let (end, held) = driver.run_holding().await;
                        debug!(%end, "connection's task has ended");
                        held
                    }),
                })
            }
            Err(ssh::ConnectError::Host(refusal)) => {
                Err(match refusal.downcast::<HostKeyRefusal>() {
                    Ok(refusal) => ConnectError::HostKey(*refusal),
                    Err(other) => ConnectError::Handshake(other),
                })
            }
            Err(ssh::ConnectError::Login(failure)) => Err(self.login_error(&failure, &answers)),
            Err(ssh::ConnectError::Connection(error)) if answers.was_cut_off(&error) => {
                Err(ConnectError::Login {
                    user: self.peer.user.clone(),
                    source: Box::new(answers.cut_off(error)),
                })
            }
            Err(error) => Err(ConnectError::Handshake(Box::new(error))),
        }
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
