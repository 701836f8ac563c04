//! OpenSSH certificates (PROTOCOL.certkeys): parsing, and the decision whether one is good here.
//!
//! A certificate is a key with a name list, a time and options around it, signed by a certificate
//! authority, which is a plain key. It is parsed once; what is verified are the received bytes up to
//! the signature, never a second encoding of them.

use std::sync::Arc;

use base64ct::{Base64, Encoding as _};

use crate::algorithm::KeyAlgorithm;
use crate::key::{Fingerprint, KeyError, KeyType, Parts, PublicKey};
use crate::limits;
use crate::printable::Printable;
use crate::provider::{CryptoError, Signer};
use crate::wire::{Reader, WireError};

mod check;
mod restrictions;
mod source;

pub use check::{Approval, Question, Refusal, Revocable, Wanted};
pub use restrictions::Restrictions;
pub use source::SourceList;

/// A certificate that was parsed strictly. Whether it is good is [`Self::check`]'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    blob: Vec<u8>,
    /// Bytes of `blob` that the signature covers.
    signed: usize,
    key: PublicKey,
    serial: u64,
    kind: CertificateKind,
    key_id: Vec<u8>,
    principals: Vec<String>,
    valid_after: u64,
    valid_before: u64,
    critical: Vec<CertificateOption>,
    extensions: Vec<CertificateOption>,
    authority: PublicKey,
    signature: Vec<u8>,
}

/// Whom a certificate is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateKind {
    /// Somebody who logs in (type 1).
    User,
    /// A server (type 2).
    Host,
}

/// A critical option or extension as it stands in a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CertificateOption {
    name: String,
    data: Vec<u8>,
}

impl Certificate {
    /// Parses a certificate blob.
    ///
    /// # Errors
    ///
    /// Says which rule the blob breaks.
    pub fn from_blob(blob: &[u8]) -> Result<Self, CertificateError> {
        if blob.len() > limits::KEY_BLOB {
            return Err(WireError::Long {
                limit: limits::KEY_BLOB,
            }
            .into());
        }
        let mut reader = Reader::new(blob);
        let key_type =
            plain_type(reader.string_up_to(limits::NAME)?).ok_or(CertificateError::UnknownType)?;
        reader.string()?; // the nonce: any bytes will do
        let parts = Parts::read(key_type, &mut reader).map_err(CertificateError::Key)?;
        let key = PublicKey::from_parts(&parts).map_err(CertificateError::Key)?;
        let serial = reader.uint64()?;
        let kind = match reader.uint32()? {
            1 => CertificateKind::User,
            2 => CertificateKind::Host,
            _ => return Err(CertificateError::Kind),
        };
        let key_id = reader.string()?.to_vec();
        let principals = read_principals(reader.string()?)?;
        let valid_after = reader.uint64()?;
        let valid_before = reader.uint64()?;
        let critical = read_options(reader.string()?)?;
        let extensions = read_options(reader.string()?)?;
        reader.string()?; // reserved: ignored, as PROTOCOL.certkeys says
        // A plain key by its own type name: a certificate here is refused before anything in it is
        // looked at.
        let authority =
            PublicKey::from_blob(reader.string()?).map_err(CertificateError::Authority)?;
        let signed = blob.len().saturating_sub(reader.rest().len());
        let signature = reader.string()?.to_vec();
        reader.finish()?;
        Ok(Self {
            blob: blob.to_vec(),
            signed,
            key,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical,
            extensions,
            authority,
            signature,
        })
    }

    /// Reads one line of OpenSSH's text form: type, one blank, base64 with padding. A comment, if
    /// the line has one, is the caller's to take off first.
    ///
    /// # Errors
    ///
    /// Besides those of [`Self::from_blob`]: the base64 is not canonical, or the type in front is
    /// not the type in the blob.
    pub fn from_openssh_text(text: &str) -> Result<Self, CertificateError> {
        let (name, base64) = text.split_once(' ').ok_or(CertificateError::Text)?;
        let blob = Base64::decode_vec(base64).map_err(|_| CertificateError::Text)?;
        let certificate = Self::from_blob(&blob)?;
        if plain_type(name.as_bytes()) != Some(certificate.key.key_type()) {
            return Err(CertificateError::Text);
        }
        Ok(certificate)
    }

    /// Whether a blob says of itself that it is a certificate of a type that we know. Nothing else
    /// in it is looked at.
    pub fn is_certificate(blob: &[u8]) -> bool {
        Reader::new(blob)
            .string()
            .is_ok_and(|name| plain_type(name).is_some())
    }

    /// The blob, byte for byte as it was received.
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The certified key, as a plain key.
    pub const fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The key of the authority that signed, or is said to have.
    pub const fn authority(&self) -> &PublicKey {
        &self.authority
    }

    /// User or host.
    pub const fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// The authority's number for it; 0 if it does not count.
    pub const fn serial(&self) -> u64 {
        self.serial
    }

    /// The authority's name for it, made safe for a log.
    pub fn key_id(&self) -> Printable {
        Printable::new(&self.key_id)
    }

    /// The names it is good for.
    pub fn principals(&self) -> &[String] {
        &self.principals
    }

    /// The first second at which it is good, in seconds since 1970.
    pub const fn valid_after(&self) -> u64 {
        self.valid_after
    }

    /// The first second at which it is not good any more, in seconds since 1970. All bits set means
    /// never.
    pub const fn valid_before(&self) -> u64 {
        self.valid_before
    }

    /// Whether a security key in it must have been touched to sign: it has no `no-touch-required`.
    pub fn requires_touch(&self) -> bool {
        !has_flag(&self.extensions, "no-touch-required")
    }

    /// Whether a security key in it must have verified its owner: it has `verify-required`.
    pub fn requires_verification(&self) -> bool {
        self.critical
            .iter()
            .any(|option| option.name == "verify-required")
    }

    /// The algorithms under which it can be used, best first.
    pub fn key_algorithms(&self) -> &'static [KeyAlgorithm] {
        self.key.key_type().certificate_algorithms()
    }

    /// SHA-256 of the whole blob. OpenSSH prints that of [`Self::key`] instead.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.blob)
    }
}

/// Whether that option is there, without data: a flag with data is no flag that we know.
fn has_flag(options: &[CertificateOption], name: &str) -> bool {
    options
        .iter()
        .any(|option| option.name == name && option.data.is_empty())
}

/// The plain type behind a certificate's type name.
fn plain_type(name: &[u8]) -> Option<KeyType> {
    name.strip_suffix(b"-cert-v01@openssh.com")
        .and_then(|plain| {
            KeyType::ALL.iter().copied().find(|known| {
                // The names of security keys end in `@openssh.com`, those of their certificates
                // have it once.
                let known = known.name();
                known
                    .strip_suffix("@openssh.com")
                    .unwrap_or(known)
                    .as_bytes()
                    == plain
            })
        })
}

/// Strings without a count, at most [`limits::CERTIFICATE_PRINCIPALS`].
fn read_principals(list: &[u8]) -> Result<Vec<String>, CertificateError> {
    let mut reader = Reader::new(list);
    let mut principals = Vec::new();
    while !reader.is_empty() {
        if principals.len() >= limits::CERTIFICATE_PRINCIPALS {
            return Err(CertificateError::TooManyPrincipals);
        }
        principals.push(reader.text(limits::TEXT)?.to_owned());
    }
    Ok(principals)
}

/// Pairs of name and data, at most [`limits::CERTIFICATE_OPTIONS`], in strictly ascending order, so
/// that none can be there twice.
fn read_options(list: &[u8]) -> Result<Vec<CertificateOption>, CertificateError> {
    let mut reader = Reader::new(list);
    let mut options: Vec<CertificateOption> = Vec::new();
    while !reader.is_empty() {
        if options.len() >= limits::CERTIFICATE_OPTIONS {
            return Err(CertificateError::TooManyOptions);
        }
        let name = reader.text(limits::TEXT)?;
        let data = reader.string()?.to_vec();
        if options
            .last()
            .is_some_and(|last| last.name.as_str() >= name)
        {
            return Err(CertificateError::OptionOrder);
        }
        options.push(CertificateOption {
            name: name.to_owned(),
            data,
        });
    }
    Ok(options)
}

/// Why bytes or text are no certificate of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// A field is malformed, or something follows the last.
    #[error("certificate is malformed")]
    Malformed(#[from] WireError),
    /// The type is none of ours.
    #[error("certificate type is not known")]
    UnknownType,
    /// The certified key is not valid.
    #[error("certified key is not valid")]
    Key(#[source] KeyError),
    /// The authority's key is not valid, or is a certificate itself.
    #[error("key of the certificate authority is not valid")]
    Authority(#[source] KeyError),
    /// It is neither about a user nor about a host.
    #[error("certificate is neither for a user nor for a host")]
    Kind,
    /// It has more than [`limits::CERTIFICATE_PRINCIPALS`] principals.
    #[error("certificate has over {} principals", limits::CERTIFICATE_PRINCIPALS)]
    TooManyPrincipals,
    /// It has more than [`limits::CERTIFICATE_OPTIONS`] options of one sort.
    #[error("certificate has over {} options", limits::CERTIFICATE_OPTIONS)]
    TooManyOptions,
    /// Options are not in ascending order, or one is there twice.
    #[error("certificate options are not in order")]
    OptionOrder,
    /// The text is not `type base64`.
    #[error("text is not a certificate in OpenSSH's form")]
    Text,
}

/// A private key with the certificate for it: what a login or a server shows and signs with.
#[derive(Debug, Clone)]
pub struct CertifiedKey {
    certificate: Certificate,
    signer: Arc<dyn Signer>,
}

impl CertifiedKey {
    /// Puts the two together.
    ///
    /// # Errors
    ///
    /// [`CryptoError::BadKey`] if the certificate is for another key.
    pub fn new(certificate: Certificate, signer: Arc<dyn Signer>) -> Result<Self, CryptoError> {
        if certificate.key == *signer.public_key() {
            Ok(Self {
                certificate,
                signer,
            })
        } else {
            Err(CryptoError::BadKey)
        }
    }

    /// The certificate.
    pub const fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// The certificate's blob: the key blob to show.
    pub fn blob(&self) -> &[u8] {
        self.certificate.blob()
    }

    /// The private key.
    pub fn signer(&self) -> &Arc<dyn Signer> {
        &self.signer
    }

    /// The algorithms under which it can be shown and sign, best first. The signature itself is
    /// made by [`KeyAlgorithm::signature`], the plain name.
    pub fn key_algorithms(&self) -> Vec<KeyAlgorithm> {
        let can = self.signer.algorithms();
        self.certificate
            .key_algorithms()
            .iter()
            .copied()
            .filter(|algorithm| can.contains(&algorithm.signature()))
            .collect()
    }
}

#[cfg(test)]
mod tests;
