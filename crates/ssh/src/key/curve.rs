//! The curves of ECDSA keys.

use aws_lc_rs::signature::{self, EcdsaVerificationAlgorithm, ParsedPublicKey};

use super::KeyType;

/// A NIST curve of RFC 5656 section 10.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    /// Its name inside a key blob.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    /// Bytes of a coordinate, of a private scalar and of each half of a signature.
    pub(crate) const fn field_size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The type of a plain key on it.
    pub(crate) const fn key_type(self) -> KeyType {
        match self {
            Self::P256 => KeyType::EcdsaP256,
            Self::P384 => KeyType::EcdsaP384,
            Self::P521 => KeyType::EcdsaP521,
        }
    }

    /// How signatures under its keys are checked.
    pub(crate) const fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &signature::ECDSA_P256_SHA256_FIXED,
            Self::P384 => &signature::ECDSA_P384_SHA384_FIXED,
            Self::P521 => &signature::ECDSA_P521_SHA512_FIXED,
        }
    }

    /// Whether those bytes are a point on it.
    pub(super) fn has(self, point: &[u8]) -> bool {
        ParsedPublicKey::new(self.verification(), point).is_ok()
    }
}
