//! Our client and our server on the terms of one cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use adit_ssh::algorithm::{KexAlgorithm, KeyAlgorithm};
use adit_ssh::auth::Method;
use adit_ssh::auth::client::{ClientLogin, Credential, OfferedKey, PromptQuestion, SignQuestion};
use adit_ssh::auth::server::{
    Claim, DelaySecret, KeyVerdict, LoginVerdict, PresentedKey, SecurityKeyRules, ServerLogin,
    ServerPrompt, ServerPrompts, ServerQuestion,
};
use adit_ssh::certificate::{Certificate, Question, Wanted};
use adit_ssh::connection::{ClientConfig, RekeyLimits, ServerConfig, TransportConfig};
use adit_ssh::kex::{HostKey, HostKeyOffer, NonstrictChacha};
use adit_ssh::key::PublicKey;
use adit_ssh::printable::Printable;
use adit_ssh::provider::{
    ActiveKex, CryptoError, CryptoProvider, Digest, KexMethod, SharedSecret, Signer, aws_lc,
};
use adit_ssh::secret::Secret;
use adit_testkit::ssh_agent::{self, Key};
use adit_tunnel::transport::Connection;
use adit_tunnel::transport::ssh::{
    Admission, Answer, Answerer, Decision, Driver, HostRefusal, Memory, accept, connect, tune,
};
use tokio::net::TcpStream;

use crate::keys::{Keys, PASSWORD};
use crate::terms::{Login, Terms};

/// An end of ours, before it meets its peer.
pub(crate) struct Ours<'a> {
    pub(crate) keys: &'a Keys,
    pub(crate) terms: Terms,
    /// After how many bytes we ask for new keys.
    pub(crate) rekey_bytes: Option<u64>,
    /// Whether the peer does strict key exchange; without, chacha20 has to be allowed by name.
    pub(crate) is_strict: bool,
    /// Key exchanges that were done.
    pub(crate) exchanges: Arc<AtomicUsize>,
}

impl Ours<'_> {
    /// Logs in as a client.
    pub(crate) async fn connect(
        &self,
        stream: TcpStream,
    ) -> Result<(Connection, Driver<TcpStream>), String> {
        tune(&stream).map_err(|error| error.to_string())?;
        let (provider, memory) = (Arc::new(self.provider()), Memory::of_this_machine());
        let transport = TransportConfig::client(provider, memory.pool.clone());
        let (credential, signing) = self.credential();
        let config = ClientConfig {
            transport: self.settle(transport),
            login: ClientLogin {
                user: self.keys.user().to_owned(),
                credentials: vec![credential],
            },
        };
        let mut person = Person {
            keys: self.keys,
            signing,
        };
        let connected = connect(stream, config, memory, &mut person).await;
        connected.map_err(|error| chain(&error))
    }

    /// Lets a client log in.
    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<(Connection, Driver<TcpStream>), String> {
        tune(&stream).map_err(|error| error.to_string())?;
        let (provider, memory) = (Arc::new(self.provider()), Memory::of_this_machine());
        let random = Arc::clone(&provider.random);
        let transport = TransportConfig::server(provider, memory.pool.clone());
        let (method, signature_algorithms) = match self.terms.login {
            Login::Key(algorithm) => (Method::PublicKey, vec![algorithm.signature()]),
            Login::Password => (Method::Password, Vec::new()),
            Login::Dialog => (Method::KeyboardInteractive, Vec::new()),
        };
        let config = ServerConfig {
            transport: self.settle(transport),
            host_keys: Arc::new([self.host_key()]),
            login: ServerLogin {
                methods: vec![method],
                banner: Some(String::from("Welcome to the table.\r\n")),
                signature_algorithms,
                anonymous: false,
            },
            delay_secret: DelaySecret::generate(random.as_ref()).unwrap(),
        };
        let mut gate = Gate {
            keys: self.keys,
            login: self.terms.login,
        };
        let accepted = accept(stream, &config, memory, &mut gate).await;
        accepted.map_err(|error| chain(&error))
    }

    fn settle(&self, mut transport: TransportConfig) -> TransportConfig {
        transport.preferences = self.terms.preferences();
        transport.rekey = RekeyLimits {
            bytes: self.rekey_bytes,
            age: None,
        };
        if !self.is_strict {
            transport.nonstrict_chacha = NonstrictChacha::Accepted;
        }
        transport
    }

    fn host_key(&self) -> HostKey {
        let algorithm = self.terms.host_key;
        let signer = self.keys.signer("host", algorithm);
        if algorithm.is_certificate() {
            let certificate = self.keys.certificate("host", algorithm);
            HostKey::certified(certificate.blob().to_vec(), signer)
        } else {
            HostKey::plain(signer)
        }
    }

    fn credential(&self) -> (Credential, Signing) {
        let algorithm = match self.terms.login {
            Login::Key(algorithm) => algorithm,
            Login::Password => return (Credential::Password, Signing::Nothing),
            Login::Dialog => return (Credential::KeyboardInteractive, Signing::Nothing),
        };
        let (blob, signing) = if let Some(key) = self.keys.security_key(algorithm) {
            (key.blob().to_vec(), Signing::Agent(key))
        } else {
            let signer = self.keys.signer("user", algorithm);
            let blob = if algorithm.is_certificate() {
                let certificate = self.keys.certificate("user", algorithm);
                certificate.blob().to_vec()
            } else {
                signer.public_key().blob().to_vec()
            };
            (blob, Signing::File(signer))
        };
        let key = OfferedKey::new(blob).expect("a key that we made is one that we know");
        // Else an RSA key would be offered with the better hash alone.
        let key = key.limited_to(&[algorithm.signature()]);
        let key = key.expect("a key does its own algorithm");
        (Credential::Key(key), signing)
    }

    /// The provider of production, with its key exchanges counted.
    fn provider(&self) -> CryptoProvider {
        let mut provider = aws_lc::provider();
        for method in &mut provider.kex {
            *method = Arc::new(Counted {
                method: Arc::clone(method),
                exchanges: Arc::clone(&self.exchanges),
            });
        }
        provider
    }
}

/// A key exchange method that counts how often it is used.
#[derive(Debug)]
struct Counted {
    method: Arc<dyn KexMethod>,
    exchanges: Arc<AtomicUsize>,
}

impl KexMethod for Counted {
    fn algorithms(&self) -> &[KexAlgorithm] {
        self.method.algorithms()
    }

    fn start(&self) -> Result<Box<dyn ActiveKex>, CryptoError> {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.method.start()
    }

    fn respond(&self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), CryptoError> {
        self.exchanges.fetch_add(1, Ordering::Relaxed);
        self.method.respond(client_init)
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        self.method.hash(parts)
    }
}

/// Whoever logs in.
struct Person<'a> {
    keys: &'a Keys,
    signing: Signing,
}

enum Signing {
    Nothing,
    File(Arc<dyn Signer>),
    Agent(Key),
}

impl Person<'_> {
    fn judge(&self, offer: &HostKeyOffer) -> Result<(), HostRefusal> {
        let algorithm = offer.algorithm();
        if *offer.key() != self.keys.public("host", algorithm) {
            return Err("another key than the host's".into());
        }
        if algorithm.is_certificate() {
            let certificate = Certificate::from_blob(offer.blob())?;
            let wanted = Wanted::Host { name: "127.0.0.1" };
            check(&certificate, &self.keys.authority(), wanted)?;
        }
        Ok(())
    }
}

impl Answerer for Person<'_> {
    fn host_key<'a>(&'a mut self, offer: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        Box::pin(async { self.judge(offer) })
    }

    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async {
            let (algorithm, data) = (question.algorithm, &question.data);
            match &self.signing {
                Signing::Nothing => None,
                Signing::File(signer) => signer.sign(algorithm.signature(), data).ok(),
                Signing::Agent(key) => key.sign(data, ssh_agent::RSA_SHA2_512),
            }
        })
    }

    fn password(&mut self, _: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(async { Some(Secret::new(PASSWORD.to_owned())) })
    }

    fn prompts<'a>(
        &'a mut self,
        question: &'a PromptQuestion,
    ) -> Answer<'a, Option<Vec<Secret<String>>>> {
        let answers = question.prompts.iter();
        let answers = answers.map(|_| Secret::new(PASSWORD.to_owned()));
        let answers = answers.collect();
        Box::pin(async { Some(answers) })
    }

    fn banner(&mut self, _: &[Printable]) {}
}

/// Lets in who logs in as the cell says, and nobody else.
struct Gate<'a> {
    keys: &'a Keys,
    login: Login,
}

impl Gate<'_> {
    fn knows(&self, user: &str, key: &PresentedKey) -> bool {
        let Login::Key(algorithm) = self.login else {
            return false;
        };
        if key.algorithm != algorithm || user != self.keys.user() {
            return false;
        }
        match &key.certificate {
            Some(certificate) => {
                let wanted = Wanted::Login {
                    principals: &[user],
                    source: None,
                };
                check(certificate, &self.keys.authority(), wanted).is_ok()
            }
            None => key.key == self.keys.public("user", algorithm),
        }
    }
}

impl Admission for Gate<'_> {
    fn key<'a>(&'a mut self, user: &'a str, key: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(async {
            if self.knows(user, key) {
                KeyVerdict::Authorised(SecurityKeyRules::STANDARD)
            } else {
                KeyVerdict::Refused
            }
        })
    }

    fn login<'a>(&'a mut self, question: &'a ServerQuestion) -> Answer<'a, Decision> {
        Box::pin(async {
            let is_good = match &question.claim {
                Claim::ProvedKey { key, .. } => self.knows(&question.user, key),
                Claim::Password(password) => {
                    self.login == Login::Password && password.expose() == PASSWORD
                }
                Claim::Dialog if self.login == Login::Dialog => {
                    return Decision::Ask(ServerPrompts {
                        prompts: vec![ServerPrompt {
                            text: String::from("Password: "),
                            echo: false,
                        }],
                        ..ServerPrompts::default()
                    });
                }
                Claim::Answers(answers) => {
                    let mut answers = answers.iter();
                    answers.all(|answer| answer.expose() == PASSWORD)
                }
                Claim::Nothing | Claim::Key(_) | Claim::Dialog | _ => false,
            };
            Decision::Verdict(if is_good {
                LoginVerdict::Accept
            } else {
                LoginVerdict::Reject
            })
        })
    }
}

fn check(
    certificate: &Certificate,
    authority: &PublicKey,
    wanted: Wanted<'_>,
) -> Result<(), HostRefusal> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let question = Question {
        authorities: std::slice::from_ref(authority),
        is_revoked: &|_| false,
        wanted,
        now,
    };
    let verifier = aws_lc::provider().verifier;
    certificate.check(verifier.as_ref(), &question)?;
    Ok(())
}

/// An error with all its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words = format!("{words}: {error}");
        cause = error.source();
    }
    words
}

/// What our server can show as its own.
pub(crate) fn can_be_host_key(algorithm: KeyAlgorithm) -> bool {
    !algorithm.name().starts_with("sk-")
}
