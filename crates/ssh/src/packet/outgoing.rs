//! Where sealed packets wait for the socket.

use std::collections::VecDeque;

use crate::block::{Block, Pool};

/// Sealed packets on their way to the socket, in order.
///
/// Small packets share a block; a data packet has its own, in which it was sealed in place.
#[derive(Debug, Default)]
pub struct Outgoing {
    blocks: VecDeque<Block>,
    /// Whether the last block is shared and may take another small packet.
    open: bool,
    bytes: usize,
}

impl Outgoing {
    /// An empty queue.
    pub const fn new() -> Self {
        Self {
            blocks: VecDeque::new(),
            open: false,
            bytes: 0,
        }
    }

    /// Bytes that wait.
    pub const fn len(&self) -> usize {
        self.bytes
    }

    /// Whether nothing waits.
    pub const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// What to write next, in order: one slice a block.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(Block::as_slice)
    }

    /// `count` bytes were written.
    pub fn advance(&mut self, mut count: usize) {
        self.bytes = self.bytes.saturating_sub(count);
        while let Some(block) = self.blocks.front_mut() {
            if count < block.len() {
                block.advance(count);
                return;
            }
            count = count.saturating_sub(block.len());
            self.blocks.pop_front();
        }
        self.open = false;
    }

    pub(super) fn push(&mut self, block: Block) {
        self.bytes = self.bytes.saturating_add(block.len());
        self.blocks.push_back(block);
        self.open = false;
    }

    /// Bytes that are no packet: the identification line.
    pub(crate) fn push_raw(&mut self, bytes: &[u8], pool: &Pool) {
        let mut block = pool.take();
        block.set_range(0, bytes.len());
        block.as_mut_slice().copy_from_slice(bytes);
        self.push(block);
    }

    /// Room for a small packet of `whole` bytes, in the last block if that is a shared one.
    pub(super) fn room(&mut self, whole: usize, pool: &Pool) -> Option<&mut [u8]> {
        let fits = self.open
            && self
                .blocks
                .back_mut()
                .is_some_and(|block| block.spare_mut().len() >= whole);
        if !fits {
            let mut block = pool.take();
            block.set_range(0, 0);
            self.blocks.push_back(block);
            self.open = true;
        }
        self.bytes = self.bytes.saturating_add(whole);
        self.blocks.back_mut()?.extend(whole)
    }
}
