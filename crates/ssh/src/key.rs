//! Public keys as SSH writes them.
//!
//! A key blob is `string type` and fields that depend on the type (RFC 4253 section 6.6, RFC 5656
//! section 3.1, RFC 8709 section 4, OpenSSH's PROTOCOL.u2f). It is parsed once and strictly: exact
//! type name, exact sizes, points on their curve in their one form, RSA within bounds, nothing left
//! over. A certificate is no public key and is refused here; see [`crate::certificate`].

use std::fmt;

use base64ct::{Base64, Encoding as _};

use self::parts::is_weak_ed25519;
use crate::algorithm::SignatureAlgorithm;
use crate::limits;
use crate::wire::{Reader, WireError, Write as _};

mod curve;
mod file_cipher;
mod fingerprint;
mod key_type;
mod parts;

pub(crate) use self::curve::Curve;
pub(crate) use self::file_cipher::FileCipher;
pub use self::fingerprint::Fingerprint;
pub use self::key_type::KeyType;
pub(crate) use self::parts::Parts;

/// A public key whose blob was parsed strictly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Vec<u8>,
    parts: Parts,
}

/// Why bytes or text are no public key of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A field of the blob is malformed, or something follows the last.
    #[error("key blob is malformed")]
    Malformed(#[from] WireError),
    /// The type is none of ours; `ssh-dss` and certificates are among these.
    #[error("key type is not known")]
    UnknownType,
    /// Two places of the key name different types or curves.
    #[error("key names two different types")]
    TypeMismatch,
    /// The point has the wrong size or form, or is not on its curve.
    #[error("key is not a point on its curve")]
    Point,
    /// The RSA modulus is even or not of 2,048 to 8,192 bits.
    #[error("RSA modulus is not odd with 2048 to 8192 bits")]
    RsaModulus,
    /// The RSA exponent is even, below 3 or too large.
    #[error("RSA exponent is not odd, from 3 and below 2^33")]
    RsaExponent,
    /// The key is an Ed25519 point under which signatures mean nothing.
    #[error("key is weak: a point of small order, or not written canonically")]
    WeakPoint,
    /// The text is not `type base64`, or not `SHA256:base64`.
    #[error("text is not a key or fingerprint in OpenSSH's form")]
    Text,
}

impl PublicKey {
    /// Parses a key blob.
    ///
    /// # Errors
    ///
    /// Says which rule the blob breaks. A key that is well-formed but weak passes here, since a
    /// signature under it may still be looked at and refused; see [`Self::trust`].
    pub fn from_blob(blob: &[u8]) -> Result<Self, KeyError> {
        if blob.len() > limits::KEY_BLOB {
            return Err(KeyError::Malformed(WireError::Long {
                limit: limits::KEY_BLOB,
            }));
        }
        let mut reader = Reader::new(blob);
        let key_type =
            KeyType::from_name(reader.string_up_to(limits::NAME)?).ok_or(KeyError::UnknownType)?;
        let parts = Parts::read(key_type, &mut reader)?;
        reader.finish()?;
        Ok(Self {
            blob: blob.to_vec(),
            parts,
        })
    }

    /// Builds the blob of `parts`, which are checked as if they had been received.
    pub(crate) fn from_parts(parts: &Parts) -> Result<Self, KeyError> {
        let mut blob = Vec::new();
        blob.put_string(parts.key_type().name().as_bytes());
        parts.write(&mut blob);
        Self::from_blob(&blob)
    }

    /// Reads one line of OpenSSH's text form: type, one blank, base64 with padding. A comment, if
    /// the line has one, is the caller's to take off first.
    ///
    /// # Errors
    ///
    /// Besides those of [`Self::from_blob`]: the base64 is not canonical, or the type in front is
    /// not the type in the blob.
    pub fn from_openssh_text(text: &str) -> Result<Self, KeyError> {
        let (name, base64) = text.split_once(' ').ok_or(KeyError::Text)?;
        let blob = Base64::decode_vec(base64).map_err(|_| KeyError::Text)?;
        let key = Self::from_blob(&blob)?;
        if name != key.key_type().name() {
            return Err(KeyError::TypeMismatch);
        }
        Ok(key)
    }

    /// The text form that [`Self::from_openssh_text`] reads.
    pub fn to_openssh_text(&self) -> String {
        let mut text = self.key_type().name().to_owned();
        text.push(' ');
        text.push_str(&Base64::encode_string(&self.blob));
        text
    }

    /// The blob, byte for byte as it was received.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The key's type.
    pub fn key_type(&self) -> KeyType {
        self.parts.key_type()
    }

    /// What this key can sign with, best first.
    pub fn signature_algorithms(&self) -> &'static [SignatureAlgorithm] {
        self.key_type().signature_algorithms()
    }

    /// Whether a signature of that algorithm can be this key's.
    pub fn supports(&self, algorithm: SignatureAlgorithm) -> bool {
        self.signature_algorithms().contains(&algorithm)
    }

    /// SHA-256 of the blob.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }

    /// The application that a security key was made for, `ssh:` mostly; `None` for other keys.
    pub fn application(&self) -> Option<&str> {
        match &self.parts {
            Parts::SkEd25519(_, application) | Parts::SkEcdsaP256(_, application) => {
                Some(application)
            }
            Parts::Ed25519(_) | Parts::Ecdsa(..) | Parts::Rsa { .. } => None,
        }
    }

    /// Whether the key is an Ed25519 point of small order or not written canonically. Under a key
    /// of small order one fixed signature fits every message, so it identifies nobody.
    pub fn is_weak_point(&self) -> bool {
        match &self.parts {
            Parts::Ed25519(point) | Parts::SkEd25519(point, _) => is_weak_ed25519(*point),
            Parts::Ecdsa(..) | Parts::SkEcdsaP256(..) | Parts::Rsa { .. } => false,
        }
    }

    /// The key again, if it may identify somebody. To be called wherever a key is stored, pinned or
    /// trusted: grants, enrolment, known hosts, certificate authorities.
    ///
    /// # Errors
    ///
    /// [`KeyError::WeakPoint`] when [`Self::is_weak_point`].
    pub fn trust(&self) -> Result<&Self, KeyError> {
        if self.is_weak_point() {
            Err(KeyError::WeakPoint)
        } else {
            Ok(self)
        }
    }

    /// What stands in the blob after the type.
    pub(crate) const fn parts(&self) -> &Parts {
        &self.parts
    }
}

impl fmt::Debug for PublicKey {
    /// Type and fingerprint: what a log needs to name a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({} {})", self.key_type(), self.fingerprint())
    }
}

#[cfg(test)]
mod tests;
