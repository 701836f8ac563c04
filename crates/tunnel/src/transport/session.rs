//! Sessions: channels in which a client says what it wants, and a server what it thinks of it.
//!
//! A session has a byte stream, for the client's input and the server's output; what the client asks in it
//! comes apart from that, each question with a handle to answer it. What an owner says of a session goes
//! through the task's mailbox: a few notes for each question, never more.

use std::fmt;
use std::sync::Arc;

use adit_ssh::printable::Printable;
use tokio::sync::mpsc;

use super::request::{Answers, Slip, Verdict};
use super::{ByteStream, RefusalCode};

/// Answers a [`SessionRequest`](super::SessionRequest). Dropped, it refuses: nobody serves sessions here.
pub struct SessionAnswer {
    slip: Slip,
    stream: ByteStream,
    asks: mpsc::Receiver<SessionAsk>,
}

/// A session that was accepted. Dropped, it is reset.
#[derive(Debug)]
pub struct Session {
    /// The client's input and the output for it.
    pub stream: ByteStream,
    /// What the client asks. Questions that nobody takes are refused when there are too many.
    pub asks: mpsc::Receiver<SessionAsk>,
    slip: Slip,
}

/// Something that a client asks in its session. Its answers have to be given in the order of the questions.
#[derive(Debug)]
pub struct SessionAsk {
    /// What.
    pub what: SessionWish,
    /// How to answer.
    pub answer: AskAnswer,
}

/// What a client can ask for in a session (RFC 4254 section 6). Variables of its environment are ignored
/// before they come here.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionWish {
    /// A terminal of that size, in characters. It is the client's own: here it is no more than a note.
    Terminal {
        /// Columns; 0 if the client does not know.
        columns: u32,
        /// Rows; 0 if the client does not know.
        rows: u32,
    },
    /// The terminal has another size now.
    Resize {
        /// Columns.
        columns: u32,
        /// Rows.
        rows: u32,
    },
    /// Whatever there is for somebody who named no command.
    Shell,
    /// A command.
    Command {
        /// The command line, made safe to print.
        line: Printable,
    },
    /// A subsystem.
    Subsystem {
        /// Its name.
        name: Printable,
    },
    /// A signal for what runs.
    Signal {
        /// Its name without `SIG`.
        name: Printable,
    },
    /// Anything else, by its name on the wire: an ssh-agent, X11.
    Other {
        /// The name.
        name: Printable,
    },
}

/// Answers a [`SessionAsk`]. Dropped, it says no. To who wants no answer, nothing is said.
#[derive(Debug)]
pub struct AskAnswer(Option<Slip>);

/// Questions of a session that may wait for its owner: the engine's own limit for those that want an answer,
/// and as many again.
pub(crate) const ASKS: usize = 32;

impl SessionAnswer {
    /// For question `number`.
    pub(crate) fn new(
        number: u64,
        answers: Arc<Answers>,
        stream: ByteStream,
        asks: mpsc::Receiver<SessionAsk>,
    ) -> Self {
        Self {
            slip: Slip::refusing(number, answers, RefusalCode::Prohibited, "no sessions here"),
            stream,
            asks,
        }
    }

    /// Accepts.
    pub fn accept(self) -> Session {
        let Self { slip, stream, asks } = self;
        slip.add(Verdict::Yes);
        Session {
            stream,
            asks,
            slip: slip.without_refusal(),
        }
    }

    /// Refuses, with words for the peer's person.
    pub fn refuse(mut self, reason: impl Into<String>) {
        self.slip.say(Verdict::No {
            code: RefusalCode::Prohibited,
            reason: reason.into(),
        });
    }
}

impl fmt::Debug for SessionAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SessionAnswer").field(&self.slip).finish()
    }
}

impl Session {
    /// Says something on the client's standard error, ahead of output that waits.
    pub fn complain(&self, text: impl Into<String>) {
        self.slip.add(Verdict::Complaint(text.into()));
    }

    /// Ends the session after all that was written, with a status for the client to exit with.
    pub fn exit(self, status: u32) {
        self.stream.exit(status);
    }
}

impl AskAnswer {
    /// For question `number`; `None` for nobody waits for an answer.
    pub(crate) fn new(number: Option<u64>, answers: &Arc<Answers>) -> Self {
        Self(number.map(|number| Slip::new(number, Arc::clone(answers))))
    }

    /// It is done.
    pub fn grant(mut self) {
        if let Some(slip) = &mut self.0 {
            slip.say(Verdict::Yes);
        }
    }

    /// It is not.
    pub fn refuse(self) {}
}
