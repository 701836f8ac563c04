//! Two transports joined in this process: the same byte streams, without a wire.
//!
//! For tests of everything that stands above a transport, and the first to keep the promises of the
//! contract suite. Blocks move from one end's queue to the other's; nothing is copied.

use std::collections::HashMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use adit_ssh::block::Pool;
use tokio::sync::{mpsc, oneshot};
use tracing::trace;

use super::handle::{Command, Desk, Handle, asked};
use super::mailbox::DirtyList;
use super::request::{
    Answers, CancelAnswer, CancelRequest, ForwardAnswer, ForwardRequest, OpenAnswer, OpenRequest,
    PeerRequest, Requests, Verdict,
};
use super::stream::{AppEnd, StreamDriver, StreamEnd};
use super::{ByteStream, CloseReason, Connection, ConnectionEnd, ForwardError, OpenError};

/// A connection of two ends within this process. Its streams move while [`run`](Driver::run) is
/// polled.
pub fn pair() -> (Connection, Connection, Driver) {
    join(Handle::pair(), Handle::pair())
}

/// The same of two ends that take each other for an adit.
pub fn own_pair() -> (Connection, Connection, Driver) {
    let own = || {
        let (handle, desk) = Handle::pair();
        (handle.with_own_peer(), desk)
    };
    join(own(), own())
}

fn join(first: (Handle, Desk), second: (Handle, Desk)) -> (Connection, Connection, Driver) {
    let pool = Pool::new(RETAINED_BLOCKS);
    let (first, first_side) = Side::new(first);
    let (second, second_side) = Side::new(second);
    let driver = Driver {
        sides: [first_side, second_side],
        links: Links {
            pool,
            channels: HashMap::new(),
            asked: HashMap::new(),
            next: 0,
        },
    };
    (first, second, driver)
}

/// The task of both ends.
pub struct Driver {
    sides: [Side; 2],
    links: Links,
}

/// What the task knows of one end.
struct Side {
    desk: Desk,
    dirty: Arc<DirtyList>,
    answers: Arc<Answers>,
    requests: mpsc::Sender<Box<PeerRequest>>,
}

struct Links {
    pool: Pool,
    channels: HashMap<u32, Channel>,
    /// Questions about forwards by number; who asked waits at the sender.
    asked: HashMap<u64, (oneshot::Sender<Result<u16, ForwardError>>, u16)>,
    next: u32,
}

/// A stream between the two ends.
struct Channel {
    halves: [Half; 2],
    /// While the other end has not answered: the opener's stream and where it goes.
    opening: Option<(ByteStream, oneshot::Sender<Result<ByteStream, OpenError>>)>,
}

struct Half {
    driver: StreamDriver,
    /// The other half got EOF or a reset, and nothing more can follow.
    is_done: bool,
}

/// What woke the task.
enum Turn {
    Close(CloseReason),
    Asked(u64),
    Command(Command),
    Answers(Vec<(u64, Verdict)>),
    Dirty(Vec<u32>),
}

/// Which end.
#[derive(Clone, Copy)]
enum Which {
    First,
    Second,
}

/// Bytes that a reader may be behind: the window that SSH ends begin with.
const WINDOW: usize = 2_097_152;
/// Streams of one connection at once, as `adit_ssh::limits::CHANNELS_HARD`.
const CHANNELS: usize = 4_096;
/// Questions that may wait for an end.
const REQUESTS: usize = 1_280;
/// Free blocks that are kept: 2 MiB.
const RETAINED_BLOCKS: usize = 56;
/// Most bytes in one block, as SSH's packets.
const PACKET: usize = 32_768;

impl Driver {
    /// Moves what there is to move until one end closes or is dropped. Both ends are told why.
    ///
    /// # Cancel safety
    ///
    /// Dropping it ends the connection as abandoned.
    pub async fn run(mut self) {
        let (closer, reason) = loop {
            let [first, second] = &mut self.sides;
            let (which, turn) = tokio::select! {
                turn = first.next() => (Which::First, turn),
                turn = second.next() => (Which::Second, turn),
            };
            let (asker, other) = match which {
                Which::First => (&*first, &*second),
                Which::Second => (&*second, &*first),
            };
            match turn {
                Turn::Close(reason) => break (which, reason),
                Turn::Asked(question) => {
                    asker.desk.life.send_modify(|life| life.heard = question);
                }
                Turn::Command(command) => self.links.command(which, command, asker, other),
                Turn::Answers(answers) => {
                    for (number, verdict) in answers {
                        self.links.answered(number, verdict);
                    }
                }
                Turn::Dirty(channels) => {
                    for channel in channels {
                        self.links.pump(channel);
                    }
                }
            }
        };
        drop(self.links);
        let [first, second] = self.sides;
        let (ours, theirs) = match closer {
            Which::First => (first, second),
            Which::Second => (second, first),
        };
        theirs.desk.end.send_replace(Some(ConnectionEnd::Theirs {
            text: reason.to_string(),
        }));
        ours.desk
            .end
            .send_replace(Some(ConnectionEnd::Ours(reason)));
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Driver({} streams)", self.links.channels.len())
    }
}

impl Side {
    fn new((handle, desk): (Handle, Desk)) -> (Connection, Self) {
        let (requests, requests_receiver) = mpsc::channel(REQUESTS);
        let connection = Connection {
            transport: Arc::new(handle),
            requests: Requests::new(requests_receiver),
        };
        let side = Self {
            desk,
            dirty: Arc::new(DirtyList::new()),
            answers: Arc::new(Answers::new()),
            requests,
        };
        (connection, side)
    }

    /// Cancel safe: whatever is taken is returned at once.
    async fn next(&mut self) -> Turn {
        let (mut answers, mut dirty) = (Vec::new(), Vec::new());
        tokio::select! {
            biased;
            // What was written before the order to close goes ahead of it, as over SSH.
            () = poll_fn(|cx| self.answers.poll_take(cx, &mut answers)) => Turn::Answers(answers),
            () = poll_fn(|cx| self.dirty.poll_take(cx, &mut dirty)) => Turn::Dirty(dirty),
            reason = closed(&mut self.desk.close) => Turn::Close(reason),
            question = asked(&mut self.desk.asked) => Turn::Asked(question),
            command = self.desk.commands.recv() => match command {
                Some(command) => Turn::Command(*command),
                None => Turn::Close(CloseReason::Stopping),
            },
        }
    }
}

/// Waits for the order to close. The handle that was dropped gives none; its commands end instead.
async fn closed(close: &mut tokio::sync::watch::Receiver<Option<CloseReason>>) -> CloseReason {
    let reason = close.wait_for(Option::is_some).await;
    let reason = reason.ok().and_then(|reason| reason.clone());
    match reason {
        Some(reason) => reason,
        None => std::future::pending().await,
    }
}

impl Links {
    fn command(&mut self, which: Which, command: Command, asker: &Side, other: &Side) {
        match command {
            Command::Open { head, reply } => {
                if self.channels.len() >= CHANNELS {
                    answer_with(reply, Err(OpenError::Shortage));
                    return;
                }
                let channel = self.number();
                let (near, near_driver) =
                    ByteStream::pair(channel, PACKET, self.pool.clone(), asker.dirty.clone());
                let (far, far_driver) =
                    ByteStream::pair(channel, PACKET, self.pool.clone(), other.dirty.clone());
                let answer = OpenAnswer::new(u64::from(channel), other.answers.clone(), far);
                let request = PeerRequest::Open(OpenRequest { head, answer });
                self.channels.insert(
                    channel,
                    Channel {
                        halves: match which {
                            Which::First => [Half::new(near_driver), Half::new(far_driver)],
                            Which::Second => [Half::new(far_driver), Half::new(near_driver)],
                        },
                        opening: Some((near, reply)),
                    },
                );
                // A queue without room gives the request back, and dropping it refuses.
                drop(other.requests.try_send(Box::new(request)));
            }
            Command::Forward { bind, reply } => {
                let number = u64::from(self.number());
                let answer = ForwardAnswer::new(number, other.answers.clone());
                self.asked
                    .insert(number, (reply, bind.port().unwrap_or_default()));
                let request = PeerRequest::Forward(ForwardRequest { bind, answer });
                drop(other.requests.try_send(Box::new(request)));
            }
            Command::Cancel { bind, reply } => {
                let number = u64::from(self.number());
                let answer = CancelAnswer::new(number, other.answers.clone());
                self.asked
                    .insert(number, (reply, bind.port().unwrap_or_default()));
                let request = PeerRequest::Cancel(CancelRequest { bind, answer });
                drop(other.requests.try_send(Box::new(request)));
            }
            // There is no person.
            Command::Say(_) => {}
        }
    }

    fn answered(&mut self, number: u64, verdict: Verdict) {
        if let Some((reply, asked_port)) = self.asked.remove(&number) {
            let answer = match verdict {
                Verdict::Yes => Ok(asked_port),
                Verdict::Port(port) => Ok(port),
                Verdict::No { .. } | Verdict::Complaint(_) => Err(ForwardError::Refused),
            };
            answer_with(reply, answer);
            return;
        }
        let Ok(number) = u32::try_from(number) else {
            return;
        };
        let opening = self
            .channels
            .get_mut(&number)
            .and_then(|channel| channel.opening.take());
        let Some((stream, reply)) = opening else {
            return;
        };
        match verdict {
            Verdict::Yes | Verdict::Port(_) => {
                answer_with(reply, Ok(stream));
                self.pump(number);
            }
            Verdict::No { code, reason } => {
                self.channels.remove(&number);
                answer_with(reply, Err(OpenError::Refused { code, reason }));
            }
            // Of sessions, which there are none of here.
            Verdict::Complaint(_) => {}
        }
    }

    /// Moves what one stream has to move, both ways.
    fn pump(&mut self, number: u32) {
        let Some(channel) = self.channels.get_mut(&number) else {
            return;
        };
        if channel.opening.is_some() {
            // What the far end writes already waits for its own answer.
            return;
        }
        let [first, second] = &mut channel.halves;
        first.pump_to(second);
        second.pump_to(first);
        if first.is_done && second.is_done {
            self.channels.remove(&number);
        }
    }

    fn number(&mut self) -> u32 {
        loop {
            self.next = self.next.wrapping_add(1);
            let is_free = !self.channels.contains_key(&self.next)
                && !self.asked.contains_key(&u64::from(self.next));
            if is_free {
                return self.next;
            }
        }
    }
}

/// Answers whoever waits. For a visitor who is gone a stream comes back, and dropping it resets.
fn answer_with<T>(reply: oneshot::Sender<T>, answer: T) {
    if reply.send(answer).is_err() {
        trace!("nobody waits for the answer any more");
    }
}

impl Half {
    const fn new(driver: StreamDriver) -> Self {
        Self {
            driver,
            is_done: false,
        }
    }

    /// Moves what this half has written to `other`'s reader, as far as that one takes it.
    fn pump_to(&mut self, other: &mut Self) {
        let news = self.driver.news();
        let mut room = WINDOW.saturating_sub(other.driver.news().inbound);
        let mut moved: usize = 0;
        while let Some(block) = self.driver.take_block(room.min(PACKET)) {
            moved = moved.saturating_add(block.len());
            room = room.saturating_sub(block.len());
            other.driver.push(block);
        }
        self.driver.sealed(moved);
        let is_empty = moved >= news.outbound;
        match news.end {
            AppEnd::Shut | AppEnd::Closed if is_empty => {
                other.driver.push_eof();
                self.is_done = true;
                if news.end == AppEnd::Closed {
                    // Like a CLOSE: who still writes to it is told.
                    other.driver.stop_output(StreamEnd::Reset);
                    other.is_done = true;
                }
            }
            AppEnd::Reset => {
                other.driver.reset(StreamEnd::Reset);
                self.is_done = true;
                other.is_done = true;
            }
            AppEnd::Open | AppEnd::Shut | AppEnd::Closed => {}
        }
    }
}
