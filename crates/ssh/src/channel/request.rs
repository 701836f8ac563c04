//! Requests on a channel (RFC 4254 sections 6.2 to 6.10).

use std::collections::VecDeque;

use crate::error::Violation;
use crate::limits;
use crate::message;
use crate::printable::Printable;
use crate::wire::{Reader, Write};

/// What a peer asks on a session channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ChannelRequest {
    /// A shell.
    Shell,
    /// A command.
    Exec {
        /// The command line, as sent.
        command: Vec<u8>,
    },
    /// A subsystem, `sftp` for example.
    Subsystem {
        /// Its name.
        name: String,
    },
    /// A terminal. Its modes are not looked at.
    Pty {
        /// Columns and rows.
        columns: u32,
        /// Rows.
        rows: u32,
    },
    /// The terminal's size changed.
    WindowChange {
        /// Columns.
        columns: u32,
        /// Rows.
        rows: u32,
    },
    /// A signal, by its name without `SIG`.
    Signal {
        /// The name.
        name: String,
    },
    /// The far end's process ended.
    Exit(ExitStatus),
    /// Something that is not known here, or that reaches into the far end's machine
    /// (`auth-agent-req@openssh.com`, `x11-req`). Its body is not looked at.
    Other {
        /// Its name.
        name: Printable,
    },
}

/// How a far process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// With this code.
    Code(u32),
    /// By a signal.
    Signal {
        /// Its name without `SIG`.
        name: Printable,
        /// The far end's words.
        text: Printable,
    },
}

/// A parsed CHANNEL_REQUEST.
pub(crate) struct Request {
    pub(crate) local: u32,
    pub(crate) want_reply: bool,
    /// `None`: of the environment, which is ignored.
    pub(crate) what: Option<ChannelRequest>,
    pub(crate) is_environment: bool,
}

impl Request {
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, Violation> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let local = reader.uint32()?;
        let name = reader.string_up_to(limits::NAME)?;
        let want_reply = reader.boolean()?;
        let request = match name {
            b"shell" => Some(ChannelRequest::Shell),
            b"exec" => Some(ChannelRequest::Exec {
                command: reader.string()?.to_vec(),
            }),
            b"subsystem" => Some(ChannelRequest::Subsystem {
                name: reader.text(limits::TEXT)?.to_owned(),
            }),
            b"pty-req" => {
                reader.string_up_to(limits::TEXT)?;
                let (columns, rows) = (reader.uint32()?, reader.uint32()?);
                reader.uint64()?;
                reader.string_up_to(limits::PTY_MODES)?;
                Some(ChannelRequest::Pty { columns, rows })
            }
            b"window-change" => {
                let (columns, rows) = (reader.uint32()?, reader.uint32()?);
                reader.uint64()?;
                Some(ChannelRequest::WindowChange { columns, rows })
            }
            b"signal" => Some(ChannelRequest::Signal {
                name: reader.text(limits::NAME)?.to_owned(),
            }),
            b"exit-status" => Some(ChannelRequest::Exit(ExitStatus::Code(reader.uint32()?))),
            b"exit-signal" => {
                let name = Printable::new(reader.string_up_to(limits::NAME)?);
                reader.boolean()?;
                let text = Printable::new(reader.string()?);
                reader.string()?;
                Some(ChannelRequest::Exit(ExitStatus::Signal { name, text }))
            }
            // What else there is has a body that we do not know.
            other => {
                let is_environment = other == b"env";
                return Ok(Self {
                    local,
                    want_reply,
                    what: (!is_environment).then(|| ChannelRequest::Other {
                        name: Printable::new(other),
                    }),
                    is_environment,
                });
            }
        };
        reader.finish()?;
        Ok(Self {
            local,
            want_reply,
            what: request,
            is_environment: false,
        })
    }
}

/// Our CHANNEL_REQUEST.
pub(crate) fn build(remote: u32, want_reply: bool, request: &ChannelRequest) -> Vec<u8> {
    let mut out = vec![message::CHANNEL_REQUEST];
    out.put_uint32(remote);
    out.put_string(match request {
        ChannelRequest::Shell => b"shell",
        ChannelRequest::Exec { .. } => b"exec",
        ChannelRequest::Subsystem { .. } => b"subsystem",
        ChannelRequest::Pty { .. } => b"pty-req",
        ChannelRequest::WindowChange { .. } => b"window-change",
        ChannelRequest::Signal { .. } => b"signal",
        ChannelRequest::Exit(ExitStatus::Code(_)) => b"exit-status",
        ChannelRequest::Exit(ExitStatus::Signal { .. }) => b"exit-signal",
        ChannelRequest::Other { name } => name.as_str().as_bytes(),
    });
    out.put_boolean(want_reply);
    match request {
        ChannelRequest::Shell | ChannelRequest::Other { .. } => {}
        ChannelRequest::Exec { command } => out.put_string(command),
        ChannelRequest::Subsystem { name } | ChannelRequest::Signal { name } => {
            out.put_string(name.as_bytes());
        }
        ChannelRequest::Pty { columns, rows } => {
            out.put_string(b"xterm");
            out.put_uint32(*columns);
            out.put_uint32(*rows);
            out.put_uint64(0);
            // One mode: TTY_OP_END (RFC 4254 section 8).
            out.put_string(&[0]);
        }
        ChannelRequest::WindowChange { columns, rows } => {
            out.put_uint32(*columns);
            out.put_uint32(*rows);
            out.put_uint64(0);
        }
        ChannelRequest::Exit(ExitStatus::Code(code)) => out.put_uint32(*code),
        ChannelRequest::Exit(ExitStatus::Signal { name, text }) => {
            out.put_string(name.as_str().as_bytes());
            out.put_boolean(false);
            out.put_string(text.as_str().as_bytes());
            out.put_string(b"");
        }
    }
    out
}

/// Requests of one channel that wait for an answer, both ways. Answers leave and come in order.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The peer's, oldest first: `None` until the owner has answered.
    theirs: VecDeque<Option<bool>>,
    /// Ours that want a reply.
    pub(crate) ours: u32,
    pub(crate) environment: u32,
}

/// Requests of one channel that may wait for the owner's answer.
const PENDING: usize = 16;

impl Pending {
    /// One more from the peer; an answer may be known at once. `false` when there are too many.
    pub(crate) fn push(&mut self, answer: Option<bool>) -> bool {
        let fits = self.theirs.len() < PENDING;
        if fits {
            self.theirs.push_back(answer);
        }
        fits
    }

    /// The owner answers the oldest that has no answer.
    pub(crate) fn answer(&mut self, good: bool) {
        if let Some(slot) = self.theirs.iter_mut().find(|slot| slot.is_none()) {
            *slot = Some(good);
        }
    }

    /// The next answer whose turn it is.
    pub(crate) fn next(&mut self) -> Option<bool> {
        let answer = self.theirs.front().copied().flatten()?;
        self.theirs.pop_front();
        Some(answer)
    }
}
