//! Key files, as they are when the tunnel is set up, and the certificates beside them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use adit_ssh::certificate::Certificate;
use adit_ssh::key::PublicKey;
#[cfg(doc)]
use adit_ssh::limits;
use adit_ssh::provider::Signer;
use tracing::warn;

use super::CredentialError;
use crate::agent::login::keys::{self, KeyError, KeyFile};
use crate::agent::login::prompt::{Ask, Question};

/// A key file.
pub(super) struct FileKey {
    pub(super) file: PathBuf,
    /// `None` until it is unlocked, if nothing tells before.
    pub(super) public: Option<PublicKey>,
    pub(super) certificate: Option<(PathBuf, Certificate)>,
    pub(super) holder: FileHolder,
}

pub(super) enum FileHolder {
    Here(Arc<dyn Signer>),
    /// Under a passphrase. What was unlocked stays so.
    Locked(Mutex<Option<Arc<dyn Signer>>>),
    /// Not in the file.
    Elsewhere,
}

/// How often a person may mistype a passphrase (ssh(1), NumberOfPasswordPrompts).
const PASSPHRASES: usize = 3;
/// Most bytes of a certificate file: its blob in base64, a type in front and a comment behind.
/// A blob has at most [`limits::KEY_BLOB`].
const CERTIFICATE_FILE: u64 = 32_768;

impl FileKey {
    pub(super) fn load(file: &Path) -> Result<Self, CredentialError> {
        let (public, holder) = match keys::load(file)? {
            KeyFile::Private(signer) => {
                (Some(signer.public_key().clone()), FileHolder::Here(signer))
            }
            KeyFile::Public(key) => (Some(key), FileHolder::Elsewhere),
            KeyFile::Locked(public) => (public, FileHolder::Locked(Mutex::new(None))),
        };
        Ok(Self {
            certificate: certificate_beside(file),
            file: file.to_owned(),
            public,
            holder,
        })
    }

    pub(super) fn unlocked(&self) -> Option<Arc<dyn Signer>> {
        match &self.holder {
            FileHolder::Locked(signer) => signer
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone(),
            FileHolder::Here(_) | FileHolder::Elsewhere => None,
        }
    }

    /// Asks for the passphrase until it fits.
    pub(super) fn unlock(&self, ask: &dyn Ask) -> Result<Arc<dyn Signer>, KeyError> {
        let file = &self.file;
        let mut last = KeyError::Encrypted { file: file.clone() };
        for attempt in 0..PASSPHRASES {
            let Some(passphrase) = ask.secret(&Question::Passphrase { file, attempt }) else {
                break;
            };
            match keys::unlock(file, passphrase.expose().as_bytes()) {
                Ok(signer) => {
                    if let FileHolder::Locked(slot) = &self.holder {
                        *slot.lock().unwrap_or_else(PoisonError::into_inner) =
                            Some(Arc::clone(&signer));
                    }
                    return Ok(signer);
                }
                Err(error @ KeyError::WrongPassphrase { .. }) => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}

/// The certificate beside a key file, as ssh-keygen(1) names it. One that cannot be used is told and
/// left out: it was not asked for.
fn certificate_beside(file: &Path) -> Option<(PathBuf, Certificate)> {
    let mut name = file.as_os_str().to_owned();
    let plain = name.to_str().and_then(|name| name.strip_suffix(".pub"));
    if let Some(plain) = plain {
        name = plain.into();
    }
    name.push("-cert.pub");
    let file = PathBuf::from(name);
    if !file.exists() {
        return None;
    }
    match read_certificate(&file) {
        Ok(certificate) => Some((file, certificate)),
        Err(error) => {
            warn!(%error, "certificate is not offered");
            None
        }
    }
}

pub(super) fn read_certificate(file: &Path) -> Result<Certificate, CredentialError> {
    let read = || -> io::Result<String> {
        if fs::metadata(file)?.len() > CERTIFICATE_FILE {
            return Err(io::Error::other("it is larger than any certificate"));
        }
        fs::read_to_string(file)
    };
    let text = read().map_err(|source| {
        let file = file.to_owned();
        CredentialError::ReadCertificate { file, source }
    })?;
    let mut words = text.split_ascii_whitespace();
    let line = match (words.next(), words.next()) {
        (Some(name), Some(base64)) => format!("{name} {base64}"),
        (_, _) => String::new(),
    };
    Certificate::from_openssh_text(&line).map_err(|source| {
        let file = file.to_owned();
        CredentialError::Certificate { file, source }
    })
}
