//! A private key that the ssh-agent of the lab holds, or plays as if it sat in a security key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaKeyPair,
};

use super::wire;

/// A private key with its public blob, which may be a certificate. Clones share the key and its counter.
#[derive(Debug, Clone)]
pub struct Key {
    private: Arc<Private>,
    hardware: Option<Hardware>,
    algorithm: String,
    blob: Vec<u8>,
    comment: String,
}

#[derive(Debug)]
enum Private {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// What makes a signature one of a security key.
#[derive(Debug, Clone)]
struct Hardware {
    application: String,
    flags: u8,
    counter: Arc<AtomicU32>,
}

impl Key {
    /// An `ssh-ed25519` key of this seed.
    pub fn ed25519(seed: [u8; 32]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed");
        Self::new(Private::Ed25519(pair), None)
    }

    /// A new `ecdsa-sha2-nistp256` key.
    pub fn ecdsa_p256() -> Self {
        Self::new(Private::EcdsaP256(new_ecdsa_p256()), None)
    }

    /// A new `ssh-rsa` key of 2048 bits, the least that OpenSSH takes and the fastest to make.
    pub fn rsa_2048() -> Self {
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("a key can be made");
        Self::new(Private::Rsa(pair), None)
    }

    /// An `sk-ssh-ed25519@openssh.com` key of this seed for an application such as `ssh:`. Its owner is present.
    pub fn security_key_ed25519(seed: [u8; 32], application: &str) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).expect("any 32 bytes are a seed");
        Self::new(Private::Ed25519(pair), Some(Hardware::new(application)))
    }

    /// A new `sk-ecdsa-sha2-nistp256@openssh.com` key for an application such as `ssh:`. Its owner is present.
    pub fn security_key_ecdsa_p256(application: &str) -> Self {
        Self::new(
            Private::EcdsaP256(new_ecdsa_p256()),
            Some(Hardware::new(application)),
        )
    }

    /// The same security key with these flags in its signatures: [`USER_PRESENT`], [`USER_VERIFIED`], or anything.
    ///
    /// # Panics
    ///
    /// When this is no security key.
    #[must_use]
    pub fn with_flags(mut self, flags: u8) -> Self {
        self.hardware
            .as_mut()
            .expect("this is a security key")
            .flags = flags;
        self
    }

    /// The same key with another comment.
    #[must_use]
    pub fn with_comment(mut self, comment: &str) -> Self {
        comment.clone_into(&mut self.comment);
        self
    }

    /// The same key offered as a certificate: a line of a `-cert.pub` file that `ssh-keygen -s` has made for it.
    ///
    /// # Panics
    ///
    /// When the line is no certificate line.
    #[must_use]
    pub fn with_certificate(mut self, line: &str) -> Self {
        let encoded = line
            .split_whitespace()
            .nth(1)
            .expect("a line has an algorithm and a blob");
        self.blob = wire::from_base64(encoded).expect("the blob is base64");
        self
    }

    /// The public key, or the certificate, as the protocol sends it.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The comment, which an ssh-agent gives with the key.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// The public key as a line of a `.pub` or an `authorized_keys` file.
    pub fn public_line(&self) -> String {
        let mut blob = self.blob.as_slice();
        let name = wire::take_string(&mut blob).map(String::from_utf8_lossy);
        let name = name.expect("every blob starts with its algorithm");
        format!("{name} {} {}", wire::base64(&self.blob), self.comment)
    }

    /// The signature of `data` as the protocol sends it: algorithm, signature, and for a security key flags and counter.
    ///
    /// `flags` are those of the ssh-agent protocol and choose the hash of an RSA key. `None` where the key cannot sign so:
    /// an RSA key without a flag would sign with SHA-1.
    pub fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let Some(hardware) = &self.hardware else {
            let (algorithm, signature) = self.sign_plainly(data, flags)?;
            return Some(encode_signature(algorithm, &signature));
        };
        let counter = hardware.counter.fetch_add(1, Ordering::Relaxed);
        let mut suffix = vec![hardware.flags];
        suffix.extend(counter.to_be_bytes());
        let application = digest(&SHA256, hardware.application.as_bytes());
        let signed = [
            application.as_ref(),
            &suffix,
            digest(&SHA256, data).as_ref(),
        ]
        .concat();
        let (_, signature) = self.sign_plainly(&signed, flags)?;
        let mut encoded = encode_signature(&self.algorithm, &signature);
        encoded.extend(suffix);
        Some(encoded)
    }

    fn new(private: Private, hardware: Option<Hardware>) -> Self {
        let plain = match &private {
            Private::Ed25519(_) => "ssh-ed25519",
            Private::EcdsaP256(_) => "ecdsa-sha2-nistp256",
            Private::Rsa(_) => "ssh-rsa",
        };
        let algorithm = match &hardware {
            Some(_) => format!("sk-{plain}@openssh.com"),
            None => plain.to_owned(),
        };
        let mut blob = Vec::new();
        wire::put_string(&mut blob, algorithm.as_bytes());
        match &private {
            Private::Ed25519(pair) => wire::put_string(&mut blob, pair.public_key().as_ref()),
            Private::EcdsaP256(pair) => {
                wire::put_string(&mut blob, b"nistp256");
                wire::put_string(&mut blob, pair.public_key().as_ref());
            }
            Private::Rsa(pair) => {
                let public = pair.public_key();
                let exponent = public.exponent();
                wire::put_mpint(&mut blob, exponent.big_endian_without_leading_zero());
                let modulus = public.modulus();
                wire::put_mpint(&mut blob, modulus.big_endian_without_leading_zero());
            }
        }
        if let Some(hardware) = &hardware {
            wire::put_string(&mut blob, hardware.application.as_bytes());
        }
        let comment = format!("{algorithm} of the lab");
        Self {
            private: Arc::new(private),
            hardware,
            algorithm,
            blob,
            comment,
        }
    }

    fn sign_plainly(&self, data: &[u8], flags: u32) -> Option<(&'static str, Vec<u8>)> {
        let random = SystemRandom::new();
        match &*self.private {
            Private::Ed25519(pair) => Some(("ssh-ed25519", pair.sign(data).as_ref().to_vec())),
            Private::EcdsaP256(pair) => {
                let fixed = pair.sign(&random, data).ok()?;
                let (r, s) = fixed.as_ref().split_at_checked(32)?;
                let mut signature = Vec::new();
                wire::put_mpint(&mut signature, r);
                wire::put_mpint(&mut signature, s);
                Some(("ecdsa-sha2-nistp256", signature))
            }
            Private::Rsa(pair) => {
                let (algorithm, padding) = if flags & RSA_SHA2_512 != 0 {
                    ("rsa-sha2-512", &RSA_PKCS1_SHA512)
                } else if flags & RSA_SHA2_256 != 0 {
                    ("rsa-sha2-256", &RSA_PKCS1_SHA256)
                } else {
                    return None;
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &random, data, &mut signature).ok()?;
                Some((algorithm, signature))
            }
        }
    }
}

impl Hardware {
    fn new(application: &str) -> Self {
        Self {
            application: application.into(),
            flags: USER_PRESENT,
            counter: Arc::default(),
        }
    }
}

fn new_ecdsa_p256() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key can be made")
}

fn encode_signature(algorithm: &str, signature: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::new();
    wire::put_string(&mut encoded, algorithm.as_bytes());
    wire::put_string(&mut encoded, signature);
    encoded
}

/// The owner has touched the security key (OpenSSH, PROTOCOL.u2f).
pub const USER_PRESENT: u8 = 0x01;

/// The owner has proved who they are to the security key, by a PIN for example (OpenSSH, PROTOCOL.u2f).
pub const USER_VERIFIED: u8 = 0x04;

/// Sign with SHA-256 by an RSA key (RFC 9987, `SSH_AGENT_RSA_SHA2_256`).
pub const RSA_SHA2_256: u32 = 2;

/// Sign with SHA-512 by an RSA key (RFC 9987, `SSH_AGENT_RSA_SHA2_512`).
pub const RSA_SHA2_512: u32 = 4;
