//! What certificates hold a login to, all of them together.

use std::net::IpAddr;

use super::{Certificate, SourceList, has_flag};

/// What a login is held to by the certificates that were shown for it. Another certificate can only
/// add to it: of two lists of addresses both must have the address, of two ends the earlier counts,
/// and what one does not permit is not permitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restrictions {
    sources: Vec<SourceList>,
    expires: Option<u64>,
    permits_forwarding: bool,
}

impl Restrictions {
    /// Nothing: what a login is held to that no certificate was shown for.
    pub const NONE: Self = Self {
        sources: Vec::new(),
        expires: None,
        permits_forwarding: true,
    };

    /// What this certificate holds a login to. What is malformed permits nothing.
    pub fn of(certificate: &Certificate) -> Self {
        let sources = certificate
            .critical
            .iter()
            .filter(|option| option.name == "source-address")
            .map(|option| option.value().and_then(SourceList::parse))
            .map(Option::unwrap_or_default)
            .collect();
        let ends = certificate.valid_before();
        Self {
            sources,
            expires: (ends != u64::MAX).then_some(ends),
            permits_forwarding: has_flag(&certificate.extensions, "permit-port-forwarding"),
        }
    }

    /// Both.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.sources.extend(other.sources);
        self.expires = match (self.expires, other.expires) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        self.permits_forwarding &= other.permits_forwarding;
        self
    }

    /// Whether a login may come from there. `None` is what has no IP address, which is in no list.
    pub fn permit_source(&self, source: Option<IpAddr>) -> bool {
        self.sources
            .iter()
            .all(|list| source.is_some_and(|source| list.contains(source)))
    }

    /// When the login ends that they let in, in seconds since 1970; `None` is never.
    pub const fn expires(&self) -> Option<u64> {
        self.expires
    }

    /// Whether anything may be forwarded, either way (`permit-port-forwarding`).
    pub const fn permit_forwarding(&self) -> bool {
        self.permits_forwarding
    }
}
