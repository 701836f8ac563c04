//! Logins that let everybody in: whom to trust is not what this suite is about.

use std::sync::Arc;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::client::{ClientLogin, Credential, OfferedKey, PromptQuestion, SignQuestion};
use adit_ssh::auth::server::{
    DelaySecret, KeyVerdict, LoginVerdict, PresentedKey, SecurityKeyRules, ServerLogin,
    ServerQuestion,
};
use adit_ssh::connection::{ClientConfig, ServerConfig, TransportConfig};
use adit_ssh::kex::{HostKey, HostKeyOffer};
use adit_ssh::printable::Printable;
use adit_ssh::provider::{Signer, aws_lc};
use adit_ssh::secret::Secret;
use adit_tunnel::transport::ssh::{Admission, Answer, Answerer, Decision, HostRefusal, Memory};

/// Trusts every host and signs with one key.
pub(crate) struct Trusting(pub(crate) Arc<dyn Signer>);

impl Answerer for Trusting {
    fn host_key<'a>(&'a mut self, _: &'a HostKeyOffer) -> Answer<'a, Result<(), HostRefusal>> {
        Box::pin(async { Ok(()) })
    }

    fn sign<'a>(&'a mut self, question: &'a SignQuestion) -> Answer<'a, Option<Vec<u8>>> {
        Box::pin(async {
            self.0
                .sign(question.algorithm.signature(), &question.data)
                .ok()
        })
    }

    fn password(&mut self, _: usize) -> Answer<'_, Option<Secret<String>>> {
        Box::pin(async { None })
    }

    fn prompts<'a>(&'a mut self, _: &'a PromptQuestion) -> Answer<'a, Option<Vec<Secret<String>>>> {
        Box::pin(async { None })
    }

    fn banner(&mut self, _: &[Printable]) {}
}

/// Lets every key in.
pub(crate) struct Open;

impl Admission for Open {
    fn key<'a>(&'a mut self, _: &'a str, _: &'a PresentedKey) -> Answer<'a, KeyVerdict> {
        Box::pin(async { KeyVerdict::Authorised(SecurityKeyRules::STANDARD) })
    }

    fn login<'a>(&'a mut self, _: &'a ServerQuestion) -> Answer<'a, Decision> {
        Box::pin(async { Decision::Verdict(LoginVerdict::Accept) })
    }
}

/// The key of our client's user.
pub(crate) fn user_key() -> Arc<dyn Signer> {
    aws_lc::sign::ed25519(&[1; 32]).unwrap()
}

/// The key of our server.
pub(crate) fn host_key() -> Arc<dyn Signer> {
    aws_lc::sign::ed25519(&[2; 32]).unwrap()
}

/// Our client, as that user.
pub(crate) fn client(user: &str, memory: &Memory) -> (ClientConfig, Trusting) {
    let config = client_showing(user, user_key().public_key().blob(), memory);
    (config, Trusting(user_key()))
}

/// Our client, as that user, with that public key or certificate.
pub(crate) fn client_showing(user: &str, shown: &[u8], memory: &Memory) -> ClientConfig {
    let key = OfferedKey::new(shown.to_vec()).unwrap();
    ClientConfig {
        transport: TransportConfig::client(Arc::new(aws_lc::provider()), memory.pool.clone()),
        login: ClientLogin {
            user: user.to_owned(),
            credentials: vec![Credential::Key(key)],
        },
    }
}

/// Our server.
pub(crate) fn server(memory: &Memory) -> (ServerConfig, Open) {
    let provider = Arc::new(aws_lc::provider());
    let config = ServerConfig {
        transport: TransportConfig::server(provider.clone(), memory.pool.clone()),
        host_keys: Arc::new([HostKey::plain(host_key())]),
        login: ServerLogin {
            methods: vec![Method::PublicKey],
            banner: None,
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: false,
        },
        delay_secret: DelaySecret::generate(provider.random.as_ref()).unwrap(),
    };
    (config, Open)
}
