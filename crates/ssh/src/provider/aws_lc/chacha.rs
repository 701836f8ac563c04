//! chacha20-poly1305@openssh.com.
//!
//! OpenSSH's PROTOCOL.chacha20poly1305: 64 bytes of key, the first half for the packet's body and
//! its tag, the second half for the four length bytes; the nonce is the packet's sequence number.
//! The whole construction is in aws-lc-rs.

use aws_lc_rs::aead::chacha20_poly1305_openssh as library;
use zeroize::{Zeroize, Zeroizing};

use crate::algorithm::{CipherAlgorithm, MacAlgorithm};
use crate::provider::{CryptoError, DirectionKeys, KeySizes, Layout, Open, PacketCipher, Seal};

/// Padded to 8 bytes, the length bytes left out.
const LAYOUT: Layout = Layout {
    block: 8,
    tag: library::TAG_LEN,
};

/// Largest packet without its tag that is opened on the stack.
const SMALL: usize = 2_048;

/// Least room of the buffer for larger packets: one with all of the channel data that we announce.
const LARGE: usize = 33_024;

/// Larger packets are opened in a buffer that is kept for the next one. After so many small packets
/// in a row it is given back, so that an idle connection soon holds none.
const SMALL_IN_A_ROW: u8 = 16;

/// The cipher.
#[derive(Debug)]
pub(super) struct ChaCha20Poly1305;

impl PacketCipher for ChaCha20Poly1305 {
    fn algorithm(&self) -> CipherAlgorithm {
        CipherAlgorithm::ChaCha20Poly1305
    }

    fn key_sizes(&self, _mac: Option<MacAlgorithm>) -> KeySizes {
        KeySizes {
            key: library::KEY_LEN,
            iv: 0,
            mac: 0,
        }
    }

    fn sealer(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<dyn Seal>, CryptoError> {
        Ok(Box::new(Sealer(library::SealingKey::new(key(keys, mac)?))))
    }

    fn opener(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<dyn Open>, CryptoError> {
        Ok(Box::new(Opener {
            key: library::OpeningKey::new(key(keys, mac)?),
            buffer: Zeroizing::new(Vec::new()),
            small_in_a_row: 0,
        }))
    }
}

fn key(
    keys: &DirectionKeys,
    mac: Option<MacAlgorithm>,
) -> Result<&[u8; library::KEY_LEN], CryptoError> {
    if mac.is_some() {
        return Err(CryptoError::Internal);
    }
    keys.key
        .as_slice()
        .try_into()
        .map_err(|_| CryptoError::Internal)
}

struct Sealer(library::SealingKey);

impl Seal for Sealer {
    fn layout(&self) -> Layout {
        LAYOUT
    }

    fn seal(
        &mut self,
        sequence: u32,
        packet: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        let tag = tag.try_into().map_err(|_| CryptoError::Internal)?;
        if packet.len() < library::PACKET_LENGTH_LEN {
            return Err(CryptoError::Internal);
        }
        self.0.seal_in_place(sequence, packet, tag);
        Ok(())
    }
}

struct Opener {
    key: library::OpeningKey,
    buffer: Zeroizing<Vec<u8>>,
    small_in_a_row: u8,
}

impl Open for Opener {
    fn layout(&self) -> Layout {
        LAYOUT
    }

    fn packet_length(&self, sequence: u32, first: [u8; 4]) -> u32 {
        u32::from_be_bytes(self.key.decrypt_packet_length(sequence, first))
    }

    fn open(&mut self, sequence: u32, packet: &[u8], plain: &mut [u8]) -> Result<(), CryptoError> {
        let (sealed, tag) = packet
            .split_last_chunk::<{ library::TAG_LEN }>()
            .ok_or(CryptoError::Forged)?;
        let body = sealed
            .len()
            .checked_sub(library::PACKET_LENGTH_LEN)
            .ok_or(CryptoError::Forged)?;
        if body != plain.len() {
            return Err(CryptoError::Internal);
        }
        // The library opens in place only, and wants the length bytes in front of the body: so the
        // packet is copied to a place of ours and the body is copied out.
        let mut small = [0; SMALL];
        if let Some(place) = small.get_mut(..sealed.len()) {
            self.small_in_a_row = self.small_in_a_row.saturating_add(1);
            if self.small_in_a_row == SMALL_IN_A_ROW {
                self.buffer = Zeroizing::new(Vec::new());
            }
            place.copy_from_slice(sealed);
            let result = open_in(&self.key, sequence, place, tag, plain);
            place.zeroize();
            result
        } else {
            self.small_in_a_row = 0;
            if self.buffer.capacity() < sealed.len() {
                // A new one, since growing would leave an unwiped copy behind.
                self.buffer = Zeroizing::new(Vec::with_capacity(sealed.len().max(LARGE)));
            }
            self.buffer.clear();
            self.buffer.extend_from_slice(sealed);
            open_in(&self.key, sequence, &mut self.buffer, tag, plain)
        }
    }
}

fn open_in(
    key: &library::OpeningKey,
    sequence: u32,
    place: &mut [u8],
    tag: &[u8; library::TAG_LEN],
    plain: &mut [u8],
) -> Result<(), CryptoError> {
    let opened = key
        .open_in_place(sequence, place, tag)
        .map_err(|_| CryptoError::Forged)?;
    plain.copy_from_slice(opened);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_holds_no_buffer() {
        let keys = [7; library::KEY_LEN];
        let mut sealer = Sealer(library::SealingKey::new(&keys));
        let mut opener = Opener {
            key: library::OpeningKey::new(&keys),
            buffer: Zeroizing::new(Vec::new()),
            small_in_a_row: 0,
        };
        let mut pass = |opener: &mut Opener, size: usize| {
            let (mut packet, mut tag) = (vec![1; 4 + size], [0; 16]);
            sealer.seal(3, &mut packet, &mut tag).unwrap();
            packet.extend_from_slice(&tag);
            let mut plain = vec![0; size];
            opener.open(3, &packet, &mut plain).unwrap();
            assert_eq!(plain, vec![1; size]);
        };
        pass(&mut opener, 32_768);
        for _ in 1..SMALL_IN_A_ROW {
            pass(&mut opener, 64);
        }
        assert!(opener.buffer.capacity() >= 32_768);
        pass(&mut opener, 64);
        assert_eq!(opener.buffer.capacity(), 0);
        pass(&mut opener, SMALL - 4);
        assert_eq!(opener.buffer.capacity(), 0);
        pass(&mut opener, SMALL - 3);
        assert!(opener.buffer.capacity() > 0);
    }
}
