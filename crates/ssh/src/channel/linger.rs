//! Channels that the peer has closed while bytes of it still wait for their reader.
//!
//! They hold memory that nobody can be asked to give back, so they may do so only as long as their
//! reader goes on reading.

use std::collections::VecDeque;
use std::time::Instant;

use crate::limits;

/// When to look at which channel again, earliest first: every wait is equally long.
#[derive(Debug, Default)]
pub(super) struct Linger(VecDeque<(Instant, u32)>);

impl Linger {
    /// The channel's reader is waited for from `since` on.
    pub(super) fn wait(&mut self, since: Instant, local: u32) {
        if let Some(due) = since.checked_add(limits::CLOSE_LINGER) {
            self.0.push_back((due, local));
        }
    }

    /// When to look again. May be earlier than anything is due.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.0.front().map(|(due, _)| *due)
    }

    /// A channel whose time has come, if its reader has taken nothing since.
    pub(super) fn next_due(&mut self, now: Instant) -> Option<u32> {
        let (_, local) = self.0.pop_front_if(|(due, _)| *due <= now)?;
        Some(local)
    }
}
