//! What stands in a key's blob after its type, with the checks of it.

use super::{Curve, KeyError, KeyType};
use crate::limits;
use crate::wire::{Reader, Write as _};

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

    pub(super) const fn key_type(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::Ecdsa(curve, _) => curve.key_type(),
            Self::Rsa { .. } => KeyType::Rsa,
            Self::SkEd25519(..) => KeyType::SkEd25519,
            Self::SkEcdsaP256(..) => KeyType::SkEcdsaP256,
        }
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
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
    if point.len() != size || point.first() != Some(&4) || !curve.has(point) {
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
pub(super) fn is_weak_ed25519(mut point: [u8; 32]) -> bool {
    let [low, middle @ .., high] = &mut point;
    // The sign of x is not part of y.
    *high &= 0x7f;
    let is_canonical = *high != 0x7f || *low < 0xed || middle.iter().any(|byte| *byte != 0xff);
    !is_canonical || SMALL_ORDER.contains(&point)
}

/// The y coordinates of the eight points whose order divides 8: 1, p - 1, 0 (two points) and the
/// two of order eight (two points each), little-endian. Published with libsodium's
/// `ge25519_has_small_order`.
pub(super) const SMALL_ORDER: [[u8; 32]; 5] = [
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
