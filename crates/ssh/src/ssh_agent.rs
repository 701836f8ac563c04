//! The protocol of ssh-agent (RFC 9987), as much of it as a client of one needs: list, sign, and
//! OpenSSH's `session-bind@openssh.com`. There is no message here that adds a key, locks or
//! forwards, so none can be sent.
//!
//! A codec only: a request is encoded to bytes, [`Frames`] makes messages of the bytes that come
//! back, and the parser that belongs to the request reads its answer. An ssh-agent answers in the
//! order of the requests. It is not trusted: a program that owns the socket may be anyone's.

use std::fmt;

use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use crate::auth::is_signature_of;
use crate::limits;
use crate::printable::Printable;
use crate::wire::{Reader, WireError, Write};

/// SSH_AGENT_FAILURE
const FAILURE: u8 = 5;
/// SSH_AGENT_SUCCESS
const SUCCESS: u8 = 6;
/// SSH_AGENTC_REQUEST_IDENTITIES
const REQUEST_IDENTITIES: u8 = 11;
/// SSH_AGENT_IDENTITIES_ANSWER
const IDENTITIES_ANSWER: u8 = 12;
/// SSH_AGENTC_SIGN_REQUEST
const SIGN_REQUEST: u8 = 13;
/// SSH_AGENT_SIGN_RESPONSE
const SIGN_RESPONSE: u8 = 14;
/// SSH_AGENTC_EXTENSION
const EXTENSION: u8 = 27;
/// SSH_AGENT_EXTENSION_FAILURE
const EXTENSION_FAILURE: u8 = 28;
/// SSH_AGENT_RSA_SHA2_256
const FLAG_RSA_SHA2_256: u32 = 2;
/// SSH_AGENT_RSA_SHA2_512
const FLAG_RSA_SHA2_512: u32 = 4;
/// Binds the ssh-agent's connection to a session (OpenSSH's PROTOCOL.agent, section 1).
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// A request to an ssh-agent.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Request<'a> {
    /// Which keys it has. Its answer goes to [`parse_identities`].
    List,
    /// A signature. Its answer goes to [`parse_signature`].
    Sign {
        /// The key or certificate, as it was listed.
        key: &'a [u8],
        /// What to sign.
        data: &'a [u8],
        /// What to sign it with. For RSA it decides the hash.
        algorithm: KeyAlgorithm,
    },
    /// Tells it which session the signatures to come are for, so that it can hold its keys'
    /// destination constraints against it. To be sent before the first [`Request::Sign`] of a
    /// connection, over a connection to the ssh-agent that serves this session alone: OpenSSH's
    /// refuses a second. [`HostKeyOffer::session_bind`](crate::kex::HostKeyOffer::session_bind) has
    /// what it says. Its answer goes to [`parse_binding`].
    Bind(SessionBind<'a>),
}

/// The session that signatures are for. All of it comes from the first key exchange.
#[derive(Debug, Clone, Copy)]
pub struct SessionBind<'a> {
    /// The server's host key.
    pub host_key: &'a [u8],
    /// The session id, which is the first exchange hash.
    pub session_id: &'a [u8],
    /// The host key's signature over it.
    pub signature: &'a [u8],
}

impl Request<'_> {
    /// The request as it goes to the ssh-agent, length first.
    pub fn encode(&self) -> Vec<u8> {
        let mut message = Vec::new();
        match self {
            Self::List => message.put_byte(REQUEST_IDENTITIES),
            Self::Sign {
                key,
                data,
                algorithm,
            } => {
                message.put_byte(SIGN_REQUEST);
                message.put_string(key);
                message.put_string(data);
                message.put_uint32(if algorithm.signature() == SignatureAlgorithm::RsaSha512 {
                    FLAG_RSA_SHA2_512
                } else if algorithm.signature() == SignatureAlgorithm::RsaSha256 {
                    FLAG_RSA_SHA2_256
                } else {
                    0
                });
            }
            Self::Bind(session) => {
                message.put_byte(EXTENSION);
                message.put_string(SESSION_BIND);
                message.put_string(session.host_key);
                message.put_string(session.session_id);
                message.put_string(session.signature);
                message.put_boolean(false); // not for forwarding
            }
        }
        let mut frame = Vec::with_capacity(message.len().saturating_add(4));
        frame.put_string(&message);
        frame
    }
}

/// Makes messages of an ssh-agent's bytes. Holds what it was given and nothing for what a length
/// promises.
#[derive(Default)]
pub struct Frames {
    buffer: Vec<u8>,
}

impl Frames {
    /// One that has seen nothing.
    pub const fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// Takes bytes as they come.
    ///
    /// # Errors
    /// [`AgentError::Long`] once there are more than one largest message of them, which is more
    /// than an ssh-agent that answers one request at a time has to say. The connection to it must
    /// be closed.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), AgentError> {
        let length = self.buffer.len().saturating_add(bytes.len());
        if length > limits::AGENT_FRAME.saturating_add(4) {
            return Err(AgentError::Long);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// The next whole message, without its length.
    ///
    /// # Errors
    /// [`AgentError::Long`] as soon as the length says so, or [`AgentError::Malformed`] if it says
    /// zero. The connection to the ssh-agent must be closed.
    pub fn next_message(&mut self) -> Result<Option<Vec<u8>>, AgentError> {
        let mut reader = Reader::new(&self.buffer);
        let Ok(length) = reader.uint32() else {
            return Ok(None);
        };
        let length = usize::try_from(length).map_err(|_| AgentError::Long)?;
        if length > limits::AGENT_FRAME {
            return Err(AgentError::Long);
        }
        if length == 0 {
            return Err(AgentError::Malformed(WireError::Short));
        }
        let Ok(message) = reader.bytes(length) else {
            return Ok(None);
        };
        let message = message.to_vec();
        self.buffer.drain(..length.saturating_add(4));
        Ok(Some(message))
    }
}

impl fmt::Debug for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Frames")
            .field("buffered", &self.buffer.len())
            .finish()
    }
}

/// A key that an ssh-agent holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The key or certificate. Not parsed: it may be of a type that this engine does not know.
    pub blob: Vec<u8>,
    /// What its owner called it.
    pub comment: Printable,
}

/// Whether an ssh-agent took a [`SessionBind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// It did.
    Bound,
    /// It did not: most do not know the request. Keys with constraints will not sign.
    Refused,
}

/// Why an ssh-agent's answer is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentError {
    /// It said no: the key is gone, its owner did not confirm, it is locked.
    #[error("ssh-agent refused")]
    Refused,
    /// It answered something else than it was asked.
    #[error("ssh-agent gave an answer of another kind")]
    Unexpected,
    /// A message is over [`limits::AGENT_FRAME`] bytes or a key over [`limits::KEY_BLOB`].
    #[error("ssh-agent sent too much")]
    Long,
    /// It lists more than [`limits::AGENT_IDENTITIES`] keys.
    #[error("ssh-agent lists too many keys")]
    TooManyKeys,
    /// The signature is not of the algorithm that was asked for.
    #[error("ssh-agent signed with another algorithm than asked")]
    WrongSignature,
    /// A message is malformed.
    #[error("ssh-agent sent a malformed message")]
    Malformed(#[from] WireError),
}

/// Reads the answer to [`Request::List`].
pub fn parse_identities(message: &[u8]) -> Result<Vec<Identity>, AgentError> {
    let mut reader = answer(message, IDENTITIES_ANSWER)?;
    let count = reader.uint32()?;
    if count > limits::AGENT_IDENTITIES {
        return Err(AgentError::TooManyKeys);
    }
    let mut identities = Vec::new();
    for _ in 0..count {
        let blob = reader.string()?;
        if blob.len() > limits::KEY_BLOB {
            return Err(AgentError::Long);
        }
        identities.push(Identity {
            blob: blob.to_vec(),
            comment: Printable::new(reader.string()?),
        });
    }
    reader.finish()?;
    Ok(identities)
}

/// Reads the answer to a [`Request::Sign`] with `algorithm`: a signature blob whose name is the
/// one that was asked for. Whether it is good is not looked at.
pub fn parse_signature(message: &[u8], algorithm: KeyAlgorithm) -> Result<Vec<u8>, AgentError> {
    let mut reader = answer(message, SIGN_RESPONSE)?;
    let signature = reader.string()?;
    reader.finish()?;
    if signature.len() > limits::KEY_BLOB {
        return Err(AgentError::Long);
    }
    if !is_signature_of(algorithm.signature(), signature) {
        return Err(AgentError::WrongSignature);
    }
    Ok(signature.to_vec())
}

/// Reads the answer to a [`Request::Bind`].
pub fn parse_binding(message: &[u8]) -> Result<Binding, AgentError> {
    match answer(message, SUCCESS) {
        Ok(reader) => {
            reader.finish()?;
            Ok(Binding::Bound)
        }
        Err(AgentError::Refused) => Ok(Binding::Refused),
        Err(error) => Err(error),
    }
}

/// The content of an answer that must be of that type.
fn answer(message: &[u8], wanted: u8) -> Result<Reader<'_>, AgentError> {
    let mut reader = Reader::new(message);
    match reader.byte()? {
        kind if kind == wanted => Ok(reader),
        FAILURE | EXTENSION_FAILURE => {
            reader.finish()?;
            Err(AgentError::Refused)
        }
        _ => Err(AgentError::Unexpected),
    }
}

#[cfg(test)]
mod tests;
