//! Where somebody may come from: OpenSSH's `from=` list.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// Networks and patterns of addresses, some of them taken away again by a `!`. Empty, it is every address.
/// Meaning as of `from=` in sshd(8), without host names: nothing is looked up in the DNS for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SourceSet(Vec<Rule>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    is_negated: bool,
    what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    Network(IpNet),
    /// An address with `*` and `?` in it.
    Pattern(String),
}

/// Rules in one list: what a line of authorized_keys may hold.
const RULES: usize = 1_024;

/// Why a text is no list of sources.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// Neither an address, a network nor a pattern of addresses.
    #[error(
        "{0:?} is no address, network or pattern of addresses; host names are not looked up here"
    )]
    NotASource(String),
    /// A network with bits set behind its mask: OpenSSH refuses the whole list.
    #[error("{0:?} has bits set behind its mask")]
    HostBits(String),
    /// Nothing but negations allows nobody.
    #[error("a list of nothing but negations allows nobody; put * before them")]
    OnlyNegated,
    /// Longer than anybody writes.
    #[error("more than {RULES} sources")]
    TooMany,
}

impl SourceSet {
    /// Whether somebody may come from there. An IPv4 address that came in over an IPv6 socket counts as
    /// what it is.
    pub fn contains(&self, address: IpAddr) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let address = address.to_canonical();
        let mut is_in = false;
        for rule in &self.0 {
            if rule.what.matches(address) {
                if rule.is_negated {
                    return false;
                }
                is_in = true;
            }
        }
        is_in
    }

    /// Whether it is every address.
    pub const fn is_everywhere(&self) -> bool {
        self.0.is_empty()
    }
}

impl What {
    fn matches(&self, address: IpAddr) -> bool {
        match self {
            Self::Network(network) => network.contains(&address),
            Self::Pattern(pattern) => is_match(address.to_string().as_bytes(), pattern.as_bytes()),
        }
    }
}

/// `*` stands for any bytes, `?` for one. Takes at most text x pattern steps.
fn is_match(text: &[u8], pattern: &[u8]) -> bool {
    let (mut text, mut pattern) = (text, pattern);
    let mut star: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern.split_first(), text.split_first()) {
            (Some((b'*', rest)), _) => {
                star = Some((text, rest));
                pattern = rest;
            }
            (None, None) => return true,
            (Some((wanted, pattern_rest)), Some((byte, text_rest)))
                if *wanted == b'?' || wanted.eq_ignore_ascii_case(byte) =>
            {
                pattern = pattern_rest;
                text = text_rest;
            }
            _ => {
                let Some((from, rest)) = star else {
                    return false;
                };
                let Some((_, later)) = from.split_first() else {
                    return false;
                };
                star = Some((later, rest));
                text = later;
                pattern = rest;
            }
        }
    }
}

impl FromStr for SourceSet {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut rules = Vec::new();
        for part in text.split(',') {
            if rules.len() >= RULES {
                return Err(SourceError::TooMany);
            }
            let part = part.trim();
            let (is_negated, part) = part
                .strip_prefix('!')
                .map_or((false, part), |rest| (true, rest));
            rules.push(Rule {
                is_negated,
                what: what(part)?,
            });
        }
        if rules.iter().all(|rule| rule.is_negated) {
            return Err(SourceError::OnlyNegated);
        }
        Ok(Self(rules))
    }
}

fn what(part: &str) -> Result<What, SourceError> {
    let refused = || SourceError::NotASource(part.chars().take(60).collect());
    if let Ok(address) = part.parse::<IpAddr>() {
        return Ok(What::Network(IpNet::from(address.to_canonical())));
    }
    if part.contains('/') {
        let network: IpNet = part.parse().map_err(|_| refused())?;
        if network.trunc() != network {
            return Err(SourceError::HostBits(String::from(part)));
        }
        return Ok(What::Network(network));
    }
    let is_pattern = part.contains(['*', '?'])
        && part
            .bytes()
            .all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b'*' | b'?' | b'.' | b':'));
    if is_pattern {
        Ok(What::Pattern(part.to_ascii_lowercase()))
    } else {
        Err(refused())
    }
}

impl TryFrom<String> for SourceSet {
    type Error = SourceError;

    fn try_from(text: String) -> Result<Self, SourceError> {
        text.parse()
    }
}

impl From<SourceSet> for String {
    fn from(set: SourceSet) -> Self {
        set.to_string()
    }
}

impl fmt::Display for SourceSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, rule) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            if rule.is_negated {
                f.write_str("!")?;
            }
            match &rule.what {
                What::Network(network) if network.prefix_len() == network.max_prefix_len() => {
                    network.addr().fmt(f)?;
                }
                What::Network(network) => network.fmt(f)?,
                What::Pattern(pattern) => f.write_str(pattern)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(list: &str, address: &str) -> bool {
        let set: SourceSet = list.parse().unwrap();
        assert_eq!(set.to_string().parse::<SourceSet>().unwrap(), set);
        set.contains(address.parse().unwrap())
    }

    #[test]
    fn a_list_means_what_it_means_to_sshd() {
        assert!(allows("", "192.0.2.1"));
        assert!(allows("192.0.2.0/24", "192.0.2.1"));
        assert!(allows("192.0.2.0/24", "::ffff:192.0.2.1"));
        assert!(!allows("192.0.2.0/24,!192.0.2.1", "192.0.2.1"));
        assert!(!allows("!192.0.2.1,*", "192.0.2.1"));
        assert!(allows("!192.0.2.1,*", "192.0.2.2"));
        assert!(allows("192.0.2.?,10.*", "10.9.8.7"));
        assert!(allows("2001:db8::/32", "2001:db8::7"));
        assert!(!allows("2001:db8::/32", "192.0.2.1"));
    }

    #[test]
    fn what_cannot_be_checked_is_refused() {
        for (list, words) in [
            ("example.com", "not looked up"),
            ("*.example.com", "not looked up"),
            ("192.0.2.1/24", "bits"),
            ("192.0.2.0/33", "no address"),
            ("!192.0.2.1", "nobody"),
            ("192.0.2.1,,", "no address"),
        ] {
            let error = list.parse::<SourceSet>().unwrap_err().to_string();
            assert!(error.contains(words), "{list}: {error}");
        }
    }
}
