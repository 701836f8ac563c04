//! Blocks: fixed buffers that carry a packet's bytes from one place to the next without copying.
//!
//! A block belongs to a [`Pool`] and goes back to it when dropped. An idle connection holds none.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits;

/// Bytes in a block: the largest packet with its length field and the longest MAC, rounded up.
pub const BLOCK: usize = 36_864;
/// Bytes in front of channel data: packet length (4), padding length (1), message number (1),
/// channel (4), data length (4).
pub const HEADROOM: usize = 14;
/// Bytes behind channel data: the most padding and the longest MAC.
pub const TAILROOM: usize = 255 + 64;
/// Bytes of channel data that fit a block.
pub const CAPACITY: usize = 32_768;

const _: () = {
    assert!(
        HEADROOM + CAPACITY + TAILROOM <= BLOCK,
        "a data packet fits a block"
    );
    assert!(
        limits::PACKET_LENGTH <= 36_000,
        "a received packet fits a block"
    );
    assert!(
        limits::CHANNEL_PACKET == 32_768,
        "a data packet carries what a block holds"
    );
};

/// Where free blocks wait. Clones share it.
#[derive(Clone)]
pub struct Pool {
    free: Arc<Mutex<Vec<Box<[u8]>>>>,
    retained: usize,
}

impl Pool {
    /// A pool that keeps at most `retained` free blocks; more are given back to the allocator.
    pub fn new(retained: usize) -> Self {
        Self {
            free: Arc::default(),
            retained,
        }
    }

    /// A block with an empty range at its start. Its bytes are whatever the last user left.
    pub fn take(&self) -> Block {
        let free = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        Block {
            bytes: free.unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice()),
            start: 0,
            end: 0,
            pool: self.clone(),
        }
    }

    /// Free blocks that are kept now.
    pub fn free(&self) -> usize {
        self.free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("free", &self.free())
            .field("retained", &self.retained)
            .finish()
    }
}

/// A fixed buffer and the range of it that is meant.
pub struct Block {
    bytes: Box<[u8]>,
    start: usize,
    end: usize,
    pool: Pool,
}

impl Block {
    /// The bytes of the range.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    /// The bytes of the range.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Everything behind the range.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// Where the range begins.
    pub const fn start(&self) -> usize {
        self.start
    }

    /// Bytes in the range.
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the range is empty.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets the range, cut to the block.
    pub fn set_range(&mut self, start: usize, end: usize) {
        debug_assert!(
            start <= end && end <= BLOCK,
            "range {start}..{end} is outside the block"
        );
        self.end = end.min(BLOCK);
        self.start = start.min(self.end);
    }

    /// Takes `count` bytes, at most all, from the front of the range.
    pub fn advance(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Makes the range longer by `count` bytes and gives the new ones; `None` if they do not fit.
    pub fn extend(&mut self, count: usize) -> Option<&mut [u8]> {
        let end = self.end.checked_add(count).filter(|end| *end <= BLOCK)?;
        let new = self.bytes.get_mut(self.end..end);
        self.end = end;
        new
    }

    /// Appends bytes to the range; `false`, and nothing done, if they do not fit.
    #[must_use]
    pub fn append(&mut self, bytes: &[u8]) -> bool {
        self.extend(bytes.len())
            .map(|room| room.copy_from_slice(bytes))
            .is_some()
    }

    /// The pool it came from.
    pub const fn pool(&self) -> &Pool {
        &self.pool
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        // In debug builds a reader of stale bytes sees that they are.
        if cfg!(debug_assertions) {
            bytes.fill(0xa5);
        }
        let mut free = self
            .pool
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if free.len() < self.pool.retained {
            free.push(bytes);
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Block({}..{})", self.start, self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dropped_block_waits_in_its_pool_up_to_the_limit() {
        let pool = Pool::new(2);
        let blocks: Vec<_> = (0..3).map(|_| pool.take()).collect();
        assert_eq!(pool.free(), 0);
        drop(blocks);
        assert_eq!(pool.free(), 2);
        assert_eq!(pool.take().bytes.first(), Some(&0xa5));
    }

    #[test]
    fn a_range_never_leaves_the_block() {
        let mut block = Pool::new(0).take();
        assert!(block.append(b"abc"));
        block.advance(1);
        assert_eq!(block.as_slice(), b"bc");
        assert!(block.extend(BLOCK).is_none());
        block.advance(usize::MAX);
        assert!(block.is_empty());
    }
}
