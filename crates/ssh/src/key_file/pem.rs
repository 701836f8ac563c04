//! PEM armour, and the forms inside it that are DER: PKCS #8, PKCS #1 and SEC 1.
//!
//! The DER itself is read by the libraries. PEM with `Proc-Type` headers, OpenSSL's old encryption,
//! is recognised and refused.

use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::pkcs5::{EncryptionScheme, Error as Pkcs5Error};
use zeroize::Zeroizing;

use super::{Form, KeyFileError};
use crate::limits;
use crate::provider::Signer;
use crate::provider::aws_lc::sign;

/// What is inside the armour, and its form by the armour's label.
pub(super) fn decode(file: &[u8]) -> Result<(Form, Zeroizing<Vec<u8>>), KeyFileError> {
    let begin = find(file, b"-----BEGIN ").ok_or(KeyFileError::UnknownForm)?;
    let file = file.get(begin..).unwrap_or_default();
    let label = file
        .strip_prefix(b"-----BEGIN ")
        .and_then(|rest| find(rest, b"-----").and_then(|end| rest.get(..end)))
        .ok_or(KeyFileError::UnknownForm)?;
    let form = match label {
        b"OPENSSH PRIVATE KEY" => Form::OpenSsh,
        b"PRIVATE KEY" => Form::Pkcs8,
        b"ENCRYPTED PRIVATE KEY" => Form::EncryptedPkcs8,
        b"RSA PRIVATE KEY" => Form::Pkcs1,
        b"EC PRIVATE KEY" => Form::Sec1,
        _ => return Err(KeyFileError::UnknownForm),
    };
    if find(file, b"Proc-Type:").is_some() {
        return Err(KeyFileError::OldEncryption);
    }
    let armour = |_| form.malformed("its PEM armour is damaged");
    let mut decoder = pem_rfc7468::Decoder::new_detect_wrap(file).map_err(armour)?;
    // Room for all of it, so that no unwiped copy stays behind in a reallocation.
    let mut body = Zeroizing::new(vec![0; decoder.remaining_len()]);
    decoder.decode(&mut body).map_err(armour)?;
    Ok((form, body))
}

/// Where `needle` stands first.
fn find(file: &[u8], needle: &[u8]) -> Option<usize> {
    file.windows(needle.len())
        .position(|window| window == needle)
}

/// A key in DER without encryption.
pub(super) fn parse_plain(form: Form, der: &[u8]) -> Result<Arc<dyn Signer>, KeyFileError> {
    sign::from_der(der)
        .map_err(|_| form.malformed("it holds no Ed25519, ECDSA or RSA key of 2048 to 8192 bits"))
}

/// PKCS #8 with encryption (RFC 8018, PBES2).
pub(super) fn parse_encrypted(
    der: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Arc<dyn Signer>, KeyFileError> {
    let form = Form::EncryptedPkcs8;
    let file = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| form.malformed("it is not DER of that form"))?;
    check_cost(&file.encryption_algorithm)?;
    let passphrase = passphrase.ok_or(KeyFileError::NeedsPassphrase { form })?;
    match file.decrypt(passphrase) {
        Ok(plain) => parse_plain(form, plain.as_bytes()),
        Err(pkcs8::Error::EncryptedPrivateKey(
            Pkcs5Error::UnsupportedAlgorithm { .. } | Pkcs5Error::NoPbes1CryptSupport,
        )) => Err(form.unsupported("a cipher or key derivation")),
        Err(_) => Err(KeyFileError::WrongPassphrase { form }),
    }
}

/// Refuses a key derivation that would cost too much time or memory, before any is spent.
fn check_cost(scheme: &EncryptionScheme) -> Result<(), KeyFileError> {
    let form = Form::EncryptedPkcs8;
    let EncryptionScheme::Pbes2(parameters) = scheme else {
        return Err(form.unsupported("a cipher or key derivation"));
    };
    match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => {
            if pbkdf2.iteration_count > limits::KEY_FILE_PBKDF2_ITERATIONS {
                return Err(KeyFileError::TooCostly {
                    form,
                    limit: "10000000 iterations",
                });
            }
            Ok(())
        }
        Kdf::Scrypt(scrypt) => {
            // RFC 7914 section 2: N is a power of two over 1. The library computes its logarithm
            // without looking.
            if !scrypt.cost_parameter.is_power_of_two() || scrypt.block_size == 0 {
                return Err(form.malformed("its scrypt parameters are not valid"));
            }
            let bytes = u64::from(scrypt.block_size)
                .saturating_mul(128)
                .saturating_mul(scrypt.cost_parameter);
            if bytes > limits::KEY_FILE_SCRYPT_BYTES
                || scrypt.parallelization > limits::KEY_FILE_SCRYPT_LANES
            {
                return Err(KeyFileError::TooCostly {
                    form,
                    limit: "256 MiB of scrypt",
                });
            }
            Ok(())
        }
        _ => Err(form.unsupported("a key derivation")),
    }
}
