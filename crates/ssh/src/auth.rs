//! Login over SSH (RFC 4252, RFC 4256 and OpenSSH's extensions), as one state machine per role.
//!
//! Both machines stand above the packets: payloads of messages go in, payloads come out through an
//! [`Outbox`], and neither knows of a socket, a clock or a thread. What a person, a key holder or a
//! policy has to decide leaves as a question with a [`QuestionId`] and is answered by a method,
//! sooner or later; until then that login stands still and everything else goes on.
//!
//! [`client::ClientAuth`] and [`server::ServerAuth`] have a decoder each. The server's does not
//! know the messages that only servers send, nor the client's those of clients, so a peer that
//! plays the wrong role (CVE-2018-10933) is refused by the type of the decoder and not by a check
//! that could be forgotten.

use std::collections::VecDeque;
use std::fmt;

use zeroize::Zeroizing;

use crate::algorithm::SignatureAlgorithm;
use crate::error::Violation;
use crate::wire::{Reader, WireError};

pub mod client;
pub mod server;

#[cfg(test)]
mod tests;

/// The service that carries a login (RFC 4252 section 3).
const SERVICE_USERAUTH: &[u8] = b"ssh-userauth";
/// The service that a login opens (RFC 4254 section 3); there is no other.
const SERVICE_CONNECTION: &[u8] = b"ssh-connection";
/// The request that asks which methods there are (RFC 4252 section 5.2).
const METHOD_NONE: &str = "none";
/// `publickey` with the server's host key among the signed fields (OpenSSH's PROTOCOL, 1.8).
const METHOD_HOSTBOUND: &str = "publickey-hostbound-v00@openssh.com";

/// A way to log in that this engine speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Method {
    /// A signature by a key or by the key in a certificate (RFC 4252 section 7), with or without
    /// the host key bound in.
    PublicKey,
    /// A password (RFC 4252 section 8).
    Password,
    /// Questions and answers (RFC 4256).
    KeyboardInteractive,
}

impl Method {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::PublicKey, Self::Password, Self::KeyboardInteractive];

    /// The name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PublicKey => "publickey",
            Self::Password => "password",
            Self::KeyboardInteractive => "keyboard-interactive",
        }
    }

    /// The method of that whole name; names are compared byte by byte.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|method| method.name().as_bytes() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Names one question of one login. Numbers are not used twice within a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QuestionId(u64);

/// Hands out [`QuestionId`]s.
#[derive(Debug, Default)]
struct QuestionIds(u64);

impl QuestionIds {
    fn next(&mut self) -> QuestionId {
        self.0 = self.0.wrapping_add(1);
        QuestionId(self.0)
    }
}

/// Why an answer to a question was not taken. The question, if there is one, stays open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnswerError {
    /// No question of that id and kind is open: it was answered before, or the peer has moved on.
    #[error("question is not open")]
    NotOpen,
    /// Prompts and answers differ in number.
    #[error("question wants {wanted} answers")]
    Count {
        /// How many prompts there were.
        wanted: usize,
    },
    /// A text, the number of prompts or the number of rounds is over its limit.
    #[error("answer is over a limit")]
    Limit,
    /// The answer was taken, and what the peer had sent in the meantime broke the protocol.
    #[error("peer broke the protocol")]
    Peer(#[from] Violation),
}

/// Payloads to send, in order. They are wiped when dropped, since a password may be among them;
/// the connection drops each as soon as it is sealed.
#[derive(Default)]
pub struct Outbox {
    messages: VecDeque<Zeroizing<Vec<u8>>>,
}

impl Outbox {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the oldest payload.
    pub fn pop(&mut self) -> Option<Zeroizing<Vec<u8>>> {
        self.messages.pop_front()
    }

    /// Whether nothing is to be sent.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    fn push(&mut self, message: Vec<u8>) {
        self.messages.push_back(Zeroizing::new(message));
    }
}

impl fmt::Debug for Outbox {
    /// The number of payloads, never their bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("messages", &self.messages.len())
            .finish()
    }
}

/// Whether `blob` has the shape of a signature made with `algorithm`, and no byte more: the name
/// inside is the algorithm's own, one string of signature follows, and for a security key its flags
/// and counter. Says nothing about whether the signature is good.
pub(crate) fn is_signature_of(algorithm: SignatureAlgorithm, blob: &[u8]) -> bool {
    let parse = || -> Result<bool, WireError> {
        let mut reader = Reader::new(blob);
        let is_named = reader.string()? == algorithm.name().as_bytes();
        reader.string()?;
        if matches!(
            algorithm,
            SignatureAlgorithm::SkEd25519 | SignatureAlgorithm::SkEcdsaP256
        ) {
            reader.byte()?;
            reader.uint32()?;
        }
        reader.finish()?;
        Ok(is_named)
    };
    parse().unwrap_or(false)
}

/// What a publickey signature is made over (RFC 4252 section 7): the session id as a string, then
/// the request up to the signature, byte by byte as it is on the wire.
fn signed_data(session_id: &[u8], request: &[u8]) -> Vec<u8> {
    use crate::wire::Write;

    let mut data = Vec::with_capacity(
        session_id
            .len()
            .saturating_add(request.len())
            .saturating_add(4),
    );
    data.put_string(session_id);
    data.put_bytes(request);
    data
}
