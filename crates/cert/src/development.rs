//! An authority of our own, for names that no public one vouches for: a gateway that is tried out, or one in a network
//! of its own. It can vouch for names under one domain alone, so that who trusts it trusts it for nothing else.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::import::{Certificate, ImportError, import};

/// How long the authority is valid: as long as what it is tried out for may last.
const AUTHORITY_DAYS: i64 = 3_650;
/// How long a certificate is: browsers take no more than 398 days of public ones, and renewal is cheap here.
const CERTIFICATE_DAYS: i64 = 90;
/// A certificate is renewed when no more than this is left.
const RENEW_DAYS: i64 = 30;
/// Clocks differ.
const BACKDATED: SignedDuration = SignedDuration::from_hours(1);

/// An authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    key: Zeroizing<String>,
}

/// Why an authority, or a certificate of it, cannot be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DevelopmentError {
    /// The names or keys are none.
    #[error("the authority for names cannot be used")]
    Make(#[from] rcgen::Error),
    /// What was made cannot be read back.
    #[error("what the authority made cannot be read")]
    Read(#[from] ImportError),
    /// The year is out of what certificates can say.
    #[error("the clock of this machine is out of range")]
    Clock,
}

impl Authority {
    /// A new one for names under that domain.
    ///
    /// # Errors
    /// The domain is no name, or the system has no randomness.
    pub fn make(domain: &str, now: Timestamp) -> Result<Self, DevelopmentError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        let name = format!("adit, names under {domain}");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(String::from(domain))],
            excluded_subtrees: Vec::new(),
        });
        (params.not_before, params.not_after) = validity(now, AUTHORITY_DAYS)?;
        let certificate = params.self_signed(&key)?.pem();
        let key = Zeroizing::new(key.serialize_pem());
        Self::load(&certificate, &key)
    }

    /// The one that was made before.
    ///
    /// # Errors
    /// It is none.
    pub fn load(certificate: &str, key: &str) -> Result<Self, DevelopmentError> {
        let pair = KeyPair::from_pem(key)?;
        Ok(Self {
            issuer: Issuer::from_ca_cert_pem(certificate, pair)?,
            certificate: String::from(certificate),
            key: Zeroizing::new(String::from(key)),
        })
    }

    /// Its certificate, in PEM: what whoever is to trust it has to have.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Its private key, in PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// A certificate for those names.
    ///
    /// # Errors
    /// One of them is none.
    pub fn issue(&self, names: &[String], now: Timestamp) -> Result<Certificate, DevelopmentError> {
        let (chain, key) = self.issue_pem(names, now)?;
        Ok(import(chain.as_bytes(), key.as_bytes())?)
    }

    /// The same as a chain and a key in PEM.
    pub(crate) fn issue_pem(
        &self,
        names: &[String],
        now: Timestamp,
    ) -> Result<(String, Zeroizing<String>), DevelopmentError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        if let Some(first) = names.first() {
            params
                .distinguished_name
                .push(DnType::CommonName, first.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = validity(now, CERTIFICATE_DAYS)?;
        let leaf = params.signed_by(&key, &self.issuer)?.pem();
        let chain = format!("{leaf}{}", self.certificate);
        Ok((chain, Zeroizing::new(key.serialize_pem())))
    }
}

/// Whether a certificate has to be renewed.
pub fn is_old(certificate: &Certificate, now: Timestamp) -> bool {
    let left = certificate.not_after.duration_since(now);
    left <= SignedDuration::from_hours(24_i64.saturating_mul(RENEW_DAYS))
}

/// From a moment ago until so many days later.
fn validity(
    now: Timestamp,
    days: i64,
) -> Result<(OffsetDateTime, OffsetDateTime), DevelopmentError> {
    let from = now
        .checked_sub(BACKDATED)
        .map_err(|_| DevelopmentError::Clock)?;
    let until = from.as_second().saturating_add(days.saturating_mul(86_400));
    let moment =
        |second| OffsetDateTime::from_unix_timestamp(second).map_err(|_| DevelopmentError::Clock);
    Ok((moment(from.as_second())?, moment(until)?))
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-22T12:00:00Z";

    fn now() -> Timestamp {
        NOW.parse().unwrap()
    }

    #[test]
    fn an_authority_is_the_same_one_after_a_restart() {
        let made = Authority::make("example.net", now()).unwrap();
        let loaded = Authority::load(made.certificate(), made.key()).unwrap();
        assert_eq!(made.certificate(), loaded.certificate());
        let names = [String::from("example.net"), String::from("*.example.net")];
        let issued = loaded.issue(&names, now()).unwrap();
        assert_eq!(issued.names, names);
        assert_eq!(issued.chain.len(), 2, "who trusts it is shown it, too");
        let other = Authority::make("example.net", now()).unwrap();
        assert!(Authority::load(made.certificate(), "nonsense").is_err());
        assert_ne!(other.certificate(), made.certificate());
    }

    #[test]
    fn a_certificate_is_renewed_while_it_is_still_good() {
        let made = Authority::make("example.net", now()).unwrap();
        let issued = made.issue(&[String::from("a.example.net")], now()).unwrap();
        assert!(!is_old(&issued, now()));
        let days = |days: i64| now() + SignedDuration::from_hours(24 * days);
        assert!(!is_old(&issued, days(59)) && is_old(&issued, days(61)));
        assert!(issued.not_after > days(61));
    }
}
