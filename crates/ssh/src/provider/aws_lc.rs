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
pub mod sign;
mod verify;

pub(crate) use verify::is_on_curve;

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
        has_fast_aes: match aes {
            AesSpeed::Detect => has_aes_instructions(),
            AesSpeed::Fast => true,
            AesSpeed::Slow => false,
        },
    }
}

/// How fast AES is taken to be. It decides the default order of ciphers, never which of them work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AesSpeed {
    /// Ask the processor.
    Detect,
    /// As if it had instructions for AES and for GCM's multiplication.
    Fast,
    /// As if it had none.
    Slow,
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

/// Whether AES and the carry-less multiplication of GCM are instructions here.
fn has_aes_instructions() -> bool {
    #[cfg(target_arch = "x86_64")]
    let has = std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    let has = std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let has = false;
    has
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
