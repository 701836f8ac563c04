//! Private key files: what people have in `~/.ssh` and what other programs export.
//!
//! Read are OpenSSH's own format, PKCS #8 with and without encryption, PKCS #1, SEC 1, and PuTTY's
//! PPK in versions 2 and 3. The form is found out from the file itself, and every error says which
//! form it is about and, where there is one, the way out. A file is at most
//! [`limits::KEY_FILE`] bytes, and what its key derivation would cost is looked at before any of it
//! is spent. The public half is computed again and compared with the one in the file.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::key::{KeyError, PublicKey};
use crate::limits;
use crate::provider::{CryptoError, Signer};
use crate::wire::WireError;

mod openssh;
mod pem;
mod ppk;

pub use openssh::write_ed25519;

/// Reads a private key file.
///
/// `passphrase` is looked at only if the file is encrypted, so it costs nothing to call first
/// without one and to ask a person when the answer is [`KeyFileError::NeedsPassphrase`].
///
/// # Errors
///
/// Says in which form the file is and what is wrong with it.
pub fn parse(file: &[u8], passphrase: Option<&[u8]>) -> Result<Arc<dyn Signer>, KeyFileError> {
    match Form::of(file)? {
        (Form::OpenSsh, body) => openssh::parse(&body, passphrase),
        (Form::EncryptedPkcs8, body) => pem::parse_encrypted(&body, passphrase),
        (form @ (Form::Pkcs8 | Form::Pkcs1 | Form::Sec1), body) => pem::parse_plain(form, &body),
        (form @ (Form::Ppk2 | Form::Ppk3), body) => ppk::parse(form, &body, passphrase),
    }
}

/// The public half of a private key file, if it can be had without a passphrase: OpenSSH's and
/// PuTTY's formats keep it in the clear. So a key can be offered before a person is asked.
///
/// # Errors
///
/// Those of [`parse`]; [`KeyFileError::NeedsPassphrase`] for an encrypted PKCS #8 file.
pub fn public_key(file: &[u8]) -> Result<PublicKey, KeyFileError> {
    match Form::of(file)? {
        (Form::OpenSsh, body) => openssh::public_key(&body),
        (form @ (Form::Ppk2 | Form::Ppk3), body) => ppk::public_key(form, &body),
        (Form::EncryptedPkcs8, _) => Err(KeyFileError::NeedsPassphrase {
            form: Form::EncryptedPkcs8,
        }),
        (form @ (Form::Pkcs8 | Form::Pkcs1 | Form::Sec1), body) => {
            pem::parse_plain(form, &body).map(|signer| signer.public_key().clone())
        }
    }
}

/// The form of a private key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Form {
    /// OpenSSH's own (PROTOCOL.key), what `ssh-keygen` writes since 7.8.
    OpenSsh,
    /// PKCS #8 without encryption (RFC 5208).
    Pkcs8,
    /// PKCS #8 with encryption.
    EncryptedPkcs8,
    /// PKCS #1 (RFC 8017), `BEGIN RSA PRIVATE KEY`.
    Pkcs1,
    /// SEC 1 (RFC 5915), `BEGIN EC PRIVATE KEY`.
    Sec1,
    /// PuTTY's, version 2.
    Ppk2,
    /// PuTTY's, version 3.
    Ppk3,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OpenSsh => "OpenSSH",
            Self::Pkcs8 => "PKCS #8",
            Self::EncryptedPkcs8 => "encrypted PKCS #8",
            Self::Pkcs1 => "PKCS #1",
            Self::Sec1 => "SEC 1",
            Self::Ppk2 => "PuTTY version 2",
            Self::Ppk3 => "PuTTY version 3",
        })
    }
}

impl Form {
    /// The form of the file and what is inside its armour: decoded PEM, or a PPK file's text.
    fn of(file: &[u8]) -> Result<(Self, Zeroizing<Vec<u8>>), KeyFileError> {
        if file.len() > limits::KEY_FILE {
            return Err(KeyFileError::TooLarge);
        }
        let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
        if file.starts_with(b"PuTTY-User-Key-File-3:") {
            return Ok((Self::Ppk3, Zeroizing::new(file.to_vec())));
        }
        if file.starts_with(b"PuTTY-User-Key-File-2:") {
            return Ok((Self::Ppk2, Zeroizing::new(file.to_vec())));
        }
        if let Some(public) = Self::is_public(file) {
            return Err(public);
        }
        pem::decode(file)
    }

    /// What a file is that people hand over by mistake.
    fn is_public(file: &[u8]) -> Option<KeyFileError> {
        let starts = |with: &[u8]| file.starts_with(with);
        (starts(b"ssh-")
            || starts(b"ecdsa-sha2-")
            || starts(b"sk-ssh-")
            || starts(b"sk-ecdsa-")
            || starts(b"---- BEGIN SSH2 PUBLIC KEY")
            || starts(b"-----BEGIN PUBLIC KEY")
            || starts(b"-----BEGIN RSA PUBLIC KEY"))
        .then_some(KeyFileError::PublicKey)
    }
}

/// Why a file gives no private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file is over [`limits::KEY_FILE`] bytes.
    #[error("key file is over {} KiB", limits::KEY_FILE >> 10)]
    TooLarge,
    /// The file is none of the forms.
    #[error("file is not a private key in a known form")]
    UnknownForm,
    /// The file is the public half, or a certificate.
    #[error("file is a public key, not a private one")]
    PublicKey,
    /// The file is encrypted and there was no passphrase.
    #[error("{form} key file is encrypted and needs its passphrase")]
    NeedsPassphrase {
        /// The file's form.
        form: Form,
    },
    /// The file does not open with that passphrase, or is damaged: the two look alike.
    #[error("{form} key file does not open with this passphrase")]
    WrongPassphrase {
        /// The file's form.
        form: Form,
    },
    /// The file is PEM encrypted as OpenSSL did before PKCS #8: with MD5, and without a check.
    #[error("PEM key file is encrypted in the old way")]
    OldEncryption,
    /// Turning the passphrase into a key would cost more than the limits allow.
    #[error("{form} key file asks for a key derivation over the limit of {limit}")]
    TooCostly {
        /// The file's form.
        form: Form,
        /// The limit, with its unit.
        limit: &'static str,
    },
    /// The cipher, key derivation or kind of key is not one of ours.
    #[error("{form} key file uses {what} that is not supported")]
    Unsupported {
        /// The file's form.
        form: Form,
        /// A cipher, a key derivation, a kind of key.
        what: &'static str,
    },
    /// The private half is on a security key.
    #[error("key is on a security key")]
    SecurityKey,
    /// The file breaks its own form.
    #[error("{form} key file is malformed: {what}")]
    Malformed {
        /// The file's form.
        form: Form,
        /// What is wrong.
        what: &'static str,
    },
    /// The public half in the file is not that of the private half.
    #[error("{form} key file has halves that do not belong together")]
    Mismatch {
        /// The file's form.
        form: Form,
    },
}

impl KeyFileError {
    /// What a person can do about it, as a sentence.
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::PublicKey => Some("Name the file without .pub."),
            Self::UnknownForm => {
                Some("Known are OpenSSH, PKCS #8, PKCS #1, SEC 1 and PuTTY's PPK 2 and 3.")
            }
            Self::OldEncryption => Some("Rewrite it with: ssh-keygen -p -f FILE"),
            Self::TooCostly { .. } => {
                Some("Write it again with the usual cost: ssh-keygen -p -f FILE, or puttygen.")
            }
            Self::Unsupported { .. } => {
                Some("Convert it with: ssh-keygen -p -f FILE, or puttygen FILE -O private-openssh")
            }
            Self::SecurityKey => Some("Add it to an ssh-agent, which can talk to it."),
            Self::TooLarge
            | Self::NeedsPassphrase { .. }
            | Self::WrongPassphrase { .. }
            | Self::Malformed { .. }
            | Self::Mismatch { .. } => None,
        }
    }
}

/// Shorthand for errors of one form.
impl Form {
    const fn malformed(self, what: &'static str) -> KeyFileError {
        KeyFileError::Malformed { form: self, what }
    }

    const fn unsupported(self, what: &'static str) -> KeyFileError {
        KeyFileError::Unsupported { form: self, what }
    }

    const fn wire(self, error: WireError) -> KeyFileError {
        self.malformed(match error {
            WireError::Short => "it is cut short",
            WireError::Long { .. } => "a field is too long",
            WireError::Text => "a text is not UTF-8",
            WireError::Mpint => "a number is not written as it should be",
            WireError::Trailing => "something is left over",
        })
    }

    const fn key(self, error: KeyError) -> KeyFileError {
        match error {
            KeyError::UnknownType => self.unsupported("a kind of key"),
            KeyError::RsaModulus | KeyError::RsaExponent => {
                self.unsupported("an RSA key of a size or exponent")
            }
            KeyError::Malformed(wire) => self.wire(wire),
            KeyError::TypeMismatch | KeyError::Point | KeyError::WeakPoint | KeyError::Text => {
                self.malformed("its public key is not valid")
            }
        }
    }

    /// A library's no to a pair of halves.
    const fn halves(self, error: CryptoError) -> KeyFileError {
        match error {
            CryptoError::Internal => self.malformed("the library failed"),
            CryptoError::BadKey | CryptoError::BadShare | CryptoError::Forged => {
                KeyFileError::Mismatch { form: self }
            }
        }
    }
}

#[cfg(test)]
mod tests;
