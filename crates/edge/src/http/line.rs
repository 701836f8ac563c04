//! What the two sides of an HTTP/1.1 connection tell each other: who reads its bytes, and who answers its requests.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::time::Instant;

use super::frame::BadRequest;

/// One connection.
#[derive(Debug)]
pub(crate) struct Line {
    began: Instant,
    /// When the head began that is not whole yet, in milliseconds and one more; 0 where none has.
    head: AtomicU64,
    /// When something was last done, in milliseconds.
    active: AtomicU64,
    /// Requests that are being answered.
    busy: AtomicU32,
    /// Heads that were handed on, in all.
    heads: AtomicU64,
    /// Requests that were begun to be answered, in all.
    requests: AtomicU64,
    /// Of those, the ones whose answer's last byte was given away.
    answered: AtomicU64,
    /// Since when the socket takes nothing, in milliseconds and one more; 0 where it does.
    stuck: AtomicU64,
    /// Whether the visitor has said its last byte.
    is_silent: AtomicBool,
    /// Whether an answer broke off within.
    is_cut: AtomicBool,
    /// The request that is none, by its number, and why.
    refused: Mutex<Option<(u64, BadRequest)>>,
    protocol: AtomicU8,
    /// Whether whoever reads has something that waits for the end of an answer.
    is_awaited: AtomicBool,
    reader: AtomicWaker,
}

/// Another protocol: not decided, granted, not granted.
const UNDECIDED: u8 = 0;
const GRANTED: u8 = 1;
const DENIED: u8 = 2;

impl Line {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            head: AtomicU64::new(0),
            active: AtomicU64::new(0),
            busy: AtomicU32::new(0),
            heads: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            stuck: AtomicU64::new(0),
            is_silent: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            refused: Mutex::new(None),
            protocol: AtomicU8::new(UNDECIDED),
            is_awaited: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Bytes of a head have come, and more have to.
    pub(crate) fn head_begins(&self) {
        if self.head.load(Ordering::Relaxed) == 0 {
            self.head
                .store(self.now().saturating_add(1), Ordering::Relaxed);
        }
    }

    /// A whole head is handed on.
    pub(crate) fn head_ends(&self) {
        self.head.store(0, Ordering::Relaxed);
        self.heads.fetch_add(1, Ordering::Relaxed);
    }

    /// What is handed on next is no request, and stands for one that was refused.
    pub(crate) fn refuse(&self, why: BadRequest) {
        self.head_ends();
        let number = self.heads.load(Ordering::Relaxed);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some((number, why));
    }

    /// A request is to be answered: whether it is one.
    pub(crate) fn begin(&self) -> Result<(), BadRequest> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        let number = self
            .requests
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        // Nobody refuses a request and reads another one.
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        match *refused {
            Some((refused, why)) if refused == number => Err(why),
            _ => Ok(()),
        }
    }

    /// An answer's last byte was given away, or its visitor has left.
    pub(crate) fn end(&self) {
        self.active.store(self.now(), Ordering::Relaxed);
        self.busy.fetch_sub(1, Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::SeqCst);
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            self.reader.wake();
        }
    }

    /// Whether a head was handed on whose answer is not given away yet.
    pub(crate) fn is_answering(&self) -> bool {
        self.heads.load(Ordering::Relaxed) != self.answered.load(Ordering::SeqCst)
    }

    /// The same, and wakes whoever asks when that changes. Who only waits for the socket need not be woken: that
    /// wakes it anyhow, and a wake for nothing costs every request a turn of its connection.
    pub(crate) fn await_answer(&self, waker: &std::task::Waker) -> bool {
        self.reader.register(waker);
        self.is_awaited.store(true, Ordering::SeqCst);
        self.is_answering()
    }

    /// The socket takes nothing more for now.
    pub(crate) fn sticks(&self) {
        if self.stuck.load(Ordering::Relaxed) == 0 {
            self.stuck
                .store(self.now().saturating_add(1), Ordering::Relaxed);
        }
    }

    /// The socket has taken something.
    pub(crate) fn moves(&self) {
        if self.stuck.load(Ordering::Relaxed) != 0 {
            self.stuck.store(0, Ordering::Relaxed);
        }
        if self.is_silent.load(Ordering::Relaxed) {
            self.active.store(self.now(), Ordering::Relaxed);
        }
    }

    /// For how long the socket has taken nothing of what waits; nothing where it does.
    pub(crate) fn stuck(&self) -> Option<Duration> {
        let since = self.stuck.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.now().saturating_sub(since)))
    }

    /// The visitor has said its last byte, while something is answered.
    pub(crate) fn falls_silent(&self) {
        self.active.store(self.now(), Ordering::Relaxed);
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// For how long nothing went to a visitor who has said its last byte: it may have left.
    pub(crate) fn silence(&self) -> Option<Duration> {
        let active = self.active.load(Ordering::Relaxed);
        let is_silent = self.is_silent.load(Ordering::Relaxed);
        is_silent.then(|| Duration::from_millis(self.now().saturating_sub(active)))
    }

    /// An answer broke off within.
    pub(crate) fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
    }

    /// Whether one has.
    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Since when a head is on its way; nothing where none is.
    pub(crate) fn head_age(&self) -> Option<Duration> {
        let began = self.head.load(Ordering::Relaxed).checked_sub(1)?;
        Some(Duration::from_millis(self.now().saturating_sub(began)))
    }

    /// For how long nothing has been asked; nothing while something is answered.
    pub(crate) fn idle(&self) -> Option<Duration> {
        let active = self.active.load(Ordering::Relaxed);
        let is_idle = self.busy.load(Ordering::Relaxed) == 0;
        is_idle.then(|| Duration::from_millis(self.now().saturating_sub(active)))
    }

    /// Whether the other protocol that was asked for is granted.
    pub(crate) fn decide(&self, is_granted: bool) {
        let decided = if is_granted { GRANTED } else { DENIED };
        self.protocol.store(decided, Ordering::Release);
        self.reader.wake();
    }

    /// What was decided, once.
    pub(crate) fn decided(&self, waker: &std::task::Waker) -> Option<bool> {
        self.reader.register(waker);
        match self.protocol.swap(UNDECIDED, Ordering::AcqRel) {
            GRANTED => Some(true),
            DENIED => Some(false),
            _ => None,
        }
    }
}
