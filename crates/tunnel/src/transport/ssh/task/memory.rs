//! The memory of connections, and what of it one of them may promise its peer.

use adit_ssh::flow::initial_window;
use adit_ssh::limits;

use super::Turn;
use crate::budget::Budget;
use crate::transport::ssh::read::ReadBuffers;

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

/// Allowance that is kept when it is not used, so that the next stream finds some.
const KEPT_BYTES: u64 = 2 << 20;

impl<S> Turn<S> {
    /// A window for a new channel, with the allowance that it needs.
    pub(super) fn window(&mut self) -> Option<u32> {
        let promised = self.engine.promised();
        let held = u64::try_from(self.grant.bytes()).unwrap_or(u64::MAX);
        let to_come = limits::CHANNELS.saturating_sub(self.engine.channels());
        let of = |left: usize| {
            let most = held.saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
            let most = most.min(self.memory.connection_bytes);
            initial_window(most.saturating_sub(promised), to_come)
        };
        // The reserve is for the least windows alone.
        let least = || of(self.memory.budget.left()).map(|_| limits::WINDOW_MIN);
        let window = of(self.memory.budget.spare()).or_else(least)?;
        let wanted = promised.saturating_add(window.into());
        if wanted > held && !self.raise_allowance(wanted.saturating_sub(held)) {
            return None;
        }
        Some(window)
    }

    /// Takes more of the budget for a window that is to grow, and nothing of the reserve.
    pub(super) fn grow_allowance(&mut self, bytes: u64) {
        let spare = u64::try_from(self.memory.budget.spare()).unwrap_or(u64::MAX);
        self.raise_allowance(bytes.min(spare));
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
    pub(super) fn give_back_allowance(&mut self) {
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
}
