//! Public keys as SSH writes them, and the one place where the crate `ssh-key` is named.
//!
//! A key blob is `string type` and fields that depend on the type (RFC 4253 section 6.6, RFC 5656
//! section 3.1, RFC 8709 section 4, OpenSSH's PROTOCOL.u2f). It is parsed once and strictly: exact
//! type name, exact sizes, points on their curve in their one form, RSA within bounds, nothing left
//! over. A certificate is no public key and is refused here; see [`crate::certificate`].

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64ct::{Base64, Base64Unpadded, Encoding as _};

use crate::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use crate::limits;
use crate::provider::aws_lc::is_on_curve;
use crate::wire::{Reader, WireError, Write as _};

/// A public key whose blob was parsed strictly.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PublicKey {
    blob: Vec<u8>,
    parts: Parts,
}

/// What stands in a key's blob after its type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Parts {
    /// The encoded point.
    Ed25519([u8; 32]),
    /// The point as 04, x, y.
    Ecdsa(Curve, Vec<u8>),
    /// Exponent and modulus, big-endian without leading zeros.
    Rsa {
        /// Public exponent.
        e: Vec<u8>,
        /// Modulus.
        n: Vec<u8>,
    },
    /// The encoded point and the application of a security key.
    SkEd25519([u8; 32], String),
    /// The point on P-256 and the application of a security key.
    SkEcdsaP256(Vec<u8>, String),
}

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
}

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
}

impl KeyType {
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

impl Parts {
    /// Reads the fields of a key of that type; in a certificate they stand without the type.
    pub(crate) fn read(key_type: KeyType, reader: &mut Reader<'_>) -> Result<Self, KeyError> {
        match key_type {
            KeyType::Ed25519 => Ok(Self::Ed25519(ed25519_point(reader)?)),
            KeyType::SkEd25519 => {
                let point = ed25519_point(reader)?;
                Ok(Self::SkEd25519(
                    point,
                    reader.text(limits::TEXT)?.to_owned(),
                ))
            }
            KeyType::EcdsaP256 => Ok(Self::Ecdsa(Curve::P256, curve_point(Curve::P256, reader)?)),
            KeyType::EcdsaP384 => Ok(Self::Ecdsa(Curve::P384, curve_point(Curve::P384, reader)?)),
            KeyType::EcdsaP521 => Ok(Self::Ecdsa(Curve::P521, curve_point(Curve::P521, reader)?)),
            KeyType::SkEcdsaP256 => {
                let point = curve_point(Curve::P256, reader)?;
                Ok(Self::SkEcdsaP256(
                    point,
                    reader.text(limits::TEXT)?.to_owned(),
                ))
            }
            KeyType::Rsa => {
                let (e, n) = (reader.mpint()?, reader.mpint()?);
                check_rsa(e, n)?;
                Ok(Self::Rsa {
                    e: e.to_vec(),
                    n: n.to_vec(),
                })
            }
        }
    }

    const fn key_type(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::Ecdsa(curve, _) => curve.key_type(),
            Self::Rsa { .. } => KeyType::Rsa,
            Self::SkEd25519(..) => KeyType::SkEd25519,
            Self::SkEcdsaP256(..) => KeyType::SkEcdsaP256,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Ed25519(point) => out.put_string(point),
            Self::Ecdsa(curve, point) => {
                out.put_string(curve.name().as_bytes());
                out.put_string(point);
            }
            Self::Rsa { e, n } => {
                out.put_mpint(e);
                out.put_mpint(n);
            }
            Self::SkEd25519(point, application) => {
                out.put_string(point);
                out.put_string(application.as_bytes());
            }
            Self::SkEcdsaP256(point, application) => {
                out.put_string(Curve::P256.name().as_bytes());
                out.put_string(point);
                out.put_string(application.as_bytes());
            }
        }
    }
}

fn ed25519_point(reader: &mut Reader<'_>) -> Result<[u8; 32], KeyError> {
    reader.string()?.try_into().map_err(|_| KeyError::Point)
}

/// RFC 5656 section 3.1: the curve's name and the point. Points in compressed or hybrid form are
/// refused by their first byte and length, before the library, which would take them.
fn curve_point(curve: Curve, reader: &mut Reader<'_>) -> Result<Vec<u8>, KeyError> {
    if reader.string()? != curve.name().as_bytes() {
        return Err(KeyError::TypeMismatch);
    }
    let point = reader.string()?;
    let size = curve.field_size().saturating_mul(2).saturating_add(1);
    if point.len() != size || point.first() != Some(&4) || !is_on_curve(curve, point) {
        return Err(KeyError::Point);
    }
    Ok(point.to_vec())
}

/// Bounds of RSA keys: a modulus of 2,048 to 8,192 bits, an odd exponent from 3 and below 2^33 (the
/// longest that aws-lc takes).
fn check_rsa(e: &[u8], n: &[u8]) -> Result<(), KeyError> {
    if !(2_048..=8_192).contains(&bits(n)) || !is_odd(n) {
        return Err(KeyError::RsaModulus);
    }
    if bits(e) > 33 || !is_odd(e) || e == [1] {
        return Err(KeyError::RsaExponent);
    }
    Ok(())
}

/// Bits of a big-endian number without leading zero bytes.
fn bits(number: &[u8]) -> u32 {
    let Some(top) = number.first() else {
        return 0;
    };
    u32::try_from(number.len())
        .unwrap_or(u32::MAX)
        .saturating_mul(8)
        .saturating_sub(top.leading_zeros())
}

fn is_odd(number: &[u8]) -> bool {
    number.last().is_some_and(|low| low & 1 == 1)
}

/// Whether an encoded Ed25519 point is of small order or has y not below p = 2^255 - 19.
fn is_weak_ed25519(mut point: [u8; 32]) -> bool {
    let [low, middle @ .., high] = &mut point;
    // The sign of x is not part of y.
    *high &= 0x7f;
    let is_canonical = *high != 0x7f || *low < 0xed || middle.iter().any(|byte| *byte != 0xff);
    !is_canonical || SMALL_ORDER.contains(&point)
}

/// The y coordinates of the eight points whose order divides 8: 1, p - 1, 0 (two points) and the
/// two of order eight (two points each), little-endian. Published with libsodium's
/// `ge25519_has_small_order`.
const SMALL_ORDER: [[u8; 32]; 5] = [
    [
        1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0x7f,
    ],
    [0; 32],
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

/// SHA-256 of a key blob, as people compare it: `SHA256:` and base64 without padding.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of any blob: a key's or a certificate's.
    pub fn of(blob: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, blob);
        let mut bytes = [0; 32];
        for (to, from) in bytes.iter_mut().zip(hash.as_ref()) {
            *to = *from;
        }
        Self(bytes)
    }

    /// The hash itself.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SHA256:{}", Base64Unpadded::encode_string(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let base64 = text.strip_prefix("SHA256:").ok_or(KeyError::Text)?;
        let mut bytes = [0; 32];
        match Base64Unpadded::decode(base64, &mut bytes) {
            Ok(decoded) if decoded.len() == 32 => Ok(Self(bytes)),
            Ok(_) | Err(_) => Err(KeyError::Text),
        }
    }
}

/// A cipher of private key files, by way of `ssh-key`: the ciphers of OpenSSH's own format, and the
/// one of PuTTY's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileCipher(ssh_key::Cipher);

impl FileCipher {
    /// PuTTY's only cipher.
    pub(crate) const AES_256_CBC: Self = Self(ssh_key::Cipher::Aes256Cbc);

    /// The cipher of that name in OpenSSH's format; `none` is no cipher.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        ssh_key::Cipher::new(name)
            .ok()
            .filter(|cipher| cipher.key_and_iv_size().is_some())
            .map(Self)
    }

    /// Bytes of tag that follow the ciphertext.
    pub(crate) fn tag_size(self) -> usize {
        if self.0.has_tag() { 16 } else { 0 }
    }

    /// Decrypts in place with a key from bcrypt-pbkdf. `false` if the ciphertext is malformed, a
    /// tag does not fit, or the cipher cannot be had.
    pub(crate) fn decrypt_with_bcrypt(
        self,
        passphrase: &[u8],
        salt: &[u8],
        rounds: u32,
        buffer: &mut [u8],
        tag: &[u8],
    ) -> bool {
        let kdf = ssh_key::Kdf::Bcrypt {
            salt: salt.to_vec(),
            rounds,
        };
        kdf.derive_key_and_iv(self.0, passphrase)
            .is_ok_and(|(key, iv)| self.decrypt(&key, &iv, buffer, tag))
    }

    /// Decrypts in place.
    pub(crate) fn decrypt(self, key: &[u8], iv: &[u8], buffer: &mut [u8], tag: &[u8]) -> bool {
        let tag = if tag.is_empty() {
            None
        } else if let Ok(tag) = tag.try_into() {
            Some(tag)
        } else {
            return false;
        };
        self.0.decrypt(key, iv, buffer, tag).is_ok()
    }
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

#[cfg(test)]
mod tests;
