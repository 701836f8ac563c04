use std::sync::{Arc, LazyLock};

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    ECDSA_P521_SHA512_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};

use super::*;
use crate::key::KeyType;
use crate::provider::Signer;
use crate::provider::aws_lc::sign;
use crate::wire::Write as _;

const MESSAGE: &[u8] = b"an exchange hash";

/// One signer of each type that can be in a file.
static SIGNERS: LazyLock<Vec<Arc<dyn Signer>>> = LazyLock::new(|| {
    let mut signers = vec![sign::generate_ed25519().unwrap().signer];
    for algorithm in [
        &ECDSA_P256_SHA256_FIXED_SIGNING,
        &ECDSA_P384_SHA384_FIXED_SIGNING,
        &ECDSA_P521_SHA512_FIXED_SIGNING,
    ] {
        let pair = EcdsaKeyPair::generate(algorithm).unwrap();
        signers.push(sign::from_der(pair.to_pkcs8v1().unwrap().as_ref()).unwrap());
    }
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    signers.push(sign::from_der(pair.as_der().unwrap().as_ref()).unwrap());
    signers
});

fn of_type(key_type: KeyType) -> Arc<dyn Signer> {
    SIGNERS
        .iter()
        .find(|signer| signer.public_key().key_type() == key_type)
        .unwrap()
        .clone()
}

fn verify(
    key: &PublicKey,
    algorithm: SignatureAlgorithm,
    signature: &[u8],
) -> Result<Verified, CryptoError> {
    AwsLcVerifier.verify(key, algorithm, MESSAGE, signature)
}

fn blob(name: &str, signature: &[u8]) -> Vec<u8> {
    let mut blob = Vec::new();
    blob.put_string(name.as_bytes());
    blob.put_string(signature);
    blob
}

/// The raw signature inside a blob.
fn raw(blob: &[u8]) -> Vec<u8> {
    let mut reader = Reader::new(blob);
    reader.string().unwrap();
    reader.string().unwrap().to_vec()
}

#[test]
fn what_each_signer_signs_verifies_and_nothing_else() {
    assert_eq!(SIGNERS.len(), 5);
    for signer in SIGNERS.iter() {
        for algorithm in signer.algorithms() {
            let signature = signer.sign(*algorithm, MESSAGE).unwrap();
            assert_eq!(
                verify(signer.public_key(), *algorithm, &signature),
                Ok(Verified::default())
            );
            assert_eq!(
                AwsLcVerifier.verify(signer.public_key(), *algorithm, b"another", &signature),
                Err(CryptoError::Forged)
            );
            for other in SIGNERS.iter() {
                if other.public_key() != signer.public_key() {
                    assert_eq!(
                        verify(other.public_key(), *algorithm, &signature),
                        Err(CryptoError::BadKey)
                    );
                }
            }
        }
        for algorithm in SignatureAlgorithm::ALL {
            if !signer.public_key().supports(*algorithm) {
                assert_eq!(signer.sign(*algorithm, MESSAGE), Err(CryptoError::BadKey));
            }
        }
    }
}

#[test]
fn rsa_sign_then_verify() {
    let signer = of_type(KeyType::Rsa);
    for algorithm in [SignatureAlgorithm::RsaSha512, SignatureAlgorithm::RsaSha256] {
        let signature = signer.sign(algorithm, MESSAGE).unwrap();
        assert_eq!(raw(&signature).len(), 256);
        verify(signer.public_key(), algorithm, &signature).unwrap();
    }
}

#[test]
fn sig_blob_table() {
    for signer in SIGNERS.iter() {
        let key = signer.public_key();
        let algorithm = signer.algorithms()[0];
        let good = signer.sign(algorithm, MESSAGE).unwrap();
        let signature = raw(&good);
        let mut trailing = good.clone();
        trailing.push(0);
        let mut long_name = Vec::new();
        long_name.put_uint32(u32::MAX);
        let certificate = format!("{}-cert-v01@openssh.com", algorithm.name());
        for bad in [
            vec![],
            good[..good.len() - 1].to_vec(),
            trailing,
            long_name,
            signature.clone(),
            blob("", &signature),
            blob("ssh-rsa", &signature),
            blob(&certificate, &signature),
            blob(&algorithm.name().to_uppercase(), &signature),
            blob(algorithm.name(), &[]),
            blob(algorithm.name(), &good),
        ] {
            assert_eq!(
                verify(key, algorithm, &bad),
                Err(CryptoError::Forged),
                "{algorithm} {bad:02x?}"
            );
        }
        for at in 0..good.len() {
            let mut flipped = good.clone();
            flipped[at] ^= 1;
            assert_eq!(
                verify(key, algorithm, &flipped),
                Err(CryptoError::Forged),
                "{algorithm} byte {at}"
            );
        }
    }
}

#[test]
fn hostkey_sig_alg_mismatch_d3() {
    // A good RSA signature by one hash is none under the name of the other, nor asked for so.
    let signer = of_type(KeyType::Rsa);
    let (sha512, sha256) = (SignatureAlgorithm::RsaSha512, SignatureAlgorithm::RsaSha256);
    let signature = signer.sign(sha512, MESSAGE).unwrap();
    assert_eq!(
        verify(signer.public_key(), sha256, &signature),
        Err(CryptoError::Forged)
    );
    assert_eq!(
        verify(
            signer.public_key(),
            sha256,
            &blob(sha256.name(), &raw(&signature))
        ),
        Err(CryptoError::Forged)
    );
}

#[test]
fn hostkey_blob_type_mismatch() {
    let ed25519 = of_type(KeyType::Ed25519);
    let signature = ed25519.sign(SignatureAlgorithm::Ed25519, MESSAGE).unwrap();
    for signer in SIGNERS.iter().skip(1) {
        assert_eq!(
            verify(signer.public_key(), SignatureAlgorithm::Ed25519, &signature),
            Err(CryptoError::BadKey)
        );
    }
}

#[test]
fn rsa_short_signature_ok() {
    let signer = of_type(KeyType::Rsa);
    let algorithm = SignatureAlgorithm::RsaSha256;
    let (message, signature) = (0_u32..100_000)
        .map(|number| {
            let message = number.to_be_bytes();
            let signature = raw(&signer.sign(algorithm, &message).unwrap());
            (message, signature)
        })
        .find(|(_, signature)| signature[0] == 0)
        .unwrap();
    let check = |signature: &[u8]| {
        AwsLcVerifier.verify(
            signer.public_key(),
            algorithm,
            &message,
            &blob(algorithm.name(), signature),
        )
    };
    let digits: Vec<u8> = signature
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    check(&signature).unwrap();
    check(&digits).unwrap();
    let longer = [&[0][..], &signature].concat();
    assert_eq!(check(&longer), Err(CryptoError::Forged));
    assert_eq!(check(&digits[1..]), Err(CryptoError::Forged));
}

#[test]
fn ecdsa_strict_table() {
    for (key_type, size) in [
        (KeyType::EcdsaP256, 32),
        (KeyType::EcdsaP384, 48),
        (KeyType::EcdsaP521, 66),
    ] {
        let signer = of_type(key_type);
        let algorithm = signer.algorithms()[0];
        let good = raw(&signer.sign(algorithm, MESSAGE).unwrap());
        let mut reader = Reader::new(&good);
        let (r, s) = (reader.mpint().unwrap(), reader.mpint().unwrap());
        let of = |r: &[u8], s: &[u8]| {
            let mut signature = Vec::new();
            signature.put_mpint(r);
            signature.put_mpint(s);
            signature
        };
        assert_eq!(of(r, s), good);
        let raw_strings = |r: &[u8], s: &[u8]| {
            let mut signature = Vec::new();
            signature.put_string(r);
            signature.put_string(s);
            signature
        };
        let wide = vec![0x7f; size + 1];
        let der = [&[0x30, 0x44][..], &good].concat();
        for bad in [
            of(&[], s),
            of(r, &[]),
            of(s, r),
            of(&wide, s),
            of(r, &wide),
            of(&vec![0xff; size], s),
            of(r, &vec![0xff; size]),
            raw_strings(&[&[0, 0][..], r].concat(), s),
            raw_strings(&[0x80], s),
            [&good[..], &[0]].concat(),
            good[..good.len() - 1].to_vec(),
            [r, s].concat(),
            der,
        ] {
            assert_eq!(
                verify(
                    signer.public_key(),
                    algorithm,
                    &blob(algorithm.name(), &bad)
                ),
                Err(CryptoError::Forged),
                "{key_type} {bad:02x?}"
            );
        }
    }
}

/// A security key in software: what it says it did, signed.
enum Token {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
}

impl Token {
    fn public_key(&self, application: &str) -> PublicKey {
        let application = application.to_owned();
        PublicKey::from_parts(&match self {
            Self::Ed25519(pair) => {
                Parts::SkEd25519(pair.public_key().as_ref().try_into().unwrap(), application)
            }
            Self::EcdsaP256(pair) => {
                Parts::SkEcdsaP256(pair.public_key().as_ref().to_vec(), application)
            }
        })
        .unwrap()
    }

    fn sign(&self, application: &str, flags: u8, counter: u32) -> Vec<u8> {
        let mut signed = Vec::new();
        signed.put_bytes(digest::digest(&digest::SHA256, application.as_bytes()).as_ref());
        signed.put_byte(flags);
        signed.put_uint32(counter);
        signed.put_bytes(digest::digest(&digest::SHA256, MESSAGE).as_ref());
        let (algorithm, signature) = match self {
            Self::Ed25519(pair) => (
                SignatureAlgorithm::SkEd25519,
                pair.sign(&signed).as_ref().to_vec(),
            ),
            Self::EcdsaP256(pair) => {
                let fixed = pair.sign(&SystemRandom::new(), &signed).unwrap();
                let mut signature = Vec::new();
                signature.put_mpint(&fixed.as_ref()[..32]);
                signature.put_mpint(&fixed.as_ref()[32..]);
                (SignatureAlgorithm::SkEcdsaP256, signature)
            }
        };
        let mut blob = blob(algorithm.name(), &signature);
        blob.put_byte(flags);
        blob.put_uint32(counter);
        blob
    }
}

#[test]
fn sk_flags_matrix() {
    let tokens = [
        Token::Ed25519(Ed25519KeyPair::generate().unwrap()),
        Token::EcdsaP256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()),
    ];
    for token in tokens {
        let key = token.public_key("ssh:");
        let algorithm = key.signature_algorithms()[0];
        for flags in [0x00, 0x01, 0x04, 0x05, 0x41, 0xc5, 0xff] {
            let signature = token.sign("ssh:", flags, 7);
            assert_eq!(
                verify(&key, algorithm, &signature),
                Ok(Verified {
                    security_key: Some(SecurityKeyUse {
                        user_present: flags & 1 != 0,
                        user_verified: flags & 4 != 0,
                        counter: 7,
                    }),
                }),
                "flags {flags:02x}"
            );
            // Flags and counter are signed: nobody on the way can raise them.
            let at = signature.len() - 5;
            for bit in 0..8 {
                let mut raised = signature.clone();
                raised[at] ^= 1 << bit;
                assert_eq!(verify(&key, algorithm, &raised), Err(CryptoError::Forged));
            }
            let mut counted = signature.clone();
            *counted.last_mut().unwrap() += 1;
            assert_eq!(verify(&key, algorithm, &counted), Err(CryptoError::Forged));
        }
        for (what, bad) in [
            ("another application", token.sign("ssh:other", 1, 7)),
            ("no counter", {
                let good = token.sign("ssh:", 1, 7);
                good[..good.len() - 5].to_vec()
            }),
            ("trailing", [&token.sign("ssh:", 1, 7)[..], &[0]].concat()),
        ] {
            assert_eq!(
                verify(&key, algorithm, &bad),
                Err(CryptoError::Forged),
                "{what}"
            );
        }
    }
}
