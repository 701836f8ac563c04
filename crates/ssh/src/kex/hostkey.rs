//! Host keys: those a server shows, and the one a client is shown.

use std::sync::Arc;

use crate::algorithm::KeyAlgorithm;
use crate::certificate::Certificate;
use crate::error::Violation;
use crate::key::PublicKey;
use crate::provider::{Digest, Signer};
use crate::ssh_agent::SessionBind;

/// A host key of a server, alone or with a host certificate.
#[derive(Debug, Clone)]
pub struct HostKey {
    blob: Vec<u8>,
    signer: Arc<dyn Signer>,
    certified: bool,
}

impl HostKey {
    /// A plain host key.
    pub fn plain(signer: Arc<dyn Signer>) -> Self {
        Self {
            blob: signer.public_key().blob().to_vec(),
            signer,
            certified: false,
        }
    }

    /// A host key with its certificate's blob. That the certificate is for this key is the
    /// caller's to check; a client would refuse it otherwise.
    pub fn certified(certificate: Vec<u8>, signer: Arc<dyn Signer>) -> Self {
        Self {
            blob: certificate,
            signer,
            certified: true,
        }
    }

    /// What is shown to clients: the key's or the certificate's blob.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    pub(crate) const fn is_certified(&self) -> bool {
        self.certified
    }

    pub(crate) fn signer(&self) -> &dyn Signer {
        self.signer.as_ref()
    }

    fn supports(&self, algorithm: KeyAlgorithm) -> bool {
        algorithm.is_certificate() == self.certified
            && self.signer.algorithms().contains(&algorithm.signature())
    }
}

/// The first key that can do that algorithm.
pub(crate) fn find(keys: &[HostKey], algorithm: KeyAlgorithm) -> Option<&HostKey> {
    keys.iter().find(|key| key.supports(algorithm))
}

/// Whether there is a key for that algorithm.
pub(crate) fn has_host_key(keys: &[HostKey], algorithm: KeyAlgorithm) -> bool {
    find(keys, algorithm).is_some()
}

/// SHA-256 fingerprint of a blob, or a word for one that cannot be parsed.
pub(crate) fn fingerprint(blob: &[u8]) -> String {
    crate::key::Fingerprint::of(blob).to_string()
}

/// The host key that a server showed and proved to hold.
#[derive(Debug, Clone)]
pub struct HostKeyOffer {
    algorithm: KeyAlgorithm,
    blob: Vec<u8>,
    key: PublicKey,
    /// The hash of the first exchange, which is the session id.
    session_id: Vec<u8>,
    /// The key's signature over it, found good.
    signature: Vec<u8>,
}

impl HostKeyOffer {
    /// Strictly: the blob is of the negotiated algorithm and nothing else. Nothing is proved yet.
    pub(super) fn parse(algorithm: KeyAlgorithm, blob: &[u8]) -> Result<Self, Violation> {
        const BAD: Violation = Violation::kex("host key is not valid for its algorithm");
        let key = if algorithm.is_certificate() {
            Certificate::from_blob(blob).map_err(|_| BAD)?.key().clone()
        } else {
            PublicKey::from_blob(blob).map_err(|_| BAD)?
        };
        if !key.supports(algorithm.signature()) {
            return Err(BAD);
        }
        Ok(Self {
            algorithm,
            blob: blob.to_vec(),
            key,
            session_id: Vec::new(),
            signature: Vec::new(),
        })
    }

    /// The key has signed that hash, as the first of a connection.
    pub(super) fn proved(self, hash: &Digest, signature: &[u8]) -> Self {
        Self {
            session_id: hash.as_bytes().to_vec(),
            signature: signature.to_vec(),
            ..self
        }
    }

    /// The negotiated algorithm.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// The key, out of its certificate if it came in one.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key's or certificate's blob as it came. A certificate (see
    /// [`KeyAlgorithm::is_certificate`]) still has to be checked by the owner.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What an ssh-agent is told before it is asked to sign for this connection
    /// ([`Request::Bind`](crate::ssh_agent::Request::Bind)), so that it can hold its keys'
    /// destination constraints against the host that proved itself here.
    pub fn session_bind(&self) -> SessionBind<'_> {
        SessionBind {
            host_key: &self.blob,
            session_id: &self.session_id,
            signature: &self.signature,
        }
    }
}
