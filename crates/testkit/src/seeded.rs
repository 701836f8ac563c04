//! Deterministic randomness and cryptography: one seed, one run.
//!
//! Simulated pairs take their choices from [`SeededRandom`] and their keys from the plain functions here, which give the
//! same bytes for the same input wherever they run. Ed25519 signatures are deterministic by themselves (RFC 8032, 5.1.6);
//! ECDSA is absent, since its nonces cannot be given.
//!
//! Nothing here is fit for a product: whoever knows the seed knows the keys.

use aws_lc_rs::agreement;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use ml_kem::kem::{Decapsulate as _, KeyExport as _};
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey, EncapsulationKey};
use rand_chacha::ChaCha20Rng;
use rand_core::{Infallible, Rng as _, SeedableRng as _, TryCryptoRng, TryRng};

/// A stream of random bytes that its seed determines: `ChaCha20` from a 64-bit seed.
#[derive(Debug, Clone)]
pub struct SeededRandom(ChaCha20Rng);

impl SeededRandom {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// Fills a buffer.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        self.0.fill_bytes(buffer);
    }

    /// An array of random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    /// A number from 0 to `bound - 1`, and 0 for a bound of 0.
    ///
    /// Small bounds are as good as uniform; the bias is at most `bound / 2^64`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64().checked_rem(bound).unwrap_or(0)
    }

    /// One of several, each as likely as the others.
    ///
    /// # Panics
    /// There is none to pick from.
    #[expect(
        clippy::indexing_slicing,
        reason = "a size is one of 1 to the most; from nothing there is nothing to give"
    )]
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.size(from.len()) - 1]
    }

    /// True `numerator` times of `denominator`, on the average.
    pub fn chance(&mut self, numerator: u64, denominator: u64) -> bool {
        self.below(denominator) < numerator
    }

    /// A number from 1 to `most` bytes; 1 for a `most` of 0.
    pub fn size(&mut self, most: usize) -> usize {
        let bound = u64::try_from(most).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).map_or(most, |size| size + 1)
    }
}

/// For libraries that draw for themselves, as sntrup761 does.
impl TryRng for SeededRandom {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        self.0.try_next_u32()
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0.try_next_u64()
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.0.try_fill_bytes(buffer)
    }
}

/// Not in truth: only as good as the secrecy of its seed, which a test has none of.
impl TryCryptoRng for SeededRandom {}

/// Runs a simulation with 256 seeds, or as many as the environment variable `ADIT_SEEDS` says, or only with
/// the one that `ADIT_SEED` gives.
///
/// # Panics
///
/// When the simulation panics; the seed that it had is printed before.
pub fn for_each_seed(mut simulation: impl FnMut(u64)) {
    /// Prints the seed while the panic that ended it unwinds.
    struct Seed(u64);
    impl Drop for Seed {
        fn drop(&mut self) {
            if std::thread::panicking() {
                eprintln!("failed with seed {0}; ADIT_SEED={0} replays it", self.0);
            }
        }
    }

    let number = |name: &str| {
        let text = std::env::var(name).ok()?;
        Some(
            text.parse::<u64>()
                .unwrap_or_else(|_| panic!("{name} is no number")),
        )
    };
    let seeds = match number("ADIT_SEED") {
        Some(seed) => seed..seed.saturating_add(1),
        None => 0..number("ADIT_SEEDS").unwrap_or(SEEDS),
    };
    for seed in seeds {
        let _printed = Seed(seed);
        simulation(seed);
    }
}

/// The X25519 public key of a secret key (RFC 7748, 6.1).
pub fn x25519_public_key(secret: &[u8; 32]) -> [u8; 32] {
    let public = x25519(secret)
        .compute_public_key()
        .expect("an X25519 key has a public key");
    array(public.as_ref())
}

/// The X25519 secret that both sides share, or `None` for a peer's key that gives zero (RFC 7748, 6.1).
pub fn x25519_agree(secret: &[u8; 32], peer_public_key: &[u8; 32]) -> Option<[u8; 32]> {
    let peer = agreement::UnparsedPublicKey::new(&agreement::X25519, peer_public_key);
    agreement::agree(&x25519(secret), peer, (), |shared| Ok(array(shared))).ok()
}

/// The ML-KEM-768 encapsulation key of a seed `d || z` (FIPS 203, algorithm 16).
pub fn ml_kem_768_public_key(seed: &[u8; 64]) -> [u8; ML_KEM_768_PUBLIC_KEY_BYTES] {
    array(&ml_kem_768(seed).encapsulation_key().to_bytes())
}

/// The ML-KEM-768 ciphertext and shared secret of this randomness (FIPS 203, algorithm 17), or `None` for a key whose
/// coefficients are out of range.
pub fn ml_kem_768_encapsulate(
    public_key: &[u8; ML_KEM_768_PUBLIC_KEY_BYTES],
    randomness: &[u8; 32],
) -> Option<([u8; ML_KEM_768_CIPHERTEXT_BYTES], [u8; 32])> {
    let key = EncapsulationKey::new(public_key.as_slice().try_into().ok()?).ok()?;
    let (ciphertext, shared) = key.encapsulate_deterministic(&(*randomness).into());
    Some((array(&ciphertext), array(&shared)))
}

/// The shared secret in an ML-KEM-768 ciphertext (FIPS 203, algorithm 18); a forged ciphertext gives an unrelated one.
pub fn ml_kem_768_decapsulate(
    seed: &[u8; 64],
    ciphertext: &[u8; ML_KEM_768_CIPHERTEXT_BYTES],
) -> [u8; 32] {
    let ciphertext: &Ciphertext = ciphertext.as_slice().try_into().expect("the same length");
    array(&ml_kem_768(seed).decapsulate(ciphertext))
}

/// The Ed25519 public key of a seed (RFC 8032, 5.1.5).
pub fn ed25519_public_key(seed: &[u8; 32]) -> [u8; 32] {
    array(ed25519(seed).public_key().as_ref())
}

/// The Ed25519 signature of a message (RFC 8032, 5.1.6).
pub fn ed25519_sign(seed: &[u8; 32], message: &[u8]) -> [u8; 64] {
    array(ed25519(seed).sign(message).as_ref())
}

/// Length of an ML-KEM-768 encapsulation key in bytes (FIPS 203, table 3).
pub const ML_KEM_768_PUBLIC_KEY_BYTES: usize = 1184;

/// Length of an ML-KEM-768 ciphertext in bytes (FIPS 203, table 3).
pub const ML_KEM_768_CIPHERTEXT_BYTES: usize = 1088;

fn x25519(secret: &[u8; 32]) -> agreement::PrivateKey {
    agreement::PrivateKey::from_private_key(&agreement::X25519, secret)
        .expect("any 32 bytes are an X25519 secret")
}

fn ml_kem_768(seed: &[u8; 64]) -> DecapsulationKey {
    DecapsulationKey::from_seed((*seed).into())
}

fn ed25519(seed: &[u8; 32]) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(seed).expect("any 32 bytes are an Ed25519 seed")
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("a length that the algorithm fixes")
}

/// How many seeds one run of a simulation has; the style guide of the house fixes the number.
const SEEDS: u64 = 256;

#[cfg(test)]
mod tests {
    use aws_lc_rs::kem;

    use super::*;

    fn hex<const N: usize>(text: &str) -> [u8; N] {
        let pairs = text
            .as_bytes()
            .chunks(2)
            .map(|pair| str::from_utf8(pair).unwrap());
        let bytes: Vec<_> = pairs
            .map(|pair| u8::from_str_radix(pair, 16).unwrap())
            .collect();
        bytes.try_into().unwrap()
    }

    #[test]
    fn one_seed_gives_one_stream() {
        let streams: Vec<[u8; 64]> = [7, 7, 8]
            .iter()
            .map(|seed| SeededRandom::new(*seed).bytes())
            .collect();
        assert_eq!(streams[0], streams[1]);
        assert_ne!(streams[0], streams[2]);
        let mut drawn = [0; 64];
        SeededRandom::new(7).try_fill_bytes(&mut drawn).unwrap();
        assert_eq!(drawn, streams[0]);
    }

    #[test]
    fn numbers_stay_below_their_bound_and_reach_it() {
        let mut random = SeededRandom::new(1);
        let numbers: Vec<_> = (0..200).map(|_| random.below(4)).collect();
        assert!((0..4).all(|number| numbers.contains(&number)));
        assert!(numbers.iter().all(|number| *number < 4));
        let sizes: Vec<_> = (0..200).map(|_| random.size(3)).collect();
        assert!((1..=3).all(|size| sizes.contains(&size)));
        assert!(sizes.iter().all(|size| (1..=3).contains(size)));
        assert_eq!((random.below(0), random.size(0)), (0, 1));
        assert!(!random.chance(0, 10));
        assert!(random.chance(10, 10));
    }

    #[test]
    fn x25519_gives_the_answers_of_rfc_7748() {
        let alice = hex("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
        let bob = hex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
        let alice_public = "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a";
        let bob_public = "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f";
        let shared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
        assert_eq!(x25519_public_key(&alice), hex(alice_public));
        assert_eq!(x25519_public_key(&bob), hex(bob_public));
        assert_eq!(x25519_agree(&alice, &hex(bob_public)), Some(hex(shared)));
        assert_eq!(x25519_agree(&bob, &hex(alice_public)), Some(hex(shared)));
    }

    #[test]
    fn x25519_refuses_a_key_that_gives_zero() {
        assert_eq!(x25519_agree(&[1; 32], &[0; 32]), None);
    }

    #[test]
    fn ed25519_gives_the_answers_of_rfc_8032() {
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public_key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let signature = "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bac\
                         c61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b";
        assert_eq!(ed25519_public_key(&seed), hex(public_key));
        assert_eq!(ed25519_sign(&seed, b""), hex(signature));
    }

    #[test]
    fn ml_kem_768_agrees_with_another_implementation() {
        let mut random = SeededRandom::new(3);
        let (seed, randomness) = (random.bytes(), random.bytes());
        let public_key = ml_kem_768_public_key(&seed);

        let theirs = kem::EncapsulationKey::new(&kem::ML_KEM_768, &public_key).unwrap();
        let (ciphertext, shared) = theirs.encapsulate().unwrap();
        let ciphertext = ciphertext.as_ref().try_into().unwrap();
        assert_eq!(ml_kem_768_decapsulate(&seed, &ciphertext), shared.as_ref());

        let theirs = kem::DecapsulationKey::generate(&kem::ML_KEM_768).unwrap();
        let public_key = theirs.encapsulation_key().unwrap().key_bytes().unwrap();
        let public_key = public_key.as_ref().try_into().unwrap();
        let (ciphertext, shared) = ml_kem_768_encapsulate(&public_key, &randomness).unwrap();
        let again = ml_kem_768_encapsulate(&public_key, &randomness).unwrap();
        assert_eq!((ciphertext, shared), again);
        assert_eq!(
            theirs
                .decapsulate((&ciphertext[..]).into())
                .unwrap()
                .as_ref(),
            shared
        );
    }

    #[test]
    fn ml_kem_768_refuses_a_key_out_of_range() {
        assert_eq!(ml_kem_768_encapsulate(&[0xff; 1184], &[0; 32]), None);
    }
}
