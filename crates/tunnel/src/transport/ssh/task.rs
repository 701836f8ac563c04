//! The task of one connection.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use adit_ssh::Connection as Engine;
use adit_ssh::certificate::Restrictions;
use adit_ssh::channel::ChannelId;
use adit_ssh::error::ConnectionError;
use adit_ssh::forward::RequestId;
use adit_ssh::limits;
use adit_ssh::version::Ident;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Sleep;

use super::super::handle::{Command, Desk, Handle, Life, asked};
use super::super::mailbox::DirtyList;
use super::super::request::{Answers, PeerRequest, Requests, Verdict};
use super::super::{Bind, CloseReason, Connection, ConnectionEnd, ForwardError, SessionAsk};
use super::carrier::{Carrier, Held};
use super::clock::now;
use super::key_pair::KeyPair;
use super::socket::Socket;
use super::streams::Streams;
use super::tally::Tally;
use crate::budget::Grant;

mod doubt;
mod event;
mod memory;

pub use self::memory::Memory;

/// Drives one connection: the engine, its socket and its streams.
pub struct Driver<S> {
    desk: Desk,
    /// In a box: every future that a driver is handed to would keep room for it, and after it for the next.
    turn: Box<Turn<S>>,
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
    requests: mpsc::Sender<Box<PeerRequest>>,
    /// Our requests for forwards, by the engine's number.
    asked: HashMap<RequestId, oneshot::Sender<Result<u16, ForwardError>>>,
    /// The peer's, by the number that its answer will bear.
    questions: HashMap<u64, Question>,
    /// Streams to be opened for a forward whose answer has yet to be given: a peer refuses those that come before it.
    early: Vec<Command>,
    /// Where what clients ask in their sessions goes, by channel number.
    sessions: HashMap<u32, mpsc::Sender<SessionAsk>>,
    /// What sessions of ours are for, by channel number, while the peer has not granted it.
    purposes: HashMap<u32, Purpose>,
    next_question: u64,
    /// The last question whether the peer is there, while nothing came after it.
    asked_alive: Option<u64>,
    life: watch::Sender<Life>,
}

/// What an answer of the application is about.
#[derive(Debug, Clone)]
enum Question {
    /// A forward, of that bind.
    Forward(RequestId, Bind),
    /// Something asked in a session.
    Session(ChannelId),
}

/// What a session of ours is for.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    /// A subsystem, by its name.
    Subsystem(&'static str),
    /// A command, by its line.
    Command(&'static str),
}

/// Rounds of reading and writing before other tasks get their turn.
const ROUNDS: usize = 2;
/// Reads from a socket that takes no more writes: at 256 KiB each, more than the system keeps of
/// one (Linux's `tcp_rmem`, 6 MiB).
const LAST_READS: usize = 32;
/// Questions of the peer that may wait for the application: what the engine lets through at most.
const REQUESTS: usize = limits::GLOBAL_REQUESTS_PENDING + limits::OPENS_PENDING;
/// Numbers of questions about forwards and in sessions begin here; below are those of channels.
const FIRST_QUESTION: u64 = 1 << 32;

impl<S: Carrier> Driver<S> {
    /// The task of a connection whose login is done, and the application's end of it.
    pub(super) fn new(mut turn: Box<Turn<S>>, requests: Requests) -> (Connection, Self) {
        let (mut handle, desk) = Handle::pair();
        if turn.engine.peer().is_some_and(Ident::is_own) {
            handle = handle.with_own_peer();
        }
        turn.life = desk.life.clone();
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

    /// Whether the peer is an adit too.
    pub fn is_own_peer(&self) -> bool {
        self.turn.engine.peer().is_some_and(Ident::is_own)
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
        let (end, _, turn) = self.drive().await;
        (end, turn.tally())
    }

    /// The same as [`run`](Self::run), and keeps the socket of a peer that has fallen silent.
    ///
    /// # Cancel safety
    /// As [`run`](Self::run).
    pub async fn run_holding(self) -> (ConnectionEnd, Option<Held>)
    where
        S: 'static,
    {
        let (end, is_silent, turn) = self.drive().await;
        let held = is_silent.then(|| Box::new(turn.socket.into_io()).hold());
        (end, held.flatten())
    }

    /// Also says whether the peer had fallen silent, and what is left.
    async fn drive(self) -> (ConnectionEnd, bool, Box<Turn<S>>) {
        let Self { mut desk, mut turn } = self;
        let mut is_silent = false;
        let end = loop {
            tokio::select! {
                biased;
                error = poll_fn(|cx| turn.poll(cx)) => {
                    // Whatever was waited for: it has logged in, and says nothing any more.
                    is_silent = matches!(error, ConnectionError::TimedOut(_));
                    break ended(&error);
                }
                doubt = doubt::doubted(&mut desk.doubt) => if let Some(end) = turn.doubt(&doubt) {
                    is_silent = true;
                    break end;
                },
                question = asked(&mut desk.asked) => turn.ask_alive(question),
                reason = closed(&mut desk.close) => {
                    is_silent = matches!(reason, CloseReason::Silent);
                    break if is_silent {
                        ConnectionEnd::Ours(reason)
                    } else {
                        turn.close(reason).await
                    };
                }
                // What waits for a place waits in its visitor's own task.
                command = desk.commands.recv(), if turn.opening() < limits::OPENS_PENDING => match command {
                    Some(command) => turn.command(*command),
                    None => break turn.close(CloseReason::Stopping).await,
                },
            }
        };
        desk.end.send_replace(Some(end.clone()));
        tracing::debug!(tally = %turn.tally(), "connection's costs");
        (end, is_silent, turn)
    }
}

impl<S> fmt::Debug for Driver<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver")
            .field("engine", &self.turn.engine)
            .finish_non_exhaustive()
    }
}

/// Waits for the order to close; its sender being dropped is no order.
async fn closed(close: &mut watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let reason = close
        .wait_for(Option::is_some)
        .await
        .ok()
        .and_then(|reason| reason.clone());
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
    pub(super) fn new(engine: Engine, io: S, memory: Memory) -> (Box<Self>, Requests) {
        let (requests, receiver) = mpsc::channel(REQUESTS);
        let grant = memory.budget.take(0);
        let turn = Box::new(Self {
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
            early: Vec::new(),
            sessions: HashMap::new(),
            purposes: HashMap::new(),
            next_question: FIRST_QUESTION,
            asked_alive: None,
            life: watch::Sender::new(Life::default()),
        });
        (turn, Requests::new(receiver))
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
            Ok(has_moved) => {
                moved |= has_moved;
                if has_moved {
                    self.heard();
                }
            }
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
        self.streams.deliver_bulk(&mut self.engine, now());
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
        // Taken in this order and handled in the other: what an application said before it ended its
        // stream is heard before that end.
        let has_dirty = self.dirty.poll_take(cx, &mut self.dirty_now).is_ready();
        let mut answers = std::mem::take(&mut self.answers_now);
        if self.answers.poll_take(cx, &mut answers).is_ready() {
            moved = true;
            for (number, verdict) in answers.drain(..) {
                self.answered(number, verdict);
            }
        }
        self.answers_now = answers;
        if has_dirty {
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

    /// Says goodbye, if the socket takes it at once, and waits for a moment until the peer hangs up.
    async fn close(&mut self, reason: CloseReason) -> ConnectionEnd {
        self.engine.close_saying(&reason.to_string());
        poll_fn(|cx| {
            // What fails now fails to say goodbye, and that is all.
            drop(self.socket.poll_write(cx, &mut self.engine));
            Poll::Ready(())
        })
        .await;
        // In a box, so that it takes no room for as long as the connection lasts.
        Box::pin(self.socket.linger()).await;
        ConnectionEnd::Ours(reason)
    }
}
