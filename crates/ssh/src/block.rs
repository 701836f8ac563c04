//! Pooled buffers of one size: each holds one packet, or what is queued behind it.
//!
//! A block is taken from a [`Pool`] and returns there by being dropped, wherever that happens. It
//! has a range that is in use; what lies before it is room for a header and what lies behind it is
//! room for padding and a tag, so that a packet is sealed where it lies.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes in a block: the largest channel packet with its header, padding and tag, in whole pages.
pub const BLOCK: usize = 36_864;
/// Bytes to leave free before the data of a channel: 4 of packet length, 1 of padding length, and
/// CHANNEL_DATA's type, channel and length (RFC 4254 section 5.2).
pub const HEADROOM: usize = 14;
/// Bytes to leave free behind it: the longest padding (RFC 4253 section 6) and the longest MAC.
pub const TAILROOM: usize = 255 + 64;

/// Where free blocks wait to be used again. Clones share them.
#[derive(Clone)]
pub struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    free: Mutex<Vec<Box<[u8]>>>,
    retained: usize,
}

impl Pool {
    /// A pool that keeps at most `retained` free blocks; more are given back to the allocator.
    pub fn new(retained: usize) -> Self {
        Self {
            shared: Arc::new(Shared {
                free: Mutex::new(Vec::new()),
                retained,
            }),
        }
    }

    /// An empty block: its range is empty and begins at 0. What its bytes hold is not defined.
    pub fn take(&self) -> Block {
        let free = self.shared.free().pop();
        Block {
            buffer: free.unwrap_or_else(|| vec![0; BLOCK].into_boxed_slice()),
            start: 0,
            end: 0,
            home: Arc::clone(&self.shared),
        }
    }

    /// Free blocks that wait here.
    pub fn free(&self) -> usize {
        self.shared.free().len()
    }

    /// Gives every free block back to the allocator, for a time with nothing to do.
    pub fn shrink(&self) {
        let free = std::mem::take(&mut *self.shared.free());
        drop(free);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("free", &self.free())
            .field("retained", &self.shared.retained)
            .finish()
    }
}

impl Shared {
    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Box<[u8]>>> {
        // A list of boxes is right after any panic.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer of [`BLOCK`] bytes with a range in use. Goes back to its pool when dropped.
pub struct Block {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    home: Arc<Shared>,
}

impl Block {
    /// The bytes in use.
    pub fn as_slice(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The bytes in use, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.buffer
            .get_mut(self.start..self.end)
            .unwrap_or_default()
    }

    /// The bytes behind those in use. [`set_range`](Self::set_range) takes them into use.
    pub fn spare_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Takes `count` more bytes behind those in use into use and gives them, to be written; `None`,
    /// and nothing done, if they do not fit.
    pub fn extend(&mut self, count: usize) -> Option<&mut [u8]> {
        let end = self.end.checked_add(count)?;
        let new = self.buffer.get_mut(self.end..end)?;
        self.end = end;
        Some(new)
    }

    /// A new block of the same pool.
    #[must_use]
    pub fn sibling(&self) -> Self {
        Pool {
            shared: Arc::clone(&self.home),
        }
        .take()
    }

    /// How many bytes lie behind those in use.
    pub fn spare(&self) -> usize {
        self.buffer.len().saturating_sub(self.end)
    }

    /// Where the bytes in use begin.
    pub fn start(&self) -> usize {
        self.start
    }

    /// Where the bytes in use end.
    pub fn end(&self) -> usize {
        self.end
    }

    /// Sets the bytes in use to `start..end`. What lies outside the block is cut off; asking for it
    /// is a mistake of the caller.
    pub fn set_range(&mut self, start: usize, end: usize) {
        debug_assert!(start <= end && end <= BLOCK, "{start}..{end} is no range");
        self.end = end.min(self.buffer.len());
        self.start = start.min(self.end);
    }

    /// Takes the first `count` bytes out of use: all of them if there are fewer.
    pub fn advance(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "{count} of {} bytes", self.len());
        self.start = self.start.saturating_add(count).min(self.end);
    }

    /// Copies as much of `bytes` as there is room for behind those in use, and says how much.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.spare());
        if let (Some(to), Some(from)) = (self.spare_mut().get_mut(..count), bytes.get(..count)) {
            to.copy_from_slice(from);
        }
        self.end = self.end.saturating_add(count);
        count
    }

    /// How many bytes are in use.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.end <= self.start
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the bytes: they are a visitor's.
        write!(f, "Block({}..{})", self.start, self.end)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.buffer);
        if cfg!(debug_assertions) {
            buffer.fill(POISON);
        }
        let mut free = self.home.free();
        if free.len() < self.home.retained {
            free.push(buffer);
        }
    }
}

/// What a block holds after its return in debug builds, so that a test sees who reads on.
const POISON: u8 = 0xa5;

#[cfg(test)]
mod tests {
    use super::*;

    // Only builds with debug assertions overwrite what was in a block.
    #[cfg(debug_assertions)]
    #[test]
    fn a_dropped_block_comes_back_poisoned() {
        let pool = Pool::new(2);
        let mut block = pool.take();
        assert_eq!(block.append(b"secret"), 6);
        drop(block);
        assert_eq!(pool.free(), 1);
        let mut block = pool.take();
        assert_eq!((block.len(), pool.free()), (0, 0));
        block.set_range(0, 6);
        assert_eq!(block.as_slice(), [POISON; 6]);
    }

    #[test]
    fn a_pool_keeps_no_more_than_it_was_told() {
        let pool = Pool::new(2);
        let blocks: Vec<Block> = (0..5).map(|_| pool.take()).collect();
        drop(blocks);
        assert_eq!(pool.free(), 2);
        pool.shrink();
        assert_eq!(pool.free(), 0);
    }

    #[test]
    fn a_block_outlives_its_pool() {
        let pool = Pool::new(1);
        let mut block = pool.take();
        drop(pool);
        block.append(b"still here");
        assert_eq!(block.as_slice(), b"still here");
    }

    #[test]
    fn ranges_move_within_the_block() {
        let mut block = Pool::new(0).take();
        block.set_range(HEADROOM, HEADROOM);
        assert_eq!(block.spare(), BLOCK - HEADROOM);
        assert_eq!(block.append(&vec![7; BLOCK]), BLOCK - HEADROOM);
        assert_eq!(block.append(b"more"), 0);
        block.advance(10);
        assert_eq!((block.start(), block.end()), (HEADROOM + 10, BLOCK));
        block.as_mut_slice()[0] = 1;
        assert_eq!(block.as_slice()[..2], [1, 7]);
        block.advance(block.len());
        assert!(block.is_empty());
    }

    #[test]
    fn a_channel_packet_fits_with_its_header_and_tail() {
        let packet = usize::try_from(crate::limits::CHANNEL_PACKET).unwrap();
        assert!(HEADROOM + packet + TAILROOM <= BLOCK);
    }
}
