//! Connects to a tunnel's peer over SSH: dial, key exchange, host key, login.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use adit_ssh::algorithm::{CipherAlgorithm, KexAlgorithm, KeyAlgorithm};
use adit_ssh::auth::client::{
    ClientLogin, Credential, LoginFailure, OfferedKey, Outcome, PromptQuestion, SignQuestion,
};
use adit_ssh::connection::{ClientConfig, KeepAlive, TransportConfig};
use adit_ssh::kex::HostKeyOffer;
use adit_ssh::key::Fingerprint;
use adit_ssh::negotiate::Preferences;
use adit_ssh::printable::Printable;
use adit_ssh::provider::{CryptoProvider, Signer};
use adit_ssh::secret::Secret;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::{debug, info, warn};

use super::dial::Dialler;
use super::login::algorithms::AlgorithmListError;
use super::login::host;
use super::login::keys::{self, KeyError};
use super::login::known_hosts::{
    HostAddress, HostAddressError, HostKeyRefusal, HostKeys, HostVerdict, ProofKind,
};
use super::supervise::{Connect, ConnectError, Connected, Peer, PeerConfig};
use crate::provider;
use crate::transport::ssh::{
    self, Answer, Answerer, Carrier, CongestionControl, HostRefusal, Memory,
};

/// Makes connections to one peer.
pub struct SshConnect {
    peer: Peer,
    dialler: Dialler,
    host: HostAddress,
    host_keys: HostKeys,
    keys: Vec<Key>,
    provider: Arc<CryptoProvider>,
    preferences: Preferences,
    congestion: Option<CongestionControl>,
    /// Whether it was said that the kernel lacks it: once, not at each connection.
    is_lack_told: AtomicBool,
    memory: Memory,
}

/// A key to log in with.
struct Key {
    file: PathBuf,
    signer: Arc<dyn Signer>,
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
    /// There is nothing to log in with.
    #[error("no key to log in with")]
    NoKey,
    /// A key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The lists leave nothing to offer.
    #[error("nothing is left to offer in the key exchange")]
    Algorithms(#[source] AlgorithmListError),
}

/// Port of a host key's name that has none of its own.
const SSH_PORT: u16 = 22;
/// From a connected socket to a login. Nobody types anything here, so it is shorter than the engine's
/// own deadline, which leaves time for a person.
const LOGIN_DEADLINE: Duration = Duration::from_secs(30);
/// A silent peer is asked so often, and is gone after three times without a byte (design 3c).
const KEEP_ALIVE: KeepAlive = KeepAlive {
    interval: Duration::from_secs(10),
    misses: 3,
};

impl SshConnect {
    /// Checks the settings and reads the keys.
    pub fn new(config: &PeerConfig, memory: Memory) -> Result<Self, SetUpError> {
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
        let mut keys = Vec::new();
        for file in &config.keys {
            let signer = keys::read(file)?;
            let file = file.clone();
            keys.push(Key { file, signer });
        }
        if keys.is_empty() {
            return Err(SetUpError::NoKey);
        }
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
            keys,
            provider,
            preferences,
            congestion: config.congestion.clone(),
            is_lack_told: AtomicBool::new(false),
            memory,
        })
    }

    fn client_config(&self, host_key: Vec<KeyAlgorithm>) -> ClientConfig {
        let pool = self.memory.pool.clone();
        let mut transport = TransportConfig::client(Arc::clone(&self.provider), pool);
        transport.preferences = self.preferences.clone();
        transport.preferences.host_key = host_key;
        transport.keep_alive = Some(KEEP_ALIVE);
        let offered = self.keys.iter().filter_map(|key| {
            let blob = key.signer.public_key().blob().to_vec();
            OfferedKey::new(blob).map(Credential::Key)
        });
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

    fn login_error(&self, failure: &LoginFailure) -> ConnectError {
        let keys = self.keys.iter().zip(&failure.outcomes);
        let keys = keys.map(|(key, outcome)| TriedKey {
            file: key.file.clone(),
            fingerprint: key.signer.public_key().fingerprint(),
            outcome: *outcome,
        });
        let methods: Vec<&str> = failure.methods.iter().map(Printable::as_str).collect();
        let source = LoginRefusal {
            keys: keys.collect(),
            methods: methods.join(", "),
        };
        ConnectError::Login {
            user: self.peer.user.clone(),
            source: Box::new(source),
        }
    }
}

impl Connect for SshConnect {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        self.connect_boxed().await
    }
}

impl SshConnect {
    /// Whom it connects to.
    pub(super) const fn peer(&self) -> &Peer {
        &self.peer
    }

    /// [`connect`](Connect::connect) for who is a part of it: a hop is connected to by the same code
    /// as what is behind it.
    pub(super) fn connect_boxed(
        &self,
    ) -> Pin<Box<dyn Future<Output = Result<Connected, ConnectError>> + Send + '_>> {
        Box::pin(self.attempt())
    }

    async fn attempt(&self) -> Result<Connected, ConnectError> {
        let (host, host_keys) = (self.host.clone(), self.host_keys.clone());
        let default = self.preferences.host_key.clone();
        let order = blocking(move || host_keys.order(&host, &default)).await?;
        let order = order.map_err(|source| {
            let host = self.host.written();
            ConnectError::HostKey(HostKeyRefusal::Store { host, source })
        })?;
        let tune = |socket: &TcpStream| {
            if let Err(error) = ssh::tune(socket) {
                debug!(%error, "socket options were not taken");
            }
            self.choose_congestion_control(socket);
        };
        let dialled = self.dialler.dial(&self.peer, &tune).await;
        let (carrier, mut keeper) = dialled.map_err(ConnectError::Dial)?;
        match keeper.beside(self.log_in(carrier, order)).await {
            Ok(Connected { connection, task }) => Ok(Connected {
                connection,
                task: keeper.keep(task),
            }),
            Err(error) => Err(keeper.explain(error).await),
        }
    }
}

impl SshConnect {
    /// Logs in over a socket, asking for the host's key in that order.
    async fn log_in<S: Carrier + 'static>(
        &self,
        socket: S,
        order: Vec<KeyAlgorithm>,
    ) -> Result<Connected, ConnectError> {
        let mut answers = Answers { connect: self };
        let config = self.client_config(order);
        let memory = self.memory.clone();
        let login = ssh::connect(socket, config, memory, &mut answers);
        let Ok(login) = timeout(LOGIN_DEADLINE, login).await else {
            return Err(ConnectError::Handshake(Box::new(TookTooLong)));
        };
        match login {
            Ok((connection, driver)) => Ok(Connected {
                connection,
                task: Box::pin(async move {
                    let end = driver.run().await;
                    debug!(%end, "connection's task has ended");
                }),
            }),
            Err(ssh::ConnectError::Host(refusal)) => {
                Err(match refusal.downcast::<HostKeyRefusal>() {
                    Ok(refusal) => ConnectError::HostKey(*refusal),
                    Err(other) => ConnectError::Handshake(other),
                })
            }
            Err(ssh::ConnectError::Login(failure)) => Err(self.login_error(&failure)),
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

/// Answers the engine's questions on the way in.
struct Answers<'a> {
    connect: &'a SshConnect,
}

impl Answerer for Answers<'_> {
    fn host_key<'a>(&'a mut self, offer: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        let (host, host_keys) = (self.connect.host.clone(), self.connect.host_keys.clone());
        let (key, blob) = (offer.key().clone(), offer.blob().to_vec());
        let verifier = Arc::clone(&self.connect.provider.verifier);
        Box::pin(async move {
            let fingerprint = key.fingerprint();
            let judge = move || host::judge(&host_keys, &host, &key, &blob, verifier.as_ref());
            match blocking(judge).await? {
                HostVerdict::Trusted(proof) => {
                    if let ProofKind::Added(file) = proof.kind() {
                        let file = file.display();
                        warn!(%fingerprint, %file, "host was new; its key is trusted from here on");
                    } else {
                        debug!(%fingerprint, %proof, "host key is trusted");
                    }
                    Ok(())
                }
                HostVerdict::Refused(refusal) => Err(HostRefusal::from(refusal)),
            }
        })
    }

    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        let key = self.connect.keys.get(question.credential);
        let signed = key.and_then(|key| {
            let algorithm = question.algorithm.signature();
            key.signer.sign(algorithm, &question.data).ok()
        });
        Box::pin(std::future::ready(signed))
    }

    fn password(&mut self, _: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(std::future::ready(None))
    }

    fn prompts<'a>(&'a mut self, _: &'a PromptQuestion) -> Answer<'a, Option<Vec<Secret<String>>>> {
        Box::pin(std::future::ready(None))
    }

    fn banner(&mut self, lines: &[Printable]) {
        for line in lines {
            info!(%line, "server's banner");
        }
    }
}

/// The login did not end in time.
#[derive(Debug, thiserror::Error)]
#[error("login took more than {} s", LOGIN_DEADLINE.as_secs())]
struct TookTooLong;

/// How the server refused every key.
#[derive(Debug, thiserror::Error)]
#[error("{}; server accepts {}", list(keys), if methods.is_empty() { "nothing" } else { methods })]
struct LoginRefusal {
    keys: Vec<TriedKey>,
    methods: String,
}

#[derive(Debug)]
struct TriedKey {
    file: PathBuf,
    fingerprint: Fingerprint,
    outcome: Outcome,
}

fn list(keys: &[TriedKey]) -> String {
    let each = keys.iter().map(|key| {
        let words = words(key.outcome);
        format!("key {} ({}) {words}", key.file.display(), key.fingerprint)
    });
    each.collect::<Vec<_>>().join(", ")
}

fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotTried => "was not tried",
        Outcome::NoCommonAlgorithm => "has no algorithm that the server takes",
        Outcome::KeyRefused => "is not known there",
        Outcome::SignatureRefused => "was refused with its signature",
        Outcome::Accepted => "was accepted, but something more is wanted",
        Outcome::Refused
        | Outcome::ChangeWanted
        | Outcome::NotGiven
        | Outcome::WrongSignature
        | _ => "was refused",
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
#[error("host keys could not be looked up")]
struct BlockingError(#[source] tokio::task::JoinError);

impl From<BlockingError> for ConnectError {
    fn from(error: BlockingError) -> Self {
        Self::Handshake(Box::new(error))
    }
}

#[cfg(test)]
mod tests;
