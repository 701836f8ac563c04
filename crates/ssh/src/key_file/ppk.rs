//! PuTTY's private key files, versions 2 and 3 (PuTTY manual, appendix C).
//!
//! Lines of `Key: value` in a fixed order, with the public and the private half in base64 behind a
//! count of lines. A MAC covers type, cipher, comment and both halves in the clear; its key comes
//! from the passphrase, so a wrong one shows there. Version 2 derives keys with SHA-1, version 3
//! with Argon2.

use std::str::Lines;
use std::sync::Arc;

use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{digest, hmac};
use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use super::{Form, KeyFileError};
use crate::key::{FileCipher, Parts, PublicKey};
use crate::limits;
use crate::provider::Signer;
use crate::provider::aws_lc::sign::{self, RsaComponents};
use crate::wire::{Reader, Write as _};

/// Bytes of AES-256's key, its initial vector, and of version 3's MAC key.
const KEY: usize = 32;
const IV: usize = 16;
const MAC_KEY: usize = 32;

/// What version 2 hashes in front of the passphrase for its MAC key.
const MAC_PREFIX: &[u8] = b"putty-private-key-file-mac-key";

/// A file taken apart.
struct File<'a> {
    form: Form,
    key_type: &'a str,
    encryption: &'a str,
    comment: &'a str,
    public: Vec<u8>,
    argon2: Option<Cost<'a>>,
    private: Zeroizing<Vec<u8>>,
    mac: Vec<u8>,
}

/// Version 3's key derivation.
struct Cost<'a> {
    algorithm: Algorithm,
    kib: u32,
    passes: u32,
    lanes: u32,
    salt: &'a str,
}

/// What a passphrase gives.
struct Keys {
    key: Zeroizing<Vec<u8>>,
    iv: Zeroizing<Vec<u8>>,
    mac: Zeroizing<Vec<u8>>,
}

pub(super) fn parse(
    form: Form,
    text: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Arc<dyn Signer>, KeyFileError> {
    let mut file = read(form, text)?;
    let public_key = PublicKey::from_blob(&file.public).map_err(|error| form.key(error))?;
    let is_encrypted = match file.encryption {
        "none" => false,
        "aes256-cbc" => true,
        _ => return Err(form.unsupported("a cipher")),
    };
    let keys = match (is_encrypted, passphrase) {
        (false, _) => file.keys_without_passphrase(),
        (true, None) => return Err(KeyFileError::NeedsPassphrase { form }),
        (true, Some(passphrase)) => {
            let keys = file.keys(passphrase)?;
            if !FileCipher::AES_256_CBC.decrypt(&keys.key, &keys.iv, &mut file.private, &[]) {
                return Err(form.malformed("its private half has the wrong size"));
            }
            keys
        }
    };
    if !file.mac_fits(&keys.mac) {
        return Err(if is_encrypted {
            KeyFileError::WrongPassphrase { form }
        } else {
            form.malformed("its MAC does not fit")
        });
    }
    let signer = file.signer(&public_key)?;
    if *signer.public_key() == public_key {
        Ok(signer)
    } else {
        Err(KeyFileError::Mismatch { form })
    }
}

pub(super) fn public_key(form: Form, text: &[u8]) -> Result<PublicKey, KeyFileError> {
    PublicKey::from_blob(&read(form, text)?.public).map_err(|error| form.key(error))
}

fn read(form: Form, text: &[u8]) -> Result<File<'_>, KeyFileError> {
    let text = std::str::from_utf8(text).map_err(|_| form.malformed("it is not UTF-8"))?;
    let mut lines = text.lines();
    let version = if form == Form::Ppk2 {
        "PuTTY-User-Key-File-2"
    } else {
        "PuTTY-User-Key-File-3"
    };
    let key_type = value(form, &mut lines, version)?;
    let encryption = value(form, &mut lines, "Encryption")?;
    let comment = value(form, &mut lines, "Comment")?;
    let public = blob(form, &mut lines, "Public-Lines")?.to_vec();
    let argon2 = if form == Form::Ppk3 && encryption != "none" {
        Some(read_cost(form, &mut lines)?)
    } else {
        None
    };
    let private = blob(form, &mut lines, "Private-Lines")?;
    let mac = hex(value(form, &mut lines, "Private-MAC")?)
        .ok_or_else(|| form.malformed("its MAC is not hexadecimal"))?;
    if lines.any(|line| !line.is_empty()) {
        return Err(form.malformed("something is left over"));
    }
    Ok(File {
        form,
        key_type,
        encryption,
        comment,
        public,
        argon2,
        private,
        mac,
    })
}

/// The value of the next line, which must have that key.
fn value<'a>(form: Form, lines: &mut Lines<'a>, key: &str) -> Result<&'a str, KeyFileError> {
    lines
        .next()
        .and_then(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .ok_or_else(|| form.malformed("a line is missing or out of order"))
}

/// The bytes behind a count of lines.
fn blob(form: Form, lines: &mut Lines<'_>, key: &str) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let count = number(form, lines, key)?;
    let mut base64 = Zeroizing::new(String::with_capacity(limits::KEY_FILE));
    for _ in 0..count {
        base64.push_str(
            lines
                .next()
                .ok_or_else(|| form.malformed("it is cut short"))?,
        );
    }
    Base64::decode_vec(&base64)
        .map(Zeroizing::new)
        .map_err(|_| form.malformed("its base64 is damaged"))
}

fn number(form: Form, lines: &mut Lines<'_>, key: &str) -> Result<u32, KeyFileError> {
    value(form, lines, key)?
        .parse()
        .map_err(|_| form.malformed("a number is not one"))
}

/// The lines about Argon2. The cost is judged here, before it is paid.
fn read_cost<'a>(form: Form, lines: &mut Lines<'a>) -> Result<Cost<'a>, KeyFileError> {
    let algorithm = match value(form, lines, "Key-Derivation")? {
        "Argon2d" => Algorithm::Argon2d,
        "Argon2i" => Algorithm::Argon2i,
        "Argon2id" => Algorithm::Argon2id,
        _ => return Err(form.unsupported("a key derivation")),
    };
    let cost = Cost {
        algorithm,
        kib: number(form, lines, "Argon2-Memory")?,
        passes: number(form, lines, "Argon2-Passes")?,
        lanes: number(form, lines, "Argon2-Parallelism")?,
        salt: value(form, lines, "Argon2-Salt")?,
    };
    let limit = if cost.kib > limits::KEY_FILE_ARGON2_KIB {
        "256 MiB of memory"
    } else if cost.passes > limits::KEY_FILE_ARGON2_PASSES {
        "64 passes"
    } else if cost.lanes > limits::KEY_FILE_ARGON2_LANES {
        "16 lanes"
    } else {
        return Ok(cost);
    };
    Err(KeyFileError::TooCostly { form, limit })
}

/// Lower or upper case digits, two a byte.
fn hex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let nibble = |digit: u8| u8::try_from(char::from(digit).to_digit(16)?).ok();
    pairs
        .iter()
        .map(|[high, low]| Some(nibble(*high)? << 4 | nibble(*low)?))
        .collect()
}

impl File<'_> {
    /// The MAC key of a file without encryption.
    fn keys_without_passphrase(&self) -> Keys {
        Keys {
            key: Zeroizing::default(),
            iv: Zeroizing::default(),
            mac: if self.form == Form::Ppk2 {
                sha1(&[MAC_PREFIX])
            } else {
                Zeroizing::default()
            },
        }
    }

    fn keys(&self, passphrase: &[u8]) -> Result<Keys, KeyFileError> {
        let Some(cost) = &self.argon2 else {
            let mut key = sha1(&[&[0, 0, 0, 0], passphrase]);
            key.extend_from_slice(&sha1(&[&[0, 0, 0, 1], passphrase]));
            key.truncate(KEY);
            return Ok(Keys {
                key,
                iv: Zeroizing::new(vec![0; IV]),
                mac: sha1(&[MAC_PREFIX, passphrase]),
            });
        };
        let bad = self.form.malformed("its Argon2 parameters are not valid");
        let parameters = Params::new(cost.kib, cost.passes, cost.lanes, None).map_err(|_| bad)?;
        let salt = hex(cost.salt).ok_or(bad)?;
        let mut derived = Zeroizing::new(vec![0; KEY + IV + MAC_KEY]);
        Argon2::new(cost.algorithm, Version::V0x13, parameters)
            .hash_password_into(passphrase, &salt, &mut derived)
            .map_err(|_| bad)?;
        let mut reader = Reader::new(&derived);
        let mut part = |size| {
            reader
                .bytes(size)
                .map(|bytes| Zeroizing::new(bytes.to_vec()))
                .map_err(|error| self.form.wire(error))
        };
        Ok(Keys {
            key: part(KEY)?,
            iv: part(IV)?,
            mac: part(MAC_KEY)?,
        })
    }

    /// Whether the MAC over the whole is the one in the file.
    fn mac_fits(&self, key: &[u8]) -> bool {
        let algorithm = if self.form == Form::Ppk2 {
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY
        } else {
            hmac::HMAC_SHA256
        };
        let mut covered = Zeroizing::new(Vec::with_capacity(limits::KEY_FILE.saturating_mul(2)));
        covered.put_string(self.key_type.as_bytes());
        covered.put_string(self.encryption.as_bytes());
        covered.put_string(self.comment.as_bytes());
        covered.put_string(&self.public);
        covered.put_string(&self.private);
        hmac::verify(&hmac::Key::new(algorithm, key), &covered, &self.mac).is_ok()
    }

    /// Reads the private half, which holds the numbers that the public half lacks. What follows
    /// them fills up the cipher's block and is covered by the MAC.
    fn signer(&self, public_key: &PublicKey) -> Result<Arc<dyn Signer>, KeyFileError> {
        let wire = |error| self.form.wire(error);
        let mut reader = Reader::new(&self.private);
        match public_key.parts() {
            Parts::Ed25519(_) => {
                // The seed as a little-endian number, so zeros at its end are left out.
                let number = reader.string_up_to(32).map_err(wire)?;
                let mut seed = Zeroizing::new([0; 32]);
                for (to, from) in seed.iter_mut().zip(number) {
                    *to = *from;
                }
                sign::ed25519(&seed)
            }
            Parts::Ecdsa(curve, point) => sign::ecdsa(*curve, reader.mpint().map_err(wire)?, point),
            Parts::Rsa { e, n } => {
                let mut number = || reader.mpint().map_err(wire);
                let (d, p, q, q_inverse) = (number()?, number()?, number()?, number()?);
                sign::rsa(&RsaComponents {
                    n,
                    e,
                    d,
                    p,
                    q,
                    q_inverse,
                })
            }
            Parts::SkEd25519(..) | Parts::SkEcdsaP256(..) => {
                return Err(KeyFileError::SecurityKey);
            }
        }
        .map_err(|error| self.form.halves(error))
    }
}

/// SHA-1, which version 2 is built on.
fn sha1(parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let mut context = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    for part in parts {
        context.update(part);
    }
    // Room for the second half of a key.
    let mut hash = Zeroizing::new(Vec::with_capacity(KEY + KEY));
    hash.extend_from_slice(context.finish().as_ref());
    hash
}
