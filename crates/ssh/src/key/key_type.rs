//! The types of keys, and what each is used for.

use std::fmt;

use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm};

/// The type of a key, as its blob says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyType {
    /// Ed25519.
    Ed25519,
    /// ECDSA on P-256.
    EcdsaP256,
    /// ECDSA on P-384.
    EcdsaP384,
    /// ECDSA on P-521.
    EcdsaP521,
    /// Ed25519 on a security key.
    SkEd25519,
    /// ECDSA on P-256 on a security key.
    SkEcdsaP256,
    /// RSA.
    Rsa,
}

impl KeyType {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Ed25519,
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::EcdsaP521,
        Self::SkEd25519,
        Self::SkEcdsaP256,
        Self::Rsa,
    ];

    /// The name that stands first in a blob and in a line of text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::EcdsaP256 => "ecdsa-sha2-nistp256",
            Self::EcdsaP384 => "ecdsa-sha2-nistp384",
            Self::EcdsaP521 => "ecdsa-sha2-nistp521",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsaP256 => "sk-ecdsa-sha2-nistp256@openssh.com",
            Self::Rsa => "ssh-rsa",
        }
    }

    /// The type of that whole name.
    pub fn from_name(name: &[u8]) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|known| known.name().as_bytes() == name)
    }

    /// What a key of this type can sign with, best first. For RSA the hash is no part of the key,
    /// so there are two (RFC 8332).
    pub const fn signature_algorithms(self) -> &'static [SignatureAlgorithm] {
        match self {
            Self::Ed25519 => &[SignatureAlgorithm::Ed25519],
            Self::EcdsaP256 => &[SignatureAlgorithm::EcdsaP256],
            Self::EcdsaP384 => &[SignatureAlgorithm::EcdsaP384],
            Self::EcdsaP521 => &[SignatureAlgorithm::EcdsaP521],
            Self::SkEd25519 => &[SignatureAlgorithm::SkEd25519],
            Self::SkEcdsaP256 => &[SignatureAlgorithm::SkEcdsaP256],
            Self::Rsa => &[SignatureAlgorithm::RsaSha512, SignatureAlgorithm::RsaSha256],
        }
    }

    /// The algorithms under which a plain key of this type is used, best first.
    pub const fn key_algorithms(self) -> &'static [KeyAlgorithm] {
        match self {
            Self::Ed25519 => &[KeyAlgorithm::Ed25519],
            Self::EcdsaP256 => &[KeyAlgorithm::EcdsaP256],
            Self::EcdsaP384 => &[KeyAlgorithm::EcdsaP384],
            Self::EcdsaP521 => &[KeyAlgorithm::EcdsaP521],
            Self::SkEd25519 => &[KeyAlgorithm::SkEd25519],
            Self::SkEcdsaP256 => &[KeyAlgorithm::SkEcdsaP256],
            Self::Rsa => &[KeyAlgorithm::RsaSha512, KeyAlgorithm::RsaSha256],
        }
    }

    /// The algorithms under which a key of this type is used in a certificate, best first.
    pub const fn certificate_algorithms(self) -> &'static [KeyAlgorithm] {
        match self {
            Self::Ed25519 => &[KeyAlgorithm::Ed25519Cert],
            Self::EcdsaP256 => &[KeyAlgorithm::EcdsaP256Cert],
            Self::EcdsaP384 => &[KeyAlgorithm::EcdsaP384Cert],
            Self::EcdsaP521 => &[KeyAlgorithm::EcdsaP521Cert],
            Self::SkEd25519 => &[KeyAlgorithm::SkEd25519Cert],
            Self::SkEcdsaP256 => &[KeyAlgorithm::SkEcdsaP256Cert],
            Self::Rsa => &[KeyAlgorithm::RsaSha512Cert, KeyAlgorithm::RsaSha256Cert],
        }
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
