//! Hybrids of a post-quantum KEM with X25519: mlkem768x25519-sha256 and sntrup761x25519-sha512.
//!
//! The client sends the KEM's public key and its X25519 share, the server a ciphertext and its own
//! share. K is a `string` of the hash over the KEM's secret and the raw 32 bytes of X25519's, in
//! this order (RFC 9941, draft-ietf-sshm-mlkem-hybrid-kex). A ciphertext that somebody changed
//! gives another secret and no error, as these KEMs are made to do; the exchange then fails at the
//! server's signature.

use aws_lc_rs::digest;
use aws_lc_rs::kem;
use zeroize::Zeroizing;

use super::{CURVE25519, Half, X25519_SIZE, hash};
use crate::algorithm::KexAlgorithm;
use crate::provider::{ActiveKex, CryptoError, Digest, KexMethod, SharedSecret};

/// mlkem768x25519-sha256; sizes of FIPS 203, table 3.
pub(super) const MLKEM: Hybrid = Hybrid {
    algorithms: &[KexAlgorithm::MlKem768X25519],
    kem: Kem::MlKem768,
    hash: &digest::SHA256,
    public_key_size: 1_184,
    ciphertext_size: 1_088,
};

/// sntrup761x25519-sha512
pub(super) const SNTRUP: Hybrid = Hybrid {
    algorithms: &[
        KexAlgorithm::Sntrup761X25519,
        KexAlgorithm::Sntrup761X25519OpenSsh,
    ],
    kem: Kem::Sntrup761,
    hash: &digest::SHA512,
    public_key_size: sntrup761::PUBLIC_KEY_SIZE,
    ciphertext_size: sntrup761::CIPHERTEXT_SIZE,
};

/// One KEM with its hash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hybrid {
    algorithms: &'static [KexAlgorithm],
    kem: Kem,
    hash: &'static digest::Algorithm,
    public_key_size: usize,
    ciphertext_size: usize,
}

impl Hybrid {
    pub(super) fn shared(&self, kem_secret: &[u8], x25519_secret: &[u8]) -> SharedSecret {
        SharedSecret::from_hash(hash(self.hash, &[kem_secret, x25519_secret]).as_bytes())
    }
}

impl KexMethod for Hybrid {
    fn algorithms(&self) -> &[KexAlgorithm] {
        self.algorithms
    }

    fn start(&self) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let (public_key, decapsulation) = self.kem.generate()?;
        let x25519 = Half::generate(CURVE25519)?;
        let share = [public_key.as_slice(), &x25519.share].concat();
        Ok(Box::new(Client {
            hybrid: *self,
            decapsulation,
            x25519,
            share,
        }))
    }

    fn respond(&self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), CryptoError> {
        let (public_key, share) = split(client_init, self.public_key_size)?;
        let (ciphertext, kem_secret) = self.kem.encapsulate(public_key)?;
        let x25519 = Half::generate(CURVE25519)?;
        let reply = [ciphertext.as_slice(), &x25519.share].concat();
        let x25519_secret = x25519.agree(share)?;
        Ok((reply, self.shared(&kem_secret, &x25519_secret)))
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        hash(self.hash, parts)
    }
}

/// The KEM's part and the X25519 share, if their sizes are exact.
fn split(message: &[u8], kem_size: usize) -> Result<(&[u8], &[u8]), CryptoError> {
    match message.split_at_checked(kem_size) {
        Some((kem, share)) if share.len() == X25519_SIZE => Ok((kem, share)),
        Some(_) | None => Err(CryptoError::BadShare),
    }
}

/// A client's half.
struct Client {
    hybrid: Hybrid,
    decapsulation: Decapsulation,
    x25519: Half,
    /// The KEM's public key and the X25519 share.
    share: Vec<u8>,
}

impl ActiveKex for Client {
    fn client_init(&self) -> &[u8] {
        &self.share
    }

    fn complete(self: Box<Self>, server_reply: &[u8]) -> Result<SharedSecret, CryptoError> {
        let (ciphertext, share) = split(server_reply, self.hybrid.ciphertext_size)?;
        let kem_secret = self.decapsulation.decapsulate(ciphertext)?;
        let x25519_secret = self.x25519.agree(share)?;
        Ok(self.hybrid.shared(&kem_secret, &x25519_secret))
    }
}

/// The KEMs.
#[derive(Debug, Clone, Copy)]
enum Kem {
    MlKem768,
    Sntrup761,
}

/// A KEM's private key. The libraries wipe it when it is dropped.
enum Decapsulation {
    MlKem768(kem::DecapsulationKey),
    Sntrup761(Box<sntrup761::DecapsulationKey>),
}

impl Kem {
    fn generate(self) -> Result<(Vec<u8>, Decapsulation), CryptoError> {
        match self {
            Self::MlKem768 => {
                let key = kem::DecapsulationKey::generate(&kem::ML_KEM_768)
                    .map_err(|_| CryptoError::Internal)?;
                let public_key = key
                    .encapsulation_key()
                    .and_then(|public_key| public_key.key_bytes())
                    .map_err(|_| CryptoError::Internal)?;
                Ok((public_key.as_ref().to_vec(), Decapsulation::MlKem768(key)))
            }
            Self::Sntrup761 => {
                let seed = seed()?;
                let (public_key, key) = sntrup761::generate_key_from_seed(*seed);
                Ok((
                    public_key.as_ref().to_vec(),
                    Decapsulation::Sntrup761(Box::new(key)),
                ))
            }
        }
    }

    /// A ciphertext and its secret. Every public key of the right size that is none (a coefficient
    /// of ML-KEM over the modulus) is an error here, not earlier.
    fn encapsulate(self, public_key: &[u8]) -> Result<(Vec<u8>, Zeroizing<Vec<u8>>), CryptoError> {
        match self {
            Self::MlKem768 => {
                let (ciphertext, secret) = kem::EncapsulationKey::new(&kem::ML_KEM_768, public_key)
                    .map_err(|_| CryptoError::BadShare)?
                    .encapsulate()
                    .map_err(|_| CryptoError::BadShare)?;
                Ok((
                    ciphertext.as_ref().to_vec(),
                    Zeroizing::new(secret.as_ref().to_vec()),
                ))
            }
            Self::Sntrup761 => {
                let public_key = sntrup761::EncapsulationKey::try_from(public_key)
                    .map_err(|_| CryptoError::BadShare)?;
                let seed = seed()?;
                let (ciphertext, secret) = public_key.encapsulate_deterministic(*seed);
                Ok((
                    ciphertext.as_ref().to_vec(),
                    Zeroizing::new(secret.as_ref().to_vec()),
                ))
            }
        }
    }
}

impl Decapsulation {
    fn decapsulate(self, ciphertext: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        match self {
            Self::MlKem768(key) => key
                .decapsulate(ciphertext.into())
                .map(|secret| Zeroizing::new(secret.as_ref().to_vec()))
                .map_err(|_| CryptoError::BadShare),
            Self::Sntrup761(key) => {
                let ciphertext = sntrup761::Ciphertext::try_from(ciphertext)
                    .map_err(|_| CryptoError::BadShare)?;
                let secret = key.decapsulate(&ciphertext);
                Ok(Zeroizing::new(secret.as_ref().to_vec()))
            }
        }
    }
}

/// A seed from the system, for sntrup761's own generator (ChaCha20).
fn seed() -> Result<Zeroizing<[u8; 32]>, CryptoError> {
    let mut seed = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(seed.as_mut_slice()).map_err(|_| CryptoError::Internal)?;
    Ok(seed)
}
