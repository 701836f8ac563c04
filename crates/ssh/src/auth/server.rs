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
use crate::provider::Verifier;

use super::{Method, Outbox, QuestionId, QuestionIds};

mod answer;
mod delay;
mod question;
mod request;
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
