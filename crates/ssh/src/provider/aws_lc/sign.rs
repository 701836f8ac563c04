//! Makes signatures with private keys that are in this process's memory.
//!
//! Each constructor computes the public half again or has the library check that the halves belong
//! together; a key whose halves do not is [`CryptoError::BadKey`]. The library draws ECDSA's nonces
//! itself. An RSA signature is verified before it leaves: one that a fault made wrong would give the
//! private key away.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RsaPublicKeyComponents,
};
use crypto_bigint::{BoxedUint, NonZero};
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use crate::algorithm::SignatureAlgorithm;
use crate::key::{Curve, Parts, PublicKey};
use crate::provider::{CryptoError, Signer};
use crate::secret::Secret;
use crate::wire::Write as _;

/// The signer of an Ed25519 seed (RFC 8032 section 5.1.5).
///
/// # Errors
///
/// [`CryptoError::BadKey`] if the library does not take the seed.
pub fn ed25519(seed: &[u8; 32]) -> Result<Arc<dyn Signer>, CryptoError> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| CryptoError::BadKey)?;
    signer(Private::Ed25519(pair))
}

/// A key that was just made.
#[expect(
    missing_debug_implementations,
    reason = "its seed shows nothing, not even that it is one"
)]
pub struct NewKey {
    /// What is to be kept; [`crate::key_file::write_ed25519`] writes it to a file.
    pub seed: Secret<[u8; 32]>,
    /// The key, ready to sign.
    pub signer: Arc<dyn Signer>,
}

/// Makes an Ed25519 key from the system's randomness.
///
/// # Errors
///
/// [`CryptoError::Internal`] if the system gives no random bytes.
pub fn generate_ed25519() -> Result<NewKey, CryptoError> {
    let mut seed = Secret::new([0; 32]);
    aws_lc_rs::rand::fill(seed.expose_mut()).map_err(|_| CryptoError::Internal)?;
    let signer = ed25519(seed.expose())?;
    Ok(NewKey { seed, signer })
}

/// An unencrypted key in PKCS #8 that was just made. The caller sees to it that only its own user can
/// read what it keeps of it.
#[expect(missing_debug_implementations, reason = "its text is a secret")]
pub struct NewPem {
    /// What is to be kept: PEM, which OpenSSH reads too.
    pub pem: Zeroizing<String>,
    /// The key, ready to sign.
    pub signer: Arc<dyn Signer>,
}

/// Makes an RSA key of 3,072 bits, as `ssh-keygen` does, from the system's randomness: for clients that
/// know nothing newer. It takes a second or so.
///
/// # Errors
///
/// [`CryptoError::Internal`] if the library makes none.
pub fn generate_rsa() -> Result<NewPem, CryptoError> {
    let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa3072).map_err(|_| CryptoError::Internal)?;
    let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair).map_err(|_| CryptoError::Internal)?;
    let pem = pem_rfc7468::encode_string("PRIVATE KEY", LineEnding::LF, der.as_ref())
        .map_err(|_| CryptoError::Internal)?;
    Ok(NewPem {
        pem: Zeroizing::new(pem),
        signer: signer(Private::Rsa(pair))?,
    })
}

/// The signer of an ECDSA key whose public point is known too. `scalar` is big-endian and may lack
/// leading zeros.
pub(crate) fn ecdsa(
    curve: Curve,
    scalar: &[u8],
    point: &[u8],
) -> Result<Arc<dyn Signer>, CryptoError> {
    let mut full = Zeroizing::new(vec![0; curve.field_size()]);
    let start = full
        .len()
        .checked_sub(scalar.len())
        .ok_or(CryptoError::BadKey)?;
    full.get_mut(start..)
        .ok_or(CryptoError::BadKey)?
        .copy_from_slice(scalar);
    let pair = EcdsaKeyPair::from_private_key_and_public_key(ecdsa_algorithm(curve), &full, point)
        .map_err(|_| CryptoError::BadKey)?;
    signer(Private::Ecdsa(curve, pair))
}

/// The signer of an unencrypted key in DER: PKCS #8, or the form of its own kind (PKCS #1, SEC 1).
pub(crate) fn from_der(der: &[u8]) -> Result<Arc<dyn Signer>, CryptoError> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8(der) {
        return signer(Private::Ed25519(pair));
    }
    if let Ok(pair) = rsa::KeyPair::from_pkcs8(der).or_else(|_| rsa::KeyPair::from_der(der)) {
        return signer(Private::Rsa(pair));
    }
    for curve in [Curve::P256, Curve::P384, Curve::P521] {
        if let Ok(pair) = EcdsaKeyPair::from_private_key_der(ecdsa_algorithm(curve), der) {
            return signer(Private::Ecdsa(curve, pair));
        }
    }
    Err(CryptoError::BadKey)
}

/// An RSA key as OpenSSH and PuTTY keep it: all numbers big-endian, without the exponents of the
/// Chinese remainder theorem.
pub(crate) struct RsaComponents<'a> {
    /// Modulus.
    pub(crate) n: &'a [u8],
    /// Public exponent.
    pub(crate) e: &'a [u8],
    /// Private exponent.
    pub(crate) d: &'a [u8],
    /// One prime.
    pub(crate) p: &'a [u8],
    /// The other prime.
    pub(crate) q: &'a [u8],
    /// Inverse of `q` modulo `p`.
    pub(crate) q_inverse: &'a [u8],
}

/// The signer of an RSA key. The library checks that all numbers belong together.
pub(crate) fn rsa(key: &RsaComponents<'_>) -> Result<Arc<dyn Signer>, CryptoError> {
    if key.n.len() > RSA_SIZE {
        return Err(CryptoError::BadKey);
    }
    let components = rsa::KeyPairComponents {
        public_key: RsaPublicKeyComponents { n: key.n, e: key.e },
        d: key.d,
        p: key.p,
        q: key.q,
        dP: &*exponent(key.d, key.p)?,
        dQ: &*exponent(key.d, key.q)?,
        qInv: key.q_inverse,
    };
    let pair = rsa::KeyPair::from_components(&components).map_err(|_| CryptoError::BadKey)?;
    signer(Private::Rsa(pair))
}

/// Bytes of the longest modulus: 8,192 bits.
const RSA_SIZE: usize = 1_024;

/// `d mod (prime - 1)`, in constant time for numbers of that size.
fn exponent(d: &[u8], prime: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let number = |bytes: &[u8]| {
        let bits = u32::try_from(bytes.len().saturating_mul(8)).unwrap_or(u32::MAX);
        if bytes.len() > RSA_SIZE {
            return Err(CryptoError::BadKey);
        }
        BoxedUint::from_be_slice(bytes, bits)
            .map(Zeroizing::new)
            .map_err(|_| CryptoError::BadKey)
    };
    let (d, prime) = (number(d)?, number(prime)?);
    let modulus =
        Option::<NonZero<BoxedUint>>::from(NonZero::new(prime.wrapping_sub(BoxedUint::one())))
            .map(Zeroizing::new)
            .ok_or(CryptoError::BadKey)?;
    let remainder = Zeroizing::new(d.rem(&modulus));
    Ok(Zeroizing::new(remainder.to_be_bytes().into_vec()))
}

/// A private key of the library's.
enum Private {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Curve, EcdsaKeyPair),
    Rsa(rsa::KeyPair),
}

/// Computes the public half and puts both together.
fn signer(private: Private) -> Result<Arc<dyn Signer>, CryptoError> {
    let parts = match &private {
        Private::Ed25519(pair) => Parts::Ed25519(
            pair.public_key()
                .as_ref()
                .try_into()
                .map_err(|_| CryptoError::BadKey)?,
        ),
        Private::Ecdsa(curve, pair) => Parts::Ecdsa(*curve, pair.public_key().as_ref().to_vec()),
        Private::Rsa(pair) => Parts::Rsa {
            e: pair
                .public_key()
                .exponent()
                .big_endian_without_leading_zero()
                .to_vec(),
            n: pair
                .public_key()
                .modulus()
                .big_endian_without_leading_zero()
                .to_vec(),
        },
    };
    Ok(Arc::new(AwsLcSigner {
        public_key: PublicKey::from_parts(&parts).map_err(|_| CryptoError::BadKey)?,
        private,
    }))
}

/// A private key with its public half. Its `Debug` shows the public half alone.
struct AwsLcSigner {
    private: Private,
    public_key: PublicKey,
}

impl fmt::Debug for AwsLcSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsLcSigner")
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

impl Signer for AwsLcSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    fn algorithms(&self) -> &[SignatureAlgorithm] {
        self.public_key.signature_algorithms()
    }

    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        if !self.public_key.supports(algorithm) {
            return Err(CryptoError::BadKey);
        }
        let signature = match &self.private {
            Private::Ed25519(pair) => pair
                .try_sign(message)
                .map_err(|_| CryptoError::Internal)?
                .as_ref()
                .to_vec(),
            Private::Ecdsa(curve, pair) => sign_ecdsa(*curve, pair, message)?,
            Private::Rsa(pair) => sign_rsa(algorithm, pair, message)?,
        };
        let mut blob = Vec::with_capacity(signature.len().saturating_add(40));
        blob.put_string(algorithm.name().as_bytes());
        blob.put_string(&signature);
        Ok(blob)
    }
}

/// RFC 5656 section 3.1.2.
fn sign_ecdsa(curve: Curve, pair: &EcdsaKeyPair, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let fixed = pair
        .sign(&SystemRandom::new(), message)
        .map_err(|_| CryptoError::Internal)?;
    let (r, s) = fixed
        .as_ref()
        .split_at_checked(curve.field_size())
        .ok_or(CryptoError::Internal)?;
    let mut signature = Vec::with_capacity(fixed.as_ref().len().saturating_add(10));
    signature.put_mpint(r);
    signature.put_mpint(s);
    Ok(signature)
}

/// RFC 8332 section 3.
fn sign_rsa(
    algorithm: SignatureAlgorithm,
    pair: &rsa::KeyPair,
    message: &[u8],
) -> Result<Vec<u8>, CryptoError> {
    let (encoding, parameters) = if algorithm == SignatureAlgorithm::RsaSha512 {
        (
            &signature::RSA_PKCS1_SHA512,
            &signature::RSA_PKCS1_2048_8192_SHA512,
        )
    } else {
        (
            &signature::RSA_PKCS1_SHA256,
            &signature::RSA_PKCS1_2048_8192_SHA256,
        )
    };
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature)
        .map_err(|_| CryptoError::Internal)?;
    let public_key = pair.public_key();
    RsaPublicKeyComponents {
        n: public_key.modulus().big_endian_without_leading_zero(),
        e: public_key.exponent().big_endian_without_leading_zero(),
    }
    .verify(parameters, message, &signature)
    .map_err(|_| CryptoError::Internal)?;
    Ok(signature)
}

const fn ecdsa_algorithm(curve: Curve) -> &'static EcdsaSigningAlgorithm {
    match curve {
        Curve::P256 => &signature::ECDSA_P256_SHA256_FIXED_SIGNING,
        Curve::P384 => &signature::ECDSA_P384_SHA384_FIXED_SIGNING,
        Curve::P521 => &signature::ECDSA_P521_SHA512_FIXED_SIGNING,
    }
}
