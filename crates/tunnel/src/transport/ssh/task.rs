//! The task of one connection.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_ssh::certificate::Restrictions;
use adit_ssh::channel::{ChannelId, ChannelKind, OpenFailure};
use adit_ssh::error::ConnectionError;
use adit_ssh::flow::initial_window;
use adit_ssh::forward::{ForwardAnswer as EngineAnswer, RequestId};
use adit_ssh::limits;
use adit_ssh::{Connection as Engine, Event};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

use super::super::handle::{Command, Desk, Handle};
use super::super::mailbox::DirtyList;
use super::super::request::{
    Answers, CancelAnswer, CancelRequest, ForwardAnswer, ForwardRequest, OpenAnswer, OpenRequest,
    PeerRequest, Verdict,
};
use super::super::{CloseReason, Connection, ConnectionEnd, ForwardError, OpenError, RefusalCode};
use super::carrier::Carrier;
use super::clock::now;
use super::convert::{bind, forward, head, kind};
use super::key_pair::KeyPair;
use super::read::ReadBuffers;
use super::socket::Socket;
use super::streams::{Streams, is_stream, pair};
use super::tally::Tally;
use crate::budget::{Budget, Grant};

/// The memory that connections of a process share.
#[derive(Debug, Clone)]
pub struct Memory {
    /// Blocks for packets; the same pool that the engine was given.
    pub pool: adit_ssh::block::Pool,
    /// Buffers to read into.
    pub buffers: ReadBuffers,
    /// Windows and what lies in streams, over all connections.
    pub budget: Budget,
    /// The most of the budget that one connection may promise, in bytes.
    pub connection_bytes: u64,
}

impl Memory {
    /// Windows of one connection, in bytes, by default.
    ///
    /// Enough for [`limits::CHANNELS`] streams with the least window and as much again to grow.
    pub const CONNECTION_BYTES: u64 = 128 << 20;
    /// Free blocks that are kept: about 4 MiB.
    const RETAINED_BLOCKS: usize = 112;

    /// The defaults for this machine.
    pub fn of_this_machine() -> Self {
        Self {
            pool: adit_ssh::block::Pool::new(Self::RETAINED_BLOCKS),
            buffers: ReadBuffers::new(),
            budget: Budget::of_this_machine(),
            connection_bytes: Self::CONNECTION_BYTES,
        }
    }
}

/// Drives one connection: the engine, its socket and its streams.
pub struct Driver<S> {
    desk: Desk,
    turn: Turn<S>,
}

/// What a turn works on.
pub(super) struct Turn<S> {
    pub(super) engine: Engine,
    pub(super) socket: Socket<S>,
    timer: Pin<Box<Sleep>>,
    key_pair: KeyPair,
    memory: Memory,
    grant: Grant,
    streams: Streams,
    dirty: Arc<DirtyList>,
    dirty_now: Vec<u32>,
    answers: Arc<Answers>,
    answers_now: Vec<(u64, Verdict)>,
    requests: mpsc::Sender<PeerRequest>,
    /// Our requests for forwards, by the engine's number.
    asked: HashMap<RequestId, oneshot::Sender<Result<u16, ForwardError>>>,
    /// The peer's, by the number that its answer will bear.
    questions: HashMap<u64, RequestId>,
    next_question: u64,
}

/// Rounds of reading and writing before other tasks get their turn.
const ROUNDS: usize = 8;
/// Reads from a socket that takes no more writes: at 256 KiB each, more than the system keeps of
/// one (Linux's `tcp_rmem`, 6 MiB).
const LAST_READS: usize = 32;
/// Questions of the peer that may wait for the application: what the engine lets through at most.
const REQUESTS: usize = limits::GLOBAL_REQUESTS_PENDING + limits::OPENS_PENDING;
/// Numbers of questions about forwards begin here; below are those of channels.
const FIRST_QUESTION: u64 = 1 << 32;
/// Allowance that is kept when it is not used, so that the next stream finds some.
const KEPT_BYTES: u64 = 2 << 20;

impl<S: Carrier> Driver<S> {
    /// The task of a connection whose login is done, and the application's end of it.
    pub(super) fn new(turn: Turn<S>, requests: mpsc::Receiver<PeerRequest>) -> (Connection, Self) {
        let (handle, desk) = Handle::pair();
        let connection = Connection {
            transport: Arc::new(handle),
            requests,
        };
        (connection, Self { desk, turn })
    }

    /// At a server: what the certificates of the login hold the client to. When their time is over,
    /// the owner has to close the connection. `None` at a client.
    pub fn restrictions(&self) -> Option<&Restrictions> {
        self.turn.engine.restrictions()
    }

    /// Runs the connection to its end, and says what that was.
    ///
    /// # Cancel safety
    /// Dropping it ends the connection at once; streams end as lost.
    pub async fn run(self) -> ConnectionEnd {
        self.run_counted().await.0
    }

    /// The same, and says what the connection has cost this end.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_counted(self) -> (ConnectionEnd, Tally) {
        let Self { mut desk, mut turn } = self;
        let end = loop {
            tokio::select! {
                biased;
                error = poll_fn(|cx| turn.poll(cx)) => break ended(&error),
                reason = closed(&mut desk.close) => break turn.close(reason).await,
                // What waits for a place waits in its visitor's own task.
                command = desk.commands.recv(), if turn.streams.opening() < limits::OPENS_PENDING => match command {
                    Some(command) => turn.command(command),
                    None => break turn.close(CloseReason::Stopping).await,
                },
            }
        };
        desk.end.send_replace(Some(end.clone()));
        let tally = turn.tally();
        tracing::debug!(%tally, "connection's costs");
        (end, tally)
    }
}

impl<S> fmt::Debug for Driver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("engine", &self.turn.engine)
            .finish_non_exhaustive()
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

/// Waits for the order to close; its sender being dropped is no order.
async fn closed(close: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let reason = close
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|reason| *reason);
    match reason {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every end but one in good order is a loss"
)]
fn ended(error: &ConnectionError) -> ConnectionEnd {
    match error {
        ConnectionError::Disconnected { code: 11, text } => ConnectionEnd::Theirs {
            text: text.to_string(),
        },
        other => ConnectionEnd::Lost(Arc::new(other.clone())),
    }
}

impl<S: Carrier> Turn<S> {
    pub(super) fn new(
        engine: Engine,
        io: S,
        memory: Memory,
    ) -> (Self, mpsc::Receiver<PeerRequest>) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let grant = memory.budget.take(0);
        let turn = Self {
            engine,
            socket: Socket::new(io),
            timer: Box::pin(tokio::time::sleep_until(tokio::time::Instant::now())),
            key_pair: KeyPair::default(),
            memory,
            grant,
            streams: Streams::default(),
            dirty: Arc::new(DirtyList::new()),
            dirty_now: Vec::new(),
            answers: Arc::new(Answers::new()),
            answers_now: Vec::new(),
            requests,
            asked: HashMap::new(),
            questions: HashMap::new(),
            next_question: FIRST_QUESTION,
        };
        (turn, receiver)
    }

    /// Does everything that can be done now. Ready only when the connection is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ConnectionError> {
        for _ in 0..ROUNDS {
            let mut moved = self.applications(cx);
            match self.poll_engine(cx) {
                Ok(has_moved) => moved |= has_moved,
                Err(error) => {
                    // What arrived before the end goes to its streams before it.
                    self.events();
                    return Poll::Ready(error);
                }
            }
            moved |= self.events();
            self.streams.report_sealed();
            if !moved {
                return Poll::Pending;
            }
            self.streams.turn();
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn tally(&self) -> Tally {
        let mut tally = self.streams.tally();
        let copied = self.engine.copied();
        tally.copied_bytes = tally.copied_bytes.saturating_add(copied);
        tally.copied(self.socket.copied());
        tally
    }

    /// Timers, reading and writing: what a connection does whether or not it is logged in. Says
    /// whether anything happened.
    pub(super) fn poll_engine(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        let mut moved = self.poll_timer(cx)?;
        match self.poll_read(cx) {
            Ok(has_moved) => moved |= has_moved,
            Err(error) => {
                // What there is to say is said once, if the socket takes it at once.
                drop(self.socket.poll_write(cx, &mut self.engine));
                return Err(error);
            }
        }
        moved |= self.socket.poll_write(cx, &mut self.engine)?;
        if self.socket.is_deaf() {
            // The peer takes nothing more, but what it sent before it hung up may still be here.
            for _ in 0..LAST_READS {
                if !self.poll_read(cx)? {
                    break;
                }
            }
            return Err(self.engine.end_of_input());
        }
        Ok(moved)
    }

    /// Handles what the engine has to tell. Says whether there was anything.
    fn events(&mut self) -> bool {
        let mut moved = false;
        while let Some(event) = self.engine.poll_event() {
            self.event(event);
            moved = true;
        }
        moved
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        let Some(deadline) = self.engine.next_deadline() else {
            return Ok(false);
        };
        let deadline = tokio::time::Instant::from_std(deadline);
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return Ok(false);
        }
        self.engine.handle_timeout(now())?;
        Ok(true)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Result<bool, ConnectionError> {
        if !self.engine.wants_read() {
            return Ok(false);
        }
        let mut buffer = self.memory.buffers.take();
        let result = self.socket.poll_read(cx, &mut self.engine, &mut buffer);
        self.memory.buffers.give_back(buffer);
        result
    }

    /// What the applications want, answer and did.
    fn applications(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if let Poll::Ready((kex, pair)) = self.key_pair.poll(cx) {
            self.engine.give_key_pair(kex, pair);
        }
        let now = now();
        let mut answers = std::mem::take(&mut self.answers_now);
        if self.answers.poll_take(cx, &mut answers).is_ready() {
            moved = true;
            for (number, verdict) in answers.drain(..) {
                self.answered(number, verdict);
            }
        }
        self.answers_now = answers;
        if self.dirty.poll_take(cx, &mut self.dirty_now).is_ready() {
            moved = true;
            let before = self.streams.len();
            for number in self.dirty_now.drain(..) {
                self.streams.news(number, &mut self.engine, now);
            }
            if self.streams.len() < before {
                self.give_back_allowance();
            }
        }
        moved
    }

    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "what belongs to the login is over"
    )]
    fn event(&mut self, event: Event) {
        match event {
            Event::Readable { channel } => self.streams.deliver(channel, &mut self.engine, now()),
            Event::Sealed { channel, bytes } => self.streams.sealed(channel, bytes),
            Event::Ended { channel } => self.streams.ended(channel),
            Event::Closed { channel, was_cut } => {
                // What came before the end is handed over before it.
                self.streams.deliver(channel, &mut self.engine, now());
                self.streams.closed(channel, was_cut);
                self.give_back_allowance();
            }
            Event::Lost { channel } => {
                self.streams.lost(channel);
                self.give_back_allowance();
            }
            Event::ChannelOpened { channel } => {
                self.streams.opened(channel);
                self.streams.news(channel.number(), &mut self.engine, now());
            }
            Event::ChannelRefused {
                channel,
                failure,
                text,
            } => {
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
                let number = self.next_question;
                self.next_question = self.next_question.saturating_add(1);
                self.questions.insert(number, id);
                let answer = ForwardAnswer::new(number, Arc::clone(&self.answers));
                self.ask(PeerRequest::Forward(ForwardRequest {
                    bind: bind(forward),
                    answer,
                }));
            }
            Event::ForwardCancelled { forward } => {
                let number = self.next_question;
                self.next_question = self.next_question.saturating_add(1);
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
            Event::WantsAllowance { bytes } => {
                self.raise_allowance(bytes);
            }
            Event::ChannelRequest {
                channel,
                want_reply: true,
                ..
            } => {
                self.engine.answer_channel_request(channel, false);
            }
            Event::WantsKeyPair { kex, method } => self.key_pair.make(kex, method),
            Event::Rekeyed { took } => tracing::debug!(?took, "keys were renewed"),
            // Of the login, which is over; of the host's keys, which nobody here learns; and what
            // only this task's own keep-alive wants to know.
            _ => {}
        }
    }

    /// Leaves a question for the application. A queue without room gives it back, and dropping it
    /// refuses.
    fn ask(&self, request: PeerRequest) {
        drop(self.requests.try_send(request));
    }

    fn channel_asked(&mut self, channel: ChannelId, kind: ChannelKind) {
        if !is_stream(&kind) {
            self.engine
                .refuse_channel(channel, OpenFailure::Prohibited, "no sessions here");
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

    /// An application answered a question of the peer.
    fn answered(&mut self, number: u64, verdict: Verdict) {
        if let Some(id) = self.questions.remove(&number) {
            self.engine.answer_forward(
                id,
                match verdict {
                    Verdict::Port(port) => EngineAnswer::Granted { port },
                    Verdict::Yes => EngineAnswer::Granted { port: 0 },
                    Verdict::No { .. } => EngineAnswer::Refused,
                },
            );
            return;
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
                    self.streams.remove(channel.number());
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
                self.streams.remove(channel.number());
            }
        }
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Open { head, reply } => {
                let opened = self.window().ok_or(OpenFailure::ResourceShortage);
                match opened.and_then(|window| self.engine.open_channel(&kind(head), window)) {
                    Ok(channel) => {
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
        }
    }

    /// A window for a new channel, with the allowance that it needs.
    fn window(&mut self) -> Option<u32> {
        let promised = self.engine.promised();
        let held = u64::try_from(self.grant.bytes()).unwrap_or(u64::MAX);
        let left = u64::try_from(self.memory.budget.left()).unwrap_or(u64::MAX);
        let most = held.saturating_add(left).min(self.memory.connection_bytes);
        let to_come = limits::CHANNELS.saturating_sub(self.engine.channels());
        let window = initial_window(most.saturating_sub(promised), to_come)?;
        let wanted = promised.saturating_add(window.into());
        if wanted > held && !self.raise_allowance(wanted.saturating_sub(held)) {
            return None;
        }
        Some(window)
    }

    /// Takes more of the budget; says whether all of it came.
    fn raise_allowance(&mut self, bytes: u64) -> bool {
        let held = u64::try_from(self.grant.bytes()).unwrap_or(u64::MAX);
        let most = self.memory.connection_bytes.saturating_sub(held);
        let wanted = bytes.min(most);
        let came = self
            .grant
            .grow(usize::try_from(wanted).unwrap_or(usize::MAX));
        let held = u64::try_from(self.grant.bytes()).unwrap_or(u64::MAX);
        self.engine.set_allowance(held);
        u64::try_from(came).is_ok_and(|came| came >= bytes)
    }

    /// Gives back what closed channels do not need any more.
    fn give_back_allowance(&mut self) {
        let promised = self.engine.promised();
        let held = u64::try_from(self.grant.bytes()).unwrap_or(u64::MAX);
        let spare = held.saturating_sub(promised);
        let kept = if self.streams.len() == 0 {
            0
        } else {
            KEPT_BYTES
        };
        if spare > kept {
            self.grant
                .give_back(usize::try_from(spare.saturating_sub(kept)).unwrap_or(usize::MAX));
            self.engine
                .set_allowance(u64::try_from(self.grant.bytes()).unwrap_or(u64::MAX));
        }
    }

    /// Says goodbye, if the socket takes it at once.
    async fn close(&mut self, reason: CloseReason) -> ConnectionEnd {
        self.engine.close();
        poll_fn(|cx| {
            // What fails now fails to say goodbye, and that is all.
            drop(self.socket.poll_write(cx, &mut self.engine));
            Poll::Ready(())
        })
        .await;
        ConnectionEnd::Ours(reason)
    }
}
