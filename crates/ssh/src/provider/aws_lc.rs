//! The provider over aws-lc-rs, with sntrup761 from the crate of that name.
//!
//! Nothing here is a primitive: this module lays bytes out as SSH wants them, checks the sizes and
//! forms that the libraries do not, and calls. aws-lc-rs draws its own randomness from the system
//! inside key generation, encapsulation and ECDSA; there is no way to give it another.

use std::sync::Arc;

use aws_lc_rs::digest;

use super::{CryptoError, CryptoProvider, Digest, PacketCipher, SecureRandom};

mod chacha;
mod ctr;
mod gcm;
mod kex;
mod processor;
pub mod sign;
mod verify;

pub use processor::{AesSpeed, FEATURE_MASK};

/// The provider for production. Finds out whether the processor has instructions for AES.
pub fn provider() -> CryptoProvider {
    provider_with(AesSpeed::Detect)
}

/// The same with the answer about AES given, so that the order of ciphers of another processor can
/// be had anywhere.
pub fn provider_with(aes: AesSpeed) -> CryptoProvider {
    CryptoProvider {
        random: Arc::new(SystemRandom),
        kex: kex::methods(),
        ciphers: ciphers(),
        verifier: Arc::new(verify::AwsLcVerifier),
        has_fast_aes: aes.is_fast(),
    }
}

/// All packet ciphers.
fn ciphers() -> Vec<Arc<dyn PacketCipher>> {
    vec![
        Arc::new(gcm::AES_128),
        Arc::new(gcm::AES_256),
        Arc::new(chacha::ChaCha20Poly1305),
        Arc::new(ctr::AES_128),
        Arc::new(ctr::AES_256),
    ]
}

/// The system's random source, by way of aws-lc-rs.
#[derive(Debug)]
struct SystemRandom;

impl SecureRandom for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        aws_lc_rs::rand::fill(out).map_err(|_| CryptoError::Internal)
    }
}

/// The hash over the concatenation of `parts`.
fn hash(algorithm: &'static digest::Algorithm, parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(algorithm);
    for part in parts {
        context.update(part);
    }
    Digest::new(context.finish().as_ref())
}

#[cfg(test)]
mod tests;
