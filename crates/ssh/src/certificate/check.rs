//! Whether a certificate is good: the questions, in one fixed order.
//!
//! From "do we trust this authority at all" to the options; the first no ends it. The order is that
//! of cost and of harm: nothing is verified for strangers, and nothing that a certificate says is
//! believed before its signature fits.

use std::net::IpAddr;

use super::{Certificate, CertificateKind, CertificateOption, SourceList};
use crate::algorithm::SignatureAlgorithm;
use crate::key::PublicKey;
use crate::limits;
use crate::provider::Verifier;
use crate::wire::Reader;

/// What a certificate is wanted for, and by whose leave.
#[expect(
    missing_debug_implementations,
    reason = "a function has nothing to show"
)]
pub struct Question<'a> {
    /// The keys that may sign certificates of this kind. Compared whole, never by fingerprint.
    pub authorities: &'a [PublicKey],
    /// Whether something of the certificate was revoked.
    pub is_revoked: &'a dyn Fn(Revocable<'_>) -> bool,
    /// What it is wanted for.
    pub wanted: Wanted<'a>,
    /// The time, in seconds since 1970.
    pub now: u64,
}

/// What a certificate is wanted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<'a> {
    /// A login.
    Login {
        /// The names of which the certificate has to have one, whole and letter by letter. Mostly
        /// the user name alone.
        principals: &'a [&'a str],
        /// Where the login comes from; `None` if that is no IP address, which no `source-address`
        /// matches.
        source: Option<IpAddr>,
    },
    /// A server.
    Host {
        /// The name that was asked for, in lower case. The certificate may have patterns.
        name: &'a str,
    },
}

/// Something that may have been revoked. For one certificate all four questions are asked: its own
/// key, its authority's key, and its two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Revocable<'a> {
    /// A key: the certified one or the authority's.
    Key(&'a PublicKey),
    /// A number given by an authority.
    Serial {
        /// Who counts.
        authority: &'a PublicKey,
        /// The number.
        serial: u64,
    },
    /// A name given by an authority.
    KeyId {
        /// Who names.
        authority: &'a PublicKey,
        /// The name's bytes.
        key_id: &'a [u8],
    },
}

/// What a good certificate allows and asks for. These are limits on top of all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Approval {
    /// When it ends, in seconds since 1970; what it let in ends then too. `None` is never.
    pub expires: Option<u64>,
    /// Whether forwards are allowed at all (`permit-port-forwarding`).
    pub permits_port_forwarding: bool,
    /// Whether a security key must have been touched (no `no-touch-required`). What the server's
    /// own entry for the authority asks for is asked for besides.
    pub requires_touch: bool,
    /// Whether a security key must have verified its owner (`verify-required`).
    pub requires_verification: bool,
}

/// Why a certificate is not good here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// Nobody trusts that authority here.
    #[error("certificate authority is not trusted")]
    UnknownAuthority,
    /// The certified key is a point under which signatures mean nothing.
    #[error("certified key is weak")]
    WeakKey,
    /// The authority signed by an algorithm that is none of ours, such as `ssh-rsa` with SHA-1.
    #[error("certificate is signed by an algorithm that is not accepted")]
    SignatureAlgorithm,
    /// The signature does not fit.
    #[error("certificate signature does not fit")]
    BadSignature,
    /// The key, the authority, the serial number or the key id was revoked.
    #[error("certificate is revoked")]
    Revoked,
    /// A host's certificate for a login, or a user's for a host.
    #[error("certificate is of the wrong kind")]
    WrongKind,
    /// Its time has not come.
    #[error("certificate is not valid yet")]
    NotYetValid,
    /// Its time is over.
    #[error("certificate has expired")]
    Expired,
    /// It names nobody. OpenSSH before 10.3 took that for everybody.
    #[error("certificate names no principal")]
    NoPrincipals,
    /// It names others.
    #[error("certificate is for another principal")]
    WrongPrincipal,
    /// It has a critical option that we do not know or cannot keep (`force-command`), that is
    /// malformed, or any in a host's certificate.
    #[error("certificate has a critical option that is not accepted")]
    CriticalOption,
    /// It is not good from that address.
    #[error("certificate is not valid from this address")]
    SourceAddress,
    /// An extension that we know has data that it must not have.
    #[error("certificate has a malformed extension")]
    Extension,
}

impl Certificate {
    /// Decides whether the certificate is good, by asking in this order: is the authority trusted,
    /// is no key weak, is the signature's algorithm ours, does the signature fit, is anything
    /// revoked, is it of the right kind, is it the time, is a principal the wanted one, and does it
    /// ask for nothing that we cannot keep.
    ///
    /// That the peer has the private key is not among these: its own signature says so.
    ///
    /// # Errors
    ///
    /// The first question that was answered no.
    pub fn check(
        &self,
        verifier: &dyn Verifier,
        question: &Question<'_>,
    ) -> Result<Approval, Refusal> {
        let is_trusted = question.authorities.contains(&self.authority);
        if !is_trusted || self.authority.is_weak_point() {
            return Err(Refusal::UnknownAuthority);
        }
        if self.key.is_weak_point() {
            return Err(Refusal::WeakKey);
        }
        self.check_signature(verifier)?;
        self.check_revocation(question.is_revoked)?;
        match (&question.wanted, self.kind) {
            (Wanted::Login { .. }, CertificateKind::User)
            | (Wanted::Host { .. }, CertificateKind::Host) => {}
            (Wanted::Login { .. }, CertificateKind::Host)
            | (Wanted::Host { .. }, CertificateKind::User) => return Err(Refusal::WrongKind),
        }
        if question.now < self.valid_after {
            return Err(Refusal::NotYetValid);
        }
        if question.now >= self.valid_before {
            return Err(Refusal::Expired);
        }
        self.check_principals(&question.wanted)?;
        self.check_options(&question.wanted)
    }

    fn check_signature(&self, verifier: &dyn Verifier) -> Result<(), Refusal> {
        let name = Reader::new(&self.signature)
            .string()
            .map_err(|_| Refusal::BadSignature)?;
        let algorithm = SignatureAlgorithm::from_name(name)
            .filter(|algorithm| self.authority.supports(*algorithm))
            .ok_or(Refusal::SignatureAlgorithm)?;
        let signed = self.blob.get(..self.signed).unwrap_or_default();
        match verifier.verify(&self.authority, algorithm, signed, &self.signature) {
            // An authority on a security key signs when somebody touches it.
            Ok(good) if good.security_key.is_none_or(|used| used.user_present) => Ok(()),
            Ok(_) | Err(_) => Err(Refusal::BadSignature),
        }
    }

    fn check_revocation(&self, is_revoked: &dyn Fn(Revocable<'_>) -> bool) -> Result<(), Refusal> {
        let authority = &self.authority;
        let asked = [
            Revocable::Key(&self.key),
            Revocable::Key(authority),
            Revocable::Serial {
                authority,
                serial: self.serial,
            },
            Revocable::KeyId {
                authority,
                key_id: &self.key_id,
            },
        ];
        if asked.into_iter().any(is_revoked) {
            Err(Refusal::Revoked)
        } else {
            Ok(())
        }
    }

    fn check_principals(&self, wanted: &Wanted<'_>) -> Result<(), Refusal> {
        if self.principals.is_empty() {
            return Err(Refusal::NoPrincipals);
        }
        let is_named = self.principals.iter().any(|principal| match wanted {
            Wanted::Login { principals, .. } => principals.contains(&principal.as_str()),
            Wanted::Host { name } => matches_pattern(name, principal),
        });
        if is_named {
            Ok(())
        } else {
            Err(Refusal::WrongPrincipal)
        }
    }

    fn check_options(&self, wanted: &Wanted<'_>) -> Result<Approval, Refusal> {
        let mut approval = Approval {
            expires: (self.valid_before != u64::MAX).then_some(self.valid_before),
            permits_port_forwarding: self.has_flag("permit-port-forwarding")?,
            requires_touch: !self.has_flag("no-touch-required")?,
            requires_verification: false,
        };
        let source = match wanted {
            Wanted::Login { source, .. } => *source,
            Wanted::Host { .. } if self.critical.is_empty() => return Ok(approval),
            Wanted::Host { .. } => return Err(Refusal::CriticalOption),
        };
        for option in &self.critical {
            match option.name.as_str() {
                "source-address" => {
                    let list = option
                        .value()
                        .and_then(SourceList::parse)
                        .ok_or(Refusal::CriticalOption)?;
                    if !source.is_some_and(|source| list.contains(source)) {
                        return Err(Refusal::SourceAddress);
                    }
                }
                "verify-required" if option.data.is_empty() => {
                    approval.requires_verification = true;
                }
                _ => return Err(Refusal::CriticalOption),
            }
        }
        Ok(approval)
    }

    /// Whether that extension is there. A flag with data is no flag that we know.
    fn has_flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.extensions.iter().find(|option| option.name == name) {
            None => Ok(false),
            Some(option) if option.data.is_empty() => Ok(true),
            Some(_) => Err(Refusal::Extension),
        }
    }
}

impl CertificateOption {
    /// The text of an option whose data is exactly one string.
    pub(super) fn value(&self) -> Option<&str> {
        let mut reader = Reader::new(&self.data);
        let value = reader.text(limits::KEY_BLOB).ok()?;
        reader.finish().ok()?;
        Some(value)
    }
}

/// OpenSSH's patterns: `*` is any run of characters, `?` any one; letters match as they are. Never
/// goes back further than the last star, so the time is the product of the lengths at most.
fn matches_pattern(name: &str, pattern: &str) -> bool {
    let (mut name, mut pattern) = (name.as_bytes(), pattern.as_bytes());
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        match (name, pattern) {
            (_, [b'*', rest @ ..]) => {
                retry = Some((name, rest));
                pattern = rest;
            }
            ([_, name_rest @ ..], [b'?', rest @ ..]) => (name, pattern) = (name_rest, rest),
            ([first, name_rest @ ..], [wanted, rest @ ..]) if first == wanted => {
                (name, pattern) = (name_rest, rest);
            }
            ([], []) => return true,
            _ => match retry {
                // The star takes one character more.
                Some(([_, longer @ ..], rest)) => {
                    retry = Some((longer, rest));
                    (name, pattern) = (longer, rest);
                }
                Some(([], _)) | None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_in_openssh() {
        for (name, pattern, is_match) in [
            ("a.example.com", "a.example.com", true),
            ("a.example.com", "A.example.com", false),
            ("a.example.com", "*.example.com", true),
            ("a.b.example.com", "*.example.com", true),
            ("example.com", "*.example.com", false),
            ("web1", "web?", true),
            ("web", "web?", false),
            ("web12", "web?", false),
            ("web12", "web*", true),
            ("web", "web*", true),
            ("", "*", true),
            ("", "", true),
            ("", "?", false),
            ("a", "", false),
            ("abcabc", "*abc", true),
            ("abcabd", "*abc", false),
            ("abcxabc", "a*c*c", true),
            ("abc", "**a**b**c**", true),
            ("abc", "a[b]c", false),
            ("a,b", "a", false),
            ("!a", "!a", true),
            ("a", "!b", false),
        ] {
            assert_eq!(matches_pattern(name, pattern), is_match, "{name} {pattern}");
        }
    }

    #[test]
    fn a_pattern_full_of_stars_ends_soon() {
        let name = "a".repeat(250);
        assert!(!matches_pattern(
            &name,
            &"*a".repeat(120).replace("*a*a", "*a*b")
        ));
        assert!(matches_pattern(&name, &"*a".repeat(120)));
    }
}
