//! What a listener may cost, and how long it waits.

use std::time::Duration;

use crate::body;

/// The limits of a listener. Any value will do; the usual ones are [`Limits::USUAL`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most connections; others wait to be accepted.
    pub connections: usize,
    /// How long the head of a request may take, the first or, on a connection that is kept, the next.
    pub head: Duration,
    /// The most bytes of a head that is not whole yet, so that one may be a read longer; and the most of
    /// a chunked body's trailers. At least 8,192.
    pub head_bytes: usize,
    /// The most header lines of a head.
    pub headers: usize,
    /// How long a body may take.
    pub body: Duration,
    /// The most bytes of bodies that are read or worked on at the same time, besides one of the largest.
    pub bodies_bytes: usize,
    /// How long a request waits for its turn.
    pub turn: Duration,
    /// How long a connection is kept, whatever it brings.
    pub lifetime: Duration,
    /// How long a connection is read after an answer that came before its request was over.
    pub linger: Duration,
    /// How long those who are there are served after the stop.
    pub drain: Duration,
}

impl Limits {
    /// What every listener of a file has.
    pub const USUAL: Self = Self {
        // A process may have 1,024 descriptors on most systems, and its tunnels and jobs need theirs.
        connections: 256,
        // A head is a packet or two; ten seconds are three retransmissions on a bad line.
        head: Duration::from_secs(10),
        // nginx reads heads of up to 32 KiB, Apache of 8 KiB for each line.
        head_bytes: 32 << 10,
        // Apache's number.
        headers: 100,
        body: body::WITHIN,
        // Sixty-four bodies of the usual limit.
        bodies_bytes: 64 << 20,
        // Senders give up after 10 to 30 seconds.
        turn: Duration::from_secs(30),
        // Longer than any sender keeps one; a bound for one that never reads its answer.
        lifetime: Duration::from_secs(600),
        // The peer reads the answer in that time, or it never will. nginx: 5 s between two reads.
        linger: Duration::from_secs(2),
        // What a service manager waits before it kills is 90 s; requests take milliseconds.
        drain: Duration::from_secs(10),
    };
}
