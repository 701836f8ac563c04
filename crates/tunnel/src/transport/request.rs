//! What the peer of a connection asks, and how it is answered.
//!
//! An answer is a note in the task's mailbox, so that giving one never waits. There is exactly one
//! to each question: a handle that is dropped refuses.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::mailbox::Mailbox;
use super::session::SessionAnswer;
use super::{Bind, ByteStream, RefusalCode, StreamHead};

/// A question of the peer.
#[derive(Debug)]
#[non_exhaustive]
pub enum PeerRequest {
    /// It wants a byte stream.
    Open(OpenRequest),
    /// It wants the visitors of an address.
    Forward(ForwardRequest),
    /// It wants them no more.
    Cancel(CancelRequest),
    /// It wants a session.
    Session(SessionRequest),
}

/// The questions of one connection's peer, in order.
///
/// They are in boxes on their way: a channel keeps room for 32 at once, also while none is there.
#[derive(Debug)]
pub struct Requests(mpsc::Receiver<Box<PeerRequest>>);

impl Requests {
    pub(super) const fn new(receiver: mpsc::Receiver<Box<PeerRequest>>) -> Self {
        Self(receiver)
    }

    /// The next question; `None` once the connection has ended.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub async fn recv(&mut self) -> Option<PeerRequest> {
        Some(*self.0.recv().await?)
    }

    /// The next question, if it is there.
    ///
    /// # Errors
    /// There is none, or the connection has ended.
    pub fn try_recv(&mut self) -> Result<PeerRequest, mpsc::error::TryRecvError> {
        Ok(*self.0.try_recv()?)
    }

    /// As [`recv`](Self::recv), for one who polls.
    pub fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<PeerRequest>> {
        self.0.poll_recv(cx).map(|request| request.map(|it| *it))
    }
}

/// The peer wants a byte stream.
#[derive(Debug)]
pub struct OpenRequest {
    /// Where it is to lead. The peer's word, checked for its form alone.
    pub head: StreamHead,
    /// How to answer.
    pub answer: OpenAnswer,
}

/// The peer wants the visitors of an address.
#[derive(Debug)]
pub struct ForwardRequest {
    /// The address.
    pub bind: Bind,
    /// How to answer.
    pub answer: ForwardAnswer,
}

/// The peer wants the visitors of an address no more.
#[derive(Debug)]
pub struct CancelRequest {
    /// The address, with the port that was granted.
    pub bind: Bind,
    /// How to answer.
    pub answer: CancelAnswer,
}

/// Answers an [`OpenRequest`]. Dropped, it refuses as a failed connect.
pub struct OpenAnswer {
    slip: Slip,
    stream: ByteStream,
}

/// Answers a [`ForwardRequest`]. Dropped, it refuses.
#[derive(Debug)]
pub struct ForwardAnswer(Slip);

/// Answers a [`CancelRequest`]. Dropped, it says that there was no such forward.
#[derive(Debug)]
pub struct CancelAnswer(Slip);

/// The peer wants a session: a channel in which it will say what it wants
/// ([`SessionAsk`](super::SessionAsk)). Only a server is asked.
#[derive(Debug)]
pub struct SessionRequest {
    /// How to answer.
    pub answer: SessionAnswer,
}

/// Answers of one connection's applications, on their way to its task: number of the question and
/// what to say.
pub(crate) type Answers = Mailbox<(u64, Verdict)>;

/// What to say to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The stream is accepted, the forward taken back, or what was asked in a session is done.
    Yes,
    /// The forward is granted at that port.
    Port(u16),
    /// No; code and text are for streams alone.
    No {
        /// The reason by its number.
        code: RefusalCode,
        /// The reason in words.
        reason: String,
    },
    /// A session says something besides its output. The question is left open.
    Complaint(String),
}

/// The right to answer one question, once.
pub(super) struct Slip {
    number: u64,
    answers: Option<Arc<Answers>>,
    /// What dropping it says.
    refusal: Option<(RefusalCode, &'static str)>,
}

impl OpenAnswer {
    /// For question `number`: `stream` is the application's once it accepts.
    pub(crate) fn new(number: u64, answers: Arc<Answers>, stream: ByteStream) -> Self {
        Self {
            slip: Slip::new(number, answers),
            stream,
        }
    }

    /// Accepts. What is written to the stream follows the confirmation.
    pub fn accept(self) -> ByteStream {
        let Self { mut slip, stream } = self;
        slip.say(Verdict::Yes);
        stream
    }

    /// Refuses, with words for the peer's person.
    pub fn refuse(mut self, code: RefusalCode, reason: impl Into<String>) {
        self.slip.say(Verdict::No {
            code,
            reason: reason.into(),
        });
    }
}

impl fmt::Debug for OpenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OpenAnswer").field(&self.slip).finish()
    }
}

impl ForwardAnswer {
    /// For question `number`.
    pub(crate) fn new(number: u64, answers: Arc<Answers>) -> Self {
        Self(Slip::new(number, answers))
    }

    /// Grants the forward at `port`: the one asked for, or any if 0 was. A Unix socket has 0.
    pub fn grant(mut self, port: u16) {
        self.0.say(Verdict::Port(port));
    }

    /// Refuses.
    pub fn refuse(self) {}
}

impl CancelAnswer {
    /// For question `number`.
    pub(crate) fn new(number: u64, answers: Arc<Answers>) -> Self {
        Self(Slip::new(number, answers))
    }

    /// The forward was taken back.
    pub fn done(mut self) {
        self.0.say(Verdict::Yes);
    }
}

impl Slip {
    pub(super) fn new(number: u64, answers: Arc<Answers>) -> Self {
        Self::refusing(
            number,
            answers,
            RefusalCode::ConnectFailed,
            "connect failed",
        )
    }

    /// One that says that when it is dropped.
    pub(super) fn refusing(
        number: u64,
        answers: Arc<Answers>,
        code: RefusalCode,
        reason: &'static str,
    ) -> Self {
        Self {
            number,
            answers: Some(answers),
            refusal: Some((code, reason)),
        }
    }

    /// One that says nothing when it is dropped.
    pub(super) fn without_refusal(mut self) -> Self {
        self.refusal = None;
        self
    }

    /// Says something and keeps the right to answer.
    pub(super) fn add(&self, verdict: Verdict) {
        if let Some(answers) = &self.answers {
            answers.post((self.number, verdict));
        }
    }

    pub(super) fn say(&mut self, verdict: Verdict) {
        if let Some(answers) = self.answers.take() {
            answers.post((self.number, verdict));
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if let Some((code, reason)) = self.refusal {
            self.say(Verdict::No {
                code,
                reason: String::from(reason),
            });
        }
    }
}

impl fmt::Debug for Slip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.number)
    }
}
