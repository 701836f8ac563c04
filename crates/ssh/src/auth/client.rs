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
use crate::printable::Printable;
use crate::secret::Secret;
use crate::wire::{Reader, Write};

use super::{AnswerError, Outbox, QuestionId, QuestionIds, is_signature_of, signed_data};
use rx::{ClientRx, InfoRequest, MethodList};

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

    /// Answers [`ClientEvent::Sign`] with a signature blob, or with `None` if there is none to be
    /// had (no passphrase, ssh-agent gone, nobody touched the key); then the next credential is
    /// tried. A signature whose own name is not the algorithm asked for is not sent.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`].
    pub fn answer_signature(
        &mut self,
        id: QuestionId,
        signature: Option<&[u8]>,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let Some(Question::Signature {
            credential,
            algorithm,
            request,
        }) = self.open_question(id)
        else {
            return Err(AnswerError::NotOpen);
        };
        let (credential, algorithm, mut request) =
            (*credential, *algorithm, std::mem::take(request));
        match signature {
            Some(blob)
                if blob.len() <= limits::KEY_BLOB
                    && is_signature_of(algorithm.signature(), blob) =>
            {
                request.put_string(blob);
                self.send(request, out);
                self.state = State::Outstanding(Request::Signed { credential });
            }
            Some(_) => {
                self.settle(credential, Outcome::WrongSignature);
                self.try_next(out);
            }
            None => {
                self.settle(credential, Outcome::NotGiven);
                self.try_next(out);
            }
        }
        Ok(())
    }

    /// Answers [`ClientEvent::Password`]; with `None` the next credential is tried. The password
    /// is wiped before this returns; the payload that holds it is wiped when the connection drops
    /// it.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], or [`AnswerError::Limit`] over [`limits::PASSWORD`] bytes.
    pub fn answer_password(
        &mut self,
        id: QuestionId,
        password: Option<Secret<String>>,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let Some(Question::Password { credential }) = self.open_question(id) else {
            return Err(AnswerError::NotOpen);
        };
        let credential = *credential;
        let Some(password) = password else {
            self.settle(credential, Outcome::NotGiven);
            self.try_next(out);
            return Ok(());
        };
        if password.expose().len() > limits::PASSWORD {
            return Err(AnswerError::Limit);
        }
        self.send(tx::password(&self.user, &password), out);
        self.state = State::Outstanding(Request::Password { credential });
        Ok(())
    }

    /// Answers [`ClientEvent::Prompts`], one answer each in order; with `None` the dialog is left
    /// and the next credential is tried. The answers are wiped like a password.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], [`AnswerError::Count`], or [`AnswerError::Limit`] over
    /// [`limits::KBDINT_TEXT`] bytes in one answer.
    pub fn answer_prompts(
        &mut self,
        id: QuestionId,
        answers: Option<Vec<Secret<String>>>,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let Some(Question::Prompts {
            credential,
            rounds,
            prompts,
        }) = self.open_question(id)
        else {
            return Err(AnswerError::NotOpen);
        };
        let (credential, rounds, wanted) = (*credential, *rounds, *prompts);
        let Some(answers) = answers else {
            self.settle(credential, Outcome::NotGiven);
            self.try_next(out);
            return Ok(());
        };
        if answers.len() != wanted {
            return Err(AnswerError::Count { wanted });
        }
        if answers
            .iter()
            .any(|answer| answer.expose().len() > limits::KBDINT_TEXT)
        {
            return Err(AnswerError::Limit);
        }
        self.respond(credential, rounds, &answers, out);
        Ok(())
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

    /// Tries the first credential that was not tried and whose method the server names.
    fn try_next(&mut self, out: &mut Outbox) {
        let mut is_cut_short = false;
        for index in 0..self.credentials.len() {
            if self.outcomes.get(index) != Some(&Outcome::NotTried) {
                continue;
            }
            let Some(credential) = self.credentials.get(index) else {
                continue;
            };
            if !self.methods.contains(credential.method()) {
                continue;
            }
            if self.requests >= limits::AUTH_REQUESTS {
                is_cut_short = true;
                break;
            }
            match credential {
                Credential::Key(key) => {
                    let accepted = self.server.signature_algorithms.as_deref();
                    let Some(algorithm) = key.choose(accepted) else {
                        self.settle(index, Outcome::NoCommonAlgorithm);
                        continue;
                    };
                    self.send(tx::query(&self.user, algorithm, key.blob()), out);
                    self.state = State::Outstanding(Request::Query {
                        credential: index,
                        algorithm,
                    });
                }
                Credential::Password => {
                    let id = self.ask(Question::Password { credential: index });
                    self.events.push_back(ClientEvent::Password {
                        id,
                        credential: index,
                    });
                }
                Credential::KeyboardInteractive => {
                    self.send(tx::keyboard(&self.user), out);
                    self.state = State::Outstanding(Request::Keyboard {
                        credential: index,
                        rounds: 0,
                    });
                }
            }
            return;
        }
        self.state = State::Failed;
        self.events.push_back(ClientEvent::Failed(LoginFailure {
            outcomes: self.outcomes.clone(),
            methods: self.methods.printable(),
            signature_algorithms: self.server.signature_algorithms.clone(),
            is_cut_short,
        }));
    }

    /// The server would take the key that was queried: its holder is asked to sign.
    fn key_accepted(&mut self, reader: Reader<'_>) -> Result<(), Violation> {
        let (named, blob) = rx::decode_pk_ok(reader)?;
        let State::Outstanding(Request::Query {
            credential,
            algorithm,
        }) = self.state
        else {
            return Err(Violation::protocol(
                "server takes a key that was not offered",
            ));
        };
        let Some(Credential::Key(key)) = self.credentials.get(credential) else {
            return Err(Violation::protocol(
                "server takes a key that was not offered",
            ));
        };
        // Some servers name the type of an RSA key here and not the algorithm.
        let is_named =
            named == algorithm.name().as_bytes() || named == algorithm.blob_type().as_bytes();
        if blob != key.blob() || !is_named {
            return Err(Violation::protocol(
                "server takes a key that was not offered",
            ));
        }
        let host_key = self.server.hostbound.then_some(self.host_key.as_slice());
        let request = tx::unsigned(&self.user, algorithm, key.blob(), host_key);
        let data = signed_data(&self.session_id, &request);
        let id = self.ask(Question::Signature {
            credential,
            algorithm,
            request,
        });
        self.events.push_back(ClientEvent::Sign(SignQuestion {
            id,
            credential,
            algorithm,
            data,
        }));
        Ok(())
    }

    /// The server asks questions. One without prompts is answered at once, as RFC 4256 section 3.4
    /// wants it, and what it says is passed on like a banner.
    fn prompts(&mut self, reader: Reader<'_>, out: &mut Outbox) -> Result<(), Violation> {
        let request = InfoRequest::decode(reader)?;
        let State::Outstanding(Request::Keyboard { credential, rounds }) = self.state else {
            return Err(Violation::protocol("server asks questions unasked"));
        };
        let rounds = rounds.saturating_add(1);
        if rounds > limits::KBDINT_ROUNDS {
            return Err(Violation::protocol("server asks questions without end"));
        }
        if request.prompts.is_empty() {
            let said: Vec<_> = lines(request.name)
                .into_iter()
                .chain(lines(request.instruction))
                .collect();
            if !said.is_empty() {
                self.events.push_back(ClientEvent::Banner(said));
            }
            self.respond(credential, rounds, &[], out);
            return Ok(());
        }
        let id = self.ask(Question::Prompts {
            credential,
            rounds,
            prompts: request.prompts.len(),
        });
        self.events.push_back(ClientEvent::Prompts(PromptQuestion {
            id,
            credential,
            name: Printable::new(request.name),
            instruction: lines(request.instruction),
            prompts: request
                .prompts
                .iter()
                .map(|(text, echo)| Prompt {
                    text: Printable::new(text),
                    echo: *echo,
                })
                .collect(),
        }));
        Ok(())
    }

    /// Sends the answers to the server's questions.
    fn respond(
        &mut self,
        credential: usize,
        rounds: u32,
        answers: &[Secret<String>],
        out: &mut Outbox,
    ) {
        out.push(tx::answers(answers));
        self.state = State::Outstanding(Request::Keyboard { credential, rounds });
    }

    fn banner(&mut self, text: &[u8]) -> Result<(), Violation> {
        self.banners = self.banners.saturating_add(1);
        self.banner_bytes = self.banner_bytes.saturating_add(text.len());
        if self.banners > limits::BANNERS || self.banner_bytes > limits::BANNER_BYTES {
            return Err(Violation::protocol("server sends banners without end"));
        }
        self.events.push_back(ClientEvent::Banner(lines(text)));
        Ok(())
    }

    /// Sends a USERAUTH_REQUEST and counts it.
    fn send(&mut self, request: Vec<u8>, out: &mut Outbox) {
        self.requests = self.requests.saturating_add(1);
        out.push(request);
    }

    fn ask(&mut self, question: Question) -> QuestionId {
        let id = self.question_ids.next();
        self.state = State::Asking(id, question);
        id
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

    fn open_question(&mut self, id: QuestionId) -> Option<&mut Question> {
        if let State::Asking(open, question) = &mut self.state
            && *open == id
        {
            return Some(question);
        }
        None
    }

    fn settle(&mut self, credential: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(credential) {
            *slot = outcome;
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

/// A server's text by lines, without the empty ones at its end.
fn lines(text: &[u8]) -> Vec<Printable> {
    let text = text.trim_ascii_end();
    if text.is_empty() {
        return Vec::new();
    }
    text.split(|byte| *byte == b'\n')
        .take(LINES)
        .map(|line| Printable::new(line.strip_suffix(b"\r").unwrap_or(line)))
        .collect()
}

/// The most lines of a text that are kept; a banner has room for more than a person will read.
const LINES: usize = 256;
