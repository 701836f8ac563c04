//! What a login offers: keys of files, with and without certificates, keys of an ssh-agent, answers
//! and passwords of a person, in that order.
//!
//! Only what was named for a host is offered there: a server that sees a key learns whose it is, and
//! counts each against its limit. An ssh-agent's other keys come in only where its owner said so.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use adit_ssh::auth::client::Credential;
use adit_ssh::certificate::{Certificate, CertificateError};
use adit_ssh::key::{Fingerprint, PublicKey};
#[cfg(doc)]
use adit_ssh::limits;
use adit_ssh::ssh_agent::Identity;
use tracing::{debug, info, warn};

use self::file::{FileHolder, FileKey, read_certificate};
use self::offer::Offers;
pub(crate) use self::offer::{Holder, Offer};
use self::tried::Name;
pub use self::tried::Nothing;
pub(crate) use self::tried::Tried;
use super::keys::KeyError;
use super::prompt::{Ask, Nobody};
use super::ssh_agent::SshAgentError;
use crate::agent::chain;

mod file;
mod offer;
mod tried;

/// What to log in with at one peer.
#[derive(Debug, Clone)]
pub struct LoginConfig {
    /// Files of private keys, offered in this order; or of their public halves, where an ssh-agent
    /// has the private ones. `FILE-cert.pub` beside one is its certificate.
    pub keys: Vec<PathBuf>,
    /// Whether somebody named them.
    pub choice: KeyChoice,
    /// More certificates, for any of the keys or one of the ssh-agent's.
    pub certificates: Vec<PathBuf>,
    /// Socket of an ssh-agent.
    pub ssh_agent: Option<PathBuf>,
    /// Which of its keys are offered.
    pub agent_keys: AgentKeys,
    /// Who knows passphrases and passwords.
    pub ask: Arc<dyn Ask>,
}

/// How the key files were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyChoice {
    /// By name: each must be there and be usable.
    Named,
    /// As the usual ones of a home folder: one that is not there, or not to be opened, is left out.
    Usual,
}

/// Which keys of an ssh-agent are offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKeys {
    /// Those that key files or certificates name (`IdentitiesOnly`).
    Named,
    /// Those first, then all others.
    All,
}

/// Why there is nothing to log in with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// A key file cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate file cannot be read.
    #[error("cannot read certificate {}", .file.display())]
    ReadCertificate {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// What is in a certificate file is none.
    #[error("cannot use certificate {}", .file.display())]
    Certificate {
        /// The file.
        file: PathBuf,
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// There is neither a key nor anybody to give a password.
    #[error("{}", .0)]
    Nothing(Nothing),
}

/// When a certificate is good, in seconds since 1970 (PROTOCOL.certkeys).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// The first second.
    pub after: u64,
    /// The first second at which it is not any more; all bits set means never.
    pub before: u64,
}

/// What a peer can be logged in to with: key files as they are when the tunnel is set up.
pub(crate) struct Credentials {
    files: Vec<FileKey>,
    certificates: Vec<(PathBuf, Certificate)>,
    choice: KeyChoice,
    agent_keys: AgentKeys,
    ask: Arc<dyn Ask>,
}

impl LoginConfig {
    /// A login with these key files and nothing else.
    pub fn with_keys(keys: Vec<PathBuf>) -> Self {
        Self {
            keys,
            choice: KeyChoice::Named,
            certificates: Vec::new(),
            ssh_agent: None,
            agent_keys: AgentKeys::Named,
            ask: Arc::new(Nobody),
        }
    }
}

impl Validity {
    /// Of that certificate.
    pub(crate) const fn of(certificate: &Certificate) -> Self {
        Self {
            after: certificate.valid_after(),
            before: certificate.valid_before(),
        }
    }
}

impl Credentials {
    /// Reads the files. Blocks on the file system; asks nobody.
    pub(crate) fn load(config: &LoginConfig) -> Result<Self, CredentialError> {
        let mut files = Vec::new();
        for file in &config.keys {
            match FileKey::load(file) {
                Ok(key) => files.push(key),
                Err(error) if config.choice == KeyChoice::Usual => {
                    warn!(%error, "key is not offered");
                }
                Err(error) => return Err(error),
            }
        }
        let mut certificates = Vec::new();
        for file in &config.certificates {
            let certificate = read_certificate(file)?;
            certificates.push((file.clone(), certificate));
        }
        let credentials = Self {
            files,
            certificates,
            choice: config.choice,
            agent_keys: config.agent_keys,
            ask: Arc::clone(&config.ask),
        };
        let has_agent = config.ssh_agent.is_some();
        let may_sign = |key: &FileKey| !matches!(key.holder, FileHolder::Elsewhere);
        let can_try =
            has_agent || credentials.ask.passwords() > 0 || credentials.files.iter().any(may_sign);
        if can_try {
            Ok(credentials)
        } else {
            Err(CredentialError::Nothing(credentials.nothing(false)))
        }
    }

    /// The certificates of files, and when they are good.
    pub(crate) fn validities(&self) -> Vec<(PathBuf, Validity)> {
        let beside = self.files.iter().filter_map(|key| key.certificate.as_ref());
        let all = beside.chain(&self.certificates);
        all.map(|(file, certificate)| (file.clone(), Validity::of(certificate)))
            .collect()
    }

    /// Nothing: for who leaves before a login.
    pub(crate) fn none() -> Self {
        Self {
            files: Vec::new(),
            certificates: Vec::new(),
            choice: KeyChoice::Named,
            agent_keys: AgentKeys::Named,
            ask: Arc::new(Nobody),
        }
    }

    /// Whether a password may be sent.
    pub(crate) fn may_send_password(&self) -> bool {
        self.ask.passwords() > 0
    }

    /// What to offer in one login, given the keys of the ssh-agent (`None` if there is none). Asks
    /// for the passphrases of keys that nobody else holds, and may block for as long as a person
    /// thinks.
    pub(crate) fn offers(&self, agent: Option<&[Identity]>) -> Result<Vec<Offer>, CredentialError> {
        let identities = agent.unwrap_or_default();
        let mut offers = Offers::default();
        for key in &self.files {
            let Some(holder) = self.holder(key, identities)? else {
                continue;
            };
            let public = match (&holder, &key.public) {
                (Holder::Signer(signer), _) => signer.public_key().clone(),
                (_, Some(public)) => public.clone(),
                (_, None) => continue,
            };
            let beside = key.certificate.iter();
            let certificates = beside.chain(&self.certificates);
            for (file, certificate) in certificates.filter(|(_, one)| *one.key() == public) {
                offers.certificate(file, certificate, holder.again());
            }
            let name = Name::Key(key.file.clone(), public.fingerprint());
            offers.key(public.blob(), name, holder);
        }
        for identity in identities {
            self.offer_identity(identity, &mut offers);
        }
        if offers.list.is_empty() && self.choice == KeyChoice::Usual {
            self.offer_locked(&mut offers)?;
        }
        let passwords = self.ask.passwords();
        for attempt in 0..passwords {
            offers.person(Credential::KeyboardInteractive, Name::Answers, attempt);
        }
        for attempt in 0..passwords {
            offers.person(Credential::Password, Name::Password, attempt);
        }
        if offers.list.is_empty() {
            return Err(CredentialError::Nothing(self.nothing(agent.is_some())));
        }
        Ok(offers.list)
    }

    /// Who signs by a key of a file. `None` if nobody does, or if the usual key would have to be
    /// unlocked for it.
    fn holder(
        &self,
        key: &FileKey,
        identities: &[Identity],
    ) -> Result<Option<Holder>, CredentialError> {
        if let FileHolder::Here(signer) = &key.holder {
            return Ok(Some(Holder::Signer(Arc::clone(signer))));
        }
        if let Some(signer) = key.unlocked() {
            return Ok(Some(Holder::Signer(signer)));
        }
        let public = key.public.as_ref().map(PublicKey::blob);
        let is_held = identities
            .iter()
            .any(|one| Some(one.blob.as_slice()) == public);
        match (&key.holder, public) {
            (_, Some(blob)) if is_held => Ok(Some(Holder::SshAgent(blob.to_vec()))),
            (FileHolder::Locked(_), _) if self.choice == KeyChoice::Named => {
                let signer = key.unlock(self.ask.as_ref())?;
                Ok(Some(Holder::Signer(signer)))
            }
            (FileHolder::Elsewhere, _) if self.choice == KeyChoice::Named => {
                let file = key.file.display();
                info!(%file, "no ssh-agent holds the private half of this key; it is not offered");
                Ok(None)
            }
            (FileHolder::Here(_) | FileHolder::Locked(_) | FileHolder::Elsewhere, _) => Ok(None),
        }
    }

    /// A key or certificate of the ssh-agent's that no file named, if those are wanted, or one that a
    /// certificate file is for.
    fn offer_identity(&self, identity: &Identity, offers: &mut Offers) {
        let holder = || Holder::SshAgent(identity.blob.clone());
        let plain = PublicKey::from_blob(&identity.blob).ok();
        if let Some(public) = &plain {
            let named = self.certificates.iter();
            for (file, certificate) in named.filter(|(_, one)| one.key() == public) {
                offers.certificate(file, certificate, holder());
            }
        }
        if self.agent_keys == AgentKeys::All {
            let fingerprint = Fingerprint::of(&identity.blob);
            let name = Name::AgentKey(identity.comment.clone(), fingerprint);
            offers.key(&identity.blob, name, holder());
        }
    }

    /// The first usual key that can be unlocked, where nothing else is left.
    fn offer_locked(&self, offers: &mut Offers) -> Result<(), CredentialError> {
        let is_locked = |key: &&FileKey| matches!(key.holder, FileHolder::Locked(_));
        for key in self.files.iter().filter(is_locked) {
            match key.unlock(self.ask.as_ref()) {
                Ok(signer) => {
                    let public = signer.public_key().clone();
                    let name = Name::Key(key.file.clone(), public.fingerprint());
                    offers.key(public.blob(), name, Holder::Signer(signer));
                    return Ok(());
                }
                // A password may do.
                Err(error) if self.may_send_password() => debug!(%error, "key is not offered"),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn nothing(&self, has_agent: bool) -> Nothing {
        Nothing {
            lacking: self.files.iter().map(|key| key.file.clone()).collect(),
            has_agent,
            is_agents: self.is_agents(),
            trouble: None,
        }
    }

    /// Whether a key of the ssh-agent is all that is wanted.
    fn is_agents(&self) -> bool {
        self.agent_keys == AgentKeys::All
            && self.choice == KeyChoice::Named
            && self.files.is_empty()
    }
}

impl CredentialError {
    /// The same, for whom the ssh-agent could not be asked.
    pub(crate) fn without_agent(mut self, why: &SshAgentError) -> Self {
        if let Self::Nothing(nothing) = &mut self {
            nothing.trouble = Some(chain(why));
        }
        self
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.iter().map(|key| &key.file).collect();
        f.debug_struct("Credentials")
            .field("files", &files)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
