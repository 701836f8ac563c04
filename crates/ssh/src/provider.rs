//! What the engine asks of cryptography: random bytes, key exchange, packet ciphers, signatures.
//!
//! The shape is that of rustls: a [`CryptoProvider`] is given at construction and no primitive is
//! reached by another way. The one for production, over aws-lc-rs, is [`aws_lc::provider`]. A
//! deterministic one for simulated pairs is in the tests alone.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::algorithm::{CipherAlgorithm, KexAlgorithm, MacAlgorithm, SignatureAlgorithm};
use crate::key::PublicKey;

pub mod aws_lc;

/// The cryptography of a connection.
#[derive(Debug, Clone)]
pub struct CryptoProvider {
    /// Source of cookies, padding and other random bytes.
    pub random: Arc<dyn SecureRandom>,
    /// The key exchange methods it can do, in no particular order.
    pub kex: Vec<Arc<dyn KexMethod>>,
    /// The packet ciphers it can do, in no particular order.
    pub ciphers: Vec<Arc<dyn PacketCipher>>,
    /// Checks signatures of host keys, users and certificate authorities.
    pub verifier: Arc<dyn Verifier>,
    /// Whether AES is fast here (the processor has instructions for it). Decides the default order
    /// of ciphers: without them chacha20-poly1305 comes first.
    pub has_fast_aes: bool,
}

impl CryptoProvider {
    /// The method of that algorithm, if this provider has it.
    pub fn kex(&self, algorithm: KexAlgorithm) -> Option<&Arc<dyn KexMethod>> {
        self.kex
            .iter()
            .find(|method| method.algorithms().contains(&algorithm))
    }

    /// The cipher of that algorithm, if this provider has it.
    pub fn cipher(&self, algorithm: CipherAlgorithm) -> Option<&Arc<dyn PacketCipher>> {
        self.ciphers
            .iter()
            .find(|cipher| cipher.algorithm() == algorithm)
    }
}

/// Random bytes fit for secrets.
pub trait SecureRandom: fmt::Debug + Send + Sync {
    /// Fills `out`.
    fn fill(&self, out: &mut [u8]) -> Result<(), CryptoError>;
}

/// One key exchange method: the primitives and the hash that go together.
pub trait KexMethod: fmt::Debug + Send + Sync {
    /// The names it is negotiated by: the same exchange may have two.
    fn algorithms(&self) -> &[KexAlgorithm];

    /// Client: makes an ephemeral secret and the bytes for `C_INIT`.
    fn start(&self) -> Result<Box<dyn ActiveKex>, CryptoError>;

    /// Server: answers `C_INIT`. Gives `S_REPLY` and the shared secret.
    fn respond(&self, client_init: &[u8]) -> Result<(Vec<u8>, SharedSecret), CryptoError>;

    /// The method's hash over the concatenation of `parts`.
    fn hash(&self, parts: &[&[u8]]) -> Digest;
}

/// A client's half of a key exchange: an ephemeral secret that can be used once.
pub trait ActiveKex: Send + Sync {
    /// The bytes for `C_INIT`.
    fn client_init(&self) -> &[u8];

    /// Ends the exchange with the server's `S_REPLY`.
    fn complete(self: Box<Self>, server_reply: &[u8]) -> Result<SharedSecret, CryptoError>;
}

/// The shared secret K, encoded as the exchange hash and the key derivation want it: an `mpint` for
/// classic methods, a `string` for hybrids, with its length. Wiped when dropped.
pub struct SharedSecret(Zeroizing<Vec<u8>>);

impl SharedSecret {
    /// K of a classic method (RFC 8731 section 3.1): `mpint` of the big-endian bytes.
    pub fn from_integer(big_endian: &[u8]) -> Self {
        // Room for the length and a sign byte, so that no unwiped copy stays behind in a
        // reallocation.
        let mut encoded = Zeroizing::new(Vec::with_capacity(big_endian.len().saturating_add(5)));
        crate::wire::Write::put_mpint(&mut *encoded, big_endian);
        Self(encoded)
    }

    /// K of a hybrid method: `string` of a hash.
    pub fn from_hash(hash: &[u8]) -> Self {
        let mut encoded = Zeroizing::new(Vec::with_capacity(hash.len().saturating_add(4)));
        crate::wire::Write::put_string(&mut *encoded, hash);
        Self(encoded)
    }

    /// K as it goes into the hash.
    pub(crate) fn encoded(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret")
    }
}

/// A hash of up to 64 bytes. Wiped when dropped, since key material is one too.
#[derive(Clone)]
pub struct Digest {
    bytes: Zeroizing<[u8; 64]>,
    length: usize,
}

impl Digest {
    /// Takes a hash of at most 64 bytes; longer ones are cut.
    pub fn new(hash: &[u8]) -> Self {
        let mut bytes = Zeroizing::new([0; 64]);
        let mut length = 0;
        for (to, from) in bytes.iter_mut().zip(hash) {
            *to = *from;
            length = usize::saturating_add(length, 1);
        }
        Self { bytes, length }
    }

    /// The hash.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Digest")
    }
}

/// One packet cipher, with its MAC if it needs one.
pub trait PacketCipher: fmt::Debug + Send + Sync {
    /// Its algorithm.
    fn algorithm(&self) -> CipherAlgorithm;

    /// The bytes of key, initial vector and MAC key to derive.
    fn key_sizes(&self, mac: Option<MacAlgorithm>) -> KeySizes;

    /// The sending half. `mac` is `Some` exactly when the algorithm is no AEAD.
    fn sealer(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<dyn Seal>, CryptoError>;

    /// The receiving half.
    fn opener(
        &self,
        keys: &DirectionKeys,
        mac: Option<MacAlgorithm>,
    ) -> Result<Box<dyn Open>, CryptoError>;
}

/// Sizes in bytes of what the key derivation makes for one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySizes {
    /// Encryption key.
    pub key: usize,
    /// Initial vector.
    pub iv: usize,
    /// MAC key; 0 for an AEAD.
    pub mac: usize,
}

/// Keys of one direction, wiped when dropped.
pub struct DirectionKeys {
    /// Encryption key.
    pub key: Zeroizing<Vec<u8>>,
    /// Initial vector.
    pub iv: Zeroizing<Vec<u8>>,
    /// MAC key; empty for an AEAD.
    pub mac: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for DirectionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectionKeys")
    }
}

/// How packets of a cipher are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Length of padding length, payload and padding together is a multiple of this; the four
    /// length bytes are not counted.
    pub block: usize,
    /// Bytes of tag or MAC after the packet.
    pub tag: usize,
}

/// The sending half of a cipher. Nonce and counter live inside and advance with every packet.
pub trait Seal: Send + Sync {
    /// Its layout.
    fn layout(&self) -> Layout;

    /// Encrypts `packet` (four length bytes, padding length, payload, padding) in place and writes
    /// `tag`, which has exactly the layout's length.
    fn seal(&mut self, sequence: u32, packet: &mut [u8], tag: &mut [u8])
    -> Result<(), CryptoError>;
}

/// The receiving half of a cipher. Nonce and counter live inside and advance with every packet.
pub trait Open: Send + Sync {
    /// Its layout.
    fn layout(&self) -> Layout;

    /// The `packet_length` behind the first four bytes. Not authenticated: good for waiting only.
    fn packet_length(&self, sequence: u32, first: [u8; 4]) -> u32;

    /// Checks and decrypts. `packet` is the whole packet as received: four length bytes, body, tag.
    /// `plain` has exactly the body's length and holds the plaintext if, and only if, this returns
    /// `Ok`; after an error its bytes mean nothing.
    fn open(&mut self, sequence: u32, packet: &[u8], plain: &mut [u8]) -> Result<(), CryptoError>;
}

/// Makes signatures with one private key.
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half.
    fn public_key(&self) -> &PublicKey;

    /// What it can sign with, best first.
    fn algorithms(&self) -> &[SignatureAlgorithm];

    /// A signature blob (`string name || string signature`) over `message`.
    fn sign(&self, algorithm: SignatureAlgorithm, message: &[u8]) -> Result<Vec<u8>, CryptoError>;
}

/// Checks signatures.
pub trait Verifier: fmt::Debug + Send + Sync {
    /// Checks the signature blob over `message`, strictly: the name inside is `algorithm`'s, the key
    /// is of that algorithm, nothing is left over.
    fn verify(
        &self,
        key: &PublicKey,
        algorithm: SignatureAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<Verified, CryptoError>;
}

/// What a good signature says besides being good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verified {
    /// Flags and counter of a security key; `None` for other keys.
    pub security_key: Option<SecurityKeyUse>,
}

/// What a security key reported with its signature (OpenSSH's PROTOCOL.u2f).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecurityKeyUse {
    /// Somebody touched the key.
    pub user_present: bool,
    /// Somebody proved to be the owner (PIN, fingerprint).
    pub user_verified: bool,
    /// The key's signature counter.
    pub counter: u32,
}

/// Why cryptography said no. It says little on purpose: all kinds of bad packets look alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    /// A tag, MAC or signature does not fit.
    #[error("authentication check failed")]
    Forged,
    /// A peer's key share has the wrong size or is not a point or key.
    #[error("key share is not valid")]
    BadShare,
    /// A key of ours cannot be used for this.
    #[error("key cannot be used for this algorithm")]
    BadKey,
    /// The library failed where it should not.
    #[error("cryptographic library failed")]
    Internal,
}
