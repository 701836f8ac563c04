//! What the owner asks for and answers.

use std::time::{Duration, Instant};

use super::goodbye::{goodbye, spoken};
use super::{Auth, Connection, Running, Stage};
use crate::auth::server::{KeyVerdict, LoginVerdict, ServerPrompts};
use crate::auth::{AnswerError, Outbox, QuestionId};
use crate::block::Block;
use crate::channel::{ChannelId, ChannelKind, ChannelRequest, OpenFailure};
use crate::error::{ConnectionError, DisconnectCode};
use crate::event::Event;
use crate::forward::{Forward, ForwardAnswer, RequestId};
use crate::secret::Secret;
use crate::wire::Write;

impl Connection {
    /// The host key of [`Event::HostKey`] is the host's.
    pub fn trust_host(&mut self) {
        self.kex.host_is_trusted();
    }

    /// The host key of [`Event::HostKey`] is not accepted: the connection ends.
    pub fn refuse_host(&mut self) -> ConnectionError {
        self.fail(ConnectionError::HostKeyRefused)
    }

    /// Ends the connection. [`transmit`](Self::transmit) gives the goodbye.
    pub fn close(&mut self) -> ConnectionError {
        self.fail(ConnectionError::Closed)
    }

    /// The same, with words for the peer's person. They are cut to
    /// [`DISCONNECT_TEXT`](crate::limits::DISCONNECT_TEXT).
    pub fn close_saying(&mut self, text: &str) -> ConnectionError {
        let is_first = self.error().is_none();
        let error = self.close();
        if is_first {
            self.goodbye = Some(goodbye(DisconnectCode::ByApplication, text));
        }
        error
    }

    /// Says something to the peer's person, outside of any channel: SSH_MSG_DEBUG (RFC 4253 section 11.3), which OpenSSH
    /// shows with `-v`. Cut to [`DISCONNECT_TEXT`](crate::limits::DISCONNECT_TEXT); nothing before the login.
    pub fn say(&mut self, text: &str) {
        if self.running().is_some() {
            self.push_control(spoken(text));
        }
    }

    /// Client: the login is given up, since nothing is left to try.
    pub fn give_up_login(&mut self, methods: crate::printable::Printable) -> ConnectionError {
        self.fail(ConnectionError::LoginFailed { methods })
    }

    /// Answers a [`SignQuestion`](crate::auth::client::SignQuestion).
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`].
    pub fn answer_signature(
        &mut self,
        id: QuestionId,
        signature: Option<&[u8]>,
    ) -> Result<(), AnswerError> {
        self.log_in(|client, out| client.answer_signature(id, signature, out))
    }

    /// Answers [`ClientEvent::Password`](crate::auth::client::ClientEvent::Password).
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`] or [`AnswerError::Limit`].
    pub fn answer_password(
        &mut self,
        id: QuestionId,
        password: Option<Secret<String>>,
    ) -> Result<(), AnswerError> {
        self.log_in(|client, out| client.answer_password(id, password, out))
    }

    /// Answers [`ClientEvent::Prompts`](crate::auth::client::ClientEvent::Prompts).
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`], [`AnswerError::Count`] or [`AnswerError::Limit`].
    pub fn answer_prompts(
        &mut self,
        id: QuestionId,
        answers: Option<Vec<Secret<String>>>,
    ) -> Result<(), AnswerError> {
        self.log_in(|client, out| client.answer_prompts(id, answers, out))
    }

    /// Answers [`Claim::Key`](crate::auth::server::Claim::Key).
    ///
    /// # Errors
    /// [`AnswerError::NotOpen`]; [`AnswerError::Peer`] when what the client had sent meanwhile ends
    /// the connection.
    pub fn answer_key(
        &mut self,
        id: QuestionId,
        verdict: KeyVerdict,
        now: Instant,
    ) -> Result<(), AnswerError> {
        self.admit(|server, out| server.answer_key(id, verdict, now, out))
    }

    /// Answers every other [`Claim`](crate::auth::server::Claim).
    ///
    /// # Errors
    /// As [`answer_key`](Self::answer_key).
    pub fn answer_login(
        &mut self,
        id: QuestionId,
        verdict: LoginVerdict,
        now: Instant,
    ) -> Result<(), AnswerError> {
        self.admit(|server, out| server.answer_login(id, verdict, now, out))
    }

    /// Answers [`Claim::Dialog`](crate::auth::server::Claim::Dialog) and
    /// [`Claim::Answers`](crate::auth::server::Claim::Answers) with questions.
    ///
    /// # Errors
    /// As [`answer_key`](Self::answer_key), and [`AnswerError::Limit`].
    pub fn ask_prompts(
        &mut self,
        id: QuestionId,
        prompts: &ServerPrompts,
        now: Instant,
    ) -> Result<(), AnswerError> {
        self.admit(|server, out| server.answer_prompts(id, prompts, now, out))
    }

    fn log_in(
        &mut self,
        answer: impl FnOnce(
            &mut crate::auth::client::ClientAuth,
            &mut Outbox,
        ) -> Result<(), AnswerError>,
    ) -> Result<(), AnswerError> {
        let mut out = Outbox::new();
        let result = match &mut self.stage {
            Stage::Login(Auth::Client(client)) => answer(client, &mut out),
            Stage::Ident(_)
            | Stage::Kex
            | Stage::Login(_)
            | Stage::Running(_)
            | Stage::Closed(_) => Err(AnswerError::NotOpen),
        };
        self.after_login_step(out);
        result
    }

    fn admit(
        &mut self,
        answer: impl FnOnce(
            &mut crate::auth::server::ServerAuth,
            &mut Outbox,
        ) -> Result<(), AnswerError>,
    ) -> Result<(), AnswerError> {
        let mut out = Outbox::new();
        let result = match &mut self.stage {
            Stage::Login(Auth::Server(server)) => answer(server, &mut out),
            Stage::Ident(_)
            | Stage::Kex
            | Stage::Login(_)
            | Stage::Running(_)
            | Stage::Closed(_) => Err(AnswerError::NotOpen),
        };
        self.after_login_step(out);
        if let Err(AnswerError::Peer(violation)) = &result {
            self.fail((*violation).into());
        }
        result
    }

    /// What windows may promise in all, in bytes. It may be lowered below what is promised; then
    /// nothing more is until enough has been given back.
    pub fn set_allowance(&mut self, bytes: u64) {
        self.allowance = bytes;
        if let Some(running) = self.running_mut() {
            running.channels.set_allowance(bytes);
        }
    }

    /// Asks the peer for a channel with a window of that many bytes, which the allowance must have
    /// left. [`crate::flow::initial_window`] says what is sensible.
    ///
    /// # Errors
    /// There is no room: channels, half-open channels or allowance are used up, or nobody is logged
    /// in.
    pub fn open_channel(
        &mut self,
        kind: &ChannelKind,
        window: u32,
    ) -> Result<ChannelId, OpenFailure> {
        let running = self.running_mut().ok_or(OpenFailure::ResourceShortage)?;
        let (channel, message) = running.channels.open(kind, window)?;
        self.push_control(message);
        Ok(channel)
    }

    /// Accepts a channel of [`Event::ChannelAsked`], with a window like that of
    /// [`open_channel`](Self::open_channel). Says whether the channel is open now: without allowance
    /// the peer is refused for lack of resources.
    pub fn accept_channel(&mut self, channel: ChannelId, window: u32) -> bool {
        let answer = self
            .running_mut()
            .and_then(|running| running.channels.accept(channel, window));
        let is_open = answer.as_ref().and_then(|answer| answer.first())
            == Some(&crate::message::CHANNEL_OPEN_CONFIRMATION);
        if let Some(answer) = answer {
            self.push_control(answer);
        }
        self.channel_began |= is_open;
        is_open
    }

    /// Refuses a channel of [`Event::ChannelAsked`]. The text is for the peer.
    pub fn refuse_channel(&mut self, channel: ChannelId, failure: OpenFailure, text: &str) {
        let answer = self
            .running_mut()
            .and_then(|running| running.channels.refuse(channel, failure, text));
        if let Some(answer) = answer {
            self.push_control(answer);
        }
    }

    /// Bytes that arrived on a channel, as they came. They count against its window until
    /// [`consumed`](Self::consumed). What arrived before the connection ended can be taken after it,
    /// too: a peer may say its last word and goodbye in one breath.
    pub fn take_chunk(&mut self, channel: ChannelId) -> Option<Block> {
        let running = match &mut self.stage {
            Stage::Running(running) => Some(running),
            Stage::Closed(_) => self.arrived.as_mut(),
            Stage::Ident(_) | Stage::Kex | Stage::Login(_) => None,
        };
        running?.channels.take_chunk(channel)
    }

    /// The application has taken that many bytes of a channel: the peer may send as many more.
    pub fn consumed(&mut self, channel: ChannelId, bytes: usize, now: Instant) {
        let round_trip = self.round_trip;
        let Some(Running { channels, .. }) = self.running_mut() else {
            return;
        };
        channels.consumed(channel, bytes, now);
        let is_busy = channels.is_busy(channel);
        let missing = round_trip.and_then(|round_trip| channels.grow(channel, now, round_trip));
        if let Some(bytes) = missing {
            self.events.push(Event::WantsAllowance { bytes });
        }
        if is_busy && self.timers.wants_round_trip(now) {
            self.ask_alive(now);
        }
    }

    /// Queues bytes for a channel: the range of a block, which must begin at or after
    /// [`HEADROOM`](crate::block::HEADROOM) and leave [`TAILROOM`](crate::block::TAILROOM).
    /// [`Event::Sealed`] tells when they have gone; the owner bounds what it queues by that.
    /// A channel that is not open any more drops them.
    pub fn write(&mut self, channel: ChannelId, block: Block) {
        if let Some(running) = self.running_mut() {
            running.channels.write(channel, block);
        }
    }

    /// Server: says something on a session channel besides its output, once it is open: as much as the
    /// peer's window takes, ahead of what is queued.
    pub fn write_standard_error(&mut self, channel: ChannelId, bytes: &[u8]) {
        let message = self
            .running_mut()
            .and_then(|running| running.channels.standard_error(channel, bytes));
        if let Some(message) = message {
            self.push_control(message);
        }
    }

    /// Bytes that wait to be sent on a channel.
    pub fn queued(&self, channel: ChannelId) -> usize {
        self.running()
            .map_or(0, |running| running.channels.queued(channel))
    }

    /// Ends our half of a channel after what is queued. When the peer has ended its half too the
    /// channel closes.
    pub fn finish(&mut self, channel: ChannelId) {
        if let Some(running) = self.running_mut() {
            running.channels.finish(channel);
        }
    }

    /// Ends both halves of a channel after what is queued: nobody reads here any more. What still
    /// comes has to be taken and thrown away.
    pub fn close_channel(&mut self, channel: ChannelId) {
        if let Some(running) = self.running_mut() {
            running.channels.close(channel);
        }
    }

    /// Ends a channel at once, both ways; what is queued is lost, and so is what was not taken. A
    /// channel that the peer asked for and nobody has accepted is refused.
    pub fn reset(&mut self, channel: ChannelId) {
        self.refuse_channel(channel, OpenFailure::ConnectFailed, "given up");
        if let Some(running) = self.running_mut() {
            running.channels.reset(channel);
        }
    }

    /// Asks something on a session channel of ours.
    pub fn request_channel(
        &mut self,
        channel: ChannelId,
        request: &ChannelRequest,
        want_reply: bool,
    ) {
        let message = self
            .running_mut()
            .and_then(|running| running.channels.request(channel, request, want_reply));
        if let Some(message) = message {
            self.push_control(message);
        }
    }

    /// Answers the oldest [`Event::ChannelRequest`] of a channel that wants a reply.
    pub fn answer_channel_request(&mut self, channel: ChannelId, good: bool) {
        if let Some(running) = self.running_mut() {
            running.channels.answer_request(channel, good);
        }
        while let Some(answer) = self
            .running_mut()
            .and_then(|running| running.channels.next_answer(channel.0))
        {
            self.push_control(answer);
        }
    }

    /// Asks the peer to listen for us. `None` before the login, and while
    /// [`GLOBAL_REQUESTS_PENDING`](crate::limits::GLOBAL_REQUESTS_PENDING) requests of ours have no
    /// answer.
    pub fn request_forward(&mut self, forward: Forward) -> Option<RequestId> {
        let (id, message) = self.running_mut()?.requests.ask_forward(forward)?;
        self.push_control(message);
        Some(id)
    }

    /// Tells the peer that a listener is not wanted any more; its port is the granted one. From here
    /// on nothing comes through it, also where the grant is still on its way. Does nothing about a
    /// forward that was neither granted nor asked for.
    pub fn cancel_forward(&mut self, forward: &Forward) {
        let message = self
            .running_mut()
            .and_then(|running| running.requests.cancel_forward(forward));
        if let Some(message) = message {
            self.push_control(message);
        }
    }

    /// Answers [`Event::ForwardAsked`]. The reply leaves when those before it have.
    pub fn answer_forward(&mut self, id: RequestId, answer: ForwardAnswer) {
        if let Some(running) = self.running_mut() {
            running.requests.decide(id, answer);
        }
        self.push_replies();
    }

    /// Asks the peer for a sign of life: [`Event::Alive`] tells of its answer.
    pub fn ask_alive(&mut self, now: Instant) {
        self.asks_alive(now);
    }

    /// Asks the peer for a sign of life since there is reason to think that it is gone, and has it count
    /// as gone once it has been silent for `patience` from here on. Its answer ends that, and
    /// [`Event::Alive`] tells of it. While one such question has no answer, another changes nothing.
    ///
    /// It holds whether or not there are keep-alives; and as with those, what cannot be said or heard
    /// (in a key exchange, for example) is not held against the peer. Before the login, and while
    /// [`GLOBAL_REQUESTS_PENDING`](crate::limits::GLOBAL_REQUESTS_PENDING) requests of ours have no
    /// answer, it does nothing.
    pub fn ask_alive_within(&mut self, now: Instant, patience: Duration) {
        if !self.timers.is_in_doubt() && self.asks_alive(now) {
            self.timers.doubted(now, patience);
        }
    }

    /// Says whether it could be asked.
    fn asks_alive(&mut self, now: Instant) -> bool {
        let message = self
            .running_mut()
            .and_then(|running| running.requests.ask_alive(now));
        let Some(message) = message else { return false };
        self.timers.alive_asked(now);
        self.push_control(message);
        true
    }

    /// Client: asks for an echo of [`PING_BYTES`](crate::limits::PING_BYTES) at most, which is cut
    /// to that. [`Event::Pong`] tells that it came. Says whether it was asked for: only of a server
    /// that announced it (OpenSSH's PROTOCOL section 1.9), after the login, and not in a key
    /// exchange, where OpenSSH 9.9p2 and later drop it. An echo that a key exchange swallowed never
    /// comes and means nothing.
    pub fn ping(&mut self, bytes: &[u8]) -> bool {
        let may = self.ext_info.pings && self.running().is_some() && self.kex.is_settled();
        if may {
            let mut out = vec![crate::message::PING];
            out.put_string(bytes.get(..crate::limits::PING_BYTES).unwrap_or(bytes));
            self.pings = self.pings.saturating_add(1);
            self.push_control(out);
        }
        may
    }

    /// Client: tells the server that no session will be opened any more, so that nobody who takes
    /// over this end can (OpenSSH's `no-more-sessions@openssh.com`).
    pub fn send_no_more_sessions(&mut self) {
        if self.role == crate::negotiate::Role::Client && self.running().is_some() {
            let mut out = vec![crate::message::GLOBAL_REQUEST];
            out.put_string(b"no-more-sessions@openssh.com");
            out.put_boolean(false);
            self.push_control(out);
        }
    }

    /// Renews the keys now, if no key exchange is going on.
    ///
    /// # Errors
    /// Random numbers failed.
    pub fn rekey(&mut self, now: Instant) -> Result<(), ConnectionError> {
        if self.running().is_none() {
            return Ok(());
        }
        self.kex.begin(now).map_err(|error| self.fail(error))
    }
}
