//! The binary packet protocol (RFC 4253 section 6): packets out of bytes, bytes out of packets.
//!
//! A packet is `uint32 length || byte padding_length || payload || padding || tag`. The reader opens
//! a packet out of place, from the caller's bytes into a pooled block, and gives the payload only
//! after its tag was found good: an unauthenticated byte never has a name. The writer builds in
//! place: the payload of a data packet already stands in its block behind a gap for the header.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::block::{BLOCK, Block, HEADROOM, Pool};
use crate::error::{ConnectionError, DisconnectCode, Violation};
use crate::limits;
use crate::provider::{CryptoError, Open, Seal, SecureRandom};

mod sealed;

// Public only so that what must not compile can be shown.
#[doc(hidden)]
pub use sealed::{Opened, Sealed};

/// Bytes of `packet_length` and `padding_length`.
const HEADER: usize = 5;
/// Least padding (RFC 4253 section 6).
const PADDING_MIN: usize = 4;
/// Block size while nothing is encrypted (RFC 4253 section 6).
const PLAIN_BLOCK: usize = 8;
/// Least size of a whole packet without its tag (RFC 4253 section 6).
const PACKET_MIN: usize = 16;

/// What a direction has carried under its present keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Volume {
    pub(crate) packets: u64,
    pub(crate) bytes: u64,
}

impl Volume {
    const fn count(&mut self, bytes: u64) {
        self.packets = self.packets.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }
}

/// Whether strict key exchange sets the sequence number back with new keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sequence {
    Restart,
    Continue,
}

/// The receiving direction.
pub(crate) struct PacketReader {
    opener: Option<Box<dyn Open>>,
    sequence: u32,
    /// `packet_length` of the packet that is arriving, once known, so that it is decrypted once.
    length: Option<u32>,
    /// The block that the last packet was opened into.
    opened: Option<Block>,
    pub(crate) volume: Volume,
    /// Over all keys.
    pub(crate) total: Volume,
}

impl std::fmt::Debug for PacketReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacketReader")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// One authenticated packet.
pub(crate) struct Packet {
    /// Bytes of input it took.
    pub(crate) taken: usize,
    /// Its sequence number.
    pub(crate) sequence: u32,
    /// The payload, never empty.
    pub(crate) payload: Block,
}

impl PacketReader {
    pub(crate) fn new() -> Self {
        Self {
            opener: None,
            sequence: 0,
            length: None,
            opened: None,
            volume: Volume::default(),
            total: Volume::default(),
        }
    }

    /// The next packet of `input`, or `None` if it is not all there yet.
    pub(crate) fn next(
        &mut self,
        input: &[u8],
        pool: &Pool,
    ) -> Result<Option<Packet>, ConnectionError> {
        let Some(first) = input.first_chunk::<4>() else {
            return Ok(None);
        };
        let (block_size, tag, counted) = match &self.opener {
            // Encrypt-then-MAC and AEAD: the length field stands outside the padded part.
            Some(opener) => (opener.layout().block, opener.layout().tag, 0),
            None => (PLAIN_BLOCK, 0, 4),
        };
        let length = match (self.length, &self.opener) {
            (Some(length), _) => length,
            (None, Some(opener)) => opener.packet_length(self.sequence, *first),
            (None, None) => u32::from_be_bytes(*first),
        };
        // As a 32-bit number and before any arithmetic: what is announced allocates nothing.
        let length_bytes = to_usize(length);
        let is_whole_blocks =
            length_bytes.saturating_add(counted).checked_rem(block_size) == Some(0);
        if !HEADER_LENGTHS.contains(&length) || !is_whole_blocks {
            // Nothing vouches for an encrypted length before its tag does: a bad one is forged, and
            // looks no different from any other forgery.
            return Err(match &self.opener {
                Some(_) => forged(CryptoError::Forged),
                None => Violation::protocol("packet length is out of bounds").into(),
            });
        }
        self.length = Some(length);
        let whole = length_bytes.saturating_add(4).saturating_add(tag);
        let Some(sealed) = input.get(..whole) else {
            return Ok(None);
        };
        self.length = None;

        let block = self.opened.take().unwrap_or_else(|| pool.take());
        let packet = Sealed::new(sealed, length_bytes, block);
        let opened = match &mut self.opener {
            Some(opener) => packet
                .open(opener.as_mut(), self.sequence)
                .map_err(forged)?,
            None => packet.take_plain(),
        };
        let padding = usize::from(opened.first().copied().unwrap_or_default());
        // At least one byte of payload; all in usize, so nothing wraps.
        if padding < PADDING_MIN || padding.saturating_add(2) > length_bytes {
            return Err(Violation::protocol("packet padding is out of bounds").into());
        }
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let bytes = u64::try_from(whole).unwrap_or(u64::MAX);
        self.volume.count(bytes);
        self.total.count(bytes);
        if self.volume.packets >= limits::PACKETS_HARD {
            return Err(Violation::kex("keys are used up").into());
        }
        Ok(Some(Packet {
            taken: whole,
            sequence,
            payload: opened.into_payload(padding),
        }))
    }

    /// The whole length of the packet that has begun to arrive, tag included, in bytes; `None` until
    /// [`next`](Self::next) has seen its first four.
    pub(crate) fn unfinished(&self) -> Option<usize> {
        let tag = self.opener.as_ref().map_or(0, |opener| opener.layout().tag);
        let length = to_usize(self.length?);
        Some(length.saturating_add(4).saturating_add(tag))
    }

    /// Gives a block back whose payload was done with, to be used for the next packet.
    pub(crate) fn done_with(&mut self, block: Block) {
        self.opened = Some(block);
    }

    /// Gives the last block back to its pool: nothing is left to read for now.
    pub(crate) fn rest(&mut self) {
        self.opened = None;
    }

    /// Everything from here on comes under new keys.
    pub(crate) fn change_keys(&mut self, opener: Box<dyn Open>, sequence: Sequence) {
        self.opener = Some(opener);
        self.length = None;
        self.volume = Volume::default();
        if sequence == Sequence::Restart {
            self.sequence = 0;
        }
    }
}

/// The lengths a packet may have: one byte of payload and four of padding at least.
const HEADER_LENGTHS: std::ops::RangeInclusive<u32> = 6..=limits::PACKET_LENGTH;

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

    fn push(&mut self, block: Block) {
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
    fn room(&mut self, whole: usize, pool: &Pool) -> Option<&mut [u8]> {
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

/// The sending direction.
pub(crate) struct PacketWriter {
    sealer: Option<Box<dyn Seal>>,
    sequence: u32,
    padding: Padding,
    pub(crate) volume: Volume,
}

impl std::fmt::Debug for PacketWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PacketWriter")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

impl PacketWriter {
    pub(crate) fn new(random: Arc<dyn SecureRandom>) -> Self {
        Self {
            sealer: None,
            sequence: 0,
            padding: Padding::new(random),
            volume: Volume::default(),
        }
    }

    /// Seals a small payload, made of `parts`, behind what waits already.
    pub(crate) fn seal(
        &mut self,
        parts: &[&[u8]],
        out: &mut Outgoing,
        pool: &Pool,
    ) -> Result<(), ConnectionError> {
        let payload = parts
            .iter()
            .fold(0_usize, |sum, part| sum.saturating_add(part.len()));
        let (padding, tag) = self.layout(payload);
        let whole = HEADER
            .saturating_add(payload)
            .saturating_add(padding)
            .saturating_add(tag);
        let room = out.room(whole, pool).ok_or(INTERNAL)?;
        let mut rest = room.get_mut(HEADER..).ok_or(INTERNAL)?;
        for part in parts {
            let (here, after) = rest.split_at_mut_checked(part.len()).ok_or(INTERNAL)?;
            here.copy_from_slice(part);
            rest = after;
        }
        self.finish(room, padding, tag)
    }

    /// Seals a block whose range is a payload that begins at or after [`HEADER`], in place.
    pub(crate) fn seal_block(
        &mut self,
        mut block: Block,
        out: &mut Outgoing,
    ) -> Result<(), ConnectionError> {
        let payload = block.len();
        let start = block.start().checked_sub(HEADER).ok_or(INTERNAL)?;
        let (padding, tag) = self.layout(payload);
        let whole = HEADER
            .saturating_add(payload)
            .saturating_add(padding)
            .saturating_add(tag);
        let end = start.saturating_add(whole);
        if end > BLOCK {
            return Err(INTERNAL);
        }
        block.set_range(start, end);
        self.finish(block.as_mut_slice(), padding, tag)?;
        out.push(block);
        Ok(())
    }

    /// Everything from here on goes under new keys.
    pub(crate) fn change_keys(&mut self, sealer: Box<dyn Seal>, sequence: Sequence) {
        self.sealer = Some(sealer);
        self.volume = Volume::default();
        if sequence == Sequence::Restart {
            self.sequence = 0;
        }
    }

    /// Padding and tag of a packet, in bytes.
    fn layout(&self, payload: usize) -> (usize, usize) {
        let (block, tag, counted) = match &self.sealer {
            Some(sealer) => (sealer.layout().block, sealer.layout().tag, 1),
            None => (PLAIN_BLOCK, 0, HEADER),
        };
        let used = payload.saturating_add(counted);
        let over = used.checked_rem(block).unwrap_or_default();
        let mut padding = block.saturating_sub(over);
        while padding < PADDING_MIN
            || HEADER.saturating_add(payload).saturating_add(padding) < PACKET_MIN
        {
            padding = padding.saturating_add(block);
        }
        debug_assert!(
            (PADDING_MIN..=255).contains(&padding),
            "padding fits its byte"
        );
        (padding, tag)
    }

    /// Writes header and padding around the payload and encrypts.
    fn finish(
        &mut self,
        room: &mut [u8],
        padding: usize,
        tag: usize,
    ) -> Result<(), ConnectionError> {
        if self.volume.packets >= limits::PACKETS_HARD {
            return Err(Violation::kex("keys are used up").into());
        }
        let whole = u64::try_from(room.len()).unwrap_or(u64::MAX);
        let (packet, tag) = room
            .split_at_mut_checked(room.len().saturating_sub(tag))
            .ok_or(INTERNAL)?;
        let length = u32::try_from(packet.len().saturating_sub(4)).map_err(|_| INTERNAL)?;
        let padding_length = u8::try_from(padding).map_err(|_| INTERNAL)?;
        let (header, body) = packet.split_first_chunk_mut::<HEADER>().ok_or(INTERNAL)?;
        let [a, b, c, d] = length.to_be_bytes();
        *header = [a, b, c, d, padding_length];
        let padding_start = body.len().saturating_sub(padding);
        let padding_bytes = body.get_mut(padding_start..).ok_or(INTERNAL)?;
        match &mut self.sealer {
            Some(sealer) => {
                self.padding.fill(padding_bytes)?;
                sealer
                    .seal(self.sequence, packet, tag)
                    .map_err(ConnectionError::Crypto)?;
            }
            // Unencrypted padding is zero, as OpenSSH's: random bytes would tell of our generator.
            None => padding_bytes.fill(0),
        }
        self.sequence = self.sequence.wrapping_add(1);
        self.volume.count(whole);
        Ok(())
    }
}

/// Random padding, drawn from the provider in larger pieces: one call for about fifty packets.
struct Padding {
    random: Arc<dyn SecureRandom>,
    bytes: [u8; 512],
    used: usize,
}

impl Padding {
    const fn new(random: Arc<dyn SecureRandom>) -> Self {
        Self {
            random,
            bytes: [0; 512],
            used: 512,
        }
    }

    fn fill(&mut self, out: &mut [u8]) -> Result<(), ConnectionError> {
        let end = self.used.saturating_add(out.len());
        if let Some(bytes) = self.bytes.get(self.used..end) {
            out.copy_from_slice(bytes);
            self.used = end;
            return Ok(());
        }
        self.random
            .fill(&mut self.bytes)
            .map_err(ConnectionError::Crypto)?;
        let bytes = self.bytes.get(..out.len()).ok_or(INTERNAL)?;
        out.copy_from_slice(bytes);
        self.used = out.len();
        Ok(())
    }
}

/// A size of ours does not fit where it must: cannot happen, and must not panic.
const INTERNAL: ConnectionError = ConnectionError::Crypto(CryptoError::Internal);

/// All failures to open a packet look the same.
fn forged(error: CryptoError) -> ConnectionError {
    match error {
        CryptoError::Internal => ConnectionError::Crypto(error),
        CryptoError::Forged | CryptoError::BadShare | CryptoError::BadKey => Violation {
            code: DisconnectCode::MacError,
            what: "packet is not authentic",
        }
        .into(),
    }
}

/// A `u32` fits every platform this engine runs on; a smaller one would see an impossible length.
fn to_usize(value: u32) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}

/// The gap in front of channel data is the packet header and the message header.
const _: () = assert!(
    HEADROOM == HEADER + 9,
    "a data message has a number, a channel and a length"
);

#[cfg(test)]
mod tests;
