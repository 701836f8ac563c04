//! The server's half of a login.
//!
//! [`ServerAuth`] takes one request at a time. What it cannot decide itself it asks its owner, and
//! requests that come meanwhile wait in a short queue. A signature is checked only when the owner
//! has said that its key may log in, so that strangers cannot make the server compute
//! (CVE-2026-39829), and only the key of a signature that was good in this very request is put
//! before the owner for the final word (CVE-2024-45337).
//!
//! What the client learns from a refusal is the same for every user: the bytes are
//! USERAUTH_FAILURE with the list of methods, which does not depend on the user, and they leave on
//! a timer, which does not depend on what was decided. See `delay`.

use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use zeroize::Zeroizing;

use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use crate::certificate::Restrictions;
use crate::error::{DisconnectCode, Violation};
use crate::limits;
use crate::message;
use crate::provider::Verifier;

use super::{AnswerError, Method, Outbox, QuestionId, QuestionIds, is_signature_of, signed_data};
use rx::{Asked, PublicKeyFields, Request, ServerRx};

mod delay;
mod question;
mod rx;
mod tx;

#[cfg(test)]
mod tests;

pub use delay::DelaySecret;
pub use question::{
    Claim, Factor, KeyVerdict, LoginVerdict, PresentedKey, SecurityKeyRules, ServerPrompt,
    ServerPrompts, ServerQuestion,
};

/// How a server lets people log in. The same for every user.
#[derive(Debug, Clone)]
pub struct ServerLogin {
    /// The methods that a login can begin with, in the order in which clients are told. Others may
    /// come into play after a partial success.
    pub methods: Vec<Method>,
    /// Text for whoever tries to log in, sent before the first answer; lines end with CR LF. At
    /// most [`limits::BANNER_BYTES`] bytes, or it is not sent.
    pub banner: Option<String>,
    /// What users may sign with; also what `server-sig-algs` should say.
    pub signature_algorithms: Vec<SignatureAlgorithm>,
    /// Whether the owner is asked about logins that claim nothing. Otherwise they are refused.
    pub anonymous: bool,
}

/// The server's half of a login. Made after the first key exchange.
pub struct ServerAuth {
    login: ServerLogin,
    session_id: Vec<u8>,
    host_key: Vec<u8>,
    delay_secret: DelaySecret,
    verifier: Arc<dyn Verifier>,
    /// The methods that can go on now: those offered at first or, after a partial success, those
    /// that the owner named.
    methods: Vec<Method>,
    /// Where the client comes from, if that is an IP address.
    source: Option<IpAddr>,
    /// Whether something was found good already, and more is wanted.
    is_partial: bool,
    /// What was proved so far.
    proved: Arc<[Factor]>,
    /// What that holds the login to.
    restrictions: Restrictions,
    /// Who logs in; set by the first request and never changed.
    user: Option<String>,
    state: State,
    /// What came while something was being decided or delayed.
    queue: VecDeque<Zeroizing<Vec<u8>>>,
    question: Option<ServerQuestion>,
    question_ids: QuestionIds,
    counts: Counts,
}

/// What a client has used up.
#[derive(Debug, Default)]
struct Counts {
    services: u32,
    requests: u32,
    queries: u32,
    failures: u32,
    ignored: u64,
}

/// What is going on.
enum State {
    /// The client has not asked for the service.
    Opening,
    /// A request may come.
    Ready,
    /// The owner has a question.
    Asking(Asking),
    /// The client has questions of a dialog.
    Prompted { prompts: usize, rounds: u32 },
    /// A refusal waits for its time.
    Delaying { due: Instant, ends: bool },
    /// Somebody is logged in.
    Succeeded,
    /// The client broke a rule or used up its attempts.
    Ended,
}

/// A question that the owner has.
struct Asking {
    id: QuestionId,
    /// When the request or the answers came.
    since: Instant,
    about: About,
}

enum About {
    /// Whether a key that was only shown may log in; what PK_OK would say.
    Query {
        algorithm: KeyAlgorithm,
        blob: Vec<u8>,
    },
    /// Whether a key may log in that has signed; the signature is not checked yet.
    Signed {
        key: PresentedKey,
        data: Vec<u8>,
        signature: Vec<u8>,
    },
    /// What becomes of a login that claims nothing.
    Nothing,
    /// What becomes of the login by this.
    Login(Factor),
    /// What becomes of the login, or what is asked next.
    Dialog {
        /// How often the client was asked so far.
        rounds: u32,
    },
}

impl About {
    /// What the client has proved if the owner finds it good.
    fn into_factor(self) -> Option<Factor> {
        match self {
            Self::Login(factor) => Some(factor),
            Self::Dialog { .. } => Some(Factor::Dialog),
            Self::Query { .. } | Self::Signed { .. } | Self::Nothing => None,
        }
    }
}

impl ServerAuth {
    /// A login over the connection with that session id, in whose first key exchange this server
    /// showed `host_key` (the blob), of a client that comes from nowhere in particular: see
    /// [`coming_from`](Self::coming_from).
    pub fn new(
        login: ServerLogin,
        session_id: &[u8],
        host_key: &[u8],
        delay_secret: DelaySecret,
        verifier: Arc<dyn Verifier>,
    ) -> Self {
        Self {
            methods: login.methods.clone(),
            login,
            session_id: session_id.to_vec(),
            host_key: host_key.to_vec(),
            delay_secret,
            verifier,
            source: None,
            is_partial: false,
            proved: Arc::new([]),
            restrictions: Restrictions::NONE,
            user: None,
            state: State::Opening,
            queue: VecDeque::new(),
            question: None,
            question_ids: QuestionIds::default(),
            counts: Counts::default(),
        }
    }

    /// The client comes from that address. Without one, no certificate is good that names
    /// addresses.
    #[must_use]
    pub const fn coming_from(mut self, source: Option<IpAddr>) -> Self {
        self.source = source;
        self
    }

    /// Takes a message of number 5 or 50 to 79, number first.
    ///
    /// # Errors
    /// The client broke the protocol or has used up its attempts
    /// ([`DisconnectCode::NoMoreAuthMethods`]); the connection is over.
    pub fn receive(
        &mut self,
        now: Instant,
        payload: &[u8],
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        match self.state {
            State::Asking(_) | State::Delaying { .. } => self.enqueue(payload),
            State::Succeeded => self.ignore(payload),
            State::Opening | State::Ready | State::Prompted { .. } | State::Ended => {
                self.process(now, payload, out)
            }
        }
        .inspect_err(|_| self.end())?;
        self.drain(now, out)
    }

    /// The open question, once.
    pub const fn poll_question(&mut self) -> Option<ServerQuestion> {
        self.question.take()
    }

    /// Answers [`Claim::Key`].
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], or [`AnswerError::Peer`] if the answer was taken and what the
    /// client had sent in the meantime ends the connection.
    pub fn answer_key(
        &mut self,
        id: QuestionId,
        verdict: KeyVerdict,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let asking = self.take_question(id, |about| {
            matches!(about, About::Query { .. } | About::Signed { .. })
        })?;
        match (verdict, asking.about) {
            (KeyVerdict::Authorised(_), About::Query { algorithm, blob }) => {
                out.push(tx::pk_ok(algorithm, &blob));
            }
            (
                KeyVerdict::Authorised(rules),
                About::Signed {
                    key,
                    data,
                    signature,
                },
            ) => {
                let algorithm = key.algorithm;
                let rules = rules.and_of(key.certificate.as_deref());
                let verified =
                    self.verifier
                        .verify(&key.key, algorithm.signature(), &data, &signature);
                match verified {
                    Ok(verified) if rules.are_met(algorithm, verified) => {
                        let factor = Factor::Key {
                            key: key.clone(),
                            verified,
                        };
                        let claim = Claim::ProvedKey { key, verified };
                        self.ask(asking.since, About::Login(factor), claim);
                    }
                    _ => self.refuse(asking.since, now),
                }
            }
            (KeyVerdict::Refused, About::Query { .. }) => self.delay(asking.since, now),
            _ => self.refuse(asking.since, now),
        }
        Ok(self.drain(now, out)?)
    }

    /// Answers every [`Claim`] but [`Claim::Key`].
    ///
    /// # Errors
    /// As [`answer_key`](Self::answer_key).
    pub fn answer_login(
        &mut self,
        id: QuestionId,
        verdict: LoginVerdict,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let asking = self.take_question(id, |about| {
            matches!(
                about,
                About::Nothing | About::Login(_) | About::Dialog { .. }
            )
        })?;
        let is_nothing = matches!(asking.about, About::Nothing);
        let factor = asking.about.into_factor();
        let restrictions = factor
            .iter()
            .map(Factor::restrictions)
            .fold(self.restrictions.clone(), Restrictions::and);
        match verdict {
            LoginVerdict::Accept if restrictions.permit_source(self.source) => {
                self.restrictions = restrictions;
                out.push(tx::success());
                self.state = State::Succeeded;
                // What came behind the request that succeeded is ignored like what comes later.
                for payload in std::mem::take(&mut self.queue) {
                    self.ignore(&payload).inspect_err(|_| self.end())?;
                }
            }
            LoginVerdict::Partial { remaining } if !remaining.is_empty() => {
                self.methods = remaining;
                self.is_partial = true;
                self.proved = self.proved.iter().cloned().chain(factor).collect();
                self.restrictions = restrictions;
                out.push(tx::failure(&self.methods, true));
            }
            LoginVerdict::Reject if is_nothing => {
                out.push(tx::failure(&self.methods, false));
            }
            LoginVerdict::Accept | LoginVerdict::Partial { .. } | LoginVerdict::Reject => {
                self.refuse(asking.since, now);
            }
        }
        Ok(self.drain(now, out)?)
    }

    /// Answers [`Claim::Dialog`] and [`Claim::Answers`] with the next questions for the client.
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], or [`AnswerError::Limit`] over [`limits::KBDINT_PROMPTS`],
    /// [`limits::KBDINT_ROUNDS`] or [`limits::KBDINT_TEXT`]. Otherwise as
    /// [`answer_key`](Self::answer_key).
    pub fn answer_prompts(
        &mut self,
        id: QuestionId,
        prompts: &ServerPrompts,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(), AnswerError> {
        let State::Asking(Asking {
            id: open,
            about: About::Dialog { rounds },
            ..
        }) = &self.state
        else {
            return Err(AnswerError::NotOpen);
        };
        if *open != id {
            return Err(AnswerError::NotOpen);
        }
        let rounds = rounds.saturating_add(1);
        let request = tx::info_request(prompts).ok_or(AnswerError::Limit)?;
        if rounds > limits::KBDINT_ROUNDS {
            return Err(AnswerError::Limit);
        }
        out.push(request);
        self.state = State::Prompted {
            prompts: prompts.prompts.len(),
            rounds,
        };
        Ok(self.drain(now, out)?)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub const fn next_deadline(&self) -> Option<Instant> {
        if let State::Delaying { due, .. } = self.state {
            Some(due)
        } else {
            None
        }
    }

    /// Sends what was waiting for its time. Does nothing before that.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) -> Result<(), Violation> {
        let State::Delaying { due, ends } = self.state else {
            return Ok(());
        };
        if due > now {
            return Ok(());
        }
        if ends {
            self.end();
            return Err(EXHAUSTED);
        }
        out.push(tx::failure(&self.methods, false));
        self.state = State::Ready;
        self.drain(now, out)
    }

    /// Whether somebody is logged in.
    pub const fn has_succeeded(&self) -> bool {
        matches!(self.state, State::Succeeded)
    }

    /// The user name of the login, once there was a request.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// What the certificates that were shown hold the login to, so far or in the end.
    pub const fn restrictions(&self) -> &Restrictions {
        &self.restrictions
    }

    /// Requests that came after the success and were ignored.
    pub const fn ignored(&self) -> u64 {
        self.counts.ignored
    }

    /// Takes the messages that had to wait, for as long as nothing needs deciding.
    fn drain(&mut self, now: Instant, out: &mut Outbox) -> Result<(), Violation> {
        while matches!(self.state, State::Ready | State::Prompted { .. }) {
            let Some(payload) = self.queue.pop_front() else {
                break;
            };
            self.process(now, &payload, out)
                .inspect_err(|_| self.end())?;
        }
        self.check();
        Ok(())
    }

    /// Whatever comes now, nobody logs in any more.
    fn end(&mut self) {
        self.state = State::Ended;
        self.question = None;
        self.queue.clear();
    }

    /// What holds after every step.
    fn check(&self) {
        if let State::Asking(asking) = &self.state {
            debug_assert!(
                self.question
                    .as_ref()
                    .is_none_or(|open| open.id == asking.id)
            );
        } else {
            debug_assert!(self.question.is_none(), "a question nobody waits for");
        }
        debug_assert!(
            self.queue.is_empty()
                || matches!(self.state, State::Asking(_) | State::Delaying { .. }),
            "what can be taken waits"
        );
        debug_assert!(self.user.is_some() || matches!(self.state, State::Opening | State::Ready));
        debug_assert!(self.counts.requests <= limits::AUTH_REQUESTS);
        debug_assert!(self.counts.queries <= limits::AUTH_QUERIES);
        debug_assert!(
            self.counts.failures < limits::AUTH_FAILURES
                || matches!(self.state, State::Delaying { ends: true, .. })
        );
    }

    fn process(&mut self, now: Instant, payload: &[u8], out: &mut Outbox) -> Result<(), Violation> {
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

    fn ask(&mut self, since: Instant, about: About, claim: Claim) {
        let id = self.question_ids.next();
        self.question = Some(ServerQuestion {
            id,
            user: self.user.clone().unwrap_or_default(),
            claim,
            proved: Arc::clone(&self.proved),
        });
        self.state = State::Asking(Asking { id, since, about });
    }

    /// Closes the open question if it has that id and is of that kind; a request may come then.
    fn take_question(
        &mut self,
        id: QuestionId,
        is_kind: impl Fn(&About) -> bool,
    ) -> Result<Asking, AnswerError> {
        match std::mem::replace(&mut self.state, State::Ready) {
            State::Asking(asking) if asking.id == id && is_kind(&asking.about) => Ok(asking),
            other @ (State::Opening
            | State::Ready
            | State::Asking(_)
            | State::Prompted { .. }
            | State::Delaying { .. }
            | State::Succeeded
            | State::Ended) => {
                self.state = other;
                Err(AnswerError::NotOpen)
            }
        }
    }

    /// Refuses an attempt that came at `since`: counts it and lets the answer wait for its time.
    /// The last attempt is answered, at the same time, with the end of the connection.
    fn refuse(&mut self, since: Instant, now: Instant) {
        let ends = self.count_failure();
        self.delay_until(since, now, ends);
    }

    /// Refuses a key that was only shown: queries are counted apart.
    fn delay(&mut self, since: Instant, now: Instant) {
        self.delay_until(since, now, false);
    }

    fn delay_until(&mut self, since: Instant, now: Instant, ends: bool) {
        let delay = self.delay_secret.delay(self.user().unwrap_or_default());
        self.state = State::Delaying {
            due: delay::due(since, now, delay),
            ends,
        };
    }

    /// Counts a failed attempt. True if it was the last.
    const fn count_failure(&mut self) -> bool {
        self.counts.failures = self.counts.failures.saturating_add(1);
        self.counts.failures >= limits::AUTH_FAILURES
    }

    /// Keeps a message for later.
    fn enqueue(&mut self, payload: &[u8]) -> Result<(), Violation> {
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
    fn ignore(&mut self, payload: &[u8]) -> Result<(), Violation> {
        if payload.first() != Some(&message::USERAUTH_REQUEST) {
            return Err(Violation::protocol("message does not belong after a login"));
        }
        self.counts.ignored = self.counts.ignored.saturating_add(1);
        Ok(())
    }
}

impl fmt::Debug for ServerAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Opening => "opening",
            State::Ready => "ready",
            State::Asking(_) => "asking",
            State::Prompted { .. } => "prompted",
            State::Delaying { .. } => "delaying",
            State::Succeeded => "succeeded",
            State::Ended => "ended",
        };
        f.debug_struct("ServerAuth")
            .field("state", &state)
            .field("counts", &self.counts)
            .field("queued", &self.queue.len())
            .finish_non_exhaustive()
    }
}

/// How a login ends that has used up its attempts.
const EXHAUSTED: Violation = Violation {
    code: DisconnectCode::NoMoreAuthMethods,
    what: "too many attempts to log in",
};
