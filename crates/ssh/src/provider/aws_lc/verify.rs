//! Checks signatures: what a signature blob must look like, and the call that decides.
//!
//! A blob is `string name || string signature` and, from a security key, `byte flags || uint32
//! counter`; nothing else. The name inside must be that of the algorithm asked for. Each failure is
//! the same [`CryptoError::Forged`]; only a key that cannot have made such a signature at all is
//! [`CryptoError::BadKey`].

use aws_lc_rs::digest;
use aws_lc_rs::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};

use crate::algorithm::SignatureAlgorithm;
use crate::key::{Curve, Parts, PublicKey};
use crate::provider::{CryptoError, SecurityKeyUse, Verified, Verifier};
use crate::wire::{Reader, WireError};

/// A security key's flag for "somebody touched it" (FIDO CTAP2 authenticator data).
const USER_PRESENT: u8 = 0x01;

/// A security key's flag for "somebody proved to be the owner".
const USER_VERIFIED: u8 = 0x04;

/// Bytes of the longest RSA signature: 8,192 bits.
const RSA_SIGNATURE: usize = 1_024;

/// The verifier over aws-lc-rs.
#[derive(Debug)]
pub(super) struct AwsLcVerifier;

impl Verifier for AwsLcVerifier {
    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Verified, CryptoError> {
        if !key.supports(algorithm) {
            return Err(CryptoError::BadKey);
        }
        let blob = Blob::parse(algorithm, signature).map_err(|_| CryptoError::Forged)?;
        let is_good = match key.parts() {
            Parts::Ed25519(point) => ed25519(point, message, blob.signature),
            Parts::Ecdsa(curve, point) => ecdsa(*curve, point, message, blob.signature),
            Parts::Rsa { e, n } => rsa(algorithm, e, n, message, blob.signature),
            Parts::SkEd25519(point, application) => ed25519(
                point,
                &blob.signed_by_key(application, message),
                blob.signature,
            ),
            Parts::SkEcdsaP256(point, application) => ecdsa(
                Curve::P256,
                point,
                &blob.signed_by_key(application, message),
                blob.signature,
            ),
        };
        if is_good {
            Ok(Verified {
                security_key: blob.security_key.map(|used| SecurityKeyUse {
                    user_present: used.flags & USER_PRESENT != 0,
                    user_verified: used.flags & USER_VERIFIED != 0,
                    counter: used.counter,
                }),
            })
        } else {
            Err(CryptoError::Forged)
        }
    }
}

/// A signature blob taken apart.
struct Blob<'a> {
    signature: &'a [u8],
    security_key: Option<Used>,
}

/// What a security key adds.
struct Used {
    /// All eight bits; those that we do not know are signed too.
    flags: u8,
    counter: u32,
}

impl<'a> Blob<'a> {
    fn parse(algorithm: SignatureAlgorithm, blob: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(blob);
        if reader.string()? != algorithm.name().as_bytes() {
            return Err(WireError::Text);
        }
        let signature = reader.string()?;
        let security_key = if matches!(
            algorithm,
            SignatureAlgorithm::SkEd25519 | SignatureAlgorithm::SkEcdsaP256
        ) {
            Some(Used {
                flags: reader.byte()?,
                counter: reader.uint32()?,
            })
        } else {
            None
        };
        reader.finish()?;
        Ok(Self {
            signature,
            security_key,
        })
    }

    /// What a security key signs: hash of the application, flags, counter, hash of the message
    /// (OpenSSH's PROTOCOL.u2f).
    fn signed_by_key(&self, application: &str, message: &[u8]) -> Vec<u8> {
        let (flags, counter) = self
            .security_key
            .as_ref()
            .map_or((0, 0), |used| (used.flags, used.counter));
        [
            digest::digest(&digest::SHA256, application.as_bytes()).as_ref(),
            &[flags],
            &counter.to_be_bytes(),
            digest::digest(&digest::SHA256, message).as_ref(),
        ]
        .concat()
    }
}

fn ed25519(point: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    signature.len() == 64
        && UnparsedPublicKey::new(&signature::ED25519, point)
            .verify(message, signature)
            .is_ok()
}

/// RFC 5656 section 3.1.2: `mpint r || mpint s`, each positive and within the field, nothing after.
fn ecdsa(curve: Curve, point: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let mut reader = Reader::new(signature);
    let (Ok(r), Ok(s)) = (reader.mpint(), reader.mpint()) else {
        return false;
    };
    if reader.finish().is_err() {
        return false;
    }
    let size = curve.field_size();
    let mut fixed = Vec::with_capacity(size.saturating_mul(2));
    for half in [r, s] {
        let Some(zeros) = size.checked_sub(half.len()) else {
            return false;
        };
        if half.is_empty() {
            return false;
        }
        fixed.extend(std::iter::repeat_n(0, zeros));
        fixed.extend_from_slice(half);
    }
    UnparsedPublicKey::new(curve.verification(), point)
        .verify(message, &fixed)
        .is_ok()
}

/// RFC 8332. A signature shorter than the modulus lost its leading zeros on the way and gets them
/// back, as OpenSSH does; a longer one is refused.
fn rsa(
    algorithm: SignatureAlgorithm,
    e: &[u8],
    n: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    let parameters = if algorithm == SignatureAlgorithm::RsaSha512 {
        &signature::RSA_PKCS1_2048_8192_SHA512
    } else {
        &signature::RSA_PKCS1_2048_8192_SHA256
    };
    let mut padded = [0; RSA_SIGNATURE];
    let Some(place) = padded.get_mut(..n.len()) else {
        return false;
    };
    let Some(zeros) = place.len().checked_sub(signature.len()) else {
        return false;
    };
    let Some(end) = place.get_mut(zeros..) else {
        return false;
    };
    end.copy_from_slice(signature);
    RsaPublicKeyComponents { n, e }
        .verify(parameters, message, place)
        .is_ok()
}

#[cfg(test)]
mod tests;
