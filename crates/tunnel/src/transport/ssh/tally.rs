//! What a connection has cost its end, counted as it goes: a few additions a turn, in the task's own
//! memory.

use std::fmt;

/// What one connection has cost so far, at this end.
///
/// The promise is one copy of a byte at most, and one wake for a stream and turn.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes of streams, both ways.
    pub payload_bytes: u64,
    /// Bytes that were copied from memory to memory: payload between blocks or by an application
    /// that reads and writes instead of taking chunks, and the beginnings of packets that wait for
    /// their rest. What ciphers and the kernel do is not in it.
    pub copied_bytes: u64,
    /// Turns of the task in which something moved.
    pub turns: u64,
    /// Streams served, summed over the turns.
    pub stream_turns: u64,
    /// Wakes of applications that waited for a stream.
    pub wakes: u64,
}

impl Tally {
    pub(super) fn payload(&mut self, bytes: usize) {
        add(&mut self.payload_bytes, bytes);
    }

    pub(super) fn copied(&mut self, bytes: usize) {
        add(&mut self.copied_bytes, bytes);
    }

    pub(super) fn woke(&mut self, wakes: usize) {
        add(&mut self.wakes, wakes);
    }

    pub(super) fn turn(&mut self) {
        add(&mut self.turns, 1);
    }

    pub(super) fn stream_turn(&mut self) {
        add(&mut self.stream_turns, 1);
    }
}

fn add(sum: &mut u64, count: usize) {
    *sum = sum.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
}

impl fmt::Display for Tally {
    /// As the bench reads it: `payload_bytes=1 copied_bytes=2 turns=3 stream_turns=4 wakes=5`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            payload_bytes,
            copied_bytes,
            turns,
            stream_turns,
            wakes,
        } = self;
        write!(
            f,
            "payload_bytes={payload_bytes} copied_bytes={copied_bytes} turns={turns} \
             stream_turns={stream_turns} wakes={wakes}"
        )
    }
}
