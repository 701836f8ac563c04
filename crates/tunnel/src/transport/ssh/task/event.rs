//! What the engine tells, what applications want, and how they answer.

use std::sync::Arc;

use adit_ssh::Event;
use adit_ssh::channel::{ChannelId, ChannelKind, ChannelRequest, OpenFailure};
use adit_ssh::forward::ForwardAnswer as EngineAnswer;
use adit_ssh::limits;
use tokio::sync::{mpsc, oneshot};

use super::{Purpose, Question, Turn};
use crate::transport::handle::Command;
use crate::transport::request::{
    CancelAnswer, CancelRequest, ForwardAnswer, ForwardRequest, OpenAnswer, OpenRequest,
    PeerRequest, SessionRequest, Verdict,
};
use crate::transport::session::{ASKS, AskAnswer, SessionAnswer, SessionAsk};
use crate::transport::ssh::carrier::Carrier;
use crate::transport::ssh::clock::now;
use crate::transport::ssh::convert::{bind, forward, head, kind, wish};
use crate::transport::ssh::streams::pair;
use crate::transport::{ForwardError, OpenError, RefusalCode, StreamHead, StreamKind};

impl<S: Carrier> Turn<S> {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what belongs to the login is over"
    )]
    pub(super) fn event(&mut self, event: Event) {
        match event {
            Event::Readable { channel } => self.streams.deliver(channel, &mut self.engine, now()),
            Event::Sealed { channel, bytes } => self.streams.sealed(channel, bytes),
            Event::Ended { channel } => {
                // What came before the end is handed over before it.
                self.streams.deliver_bulk(&mut self.engine, now());
                self.streams.ended(channel);
            }
            Event::Closed { channel, was_cut } => {
                self.streams.deliver_bulk(&mut self.engine, now());
                self.streams.deliver(channel, &mut self.engine, now());
                self.streams.deliver_bulk(&mut self.engine, now());
                self.streams.closed(channel, was_cut);
                self.sessions.remove(&channel.number());
                self.purposes.remove(&channel.number());
                self.give_back_allowance();
            }
            Event::Lost { channel } => {
                self.streams.deliver_bulk(&mut self.engine, now());
                self.streams.lost(channel);
                self.give_back_allowance();
            }
            Event::ChannelOpened { channel } if self.purposes.contains_key(&channel.number()) => {
                self.ask_for_purpose(channel);
            }
            Event::ChannelAnswer { channel, good } => self.purpose_answered(channel, good),
            Event::ChannelOpened { channel } => {
                self.streams.opened(channel);
                self.streams.news(channel.number(), &mut self.engine, now());
            }
            Event::ChannelRefused {
                channel,
                failure,
                text,
            } => {
                self.purposes.remove(&channel.number());
                let code = RefusalCode::from_number(failure.code());
                self.streams.refused(
                    channel,
                    OpenError::Refused {
                        code,
                        reason: text.to_string(),
                    },
                );
                self.give_back_allowance();
            }
            Event::ChannelAsked { channel, kind } => self.channel_asked(channel, kind),
            Event::ForwardAsked { id, forward, .. } => {
                let number = self.next_number();
                let bind = bind(forward);
                self.questions
                    .insert(number, Question::Forward(id, bind.clone()));
                let answer = ForwardAnswer::new(number, Arc::clone(&self.answers));
                self.ask(PeerRequest::Forward(ForwardRequest { bind, answer }));
            }
            Event::ForwardCancelled { forward } => {
                let number = self.next_number();
                let answer = CancelAnswer::new(number, Arc::clone(&self.answers));
                self.ask(PeerRequest::Cancel(CancelRequest {
                    bind: bind(forward),
                    answer,
                }));
            }
            Event::ForwardAnswered { id, answer } => {
                if let Some(reply) = self.asked.remove(&id) {
                    reply_with(
                        reply,
                        match answer {
                            EngineAnswer::Granted { port } => Ok(port),
                            EngineAnswer::Refused => Err(ForwardError::Refused),
                        },
                    );
                }
            }
            Event::WantsAllowance { bytes } => self.grow_allowance(bytes),
            Event::ChannelRequest {
                channel,
                request,
                want_reply,
            } => self.asked_in_session(channel, request, want_reply),
            Event::WantsKeyPair { kex, method } => self.key_pair.make(kex, method),
            Event::Alive { .. } => self.measured(),
            Event::Rekeyed { took } => tracing::debug!(?took, "keys were renewed"),
            // Of the login, which is over; of the host's keys, which nobody here learns; and what
            // only this task's own keep-alive wants to know.
            _ => {}
        }
    }

    /// Leaves a question for the application. A queue without room gives it back, and dropping it
    /// refuses.
    fn ask(&self, request: PeerRequest) {
        drop(self.requests.try_send(Box::new(request)));
    }

    fn channel_asked(&mut self, channel: ChannelId, kind: ChannelKind) {
        if matches!(kind, ChannelKind::Session) {
            self.session_asked(channel);
            return;
        }
        let Some(head) = head(kind) else {
            self.engine
                .refuse_channel(channel, OpenFailure::UnknownType, "unknown channel type");
            return;
        };
        let stream = pair(channel, &self.memory.pool, &self.dirty);
        let Some(stream) = self.streams.add(channel, stream, None) else {
            return;
        };
        let answer = OpenAnswer::new(
            u64::from(channel.number()),
            Arc::clone(&self.answers),
            stream,
        );
        self.ask(PeerRequest::Open(OpenRequest { head, answer }));
    }

    /// A session of ours is open: what it was opened for is asked for in it.
    fn ask_for_purpose(&mut self, channel: ChannelId) {
        let request = match self.purposes.get(&channel.number()) {
            Some(Purpose::Subsystem(name)) => ChannelRequest::Subsystem {
                name: String::from(*name),
            },
            Some(Purpose::Command(line)) => ChannelRequest::Exec {
                command: line.as_bytes().to_vec(),
            },
            None => return,
        };
        self.engine.request_channel(channel, &request, true);
    }

    /// The only thing that is asked in sessions of ours was answered.
    fn purpose_answered(&mut self, channel: ChannelId, good: bool) {
        let purpose = self.purposes.remove(&channel.number());
        if good {
            self.streams.opened(channel);
            self.streams.news(channel.number(), &mut self.engine, now());
        } else {
            self.engine.close_channel(channel);
            let refused = OpenError::Refused {
                code: RefusalCode::UnknownKind,
                reason: String::from(match purpose {
                    Some(Purpose::Command(_)) => "no commands",
                    Some(Purpose::Subsystem(_)) | None => "no such subsystem",
                }),
            };
            self.streams.refused(channel, refused);
            self.give_back_allowance();
        }
    }

    fn session_asked(&mut self, channel: ChannelId) {
        let stream = pair(channel, &self.memory.pool, &self.dirty);
        let Some(stream) = self.streams.add(channel, stream, None) else {
            return;
        };
        let (asks, receiver) = mpsc::channel(ASKS);
        self.sessions.insert(channel.number(), asks);
        let number = u64::from(channel.number());
        let answer = SessionAnswer::new(number, Arc::clone(&self.answers), stream, receiver);
        self.ask(PeerRequest::Session(SessionRequest { answer }));
    }

    fn asked_in_session(&mut self, channel: ChannelId, request: ChannelRequest, want_reply: bool) {
        let asks = self.sessions.get(&channel.number()).cloned();
        let Some((what, asks)) = wish(request).zip(asks) else {
            if want_reply {
                self.engine.answer_channel_request(channel, false);
            }
            return;
        };
        let number = want_reply.then(|| {
            let number = self.next_number();
            self.questions.insert(number, Question::Session(channel));
            number
        });
        let answer = AskAnswer::new(number, &self.answers);
        // One that finds no room comes back, and dropping it refuses.
        drop(asks.try_send(SessionAsk { what, answer }));
    }

    fn next_number(&mut self) -> u64 {
        let number = self.next_question;
        self.next_question = self.next_question.saturating_add(1);
        number
    }

    /// A channel that was not opened, or is no more.
    fn forget(&mut self, channel: u32) {
        self.streams.remove(channel);
        self.sessions.remove(&channel);
    }

    /// An application answered a question of the peer.
    pub(super) fn answered(&mut self, number: u64, verdict: Verdict) {
        match self.questions.remove(&number) {
            Some(Question::Forward(id, _)) => {
                let answer = match verdict {
                    Verdict::Port(port) => EngineAnswer::Granted { port },
                    Verdict::Yes => EngineAnswer::Granted { port: 0 },
                    Verdict::No { .. } | Verdict::Complaint(_) => EngineAnswer::Refused,
                };
                self.engine.answer_forward(id, answer);
                for command in std::mem::take(&mut self.early) {
                    self.command(command);
                }
                return;
            }
            Some(Question::Session(channel)) => {
                let is_granted = matches!(verdict, Verdict::Yes);
                self.engine.answer_channel_request(channel, is_granted);
                return;
            }
            None => {}
        }
        let Some(channel) = u32::try_from(number)
            .ok()
            .and_then(|number| self.streams.channel(number))
        else {
            return;
        };
        match verdict {
            Verdict::Yes | Verdict::Port(_) => {
                let window = self.window();
                let is_open =
                    window.is_some_and(|window| self.engine.accept_channel(channel, window));
                if is_open {
                    // What was written before the answer stands in the queue.
                    self.streams.news(channel.number(), &mut self.engine, now());
                } else {
                    self.engine.refuse_channel(
                        channel,
                        OpenFailure::ResourceShortage,
                        "no window is left",
                    );
                    self.forget(channel.number());
                }
            }
            Verdict::No { code, reason } => {
                let failure = match code {
                    RefusalCode::Prohibited => OpenFailure::Prohibited,
                    RefusalCode::ConnectFailed => OpenFailure::ConnectFailed,
                    RefusalCode::UnknownKind => OpenFailure::UnknownType,
                    RefusalCode::Shortage => OpenFailure::ResourceShortage,
                    RefusalCode::Other(number) => OpenFailure::Other(number),
                };
                self.engine.refuse_channel(channel, failure, &reason);
                self.forget(channel.number());
            }
            Verdict::Complaint(text) => {
                (self.engine).write_standard_error(channel, text.as_bytes());
            }
        }
    }

    /// Streams that are being opened, or wait to be.
    pub(super) fn opening(&self) -> usize {
        self.streams.opening().saturating_add(self.early.len())
    }

    /// Whether a stream is for a forward that the peer still waits for an answer about.
    fn is_early(&self, head: &StreamHead) -> bool {
        let StreamKind::Forwarded(to) = &head.kind else {
            return false;
        };
        self.questions.values().any(|question| match question {
            Question::Forward(_, asked) => {
                asked == to
                    || asked.port() == Some(0) && *to == asked.with_port(to.port().unwrap_or(0))
            }
            Question::Session(_) => false,
        })
    }

    pub(super) fn command(&mut self, command: Command) {
        match command {
            Command::Open { head, reply } if self.is_early(&head) => {
                self.early.push(Command::Open { head, reply });
            }
            Command::Open { head, reply } => {
                let purpose = match head.kind {
                    StreamKind::Subsystem(name) => Some(Purpose::Subsystem(name)),
                    StreamKind::Command(line) => Some(Purpose::Command(line)),
                    StreamKind::Direct(_) | StreamKind::Forwarded(_) | StreamKind::Probe { .. } => {
                        None
                    }
                };
                let opened = self.window().ok_or(OpenFailure::ResourceShortage);
                match opened.and_then(|window| self.engine.open_channel(&kind(head), window)) {
                    Ok(channel) => {
                        if let Some(purpose) = purpose {
                            self.purposes.insert(channel.number(), purpose);
                        }
                        let stream = pair(channel, &self.memory.pool, &self.dirty);
                        self.streams.add(channel, stream, Some(reply));
                    }
                    Err(_) => drop(reply.send(Err(OpenError::Shortage))),
                }
            }
            Command::Forward { bind, reply } => {
                if self.asked.len() >= limits::FORWARDS {
                    reply_with(reply, Err(ForwardError::Shortage));
                } else if let Some(id) = self.engine.request_forward(forward(bind)) {
                    self.asked.insert(id, reply);
                }
            }
            Command::Cancel { bind, reply } => {
                let port = bind.port().unwrap_or_default();
                self.engine.cancel_forward(&forward(bind));
                reply_with(reply, Ok(port));
            }
            Command::Say(text) => self.engine.say(&text),
        }
    }
}

/// Answers who asked for a forward, if that one still waits.
fn reply_with(
    reply: oneshot::Sender<Result<u16, ForwardError>>,
    answer: Result<u16, ForwardError>,
) {
    if reply.send(answer).is_err() {
        tracing::trace!("nobody waits for a forward any more");
    }
}
