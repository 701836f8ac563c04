//! AES in Galois/counter mode: aes128-gcm@openssh.com and aes256-gcm@openssh.com.
//!
//! RFC 5647 as OpenSSH negotiates it. The four length bytes travel in the clear and are
//! authenticated; the rest of the packet is encrypted; a tag of 16 bytes follows. The nonce is the
//! initial vector of the key derivation, 4 fixed bytes and a counter of 8, and the counter goes up
//! by one with each packet. It has nothing to do with the packet's sequence number.

use aws_lc_rs::aead;

use crate::algorithm::{CipherAlgorithm, MacAlgorithm};
use crate::provider::{CryptoError, DirectionKeys, KeySizes, Layout, Open, PacketCipher, Seal};

/// aes128-gcm@openssh.com
pub(super) const AES_128: AesGcm = AesGcm {
    algorithm: CipherAlgorithm::Aes128Gcm,
    aead: &aead::AES_128_GCM,
    key_size: 16,
};

/// aes256-gcm@openssh.com
pub(super) const AES_256: AesGcm = AesGcm {
    algorithm: CipherAlgorithm::Aes256Gcm,
    aead: &aead::AES_256_GCM,
    key_size: 32,
};

/// Bytes of a tag.
const TAG: usize = 16;

/// Padded to the block of AES, the length bytes left out.
const LAYOUT: Layout = Layout {
    block: 16,
    tag: TAG,
};

/// One key size of AES in this mode.
#[derive(Debug)]
pub(super) struct AesGcm {
    algorithm: CipherAlgorithm,
    aead: &'static aead::Algorithm,
    key_size: usize,
}

impl AesGcm {
    fn half(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<Half>, CryptoError> {
        if mac.is_some() {
            return Err(CryptoError::Internal);
        }
        let key = aead::UnboundKey::new(self.aead, &keys.key).map_err(|_| CryptoError::Internal)?;
        Ok(Box::new(Half {
            key: aead::LessSafeKey::new(key),
            nonce: Nonce::from_iv(&keys.iv)?,
        }))
    }
}

impl PacketCipher for AesGcm {
    fn algorithm(&self) -> CipherAlgorithm {
        self.algorithm
    }

    fn key_sizes(&self, _mac: Option<MacAlgorithm>) -> KeySizes {
        KeySizes {
            key: self.key_size,
            iv: aead::NONCE_LEN,
            mac: 0,
        }
    }

    fn sealer(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<dyn Seal>, CryptoError> {
        Ok(self.half(keys, mac)?)
    }

    fn opener(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<dyn Open>, CryptoError> {
        Ok(self.half(keys, mac)?)
    }
}

/// One direction: the key schedule, made once, and the nonce that belongs to it.
struct Half {
    key: aead::LessSafeKey,
    nonce: Nonce,
}

impl Seal for Half {
    fn layout(&self) -> Layout {
        LAYOUT
    }

    fn seal(
        &mut self,
        _sequence: u32,
        packet: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        let tag: &mut [u8; TAG] = tag.try_into().map_err(|_| CryptoError::Internal)?;
        let (length, body) = packet
            .split_first_chunk_mut::<4>()
            .ok_or(CryptoError::Internal)?;
        let made = self
            .key
            .seal_in_place_separate_tag(self.nonce.take(), aead::Aad::from(length), body)
            .map_err(|_| CryptoError::Internal)?;
        *tag = made
            .as_ref()
            .try_into()
            .map_err(|_| CryptoError::Internal)?;
        Ok(())
    }
}

impl Open for Half {
    fn layout(&self) -> Layout {
        LAYOUT
    }

    fn packet_length(&self, _sequence: u32, first: [u8; 4]) -> u32 {
        u32::from_be_bytes(first)
    }

    fn open(&mut self, _sequence: u32, packet: &[u8], plain: &mut [u8]) -> Result<(), CryptoError> {
        let (length, sealed) = packet.split_first_chunk::<4>().ok_or(CryptoError::Forged)?;
        let (body, tag) = sealed
            .split_last_chunk::<TAG>()
            .ok_or(CryptoError::Forged)?;
        if body.len() != plain.len() {
            return Err(CryptoError::Internal);
        }
        self.key
            .open_separate_gather(self.nonce.take(), aead::Aad::from(length), body, tag, plain)
            .map_err(|_| CryptoError::Forged)
    }
}

/// The nonces of one key, each given out once: it cannot be cloned, it moves on with every packet
/// and it dies with its key.
struct Nonce {
    fixed: [u8; 4],
    counter: u64,
}

impl Nonce {
    fn from_iv(iv: &[u8]) -> Result<Self, CryptoError> {
        match iv.split_first_chunk::<4>() {
            Some((fixed, counter)) => Ok(Self {
                fixed: *fixed,
                counter: u64::from_be_bytes(counter.try_into().map_err(|_| CryptoError::Internal)?),
            }),
            None => Err(CryptoError::Internal),
        }
    }

    /// The nonce of this packet. The counter wraps within its own 64 bits and never carries into
    /// the fixed part (RFC 5647 section 7.1).
    fn take(&mut self) -> aead::Nonce {
        let mut bytes = [0; aead::NONCE_LEN];
        let (fixed, counter) = bytes.split_at_mut(self.fixed.len());
        fixed.copy_from_slice(&self.fixed);
        counter.copy_from_slice(&self.counter.to_be_bytes());
        self.counter = self.counter.wrapping_add(1);
        aead::Nonce::assume_unique_for_key(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonces(iv: [u8; 12], count: usize) -> Vec<[u8; 12]> {
        let mut nonce = Nonce::from_iv(&iv).unwrap();
        (0..count).map(|_| *nonce.take().as_ref()).collect()
    }

    #[test]
    fn gcm_nonce_sequence_vectors() {
        assert_eq!(
            nonces([9, 8, 7, 6, 0, 0, 0, 0, 0, 0, 0, 0xfe], 3),
            [
                [9, 8, 7, 6, 0, 0, 0, 0, 0, 0, 0, 0xfe],
                [9, 8, 7, 6, 0, 0, 0, 0, 0, 0, 0, 0xff],
                [9, 8, 7, 6, 0, 0, 0, 0, 0, 0, 1, 0],
            ]
        );
    }

    #[test]
    fn gcm_counter_wraps_64_only() {
        assert_eq!(
            nonces([0xff; 12], 2),
            [[0xff; 12], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]]
        );
    }

    #[test]
    fn an_initial_vector_of_another_size_is_refused() {
        for size in [0, 3, 4, 11, 13, 16] {
            assert!(Nonce::from_iv(&vec![0; size]).is_err(), "{size}");
        }
    }
}
