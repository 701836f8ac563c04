//! Which address is tried when, and which attempt is given up for another: pure, without a socket, a clock and
//! chance.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use crate::agent::haste::{self, Pace};

/// Head start of an address before the next is tried too (RFC 8305 section 8).
pub(super) const HEAD_START: Duration = Duration::from_millis(250);
/// How long a peer's address may say nothing before it is tried once more beside, where there is no haste. The
/// system repeats what was lost after 1, 3, 7 and 15 s (Linux before 6.5), and who waits for a line that is
/// back after a minute should not wait for the last of these.
const ANEW: Duration = Duration::from_secs(3);
/// Connects to one address that are out at a time in haste. The first of them stays, for a path that has become
/// slower than anybody knows; the others make room.
pub(super) const OUT: usize = 4;

/// Addresses of a name, and the connects that are out.
#[derive(Debug)]
pub(super) struct Rota {
    /// Those whose turn comes next, each after the head start of the one before.
    next: VecDeque<SocketAddr>,
    /// Those that were asked and have said nothing, who was asked longest ago first.
    silent: VecDeque<SocketAddr>,
    out: VecDeque<Connect>,
    pace: Pace,
    /// How long a connect took when the line was well.
    took: Duration,
    due: Option<Instant>,
    count: u64,
}

/// A connect that is to be begun, or is out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connect {
    /// Its number: no two have the same.
    pub(super) number: u64,
    /// Where to.
    pub(super) addr: SocketAddr,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn {
    /// It begins.
    pub(super) begins: Connect,
    /// It is given up.
    pub(super) gives_up: Option<u64>,
}

impl Rota {
    /// The first is due at once.
    pub(super) fn new(
        addrs: VecDeque<SocketAddr>,
        pace: Pace,
        took: Duration,
        now: Instant,
    ) -> Self {
        Self {
            due: (!addrs.is_empty()).then_some(now),
            next: addrs,
            silent: VecDeque::new(),
            out: VecDeque::new(),
            pace,
            took,
            count: 0,
        }
    }

    /// When there is something to do next, unless a connect fails before.
    pub(super) const fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whose turn it is, if it is somebody's.
    pub(super) fn turn(&mut self, now: Instant, chance: u64) -> Option<Turn> {
        self.due.take_if(|due| *due <= now)?;
        if self.next.is_empty() {
            match self.pace {
                Pace::Once => {}
                Pace::Steady => self.next.append(&mut self.silent),
                Pace::Hasty => self.next.extend(self.silent.pop_front()),
            }
        }
        let addr = self.next.pop_front()?;
        self.silent.push_back(addr);
        let pause = match (self.next.is_empty(), self.pace) {
            (false, _) => Some(HEAD_START),
            (true, Pace::Once) => None,
            (true, Pace::Steady) => Some(ANEW),
            (true, Pace::Hasty) => Some(haste::between(self.silent.len(), self.took, chance)),
        };
        self.due = pause.and_then(|pause| now.checked_add(pause));
        let gives_up = (self.pace == Pace::Hasty).then(|| self.make_room(addr));
        self.count = self.count.saturating_add(1);
        let begins = Connect {
            number: self.count,
            addr,
        };
        self.out.push_back(begins);
        self.check();
        Some(Turn {
            begins,
            gives_up: gives_up.flatten(),
        })
    }

    /// A connect has failed. An address that answered so is left alone; in haste, one that was not found is
    /// tried on.
    pub(super) fn failed(&mut self, number: u64, was_refused: bool, now: Instant) {
        let at = self.out.iter().position(|out| out.number == number);
        let Some(failed) = at.and_then(|at| self.out.remove(at)) else {
            return;
        };
        if was_refused || self.pace != Pace::Hasty {
            self.silent.retain(|addr| *addr != failed.addr);
            self.next.retain(|addr| *addr != failed.addr);
        }
        if !self.next.is_empty() {
            self.due = Some(now);
        } else if self.silent.is_empty() {
            self.due = None;
        }
    }

    /// Gives up the second oldest connect to an address to which there are as many as may be.
    fn make_room(&mut self, addr: SocketAddr) -> Option<u64> {
        let is_there = |out: &&Connect| out.addr == addr;
        let count = self.out.iter().filter(is_there).count();
        if count < OUT {
            return None;
        }
        let number = self.out.iter().filter(is_there).nth(1)?.number;
        self.out.retain(|out| out.number != number);
        Some(number)
    }

    fn check(&self) {
        debug_assert!(
            self.pace != Pace::Hasty
                || self.out.iter().all(|one| {
                    self.out.iter().filter(|out| out.addr == one.addr).count() <= OUT
                }),
            "too many connects are out: {self:?}"
        );
    }
}

#[cfg(test)]
mod tests;
