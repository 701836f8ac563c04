//! What a client's login wants from its owner, and what it tells.

use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use crate::printable::Printable;

use super::super::QuestionId;
#[cfg(doc)]
use super::{ClientAuth, ClientLogin};
#[cfg(doc)]
use crate::limits;

use super::LoginFailure;

/// What a server said about logins in its EXT_INFO (RFC 8308).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ServerExtensions {
    /// `server-sig-algs` without the names that this engine does not know; `None` if the server
    /// sent no such list.
    pub signature_algorithms: Option<Vec<SignatureAlgorithm>>,
    /// Whether it announced `publickey-hostbound@openssh.com`. Only the first EXT_INFO of a
    /// connection can say so; of a later one the caller passes `false`.
    pub hostbound: bool,
}

/// What a login wants or tells.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientEvent {
    /// A signature is wanted: answer with [`ClientAuth::answer_signature`].
    Sign(SignQuestion),
    /// A password is wanted: answer with [`ClientAuth::answer_password`].
    Password {
        /// Names the question.
        id: QuestionId,
        /// Which of [`ClientLogin::credentials`] it is for.
        credential: usize,
    },
    /// The server asks questions: answer with [`ClientAuth::answer_prompts`].
    Prompts(PromptQuestion),
    /// The server has something to say to the person, a line each. Not an answer to anything.
    Banner(Vec<Printable>),
    /// The login has succeeded. Nothing comes after it.
    Succeeded,
    /// Everything was tried. Nothing comes after it.
    Failed(LoginFailure),
}

/// A signature that is wanted.
#[derive(Debug, Clone)]
pub struct SignQuestion {
    /// Names the question.
    pub id: QuestionId,
    /// Which of [`ClientLogin::credentials`] is to sign.
    pub credential: usize,
    /// What to sign with.
    pub algorithm: KeyAlgorithm,
    /// What to sign, as it is: session id and request (RFC 4252 section 7).
    pub data: Vec<u8>,
}

/// Questions of a server (RFC 4256 section 3.2). There is at least one prompt.
#[derive(Debug, Clone)]
pub struct PromptQuestion {
    /// Names the question.
    pub id: QuestionId,
    /// Which of [`ClientLogin::credentials`] it is for.
    pub credential: usize,
    /// A heading; may be empty.
    pub name: Printable,
    /// Instructions, a line each; may be empty.
    pub instruction: Vec<Printable>,
    /// At most [`limits::KBDINT_PROMPTS`].
    pub prompts: Vec<Prompt>,
}

/// One prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// Its text.
    pub text: Printable,
    /// Whether what is typed may be seen.
    pub echo: bool,
}

/// Where a login stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// [`ClientAuth::start`] has not been called.
    Idle,
    /// A request is with the server.
    WaitingForServer,
    /// A question is with the owner; nothing is with the server.
    WaitingForOwner,
    /// The login has succeeded.
    Succeeded,
    /// The login has failed.
    Failed,
}
