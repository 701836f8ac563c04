//! Bytes out of packets.

use std::sync::Arc;

use super::{HEADER, INTERNAL, Outgoing, PACKET_MIN, PADDING_MIN, PLAIN_BLOCK, Sequence, Volume};
use crate::block::{BLOCK, Block, Pool};
use crate::error::{ConnectionError, Violation};
use crate::limits;
use crate::provider::{Seal, SecureRandom};

/// The sending direction.
pub(crate) struct PacketWriter {
    pub(super) sealer: Option<Box<dyn Seal>>,
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
    pub(super) fn layout(&self, payload: usize) -> (usize, usize) {
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
