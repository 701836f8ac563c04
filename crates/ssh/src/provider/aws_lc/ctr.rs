//! AES in counter mode with an encrypt-then-MAC HMAC, for old peers.
//!
//! RFC 4344 section 4: one counter of 128 bits runs through all packets of a key. OpenSSH's -etm
//! MACs: the four length bytes travel in the clear, the MAC is over the sequence number, the length
//! and the ciphertext, and it is checked, in constant time, before anything is decrypted.

use std::sync::{Mutex, PoisonError};

use aws_lc_rs::cipher::{self, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

use crate::algorithm::{CipherAlgorithm, MacAlgorithm};
use crate::provider::{CryptoError, DirectionKeys, KeySizes, Layout, Open, PacketCipher, Seal};

/// aes128-ctr
pub(super) const AES_128: AesCtr = AesCtr {
    algorithm: CipherAlgorithm::Aes128Ctr,
    cipher: &cipher::AES_128,
    key_size: 16,
};

/// aes256-ctr
pub(super) const AES_256: AesCtr = AesCtr {
    algorithm: CipherAlgorithm::Aes256Ctr,
    cipher: &cipher::AES_256,
    key_size: 32,
};

/// Block of AES, in bytes.
const BLOCK: usize = 16;

/// Bytes sealed in one go. The library encrypts from one place to another, so what is sealed in
/// place goes through this much of stack.
const CHUNK: usize = 4_096;

/// Bytes after which the library's stream is begun anew where it stood. The library counts bytes in
/// a `usize`, which ends at 4 GiB on 32 bits.
const STREAM_BYTES: usize = 1 << 30;

/// One key size of AES in this mode.
#[derive(Debug)]
pub(super) struct AesCtr {
    algorithm: CipherAlgorithm,
    cipher: &'static cipher::Algorithm,
    key_size: usize,
}

impl AesCtr {
    fn half(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<Half>, CryptoError> {
        let mac = mac.ok_or(CryptoError::Internal)?;
        if keys.mac.len() != mac_size(mac) {
            return Err(CryptoError::Internal);
        }
        let iv = keys
            .iv
            .as_slice()
            .try_into()
            .map_err(|_| CryptoError::Internal)?;
        Ok(Box::new(Half {
            stream: Stream::new(self.cipher, keys.key.clone(), iv)?,
            mac: hmac::Key::new(hmac_algorithm(mac), &keys.mac),
            layout: Layout {
                block: BLOCK,
                tag: mac_size(mac),
            },
        }))
    }
}

impl PacketCipher for AesCtr {
    fn algorithm(&self) -> CipherAlgorithm {
        self.algorithm
    }

    fn key_sizes(&self, mac: Option<MacAlgorithm>) -> KeySizes {
        KeySizes {
            key: self.key_size,
            iv: BLOCK,
            mac: mac.map_or(0, mac_size),
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

/// Bytes of the MAC, and of its key.
const fn mac_size(mac: MacAlgorithm) -> usize {
    match mac {
        MacAlgorithm::HmacSha256Etm => 32,
        MacAlgorithm::HmacSha512Etm => 64,
    }
}

const fn hmac_algorithm(mac: MacAlgorithm) -> hmac::Algorithm {
    match mac {
        MacAlgorithm::HmacSha256Etm => hmac::HMAC_SHA256,
        MacAlgorithm::HmacSha512Etm => hmac::HMAC_SHA512,
    }
}

/// One direction.
struct Half {
    stream: Stream,
    mac: hmac::Key,
    layout: Layout,
}

impl Half {
    /// The MAC over the sequence number and the packet as it travels, without its MAC.
    fn mac(&self, sequence: u32, packet: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.mac);
        context.update(&sequence.to_be_bytes());
        context.update(packet);
        context.sign()
    }
}

impl Seal for Half {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn seal(
        &mut self,
        sequence: u32,
        packet: &mut [u8],
        tag: &mut [u8],
    ) -> Result<(), CryptoError> {
        let (_, body) = packet
            .split_first_chunk_mut::<4>()
            .ok_or(CryptoError::Internal)?;
        if tag.len() != self.layout.tag {
            return Err(CryptoError::Internal);
        }
        self.stream.apply_in_place(body)?;
        tag.copy_from_slice(self.mac(sequence, packet).as_ref());
        Ok(())
    }
}

impl Open for Half {
    fn layout(&self) -> Layout {
        self.layout
    }

    fn packet_length(&self, _sequence: u32, first: [u8; 4]) -> u32 {
        u32::from_be_bytes(first)
    }

    fn open(&mut self, sequence: u32, packet: &[u8], plain: &mut [u8]) -> Result<(), CryptoError> {
        let split = packet
            .len()
            .checked_sub(self.layout.tag)
            .ok_or(CryptoError::Forged)?;
        let (sealed, tag) = packet.split_at_checked(split).ok_or(CryptoError::Forged)?;
        let (_, body) = sealed.split_first_chunk::<4>().ok_or(CryptoError::Forged)?;
        if body.len() != plain.len() {
            return Err(CryptoError::Internal);
        }
        constant_time::verify_slices_are_equal(self.mac(sequence, sealed).as_ref(), tag)
            .map_err(|_| CryptoError::Forged)?;
        self.stream.apply(body, plain)
    }
}

/// The running key stream of one key.
struct Stream {
    cipher: &'static cipher::Algorithm,
    key: Zeroizing<Vec<u8>>,
    /// The counter at which `running` began.
    counter: u128,
    /// Bytes that `running` has made.
    used: usize,
    /// In a mutex for its `Sync` alone: it is only reached through `get_mut`, which locks nothing.
    running: Mutex<StreamingEncryptingKey>,
}

impl Stream {
    fn new(
        cipher: &'static cipher::Algorithm,
        key: Zeroizing<Vec<u8>>,
        iv: [u8; BLOCK],
    ) -> Result<Self, CryptoError> {
        Ok(Self {
            running: Mutex::new(begin(cipher, &key, iv)?),
            cipher,
            key,
            counter: u128::from_be_bytes(iv),
            used: 0,
        })
    }

    /// Adds the key stream to `input`, whose length is a multiple of the block.
    fn apply(&mut self, input: &[u8], output: &mut [u8]) -> Result<(), CryptoError> {
        if self.used >= STREAM_BYTES {
            self.begin_anew()?;
        }
        self.used = self.used.saturating_add(input.len());
        let written = self
            .running
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .less_safe_update(input, output)
            .map_err(|_| CryptoError::Internal)?
            .written()
            .len();
        if written == input.len() {
            Ok(())
        } else {
            Err(CryptoError::Internal)
        }
    }

    fn apply_in_place(&mut self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        // Holds what leaves anyway, so there is nothing to wipe.
        let mut space = [0; CHUNK];
        for chunk in bytes.chunks_mut(CHUNK) {
            let sealed = space.get_mut(..chunk.len()).ok_or(CryptoError::Internal)?;
            self.apply(chunk, sealed)?;
            chunk.copy_from_slice(sealed);
        }
        Ok(())
    }

    /// A new stream of the library that goes on where the old one stands.
    fn begin_anew(&mut self) -> Result<(), CryptoError> {
        let blocks = self
            .used
            .checked_div(BLOCK)
            .and_then(|blocks| u128::try_from(blocks).ok())
            .ok_or(CryptoError::Internal)?;
        self.counter = self.counter.wrapping_add(blocks);
        self.running = Mutex::new(begin(self.cipher, &self.key, self.counter.to_be_bytes())?);
        self.used = 0;
        Ok(())
    }
}

fn begin(
    cipher: &'static cipher::Algorithm,
    key: &[u8],
    iv: [u8; BLOCK],
) -> Result<StreamingEncryptingKey, CryptoError> {
    UnboundCipherKey::new(cipher, key)
        .and_then(|key| {
            let context = EncryptionContext::Iv128(FixedLength::from(iv));
            StreamingEncryptingKey::less_safe_ctr(key, context)
        })
        .map_err(|_| CryptoError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_begun_anew_goes_on_where_it_stood() {
        let mut whole =
            Stream::new(&cipher::AES_128, Zeroizing::new(vec![7; 16]), [0xff; 16]).unwrap();
        let mut parts =
            Stream::new(&cipher::AES_128, Zeroizing::new(vec![7; 16]), [0xff; 16]).unwrap();
        let mut expected = vec![0; 160];
        whole.apply(&[0; 160], &mut expected).unwrap();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let mut block = [0; 32];
            parts.apply(&[0; 32], &mut block).unwrap();
            parts.begin_anew().unwrap();
            seen.extend_from_slice(&block);
        }
        assert_eq!(seen, expected);
    }
}
