//! Global requests (RFC 4254 sections 4 and 7.1, OpenSSH's PROTOCOL sections 2.4 and 2.5).
//!
//! Answers carry no number: they come and go strictly in the order of the requests. What the peer
//! asks and the owner has not decided holds its place in a queue; later answers wait behind it.

use std::collections::VecDeque;
use std::time::Instant;

use super::message::{build, granted, host_keys, parse};
use super::{Forward, ForwardAnswer, RequestId};
use crate::channel::{ChannelKind, Endpoint};
use crate::error::Violation;
use crate::event::{Event, Events};
use crate::limits;
use crate::message;
use crate::negotiate::Role;
use crate::wire::{Reader, Write};

/// What we asked and wait to have answered.
#[derive(Debug)]
enum Asked {
    Forward {
        id: RequestId,
        forward: Forward,
        /// Given up since: a grant that comes yet is none.
        is_cancelled: bool,
    },
    Alive(Instant),
    /// Proofs that the server holds these host keys.
    Proof(Vec<Vec<u8>>),
}

/// An answer that we owe.
#[derive(Debug)]
enum Owed {
    /// The owner decides; for a TCP forward of port 0 the port goes into the answer.
    Undecided {
        id: RequestId,
        forward: Forward,
        want_reply: bool,
    },
    Ready(Vec<u8>),
    /// Decided, and no reply is wanted.
    Silent,
}

/// Global requests of one connection, both ways.
#[derive(Debug)]
pub(crate) struct GlobalRequests {
    /// Forwards that the peer may have, asked for or granted.
    cap: usize,
    next_id: u64,
    asked: VecDeque<Asked>,
    owed: VecDeque<Owed>,
    /// Forwards that the peer has granted us: visitors may come through these alone.
    granted: Vec<Forward>,
    /// Forwards that we have granted the peer.
    serving: Vec<Forward>,
    stray: u32,
    host_keys_seen: bool,
}

/// What a message made necessary.
pub(crate) enum Effect {
    /// Nothing, or it was told by an event.
    None,
    /// Sessions are refused from now on.
    NoMoreSessions,
    /// A keep-alive was answered.
    Alive(Instant),
    /// The client wants the host keys in the rest of the payload proved, and an answer now.
    Prove(Vec<u8>),
    /// The server answers our wish for proofs of these keys.
    Proved(Vec<Vec<u8>>),
    /// The server grants a port of its own choice for a forward that was cancelled meanwhile. Only now
    /// the forward to cancel has a name: this message says it.
    Undo(Vec<u8>),
}

/// The message that cancels a forward. OpenSSH's own asks for no reply either.
fn build_cancel(forward: &Forward) -> Vec<u8> {
    build(
        forward,
        "cancel-tcpip-forward",
        "cancel-streamlocal-forward@openssh.com",
        false,
    )
}

impl GlobalRequests {
    pub(crate) const fn new(cap: usize) -> Self {
        Self {
            cap,
            next_id: 0,
            asked: VecDeque::new(),
            owed: VecDeque::new(),
            granted: Vec::new(),
            serving: Vec::new(),
            stray: 0,
            host_keys_seen: false,
        }
    }

    fn id(&mut self) -> RequestId {
        self.next_id = self.next_id.wrapping_add(1);
        RequestId(self.next_id)
    }

    fn may_ask(&self) -> bool {
        self.asked.len() < limits::GLOBAL_REQUESTS_PENDING
    }

    /// Asks for a listener. The message is the caller's to queue; `None` if too many have no answer.
    pub(crate) fn ask_forward(&mut self, forward: Forward) -> Option<(RequestId, Vec<u8>)> {
        if !self.may_ask() {
            return None;
        }
        let out = build(
            &forward,
            "tcpip-forward",
            "streamlocal-forward@openssh.com",
            true,
        );
        let id = self.id();
        self.asked.push_back(Asked::Forward {
            id,
            forward,
            is_cancelled: false,
        });
        Some((id, out))
    }

    /// Gives up a listener: the forward as it was asked for, with the port that was granted. `None`
    /// where there is nothing to give up.
    ///
    /// No reply is wanted, as by ssh(1): it would tell nothing, and would be one more that waits. So
    /// there are never more of these than forwards that were granted or may still be.
    pub(crate) fn cancel_forward(&mut self, wanted: &Forward) -> Option<Vec<u8>> {
        let before = self.granted.len();
        self.granted.retain(|granted| granted != wanted);
        let mut is_known = self.granted.len() < before;
        for asked in &mut self.asked {
            if let Asked::Forward {
                forward,
                is_cancelled,
                ..
            } = asked
                && forward == wanted
                && !*is_cancelled
            {
                *is_cancelled = true;
                is_known = true;
            }
        }
        is_known.then(|| build_cancel(wanted))
    }

    /// Asks for a sign of life. OpenSSH's name; any answer is one.
    pub(crate) fn ask_alive(&mut self, now: Instant) -> Option<Vec<u8>> {
        if !self.may_ask() {
            return None;
        }
        self.asked.push_back(Asked::Alive(now));
        let mut out = vec![message::GLOBAL_REQUEST];
        out.put_string(b"keepalive@openssh.com");
        out.put_boolean(true);
        Some(out)
    }

    /// Asks for proofs of host keys; says whether it may. The message is the caller's.
    pub(crate) fn ask_proof(&mut self, blobs: Vec<Vec<u8>>) -> bool {
        let may = self.may_ask();
        if may {
            self.asked.push_back(Asked::Proof(blobs));
        }
        may
    }

    /// A reply that takes its place behind those that are owed.
    pub(crate) fn owe_reply(&mut self, reply: Vec<u8>) {
        self.owed.push_back(Owed::Ready(reply));
    }

    /// Whether the peer may open a channel of that kind at all. A server's clients may ask for
    /// sessions and targets, which its owner then decides; a client's server may bring visitors of
    /// forwards that it granted and nothing else, or it could reach into the client's network.
    pub(crate) fn may_be_opened(&self, kind: &ChannelKind, role: Role) -> bool {
        let is_granted = |wanted: &dyn Fn(&Forward) -> bool| {
            role == Role::Client && self.granted.iter().any(wanted)
        };
        match kind {
            ChannelKind::Session
            | ChannelKind::DirectTcpip { .. }
            | ChannelKind::DirectStreamlocal { .. } => role == Role::Server,
            ChannelKind::ForwardedTcpip { bind, .. } | ChannelKind::Probe { bind } => {
                is_granted(&|granted| matches!(granted, Forward::Tcp(granted) if granted == bind))
            }
            ChannelKind::ForwardedStreamlocal { path } => {
                is_granted(&|granted| matches!(granted, Forward::Unix(granted) if granted == path))
            }
        }
    }

    /// GLOBAL_REQUEST came.
    pub(crate) fn requested(
        &mut self,
        payload: &[u8],
        role: Role,
        events: &mut Events,
    ) -> Result<Effect, Violation> {
        let mut reader = Reader::new(payload);
        reader.byte()?;
        let name = reader.string_up_to(limits::NAME)?;
        let want_reply = reader.boolean()?;
        if self.owed.len() >= limits::GLOBAL_REQUESTS_PENDING {
            return Err(Violation::protocol(
                "too many global requests wait for an answer",
            ));
        }
        match (name, role) {
            (b"tcpip-forward" | b"streamlocal-forward@openssh.com", Role::Server) => {
                let forward = parse(name, reader)?;
                let is_open_question =
                    matches!(&forward, Some(Forward::Tcp(bind)) if bind.port == 0 && !want_reply);
                let is_full = self.serving.len().saturating_add(self.undecided()) >= self.cap;
                match forward.filter(|_| !is_open_question && !is_full) {
                    Some(forward) => {
                        let id = self.id();
                        self.owed.push_back(Owed::Undecided {
                            id,
                            forward: forward.clone(),
                            want_reply,
                        });
                        events.push(Event::ForwardAsked {
                            id,
                            forward,
                            want_reply,
                        });
                    }
                    None => self.owe(want_reply, false),
                }
            }
            (b"cancel-tcpip-forward" | b"cancel-streamlocal-forward@openssh.com", Role::Server) => {
                let forward = parse(name, reader)?.filter(|forward| self.serving.contains(forward));
                self.owe(want_reply, forward.is_some());
                if let Some(forward) = forward {
                    self.serving.retain(|serving| *serving != forward);
                    events.push(Event::ForwardCancelled { forward });
                }
            }
            (b"no-more-sessions@openssh.com", Role::Server) => {
                self.owe(want_reply, true);
                return Ok(Effect::NoMoreSessions);
            }
            (b"hostkeys-prove-00@openssh.com", Role::Server) if want_reply => {
                return Ok(Effect::Prove(reader.rest().to_vec()));
            }
            (b"hostkeys-00@openssh.com", Role::Client) => {
                let blobs = host_keys(reader)?;
                if !std::mem::replace(&mut self.host_keys_seen, true) {
                    events.push(Event::HostKeys(blobs));
                }
                self.owe(want_reply, false);
            }
            // keepalive@openssh.com among them: a refusal is a sign of life too.
            _ => self.owe(want_reply, false),
        }
        Ok(Effect::None)
    }

    /// REQUEST_SUCCESS or REQUEST_FAILURE came: it answers our oldest request.
    pub(crate) fn answered(
        &mut self,
        payload: &[u8],
        events: &mut Events,
    ) -> Result<Effect, Violation> {
        let mut reader = Reader::new(payload);
        let good = reader.byte()? == message::REQUEST_SUCCESS;
        match self.asked.pop_front() {
            None => {
                self.stray = self.stray.saturating_add(1);
                if self.stray > limits::STRAY_REPLIES {
                    return Err(Violation::protocol("too many replies to nothing"));
                }
            }
            Some(Asked::Alive(since)) => return Ok(Effect::Alive(since)),
            Some(Asked::Proof(blobs)) => return Ok(Effect::Proved(blobs)),
            Some(Asked::Forward {
                id,
                forward,
                is_cancelled,
            }) => {
                if !good {
                    let answer = ForwardAnswer::Refused;
                    events.push(Event::ForwardAnswered { id, answer });
                    return Ok(Effect::None);
                }
                let asked = forward.clone();
                let (forward, port) = granted(forward, reader)?;
                let answer = ForwardAnswer::Granted { port };
                events.push(Event::ForwardAnswered { id, answer });
                if !is_cancelled {
                    self.granted.push(forward);
                } else if forward != asked {
                    return Ok(Effect::Undo(build_cancel(&forward)));
                }
            }
        }
        Ok(Effect::None)
    }

    /// The owner decides about a forward that the peer asked for.
    pub(crate) fn decide(&mut self, wanted: RequestId, answer: ForwardAnswer) {
        let slot = self
            .owed
            .iter_mut()
            .find(|owed| matches!(owed, Owed::Undecided { id, .. } if *id == wanted));
        let Some(slot) = slot else { return };
        let Owed::Undecided {
            forward,
            want_reply,
            ..
        } = std::mem::replace(slot, Owed::Silent)
        else {
            return;
        };
        let mut reply = vec![message::REQUEST_FAILURE];
        if let ForwardAnswer::Granted { port } = answer {
            reply = vec![message::REQUEST_SUCCESS];
            self.serving.push(match forward {
                Forward::Tcp(bind) => {
                    if bind.port == 0 {
                        reply.put_uint32(port.into());
                    }
                    Forward::Tcp(Endpoint { port, ..bind })
                }
                Forward::Unix(path) => Forward::Unix(path),
            });
        }
        if want_reply {
            *slot = Owed::Ready(reply);
        }
    }

    /// The next reply whose turn it is.
    pub(crate) fn next_reply(&mut self) -> Option<Vec<u8>> {
        loop {
            match self.owed.front()? {
                Owed::Undecided { .. } => return None,
                Owed::Ready(_) | Owed::Silent => {}
            }
            if let Some(Owed::Ready(reply)) = self.owed.pop_front() {
                return Some(reply);
            }
        }
    }

    fn undecided(&self) -> usize {
        let undecided = |owed: &&Owed| matches!(owed, Owed::Undecided { .. });
        self.owed.iter().filter(undecided).count()
    }

    fn owe(&mut self, want_reply: bool, good: bool) {
        if want_reply {
            let number = if good {
                message::REQUEST_SUCCESS
            } else {
                message::REQUEST_FAILURE
            };
            self.owed.push_back(Owed::Ready(vec![number]));
        }
    }
}
