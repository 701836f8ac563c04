//! What is offered at a login, and who makes good on it.

use std::path::Path;
use std::sync::Arc;

use adit_ssh::auth::client::{Credential, OfferedKey, Outcome};
use adit_ssh::certificate::Certificate;
use adit_ssh::provider::Signer;
use tracing::debug;

use super::tried::{Name, Tried};

/// Something to offer, and who can make good on it.
pub(crate) struct Offer {
    pub(crate) credential: Credential,
    pub(crate) holder: Holder,
    name: Name,
}

/// Who makes good on an offer.
pub(crate) enum Holder {
    /// The private key is here.
    Signer(Arc<dyn Signer>),
    /// An ssh-agent signs by this key, or certificate, of its own.
    SshAgent(Vec<u8>),
    /// A person. How many offers of that kind come before.
    Person(usize),
}

/// What is offered, each key once.
#[derive(Default)]
pub(super) struct Offers {
    pub(super) list: Vec<Offer>,
}

impl Offers {
    /// A key or certificate by its blob, unless it is there or not of a type that is spoken here.
    pub(super) fn key(&mut self, blob: &[u8], name: Name, holder: Holder) {
        let is_there =
            |offer: &Offer| matches!(&offer.credential, Credential::Key(key) if key.blob() == blob);
        if self.list.iter().any(is_there) {
            return;
        }
        let Some(key) = OfferedKey::new(blob.to_vec()) else {
            debug!(?name, "key is of a type that is not spoken here");
            return;
        };
        self.list.push(Offer {
            credential: Credential::Key(key),
            holder,
            name,
        });
    }

    pub(super) fn certificate(&mut self, file: &Path, certificate: &Certificate, holder: Holder) {
        let name = Name::Certificate(file.to_owned(), certificate.key().fingerprint());
        self.key(certificate.blob(), name, holder);
    }

    pub(super) fn person(&mut self, credential: Credential, name: Name, attempt: usize) {
        self.list.push(Offer {
            credential,
            holder: Holder::Person(attempt),
            name,
        });
    }
}

impl Holder {
    /// The same holder, for a certificate of its key. An ssh-agent is asked by the plain key, which is
    /// what it holds.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::Signer(signer) => Self::Signer(Arc::clone(signer)),
            Self::SshAgent(blob) => Self::SshAgent(blob.clone()),
            Self::Person(attempt) => Self::Person(*attempt),
        }
    }
}

impl Offer {
    /// What people call it.
    pub(crate) fn name(&self) -> String {
        self.name.to_string()
    }

    /// How it fared.
    pub(crate) fn tried(&self, outcome: Outcome) -> Tried {
        Tried {
            name: self.name.clone(),
            outcome,
        }
    }
}
