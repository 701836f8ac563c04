//! The binary packet protocol (RFC 4253 section 6): packets out of bytes, bytes out of packets.
//!
//! A packet is `uint32 length || byte padding_length || payload || padding || tag`. The reader opens
//! a packet out of place, from the caller's bytes into a pooled block, and gives the payload only
//! after its tag was found good: an unauthenticated byte never has a name. The writer builds in
//! place: the payload of a data packet already stands in its block behind a gap for the header.

use crate::block::{Block, HEADROOM, Pool};
use crate::error::{ConnectionError, DisconnectCode, Violation};
use crate::limits;
use crate::provider::{CryptoError, Open};

mod outgoing;
mod sealed;
mod writer;

// Public only so that what must not compile can be shown.
#[doc(hidden)]
pub use sealed::{Opened, Sealed};

pub use outgoing::Outgoing;
pub(crate) use writer::PacketWriter;

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
