//! One attempt after the other: which credential is next, and what the server says to it.

use super::rx::{self, InfoRequest};
use super::{
    ClientAuth, ClientEvent, Credential, LoginFailure, Outcome, Prompt, PromptQuestion, Question,
    Request, SignQuestion, State, tx,
};
use crate::auth::{Outbox, QuestionId, signed_data};
use crate::error::Violation;
use crate::limits;
use crate::printable::Printable;
use crate::secret::Secret;
use crate::wire::Reader;

impl ClientAuth {
    /// Tries the first credential that was not tried and whose method the server names.
    pub(super) fn try_next(&mut self, out: &mut Outbox) {
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
    pub(super) fn key_accepted(&mut self, reader: Reader<'_>) -> Result<(), Violation> {
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
    pub(super) fn prompts(
        &mut self,
        reader: Reader<'_>,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
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
    pub(super) fn respond(
        &mut self,
        credential: usize,
        rounds: u32,
        answers: &[Secret<String>],
        out: &mut Outbox,
    ) {
        out.push(tx::answers(answers));
        self.state = State::Outstanding(Request::Keyboard { credential, rounds });
    }

    pub(super) fn banner(&mut self, text: &[u8]) -> Result<(), Violation> {
        self.banners = self.banners.saturating_add(1);
        self.banner_bytes = self.banner_bytes.saturating_add(text.len());
        if self.banners > limits::BANNERS || self.banner_bytes > limits::BANNER_BYTES {
            return Err(Violation::protocol("server sends banners without end"));
        }
        self.events.push_back(ClientEvent::Banner(lines(text)));
        Ok(())
    }

    /// Sends a USERAUTH_REQUEST and counts it.
    pub(super) fn send(&mut self, request: Vec<u8>, out: &mut Outbox) {
        self.requests = self.requests.saturating_add(1);
        out.push(request);
    }

    fn ask(&mut self, question: Question) -> QuestionId {
        let id = self.question_ids.next();
        self.state = State::Asking(id, question);
        id
    }

    pub(super) fn settle(&mut self, credential: usize, outcome: Outcome) {
        if let Some(slot) = self.outcomes.get_mut(credential) {
            *slot = outcome;
        }
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
