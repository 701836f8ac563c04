//! One attempt to reach a tunnel's peer: dial, shake hands, check the host key, log in.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use adit_ssh::auth::client::{
    ClientLogin, Credential, LoginFailure, OfferedKey, Outcome, PromptQuestion, SignQuestion,
};
use adit_ssh::certificate::{Certificate, Question, Wanted};
use adit_ssh::connection::{ClientConfig, KeepAlive, TransportConfig};
use adit_ssh::kex::HostKeyOffer;
use adit_ssh::key_file;
use adit_ssh::printable::Printable;
use adit_ssh::provider::{CryptoProvider, Signer, Verifier, aws_lc};
use adit_ssh::secret::Secret;
use tracing::{debug, info};

use super::dial::tcp::dial;
use super::login::known_hosts::{HostAddress, HostKeyRefusal, HostKeys, HostVerdict, ProofKind};
use super::supervise::{Connect, ConnectError, Connected, TunnelConfig};
use crate::transport::ssh::{self, Answer, Answerer, HostRefusal, Memory, tune};

/// From the first packet to the peer until it has accepted a TCP connection.
const DIAL_DEADLINE: Duration = Duration::from_secs(30);
/// How often a silent peer is asked for a sign of life, and after how many silent intervals it is
/// gone: together the time within which a drop is noticed.
const KEEP_ALIVE: KeepAlive = KeepAlive {
    interval: Duration::from_secs(10),
    misses: 3,
};

/// Connects to a stock sshd, or to a gateway, over TCP.
pub struct SshConnect {
    config: TunnelConfig,
    host: HostAddress,
    provider: Arc<CryptoProvider>,
    memory: Memory,
}

impl SshConnect {
    /// For a tunnel. Memory is shared with whatever else the process connects.
    ///
    /// # Errors
    /// [`ConnectError::Host`]: the peer's name cannot be a host's.
    pub fn new(config: TunnelConfig, memory: Memory) -> Result<Self, ConnectError> {
        let host = HostAddress::new(&config.peer.host, config.peer.port).map_err(|source| {
            ConnectError::Host {
                host: config.peer.host.clone(),
                source,
            }
        })?;
        Ok(Self {
            config,
            host,
            provider: Arc::new(aws_lc::provider()),
            memory,
        })
    }

    /// Reads the keys that are to be offered, anew for each attempt: one may have been renewed.
    fn keys(&self) -> Result<Vec<Arc<dyn Signer>>, ConnectError> {
        let mut keys = Vec::new();
        for path in &self.config.keys {
            let wrap = |source| {
                ConnectError::Keys(Box::new(KeyError {
                    path: path.clone(),
                    source,
                }))
            };
            let file = std::fs::read(path).map_err(|error| wrap(Box::new(error)))?;
            let file = Secret::new(file);
            let key =
                key_file::parse(file.expose(), None).map_err(|error| wrap(Box::new(error)))?;
            keys.push(key);
        }
        Ok(keys)
    }

    fn transport(&self) -> Result<TransportConfig, ConnectError> {
        let mut transport =
            TransportConfig::client(Arc::clone(&self.provider), self.memory.pool.clone());
        let preferences = &mut transport.preferences;
        if let Some(ciphers) = &self.config.algorithms.ciphers {
            preferences.cipher.clone_from(ciphers);
        }
        if let Some(kex) = &self.config.algorithms.kex {
            preferences.kex.clone_from(kex);
        }
        let order = self
            .config
            .host_keys
            .order(&self.host, &preferences.host_key);
        preferences.host_key = order.map_err(|source| {
            ConnectError::HostKey(HostKeyRefusal::Store {
                host: self.host.written(),
                source,
            })
        })?;
        transport.keep_alive = Some(KEEP_ALIVE);
        Ok(transport)
    }
}

impl Connect for SshConnect {
    async fn connect(&self) -> Result<Connected, ConnectError> {
        let keys = self.keys()?;
        let peer = &self.config.peer;
        let offered = keys
            .iter()
            .filter_map(|key| OfferedKey::new(key.public_key().blob().to_vec()));
        let config = ClientConfig {
            transport: self.transport()?,
            login: ClientLogin {
                user: peer.user.clone(),
                credentials: offered.map(Credential::Key).collect(),
            },
        };
        let socket = dial(&peer.host, peer.port, DIAL_DEADLINE)
            .await
            .map_err(ConnectError::Dial)?;
        if let Err(error) = tune(&socket) {
            debug!(%error, "socket does not take its options");
        }
        let mut login = Login {
            host: self.host.clone(),
            name: peer.host.to_ascii_lowercase(),
            host_keys: self.config.host_keys.clone(),
            verifier: Arc::clone(&self.provider.verifier),
            keys: keys.clone(),
        };
        let connected = ssh::connect(socket, config, self.memory.clone(), &mut login).await;
        let (connection, driver) = connected.map_err(|error| self.explain(error, &keys))?;
        let task = Box::pin(async move {
            let end = driver.run().await;
            debug!(%end, "connection ended");
        });
        Ok(Connected { connection, task })
    }
}

impl SshConnect {
    fn explain(&self, error: ssh::ConnectError, keys: &[Arc<dyn Signer>]) -> ConnectError {
        match error {
            ssh::ConnectError::Host(refusal) => match refusal.downcast::<HostKeyRefusal>() {
                Ok(refusal) => ConnectError::HostKey(*refusal),
                Err(other) => ConnectError::Handshake(other),
            },
            ssh::ConnectError::Login(failure) => ConnectError::Login {
                user: self.config.peer.user.clone(),
                source: Box::new(LoginError::new(&failure, keys)),
            },
            other => ConnectError::Handshake(Box::new(other)),
        }
    }
}

impl fmt::Debug for SshConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SshConnect")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// Answers for one login.
struct Login {
    host: HostAddress,
    name: String,
    host_keys: HostKeys,
    verifier: Arc<dyn Verifier>,
    keys: Vec<Arc<dyn Signer>>,
}

impl Login {
    fn judge(&self, offer: &HostKeyOffer) -> HostVerdict {
        let certificate = Certificate::from_blob(offer.blob())
            .ok()
            .filter(|certificate| {
                let now = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |time| time.as_secs());
                // Good in itself; whether its authority is trusted for this host, known_hosts says.
                let question = Question {
                    authorities: std::slice::from_ref(certificate.authority()),
                    is_revoked: &|_| false,
                    wanted: Wanted::Host { name: &self.name },
                    now,
                };
                let checked = certificate.check(self.verifier.as_ref(), &question);
                if let Err(refusal) = &checked {
                    info!(%refusal, "host certificate is not good; the key is judged alone");
                }
                checked.is_ok()
            });
        match certificate {
            Some(certificate) => {
                self.host_keys
                    .verify_certificate(&self.host, offer.key(), certificate.authority())
            }
            None => self.host_keys.verify(&self.host, offer.key()),
        }
    }
}

impl Answerer for Login {
    fn host_key<'a>(&'a mut self, offer: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        Box::pin(async move {
            match self.judge(offer) {
                HostVerdict::Trusted(proof) => {
                    if let ProofKind::Added(file) = proof.kind() {
                        info!(
                            host = self.host.written(),
                            fingerprint = %offer.key().fingerprint(),
                            file = %file.display(),
                            "new host: its key was written down and is trusted from here on"
                        );
                    }
                    Ok(())
                }
                HostVerdict::Refused(refusal) => Err(refusal.into()),
            }
        })
    }

    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let key = self.keys.get(question.credential)?;
            key.sign(question.algorithm.signature(), &question.data)
                .ok()
        })
    }

    fn password(&mut self, _: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(async { None })
    }

    fn prompts<'a>(&'a mut self, _: &'a PromptQuestion) -> Answer<'a, Option<Vec<Secret<String>>>> {
        Box::pin(async { None })
    }

    fn banner(&mut self, lines: &[Printable]) {
        for line in lines {
            info!(%line, "the server says");
        }
    }
}

/// A key file that is of no use.
#[derive(Debug, thiserror::Error)]
#[error("key file {}", .path.display())]
struct KeyError {
    path: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

/// How each key fared, and what the server would take.
#[derive(Debug)]
struct LoginError(String);

impl LoginError {
    fn new(failure: &LoginFailure, keys: &[Arc<dyn Signer>]) -> Self {
        let offered = keys.iter().zip(&failure.outcomes).map(|(key, outcome)| {
            let what = match outcome {
                Outcome::KeyRefused => "not accepted",
                Outcome::SignatureRefused => "accepted, its signature refused",
                Outcome::NoCommonAlgorithm => "of a type that the server does not take",
                Outcome::Accepted => "accepted, and something more is wanted",
                _ => "not tried",
            };
            format!("{} ({what})", key.public_key().fingerprint())
        });
        let offered: Vec<String> = offered.collect();
        let methods: Vec<&str> = failure.methods.iter().map(Printable::as_str).collect();
        let offered = if offered.is_empty() {
            String::from("no key")
        } else {
            offered.join(", ")
        };
        Self(format!(
            "offered {offered}; the server accepts {}",
            methods.join(", ")
        ))
    }
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoginError {}
