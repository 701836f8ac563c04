//! A provider whose every random byte comes from one seed, so that a run can be had again.
//!
//! The ciphers and the verifier are the real ones; they draw nothing. Key exchange is X25519, alone
//! and with ML-KEM-768, from the plain functions of testkit. Signatures are Ed25519, which draws
//! nothing either.

use std::sync::{Arc, Mutex};

use adit_ssh::algorithm::KexAlgorithm;
use adit_ssh::provider::{
    ActiveKex, CryptoError, CryptoProvider, Digest, KexMethod, SecureRandom, SharedSecret, aws_lc,
};
use adit_testkit::seeded::{self, SeededRandom};
use aws_lc_rs::digest;

/// The provider of one end of a pair.
pub fn provider(seed: u64) -> CryptoProvider {
    let random = Arc::new(Seeded(Mutex::new(SeededRandom::new(seed))));
    CryptoProvider {
        random: Arc::clone(&random) as Arc<dyn SecureRandom>,
        kex: vec![
            Arc::new(Hybrid(Arc::clone(&random))),
            Arc::new(Classic(random)),
        ],
        ..aws_lc::provider()
    }
}

#[derive(Debug)]
struct Seeded(Mutex<SeededRandom>);

impl Seeded {
    fn bytes<const N: usize>(&self) -> [u8; N] {
        self.0.lock().unwrap().bytes()
    }
}

impl SecureRandom for Seeded {
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError> {
        self.0.lock().unwrap().fill(out);
        Ok(())
    }
}

fn sha256(parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    Digest::new(context.finish().as_ref())
}

fn agree(secret: &[u8; 32], peer: &[u8]) -> Result<[u8; 32], CryptoError> {
    let peer = peer.try_into().map_err(|_| CryptoError::BadShare)?;
    seeded::x25519_agree(secret, peer).ok_or(CryptoError::BadShare)
}

/// curve25519-sha256.
#[derive(Debug)]
struct Classic(Arc<Seeded>);

struct ActiveClassic {
    secret: [u8; 32],
    init: [u8; 32],
}

impl KexMethod for Classic {
    fn algorithms(&self) -> &[KexAlgorithm] {
        &[KexAlgorithm::Curve25519, KexAlgorithm::Curve25519LibSsh]
    }

    fn start(&self) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let secret = self.0.bytes();
        let init = seeded::x25519_public_key(&secret);
        Ok(Box::new(ActiveClassic { secret, init }))
    }

    fn respond(&self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), CryptoError> {
        let secret = self.0.bytes();
        let shared = agree(&secret, client_init)?;
        let reply = seeded::x25519_public_key(&secret).to_vec();
        Ok((reply, SharedSecret::from_integer(&shared)))
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        sha256(parts)
    }
}

impl ActiveKex for ActiveClassic {
    fn client_init(&self) -> &[u8] {
        &self.init
    }

    fn complete(self: Box<Self>, server_reply: &[u8]) -> Result<SharedSecret, CryptoError> {
        agree(&self.secret, server_reply).map(|shared| SharedSecret::from_integer(&shared))
    }
}

/// mlkem768x25519-sha256.
#[derive(Debug)]
struct Hybrid(Arc<Seeded>);

struct ActiveHybrid {
    seed: [u8; 64],
    secret: [u8; 32],
    init: Vec<u8>,
}

impl KexMethod for Hybrid {
    fn algorithms(&self) -> &[KexAlgorithm] {
        &[KexAlgorithm::MlKem768X25519]
    }

    fn start(&self) -> Result<Box<dyn ActiveKex>, CryptoError> {
        let (seed, secret) = (self.0.bytes(), self.0.bytes());
        let post_quantum = seeded::ml_kem_768_public_key(&seed);
        let init = [&post_quantum[..], &seeded::x25519_public_key(&secret)].concat();
        Ok(Box::new(ActiveHybrid { seed, secret, init }))
    }

    fn respond(&self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), CryptoError> {
        let (key, share) = client_init
            .split_first_chunk()
            .ok_or(CryptoError::BadShare)?;
        let secret = self.0.bytes();
        let (ciphertext, post_quantum) =
            seeded::ml_kem_768_encapsulate(key, &self.0.bytes()).ok_or(CryptoError::BadShare)?;
        let classic = agree(&secret, share)?;
        let reply = [&ciphertext[..], &seeded::x25519_public_key(&secret)].concat();
        Ok((reply, combine(&post_quantum, &classic)))
    }

    fn hash(&self, parts: &[&[u8]]) -> Digest {
        sha256(parts)
    }
}

impl ActiveKex for ActiveHybrid {
    fn client_init(&self) -> &[u8] {
        &self.init
    }

    fn complete(self: Box<Self>, server_reply: &[u8]) -> Result<SharedSecret, CryptoError> {
        let (ciphertext, share) = server_reply
            .split_first_chunk()
            .ok_or(CryptoError::BadShare)?;
        let classic = agree(&self.secret, share)?;
        let post_quantum = seeded::ml_kem_768_decapsulate(&self.seed, ciphertext);
        Ok(combine(&post_quantum, &classic))
    }
}

fn combine(post_quantum: &[u8], classic: &[u8]) -> SharedSecret {
    SharedSecret::from_hash(sha256(&[post_quantum, classic]).as_bytes())
}
