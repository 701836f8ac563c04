//! OpenSSH's own private key format (PROTOCOL.key).
//!
//! `"openssh-key-v1\0"`, then `string cipher, string kdf, string kdfoptions, uint32 number of keys,
//! string public key, string private section` and the tag of an AEAD. The private section is two
//! equal check numbers, the key, a comment, and padding 1, 2, 3 and so on to the cipher's block.

use std::sync::Arc;

use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

use super::{Form, KeyFileError};
use crate::key::{Curve, FileCipher, KeyType, Parts, PublicKey};
use crate::limits;
use crate::provider::Signer;
use crate::provider::aws_lc::sign::{self, RsaComponents};
use crate::wire::{Reader, WireError, Write as _};

const FORM: Form = Form::OpenSsh;

const MAGIC: &[u8] = b"openssh-key-v1\0";

/// Most padding: one less than the largest block.
const PADDING: usize = 15;

/// The parts of a file.
struct File<'a> {
    encryption: Option<Encryption<'a>>,
    public_key: PublicKey,
    private: &'a [u8],
    tag: &'a [u8],
}

struct Encryption<'a> {
    cipher: FileCipher,
    salt: &'a [u8],
    rounds: u32,
}

pub(super) fn parse(
    body: &[u8],
    passphrase: Option<&[u8]>,
) -> Result<Arc<dyn Signer>, KeyFileError> {
    let file = read(body)?;
    let mut private = Zeroizing::new(file.private.to_vec());
    if let Some(encryption) = &file.encryption {
        let passphrase = passphrase.ok_or(KeyFileError::NeedsPassphrase { form: FORM })?;
        let is_open = encryption.cipher.decrypt_with_bcrypt(
            passphrase,
            encryption.salt,
            encryption.rounds,
            &mut private,
            file.tag,
        );
        if !is_open || !checks_agree(&private) {
            return Err(KeyFileError::WrongPassphrase { form: FORM });
        }
    } else if !checks_agree(&private) {
        return Err(FORM.malformed("its check numbers differ"));
    }
    let signer = read_private(&private, &file.public_key)?;
    if *signer.public_key() == file.public_key {
        Ok(signer)
    } else {
        Err(KeyFileError::Mismatch { form: FORM })
    }
}

pub(super) fn public_key(body: &[u8]) -> Result<PublicKey, KeyFileError> {
    read(body).map(|file| file.public_key)
}

fn read(body: &[u8]) -> Result<File<'_>, KeyFileError> {
    let body = body
        .strip_prefix(MAGIC)
        .ok_or(FORM.malformed("it does not begin with openssh-key-v1"))?;
    let mut reader = Reader::new(body);
    let wire = |error| FORM.wire(error);
    let cipher = reader.text(limits::NAME).map_err(wire)?;
    let kdf = reader.text(limits::NAME).map_err(wire)?;
    let options = reader.string().map_err(wire)?;
    let encryption = read_encryption(cipher, kdf, options)?;
    if reader.uint32().map_err(wire)? != 1 {
        return Err(FORM.unsupported("more or fewer keys than one,"));
    }
    let public_key = reader.string().map_err(wire)?;
    let public_key = PublicKey::from_blob(public_key).map_err(|error| FORM.key(error))?;
    let private = reader.string().map_err(wire)?;
    let tag_size = encryption
        .as_ref()
        .map_or(0, |encryption| encryption.cipher.tag_size());
    let tag = reader.bytes(tag_size).map_err(wire)?;
    reader.finish().map_err(wire)?;
    Ok(File {
        encryption,
        public_key,
        private,
        tag,
    })
}

/// What the three fields about encryption say. The cost is judged here, long before it is paid.
fn read_encryption<'a>(
    cipher: &str,
    kdf: &str,
    options: &'a [u8],
) -> Result<Option<Encryption<'a>>, KeyFileError> {
    if cipher == "none" && kdf == "none" && options.is_empty() {
        return Ok(None);
    }
    let cipher = FileCipher::from_name(cipher).ok_or(FORM.unsupported("a cipher"))?;
    if kdf != "bcrypt" {
        return Err(FORM.unsupported("a key derivation"));
    }
    let mut reader = Reader::new(options);
    let (salt, rounds) = read_bcrypt(&mut reader).map_err(|error| FORM.wire(error))?;
    if rounds > limits::KEY_FILE_BCRYPT_ROUNDS {
        return Err(KeyFileError::TooCostly {
            form: FORM,
            limit: "2048 rounds",
        });
    }
    if salt.is_empty() || rounds == 0 {
        return Err(FORM.malformed("its key derivation has no salt or no rounds"));
    }
    Ok(Some(Encryption {
        cipher,
        salt,
        rounds,
    }))
}

fn read_bcrypt<'a>(reader: &mut Reader<'a>) -> Result<(&'a [u8], u32), WireError> {
    let salt = reader.string_up_to(limits::TEXT)?;
    let rounds = reader.uint32()?;
    reader.clone().finish()?;
    Ok((salt, rounds))
}

/// Whether the two numbers in front are equal: after a wrong passphrase they are not.
fn checks_agree(private: &[u8]) -> bool {
    let mut reader = Reader::new(private);
    matches!((reader.uint32(), reader.uint32()), (Ok(first), Ok(second)) if first == second)
}

fn read_private(private: &[u8], public_key: &PublicKey) -> Result<Arc<dyn Signer>, KeyFileError> {
    let wire = |error| FORM.wire(error);
    let mut reader = Reader::new(private);
    reader.uint64().map_err(wire)?;
    let key_type = reader.string_up_to(limits::NAME).map_err(wire)?;
    let key_type = KeyType::from_name(key_type).ok_or(FORM.unsupported("a kind of key"))?;
    if key_type != public_key.key_type() {
        return Err(KeyFileError::Mismatch { form: FORM });
    }
    let signer = match key_type {
        KeyType::Ed25519 => read_ed25519(&mut reader)?,
        KeyType::EcdsaP256 => read_ecdsa(Curve::P256, &mut reader)?,
        KeyType::EcdsaP384 => read_ecdsa(Curve::P384, &mut reader)?,
        KeyType::EcdsaP521 => read_ecdsa(Curve::P521, &mut reader)?,
        KeyType::Rsa => read_rsa(&mut reader)?,
        KeyType::SkEd25519 | KeyType::SkEcdsaP256 => return Err(KeyFileError::SecurityKey),
    };
    reader.string().map_err(wire)?; // the comment: any bytes will do
    let padding = reader.rest();
    if padding.len() > PADDING || !padding.iter().copied().eq((1..).take(padding.len())) {
        return Err(FORM.malformed("its padding is not 1, 2, 3"));
    }
    Ok(signer)
}

/// `string public, string seed || public`.
fn read_ed25519(reader: &mut Reader<'_>) -> Result<Arc<dyn Signer>, KeyFileError> {
    let public = reader.string().map_err(|error| FORM.wire(error))?;
    let private = reader.string().map_err(|error| FORM.wire(error))?;
    let (seed, again) = private
        .split_first_chunk::<32>()
        .ok_or(FORM.malformed("its private key has the wrong size"))?;
    let signer = sign::ed25519(seed).map_err(|error| FORM.halves(error))?;
    let Parts::Ed25519(point) = signer.public_key().parts() else {
        return Err(KeyFileError::Mismatch { form: FORM });
    };
    if public != point || again != point {
        return Err(KeyFileError::Mismatch { form: FORM });
    }
    Ok(signer)
}

/// `string curve, string point, mpint scalar`.
fn read_ecdsa(curve: Curve, reader: &mut Reader<'_>) -> Result<Arc<dyn Signer>, KeyFileError> {
    let wire = |error| FORM.wire(error);
    if reader.string().map_err(wire)? != curve.name().as_bytes() {
        return Err(KeyFileError::Mismatch { form: FORM });
    }
    let point = reader.string().map_err(wire)?;
    let scalar = reader.mpint().map_err(wire)?;
    sign::ecdsa(curve, scalar, point).map_err(|error| FORM.halves(error))
}

/// `mpint n, e, d, iqmp, p, q`.
fn read_rsa(reader: &mut Reader<'_>) -> Result<Arc<dyn Signer>, KeyFileError> {
    let mut number = || reader.mpint().map_err(|error| FORM.wire(error));
    // Fields are read in the order in which they stand here.
    sign::rsa(&RsaComponents {
        n: number()?,
        e: number()?,
        d: number()?,
        q_inverse: number()?,
        p: number()?,
        q: number()?,
    })
    .map_err(|error| FORM.halves(error))
}

/// Writes an Ed25519 key without encryption, as `ssh-keygen -N ''` does: for keys that a program
/// keeps for itself. The caller sees to it that only its own user can read the file.
///
/// # Errors
///
/// [`KeyFileError::Malformed`] if the library does not take the seed.
pub fn write_ed25519(seed: &[u8; 32], comment: &str) -> Result<Zeroizing<String>, KeyFileError> {
    let signer = sign::ed25519(seed).map_err(|error| FORM.halves(error))?;
    let Parts::Ed25519(point) = signer.public_key().parts() else {
        return Err(KeyFileError::Mismatch { form: FORM });
    };
    // Room for all of it, so that no unwiped copy stays behind in a reallocation.
    let room = comment.len().saturating_add(512);
    let mut private = Zeroizing::new(Vec::with_capacity(room));
    // Nothing is encrypted, so the check numbers check nothing.
    private.put_uint64(0);
    private.put_string(KeyType::Ed25519.name().as_bytes());
    private.put_string(point);
    private.put_string_of(&[seed, point]);
    private.put_string(comment.as_bytes());
    for padding in 1..=8_u8 {
        if private.len().is_multiple_of(8) {
            break;
        }
        private.put_byte(padding);
    }
    let mut body = Zeroizing::new(Vec::with_capacity(room.saturating_mul(2)));
    body.put_bytes(MAGIC);
    body.put_string(b"none");
    body.put_string(b"none");
    body.put_string(b"");
    body.put_uint32(1);
    body.put_string(signer.public_key().blob());
    body.put_string(&private);
    pem_rfc7468::encode_string("OPENSSH PRIVATE KEY", LineEnding::LF, &body)
        .map(Zeroizing::new)
        .map_err(|_| FORM.malformed("it cannot be written"))
}
