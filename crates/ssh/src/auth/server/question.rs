//! What a server's owner is asked while somebody logs in, and what it may say.

use std::fmt;
use std::sync::Arc;

use crate::algorithm::KeyAlgorithm;
use crate::certificate::{Certificate, Restrictions};
use crate::key::PublicKey;
use crate::provider::Verified;
use crate::secret::Secret;
use crate::wire::Reader;

use super::super::{Method, QuestionId};

/// A question about a login. At most one is open at any time.
#[derive(Debug)]
pub struct ServerQuestion {
    /// Names the question.
    pub id: QuestionId,
    /// The user name as the client sent it: no NUL, at most [`crate::limits::TEXT`] bytes, and not
    /// fit for a log or a terminal without [`crate::printable::Printable`]. The same in every
    /// question of a login.
    pub user: String,
    /// What the client claims.
    pub claim: Claim,
    /// What it has proved before in this login, oldest first: what was answered with
    /// [`LoginVerdict::Partial`]. The last word is about all of this and the claim together.
    pub proved: Arc<[Factor]>,
}

/// Something that a client has proved, and that was not enough by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Factor {
    /// To have a key. It does not count a second time in the same login: another must follow.
    Key {
        /// The key.
        key: PresentedKey,
        /// What a security key reported.
        verified: Verified,
    },
    /// To know the password.
    Password,
    /// To know the answers to the questions of a dialog.
    Dialog,
}

impl Factor {
    /// What it holds the login to.
    pub(super) fn restrictions(&self) -> Restrictions {
        match self {
            Self::Key { key, .. } => key
                .certificate
                .as_deref()
                .map_or(Restrictions::NONE, Restrictions::of),
            Self::Password | Self::Dialog => Restrictions::NONE,
        }
    }

    /// Whether it is that key, alone or in a certificate.
    pub(super) fn is_key(&self, wanted: &PublicKey) -> bool {
        matches!(self, Self::Key { key, .. } if key.key == *wanted)
    }
}

/// What a client claims, and with it what is asked.
///
/// For a user that does not exist, do the same work as for one that does (look the key up, check
/// the password against a fixed hash, ask the same questions) and refuse.
#[non_exhaustive]
pub enum Claim {
    /// Nothing. Only asked where [`ServerLogin::anonymous`](super::ServerLogin::anonymous) is set.
    /// Answer with [`ServerAuth::answer_login`](super::ServerAuth::answer_login).
    Nothing,
    /// It has this key, which is not proved: may the key log in? Nothing may be remembered of the
    /// answer (CVE-2024-45337). Answer with
    /// [`ServerAuth::answer_key`](super::ServerAuth::answer_key).
    Key(PresentedKey),
    /// It has proved in this very request to have the key, which was found good a moment ago.
    /// Answer with [`ServerAuth::answer_login`](super::ServerAuth::answer_login).
    ProvedKey {
        /// The key.
        key: PresentedKey,
        /// What a security key reported.
        verified: Verified,
    },
    /// It knows the password; never empty. Answer with
    /// [`ServerAuth::answer_login`](super::ServerAuth::answer_login).
    Password(Secret<String>),
    /// It will answer questions: which? Comes again for another round of the same dialog only
    /// through [`Claim::Answers`]; when it comes anew, an earlier dialog was left. Answer with
    /// [`ServerAuth::answer_prompts`](super::ServerAuth::answer_prompts) or, to refuse,
    /// [`ServerAuth::answer_login`](super::ServerAuth::answer_login).
    Dialog,
    /// These are its answers, as many as there were prompts. Answer as [`Claim::Dialog`].
    Answers(Vec<Secret<String>>),
}

impl fmt::Debug for Claim {
    /// The kind of claim and the key, never a password or an answer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Key(key) => f.debug_tuple("Key").field(key).finish(),
            Self::ProvedKey { key, verified } => f
                .debug_struct("ProvedKey")
                .field("key", key)
                .field("verified", verified)
                .finish(),
            Self::Password(_) => f.write_str("Password"),
            Self::Dialog => f.write_str("Dialog"),
            Self::Answers(answers) => write!(f, "Answers({})", answers.len()),
        }
    }
}

/// A key that a client showed, of an algorithm that this server takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentedKey {
    /// The algorithm of the request.
    pub algorithm: KeyAlgorithm,
    /// What the client showed, as received: the key, or the certificate that it comes in.
    pub blob: Vec<u8>,
    /// The key that signs: the client's own, also where it came in a certificate.
    pub key: PublicKey,
    /// The certificate, exactly when the algorithm is one of certificates. Only its form is known
    /// to be right: whether it is good is for the owner to ask it
    /// ([`Certificate::check`](crate::certificate::Certificate::check)) before
    /// [`KeyVerdict::Authorised`].
    pub certificate: Option<Box<Certificate>>,
}

impl PresentedKey {
    /// Parses the blob of a request strictly, as the algorithm wants it.
    pub(super) fn parse(algorithm: KeyAlgorithm, blob: &[u8]) -> Option<Self> {
        // By its declared name first, so that a plain key is never read as a certificate nor the
        // other way round.
        if Reader::new(blob).string().ok()? != algorithm.blob_type().as_bytes() {
            return None;
        }
        let (key, certificate) = if algorithm.is_certificate() {
            let certificate = Certificate::from_blob(blob).ok()?;
            (certificate.key().clone(), Some(Box::new(certificate)))
        } else {
            (PublicKey::from_blob(blob).ok()?, None)
        };
        Some(Self {
            algorithm,
            blob: blob.to_vec(),
            key,
            certificate,
        })
    }
}

/// Whether a key may log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyVerdict {
    /// It may, once it has signed, under these rules if it is on a security key.
    Authorised(SecurityKeyRules),
    /// It may not.
    Refused,
}

/// What a signature by a security key must report (OpenSSH's `no-touch-required` and
/// `verify-required`). Other keys are not concerned. What a certificate asks for is asked for
/// besides, whatever stands here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityKeyRules {
    /// Somebody touched the key.
    pub touch_required: bool,
    /// Somebody proved to the key to be its owner.
    pub verify_required: bool,
}

impl SecurityKeyRules {
    /// OpenSSH's rule for a line without options: a touch, and no more.
    pub const STANDARD: Self = Self {
        touch_required: true,
        verify_required: false,
    };

    /// These, and what a certificate asks for besides.
    pub(super) fn and_of(self, certificate: Option<&Certificate>) -> Self {
        Self {
            touch_required: self.touch_required
                || certificate.is_some_and(Certificate::requires_touch),
            verify_required: self.verify_required
                || certificate.is_some_and(Certificate::requires_verification),
        }
    }

    /// Whether a good signature is good enough.
    pub(super) fn are_met(self, algorithm: KeyAlgorithm, verified: Verified) -> bool {
        let is_security_key = algorithm.name().starts_with("sk-");
        match verified.security_key {
            Some(used) => {
                is_security_key
                    && (used.user_present || !self.touch_required)
                    && (used.user_verified || !self.verify_required)
            }
            None => !is_security_key,
        }
    }
}

/// What becomes of a login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoginVerdict {
    /// It has succeeded, unless a certificate among what was proved is not good from where the
    /// client comes from: that is looked at now, whatever the last method was, and refuses.
    Accept,
    /// That was good, and one of these methods must follow. What was proved is kept and comes with
    /// the next question ([`ServerQuestion::proved`]); what its certificates hold the login to is
    /// kept, too. With no method left this is [`LoginVerdict::Reject`].
    Partial {
        /// What can go on, in the order in which the client is told.
        remaining: Vec<Method>,
    },
    /// It was not good.
    Reject,
}

/// A question for the person who logs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerPrompt {
    /// Its text, at most [`crate::limits::KBDINT_TEXT`] bytes.
    pub text: String,
    /// Whether what is typed may be seen.
    pub echo: bool,
}

/// One round of questions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ServerPrompts {
    /// A heading; may be empty; at most [`crate::limits::KBDINT_TEXT`] bytes.
    pub name: String,
    /// Instructions; may be empty; at most [`crate::limits::KBDINT_TEXT`] bytes.
    pub instruction: String,
    /// At most [`crate::limits::KBDINT_PROMPTS`].
    pub prompts: Vec<ServerPrompt>,
}
