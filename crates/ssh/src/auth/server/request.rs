//! What a client asks for, message by message, and what becomes a question for the owner.

use std::time::Instant;

use zeroize::Zeroizing;

use super::rx::{self, Asked, PublicKeyFields, Request, ServerRx};
use super::{About, Claim, EXHAUSTED, Factor, PresentedKey, ServerAuth, State, tx};
use crate::algorithm::KeyAlgorithm;
use crate::auth::{Method, Outbox, is_signature_of, signed_data};
use crate::error::Violation;
use crate::limits;
use crate::message;

impl ServerAuth {
    pub(super) fn process(
        &mut self,
        now: Instant,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        match (ServerRx::decode(payload)?, &self.state) {
            (ServerRx::ServiceRequest, State::Opening | State::Ready | State::Prompted { .. }) => {
                self.service(out)
            }
            (ServerRx::Request(request), State::Ready | State::Prompted { .. }) => {
                self.request(now, request, payload, out)
            }
            (ServerRx::InfoResponse(fields), State::Prompted { prompts, rounds }) => {
                let rounds = *rounds;
                let answers = rx::decode_answers(fields, *prompts)?;
                self.ask(now, About::Dialog { rounds }, Claim::Answers(answers));
                Ok(())
            }
            (ServerRx::Request(_), State::Opening) => {
                Err(Violation::protocol("login was not asked for as a service"))
            }
            (ServerRx::InfoResponse(_), _) => {
                Err(Violation::protocol("answers came without questions"))
            }
            _ => Err(Violation::protocol("message does not belong here")),
        }
    }

    /// Accepts the service. Paramiko asks for it again before each attempt.
    fn service(&mut self, out: &mut Outbox) -> Result<(), Violation> {
        self.counts.services = self.counts.services.saturating_add(1);
        if self.counts.services > limits::AUTH_REQUESTS {
            return Err(EXHAUSTED);
        }
        out.push(tx::service_accept());
        if matches!(self.state, State::Opening) {
            self.state = State::Ready;
        }
        Ok(())
    }

    fn request(
        &mut self,
        now: Instant,
        request: Request<'_>,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        self.counts.requests = self.counts.requests.saturating_add(1);
        if self.counts.requests > limits::AUTH_REQUESTS {
            return Err(EXHAUSTED);
        }
        match &self.user {
            None => {
                self.user = Some(request.user.to_owned());
                self.greet(out);
            }
            Some(user) if user != request.user => {
                return Err(Violation::protocol("user name changed within a login"));
            }
            Some(_) => {}
        }
        if matches!(self.state, State::Prompted { .. }) {
            // The client has left a dialog (RFC 4256 section 3.1): an attempt like any other.
            self.state = State::Ready;
            if self.count_failure() {
                return Err(EXHAUSTED);
            }
        }
        let is_offered = |method| self.methods.contains(&method);
        if request.method != Asked::None && !request.method.listed().is_some_and(is_offered) {
            // Not parsed: what is not offered cannot be wrong in its fields.
            self.refuse(now, now);
            return Ok(());
        }
        match request.method {
            Asked::None => {
                request.fields.finish()?;
                if self.login.anonymous && !self.is_partial {
                    self.ask(now, About::Nothing, Claim::Nothing);
                } else {
                    out.push(tx::failure(&self.methods, false));
                }
            }
            Asked::Known(Method::PublicKey) | Asked::Hostbound => {
                return self.public_key(now, PublicKeyFields::decode(request, payload)?);
            }
            Asked::Known(Method::Password) => match rx::decode_password(request.fields)? {
                Some(password) => {
                    let about = About::Login(Factor::Password);
                    self.ask(now, about, Claim::Password(password));
                }
                None => self.refuse(now, now),
            },
            Asked::Known(Method::KeyboardInteractive) => {
                rx::decode_keyboard(request.fields)?;
                self.ask(now, About::Dialog { rounds: 0 }, Claim::Dialog);
            }
            Asked::Unknown => self.refuse(now, now),
        }
        Ok(())
    }

    fn public_key(&mut self, now: Instant, fields: PublicKeyFields<'_>) -> Result<(), Violation> {
        if fields.host_key.is_some_and(|bound| bound != self.host_key) {
            return Err(Violation::protocol("login is bound to another host key"));
        }
        if fields.signature.is_none() {
            self.counts.queries = self.counts.queries.saturating_add(1);
            if self.counts.queries > limits::AUTH_QUERIES {
                return Err(EXHAUSTED);
            }
        }
        // The name first: a key of a kind that is not allowed is not even parsed.
        let key = KeyAlgorithm::from_name(fields.algorithm)
            .filter(|algorithm| {
                self.login
                    .signature_algorithms
                    .contains(&algorithm.signature())
            })
            .filter(|_| fields.key.len() <= limits::KEY_BLOB)
            .and_then(|algorithm| PresentedKey::parse(algorithm, fields.key))
            // One key is one factor, however often and in whatever certificates it comes.
            .filter(|shown| !self.proved.iter().any(|factor| factor.is_key(&shown.key)));
        match (key, fields.signature) {
            (Some(key), None) => {
                let about = About::Query {
                    algorithm: key.algorithm,
                    blob: fields.key.to_vec(),
                };
                self.ask(now, about, Claim::Key(key));
            }
            (Some(key), Some(signature))
                if signature.blob.len() <= limits::KEY_BLOB
                    && is_signature_of(key.algorithm.signature(), signature.blob) =>
            {
                let about = About::Signed {
                    key: key.clone(),
                    data: signed_data(&self.session_id, signature.signed),
                    signature: signature.blob.to_vec(),
                };
                self.ask(now, about, Claim::Key(key));
            }
            (None, None) => self.delay(now, now),
            (_, Some(_)) => self.refuse(now, now),
        }
        Ok(())
    }

    /// Sends the banner, once and before the first answer.
    fn greet(&self, out: &mut Outbox) {
        if let Some(banner) = &self.login.banner
            && banner.len() <= limits::BANNER_BYTES
        {
            out.push(tx::banner(banner));
        }
    }

    /// Keeps a message for later.
    pub(super) fn enqueue(&mut self, payload: &[u8]) -> Result<(), Violation> {
        // Looked at now so that what has no place in a login ends it now.
        if matches!(ServerRx::decode(payload)?, ServerRx::InfoResponse(_)) {
            return Err(Violation::protocol("answers came without questions"));
        }
        if self.queue.len() >= limits::AUTH_QUEUE {
            return Err(Violation::protocol("client does not wait for answers"));
        }
        self.queue.push_back(Zeroizing::new(payload.to_vec()));
        Ok(())
    }

    /// Ignores a request that came after the success (RFC 4252 section 5.1), unread.
    pub(super) fn ignore(&mut self, payload: &[u8]) -> Result<(), Violation> {
        if payload.first() != Some(&message::USERAUTH_REQUEST) {
            return Err(Violation::protocol("message does not belong after a login"));
        }
        self.counts.ignored = self.counts.ignored.saturating_add(1);
        Ok(())
    }
}
