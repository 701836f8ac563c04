//! The client's half of a login.
//!
//! [`ClientAuth`] asks with `none` which methods there are, as OpenSSH does, and then goes through
//! its credentials in order. A key is first queried, so that its holder (a file with a passphrase, a
//! hardware key) is bothered only for a key that the server would take, and then asked to sign. At
//! any time at most one request is with the server, and a success is believed only then
//! (CVE-2023-46446). After a partial success the list of credentials is gone through again from its
//! start for what has not been tried.
//!
//! Every loop that a server could drive is counted: banners, rounds of questions, requests.

use std::collections::VecDeque;
use std::fmt;

use crate::algorithm::KeyAlgorithm;
use crate::error::Violation;
use crate::limits;

use super::{Outbox, QuestionId, QuestionIds};
use rx::{ClientRx, MethodList};

mod answer;
mod attempt;
mod credential;
mod event;
mod rx;
mod tx;

#[cfg(test)]
mod tests;

pub use credential::{ClientLogin, Credential, LoginFailure, OfferedKey, Outcome};
pub use event::{ClientEvent, Progress, Prompt, PromptQuestion, ServerExtensions, SignQuestion};

/// The client's half of a login. Made after the first key exchange; the host key must have been
/// accepted by then, since the user name leaves with [`start`](Self::start).
pub struct ClientAuth {
    user: String,
    credentials: Vec<Credential>,
    outcomes: Vec<Outcome>,
    session_id: Vec<u8>,
    host_key: Vec<u8>,
    server: ServerExtensions,
    methods: MethodList,
    state: State,
    question_ids: QuestionIds,
    events: VecDeque<ClientEvent>,
    requests: u32,
    banners: u32,
    banner_bytes: usize,
}

/// What is going on.
enum State {
    /// Nothing yet.
    Idle,
    /// The service and `none` were asked for; neither is answered.
    Opening,
    /// The server has exactly one request of ours.
    Outstanding(Request),
    /// The owner has a question of ours, the server has nothing.
    Asking(QuestionId, Question),
    /// It is over, well.
    Succeeded,
    /// It is over.
    Failed,
}

/// A request that the server has.
enum Request {
    None,
    Query {
        credential: usize,
        algorithm: KeyAlgorithm,
    },
    Signed {
        credential: usize,
    },
    Password {
        credential: usize,
    },
    Keyboard {
        credential: usize,
        /// How often the server has asked so far.
        rounds: u32,
    },
}

/// A question that the owner has.
enum Question {
    Signature {
        credential: usize,
        algorithm: KeyAlgorithm,
        /// The request up to the signature.
        request: Vec<u8>,
    },
    Password {
        credential: usize,
    },
    Prompts {
        credential: usize,
        rounds: u32,
        /// How many answers are wanted.
        prompts: usize,
    },
}

impl ClientAuth {
    /// A login over the connection with that session id, whose server showed `host_key` (the blob)
    /// in the first key exchange.
    pub fn new(login: ClientLogin, session_id: &[u8], host_key: &[u8]) -> Self {
        Self {
            outcomes: vec![Outcome::NotTried; login.credentials.len()],
            user: login.user,
            credentials: login.credentials,
            session_id: session_id.to_vec(),
            host_key: host_key.to_vec(),
            server: ServerExtensions::default(),
            methods: MethodList::default(),
            state: State::Idle,
            question_ids: QuestionIds::default(),
            events: VecDeque::new(),
            requests: 0,
            banners: 0,
            banner_bytes: 0,
        }
    }

    /// Begins: asks for the service and, without waiting, for the methods. Both are answered in
    /// order, so this saves a round trip. Later calls do nothing.
    pub fn start(&mut self, out: &mut Outbox) {
        if !matches!(self.state, State::Idle) {
            return;
        }
        out.push(tx::service_request());
        self.send(tx::none(&self.user), out);
        self.state = State::Opening;
    }

    /// Takes what an EXT_INFO said. It holds for requests made from now on; it cannot bring back
    /// what this engine does not do, such as signatures with SHA-1.
    pub fn ext_info(&mut self, server: ServerExtensions) {
        if server.signature_algorithms.is_some() {
            self.server.signature_algorithms = server.signature_algorithms;
        }
        self.server.hostbound |= server.hostbound;
    }

    /// Takes a message of number 6 or 50 to 79, number first.
    ///
    /// # Errors
    /// The server broke the protocol; the login, and the connection with it, is over.
    pub fn receive(&mut self, payload: &[u8], out: &mut Outbox) -> Result<(), Violation> {
        self.process(payload, out)
            .inspect_err(|_| self.state = State::Failed)?;
        self.check();
        Ok(())
    }

    fn process(&mut self, payload: &[u8], out: &mut Outbox) -> Result<(), Violation> {
        match (ClientRx::decode(payload)?, &mut self.state) {
            (ClientRx::ServiceAccept, State::Opening) => {
                self.state = State::Outstanding(Request::None);
                Ok(())
            }
            (ClientRx::ServiceAccept, _) => {
                Err(Violation::protocol("service was accepted unasked"))
            }
            (
                ClientRx::Banner(text),
                State::Opening | State::Outstanding(_) | State::Asking(..),
            ) => self.banner(text),
            (ClientRx::Banner(_), _) => Err(Violation::protocol("banner outside a login")),
            (ClientRx::Success, State::Outstanding(_)) => {
                self.state = State::Succeeded;
                self.events.push_back(ClientEvent::Succeeded);
                Ok(())
            }
            (ClientRx::Success, _) => Err(Violation::protocol(
                "server reports a login that was not asked for",
            )),
            (
                ClientRx::Failure {
                    methods,
                    is_partial,
                },
                State::Outstanding(request),
            ) => {
                if let Some((credential, refused)) = request.refusal() {
                    // A query proves nothing, so nothing of it can be accepted.
                    let is_proof = !matches!(request, Request::Query { .. });
                    let outcome = if is_partial && is_proof {
                        Outcome::Accepted
                    } else {
                        refused
                    };
                    self.settle(credential, outcome);
                }
                self.methods = methods;
                self.try_next(out);
                Ok(())
            }
            (ClientRx::Failure { .. }, _) => {
                Err(Violation::protocol("server refuses what was not asked for"))
            }
            (ClientRx::MethodSpecific(reader), State::Outstanding(Request::Query { .. })) => {
                self.key_accepted(reader)
            }
            (
                ClientRx::MethodSpecific(reader),
                State::Outstanding(Request::Password { credential }),
            ) => {
                let credential = *credential;
                rx::decode_change_request(reader)?;
                self.settle(credential, Outcome::ChangeWanted);
                self.try_next(out);
                Ok(())
            }
            (ClientRx::MethodSpecific(reader), State::Outstanding(Request::Keyboard { .. })) => {
                self.prompts(reader, out)
            }
            (ClientRx::MethodSpecific(_), _) => {
                Err(Violation::protocol("server answers what was not asked for"))
            }
        }
    }

    /// The next event, oldest first. Each leaves once.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Where the login stands.
    pub const fn progress(&self) -> Progress {
        match self.state {
            State::Idle => Progress::Idle,
            State::Opening | State::Outstanding(_) => Progress::WaitingForServer,
            State::Asking(..) => Progress::WaitingForOwner,
            State::Succeeded => Progress::Succeeded,
            State::Failed => Progress::Failed,
        }
    }

    /// What holds after every step.
    fn check(&self) {
        debug_assert!(self.requests <= limits::AUTH_REQUESTS);
        debug_assert!(self.banners <= limits::BANNERS);
        debug_assert_eq!(self.outcomes.len(), self.credentials.len());
        if let State::Asking(
            _,
            Question::Password { credential }
            | Question::Signature { credential, .. }
            | Question::Prompts { credential, .. },
        ) = &self.state
        {
            debug_assert_eq!(self.outcomes.get(*credential), Some(&Outcome::NotTried));
        }
    }
}

impl Request {
    /// The credential it was made with, and what a refusal means for it; nothing for `none`.
    const fn refusal(&self) -> Option<(usize, Outcome)> {
        match self {
            Self::None => None,
            Self::Query { credential, .. } => Some((*credential, Outcome::KeyRefused)),
            Self::Signed { credential } => Some((*credential, Outcome::SignatureRefused)),
            Self::Password { credential } | Self::Keyboard { credential, .. } => {
                Some((*credential, Outcome::Refused))
            }
        }
    }
}

impl fmt::Debug for ClientAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientAuth")
            .field("progress", &self.progress())
            .field("outcomes", &self.outcomes)
            .field("requests", &self.requests)
            .finish_non_exhaustive()
    }
}
