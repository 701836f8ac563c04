//! What a client may log in with, and how each of it fared.

use std::fmt;

use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use crate::limits;
use crate::printable::Printable;
use crate::wire::Reader;

use super::super::Method;

/// Who logs in, and with what.
#[derive(Debug, Clone)]
pub struct ClientLogin {
    /// The user name on the server; at most [`limits::TEXT`] bytes, or servers refuse it.
    pub user: String,
    /// What to try, best first. Each entry is tried at most once, and only while the server names
    /// its method; a password that may be typed three times is three entries.
    pub credentials: Vec<Credential>,
}

/// One thing to log in with.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Credential {
    /// A key; its holder is asked for a signature once the server has said that it would take it.
    Key(OfferedKey),
    /// A password; asked for when its turn comes.
    Password,
    /// Answers to the server's questions; asked for when they come.
    KeyboardInteractive,
}

impl Credential {
    /// The method that carries it.
    pub const fn method(&self) -> Method {
        match self {
            Self::Key(_) => Method::PublicKey,
            Self::Password => Method::Password,
            Self::KeyboardInteractive => Method::KeyboardInteractive,
        }
    }
}

/// The public half of a key to offer, or its certificate. Where the private half is, only the owner
/// knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedKey {
    blob: Vec<u8>,
    algorithms: Vec<KeyAlgorithm>,
}

impl OfferedKey {
    /// A key by its blob. `None` if its type is not one that this engine speaks (`ssh-dss`, for
    /// example) or if it is over [`limits::KEY_BLOB`] bytes.
    pub fn new(blob: Vec<u8>) -> Option<Self> {
        if blob.len() > limits::KEY_BLOB {
            return None;
        }
        let name = Reader::new(&blob).string().ok()?;
        let algorithms: Vec<_> = KeyAlgorithm::ALL
            .iter()
            .copied()
            .filter(|algorithm| algorithm.blob_type().as_bytes() == name)
            .collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Self { blob, algorithms })
    }

    /// The blob.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// What the key can sign with, best first: two algorithms for RSA, one for every other type.
    pub fn algorithms(&self) -> &[KeyAlgorithm] {
        &self.algorithms
    }

    /// The same key, never to be offered but with these: for a holder that cannot sign otherwise, or
    /// a server that announces more than it takes. `None` if none of them is one of the key's.
    #[must_use]
    pub fn limited_to(mut self, accepted: &[SignatureAlgorithm]) -> Option<Self> {
        self.algorithms
            .retain(|algorithm| accepted.contains(&algorithm.signature()));
        (!self.algorithms.is_empty()).then_some(self)
    }

    /// The algorithm to offer the key under, given the server's `server-sig-algs` if it sent any.
    ///
    /// Only RSA has a choice. The list is not held against other types: OpenSSH 7.2 to 7.5 name
    /// nothing but RSA in it and take Ed25519 all the same. Without a list the better hash is tried
    /// (RFC 8332 section 3.3); SHA-1 never is.
    pub(super) fn choose(&self, accepted: Option<&[SignatureAlgorithm]>) -> Option<KeyAlgorithm> {
        match (self.algorithms.as_slice(), accepted) {
            ([only], _) => Some(*only),
            (several, None) => several.first().copied(),
            (several, Some(accepted)) => several
                .iter()
                .copied()
                .find(|algorithm| accepted.contains(&algorithm.signature())),
        }
    }
}

/// How one credential fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was not tried: the server never named its method, or the login ended before its turn.
    NotTried,
    /// The server takes none of the algorithms that the key can sign with.
    NoCommonAlgorithm,
    /// The server does not let this key in.
    KeyRefused,
    /// The server would have taken the key, but not the signature that came.
    SignatureRefused,
    /// The server refused the password or the answers.
    Refused,
    /// The server wants the password changed first, which is not done here.
    ChangeWanted,
    /// The owner had no signature, password or answer to give.
    NotGiven,
    /// The holder of the key gave a signature of another algorithm than it was asked for.
    WrongSignature,
    /// It was good, and the server wants something more.
    Accepted,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotTried => "not tried",
            Self::NoCommonAlgorithm => "the server takes no signature that this key can make",
            Self::KeyRefused => "the server does not let this key in",
            Self::SignatureRefused => "the server took the key but refused its signature",
            Self::Refused => "refused",
            Self::ChangeWanted => "the server wants the password changed first",
            Self::NotGiven => "nothing was given",
            Self::WrongSignature => "signed with another algorithm than asked",
            Self::Accepted => "accepted, but not enough by itself",
        })
    }
}

/// Why a login came to nothing. Everything in it is for a person to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginFailure {
    /// How each of [`ClientLogin::credentials`] fared, in the same order.
    pub outcomes: Vec<Outcome>,
    /// The server's last list of methods that can go on.
    pub methods: Vec<Printable>,
    /// The server's `server-sig-algs`, if it sent any, without the names that this engine does not
    /// know.
    pub signature_algorithms: Option<Vec<SignatureAlgorithm>>,
    /// Whether there was more to try, but [`limits::AUTH_REQUESTS`] requests had been made.
    pub is_cut_short: bool,
}

impl fmt::Display for LoginFailure {
    /// What the server says can go on. How each credential fared is for the owner to add, who
    /// knows their names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_cut_short {
            "login was given up after too many requests; server accepts "
        } else {
            "login failed; server accepts "
        })?;
        if self.methods.is_empty() {
            return f.write_str("nothing");
        }
        for (index, method) in self.methods.iter().enumerate() {
            let comma = if index > 0 { ", " } else { "" };
            write!(f, "{comma}{method}")?;
        }
        Ok(())
    }
}
