//! Reading a chain and its key from PEM files: what does not belong together or cannot be used is said at once, and
//! not by the first visitor.

use std::fmt;

use jiff::Timestamp;
use rcgen::{KeyPair, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

/// A chain and its key, which belong together.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// The certificate, and those that vouch for it, in DER.
    pub chain: Vec<Vec<u8>>,
    /// Its private key, in DER: PKCS#8, PKCS#1 or SEC 1.
    pub key: Zeroizing<Vec<u8>>,
    /// The names that it is for, in lower case; `*.` stands for one label.
    pub names: Vec<String>,
    /// From when.
    pub not_before: Timestamp,
    /// Until when.
    pub not_after: Timestamp,
}

/// Why a chain and a key cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// No certificate in PEM.
    #[error("there is no certificate in it: wanted PEM, -----BEGIN CERTIFICATE-----")]
    NoCertificate,
    /// Armour or base64 that is none.
    #[error("its PEM cannot be read: {0}")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// A certificate that is none.
    #[error("certificate {number} of it cannot be read")]
    Certificate {
        /// Its place in the chain, from 1.
        number: usize,
    },
    /// No key, or one that is locked.
    #[error(
        "there is no private key in it that could be used: wanted PEM without a passphrase, -----BEGIN PRIVATE KEY-----"
    )]
    NoKey,
    /// The key is of a kind that is not served.
    #[error("its private key cannot be used: {0}")]
    Key(#[source] rcgen::Error),
    /// The key is another certificate's.
    #[error("the private key is not that of the first certificate in the chain")]
    OtherKey,
    /// Nobody could ask for it.
    #[error(
        "the certificate has no DNS names; a common name alone is not looked at by any browser"
    )]
    NoNames,
}

/// Reads a chain, the certificate first, and its key.
///
/// # Errors
/// See [`ImportError`]. A certificate that has expired is none: whoever serves it says so.
pub fn import(chain: &[u8], key: &[u8]) -> Result<Certificate, ImportError> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(ImportError::Pem)?;
    let first = chain.first().ok_or(ImportError::NoCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| ImportError::NoKey)?;
    let pair = KeyPair::try_from(&key).map_err(ImportError::Key)?;
    for (number, certificate) in (1..).zip(&chain).skip(1) {
        read(certificate, number)?;
    }
    let leaf = read(first, 1)?;
    if leaf.public_key().raw != pair.subject_public_key_info() {
        return Err(ImportError::OtherKey);
    }
    let names = names(&leaf);
    if names.is_empty() {
        return Err(ImportError::NoNames);
    }
    let bad = |_| ImportError::Certificate { number: 1 };
    let validity = leaf.validity();
    Ok(Certificate {
        names,
        not_before: Timestamp::from_second(validity.not_before.timestamp()).map_err(bad)?,
        not_after: Timestamp::from_second(validity.not_after.timestamp()).map_err(bad)?,
        key: Zeroizing::new(key.secret_der().to_vec()),
        chain: chain.iter().map(|one| one.to_vec()).collect(),
    })
}

fn read<'a>(
    certificate: &'a CertificateDer<'_>,
    number: usize,
) -> Result<X509Certificate<'a>, ImportError> {
    match X509Certificate::from_der(certificate) {
        Ok(([], read)) => Ok(read),
        _ => Err(ImportError::Certificate { number }),
    }
}

fn names(leaf: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(alternatives)) = leaf.subject_alternative_name() else {
        return Vec::new();
    };
    let names = alternatives.value.general_names.iter();
    let names = names.filter_map(|name| {
        let GeneralName::DNSName(name) = name else {
            return None;
        };
        Some(name.trim_end_matches('.').to_ascii_lowercase())
    });
    names.collect()
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("names", &self.names)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::development::Authority;

    const NOW: &str = "2026-11-22T12:00:00Z";

    /// A chain and a key for those names, in PEM.
    fn pair(names: &[&str]) -> (String, String) {
        let made = Authority::make("example.net", NOW.parse().unwrap()).unwrap();
        let names: Vec<String> = names.iter().copied().map(String::from).collect();
        let issued = made.issue_pem(&names, NOW.parse().unwrap()).unwrap();
        (issued.0, issued.1.to_string())
    }

    #[test]
    fn a_chain_and_its_key_say_which_names_they_are_for() {
        let (chain, key) = pair(&["App.example.net", "*.example.net"]);
        let read = import(chain.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(read.names, ["app.example.net", "*.example.net"]);
        assert_eq!(read.chain.len(), 2);
        assert!(read.not_before < NOW.parse().unwrap() && read.not_after > NOW.parse().unwrap());
        assert!(!format!("{read:?}").contains("key"), "{read:?}");
    }

    #[test]
    fn what_does_not_belong_together_is_said() {
        let (chain, key) = pair(&["a.example.net"]);
        let (other, _) = pair(&["a.example.net"]);
        let error = |chain: &str, key: &str| {
            import(chain.as_bytes(), key.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert!(error(&other, &key).contains("not that of the first"));
        assert!(error("", &key).contains("no certificate"));
        assert!(error(&key, &key).contains("no certificate"));
        assert!(error(&chain, &chain).contains("no private key"));
        assert!(error(&chain, "").contains("no private key"));
        let damaged = chain.replacen("MII", "MIX", 1);
        assert!(import(damaged.as_bytes(), key.as_bytes()).is_err());
    }
}
