//! Names of hosts: what a text that somebody wants to reach stands for.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of a device or a service: a letter or digit, then letters, digits, `.`, `_` and `-`, 63
/// characters at the most, in lower case (security rule G106). Never a number and never `localhost`: nothing
/// that a resolver would take for something else (G57).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(String);

/// Longest name.
pub const NAME_LENGTH: usize = 63;

/// Why a text is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing, or more than 63 characters.
    #[error("a name has 1 to {NAME_LENGTH} characters")]
    Length,
    /// Other characters than those of names.
    #[error(
        "a name begins with a letter or digit and goes on with letters, digits, '.', '_' and '-'"
    )]
    Character,
    /// A resolver would take it for an address.
    #[error("a name that reads as a number or an address is none")]
    Numeric,
    /// The machine itself.
    #[error("localhost is every machine's own name")]
    Localhost,
}

impl Name {
    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.is_empty() || text.len() > NAME_LENGTH {
            return Err(NameError::Length);
        }
        let is_first = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        let is_rest = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        if !is_first || !is_rest {
            return Err(NameError::Character);
        }
        let text = text.to_ascii_lowercase();
        if is_localhost(&text) {
            return Err(NameError::Localhost);
        }
        if looks_numeric(&text) {
            return Err(NameError::Numeric);
        }
        Ok(Self(text))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> Self {
        name.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What the host of a request to open a stream stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostClass {
    /// This machine by its name.
    Localhost,
    /// An address, in whatever spelling.
    Address(IpAddr),
    /// A name: of a device, an alias, or in the DNS. One dot at its end is dropped.
    Name(String),
    /// Nothing that could be a host.
    Invalid,
}

/// Longest host in a request: that of a DNS name with its last dot.
const HOST_LENGTH: usize = 254;

/// The one place where a host's text is understood (security rule G57): numeric spellings of every kind
/// are addresses before anything else sees them, so that no resolver can make another thing of them.
pub fn classify_host(text: &str) -> HostClass {
    if text.is_empty() || text.len() > HOST_LENGTH {
        return HostClass::Invalid;
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if is_localhost(&name) {
        return HostClass::Localhost;
    }
    if let Some(address) = numeric_address(&name) {
        return HostClass::Address(address);
    }
    let is_name = name.split('.').all(|label| {
        !label.is_empty()
            && label.len() <= NAME_LENGTH
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    // A number that is no address is one that some resolver may still make an address of.
    if is_name && !looks_numeric(&name) {
        HostClass::Name(name)
    } else {
        HostClass::Invalid
    }
}

/// RFC 6761 section 6.3: `localhost` and everything under it.
fn is_localhost(lower: &str) -> bool {
    let name = lower.strip_suffix('.').unwrap_or(lower);
    name == "localhost"
        || name.ends_with(".localhost")
        || name == "localhost.localdomain"
        || matches!(
            name,
            "ip6-localhost" | "ip6-loopback" | "localhost6" | "localhost4"
        )
}

/// Whether the last label is a number as WHATWG's URL standard has it ("ends in a number"): what is, is an
/// address or nothing.
fn looks_numeric(lower: &str) -> bool {
    let last = lower.rsplit('.').find(|label| !label.is_empty());
    last.is_some_and(|label| {
        label.bytes().all(|byte| byte.is_ascii_digit())
            || label
                .strip_prefix("0x")
                .is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
    })
}

/// An address in any spelling that `inet_aton(3)` or `inet_pton(3)` takes, in brackets or not, with a zone
/// or not.
pub(crate) fn numeric_address(text: &str) -> Option<IpAddr> {
    let inner = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    let without_zone = inner.split_once('%').map_or(inner, |(address, _)| address);
    if let Ok(v6) = without_zone.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(v6));
    }
    let dotless = inner.strip_suffix('.').unwrap_or(inner);
    aton(dotless).map(IpAddr::V4)
}

/// `inet_aton(3)`: one to four parts, each decimal, octal behind 0 or hexadecimal behind 0x; the last one
/// fills what is left.
fn aton(text: &str) -> Option<Ipv4Addr> {
    let parts = text
        .split('.')
        .map(aton_part)
        .collect::<Option<Vec<u32>>>()?;
    let (last, firsts) = parts.split_last()?;
    let mut number: u32 = 0;
    let mut shift = 32_u32;
    for part in firsts {
        shift = shift.checked_sub(8).filter(|shift| *shift > 0)?;
        if *part > 0xff {
            return None;
        }
        number |= part.checked_shl(shift)?;
    }
    let room = 1_u64.checked_shl(shift)?;
    if u64::from(*last) >= room {
        return None;
    }
    Some(Ipv4Addr::from(number | last))
}

fn aton_part(part: &str) -> Option<u32> {
    let lower = part.to_ascii_lowercase();
    if let Some(hex) = lower.strip_prefix("0x") {
        return if hex.is_empty() {
            Some(0)
        } else {
            plain(hex, 16)
        };
    }
    if lower.len() > 1 && lower.starts_with('0') {
        // What some resolvers read as octal and some as decimal is an address either way.
        return plain(&lower, 8).or_else(|| plain(&lower, 10));
    }
    plain(&lower, 10)
}

fn plain(digits: &str, radix: u32) -> Option<u32> {
    let is_plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_plain
        .then(|| u32::from_str_radix(digits, radix).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_spelling_of_an_address_is_an_address() {
        for text in [
            "127.0.0.1",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "017700000001",
            "127.0.0.1.",
            "[127.0.0.1]",
        ] {
            assert_eq!(
                classify_host(text),
                HostClass::Address(IpAddr::V4(Ipv4Addr::LOCALHOST)),
                "{text}"
            );
        }
        for text in ["::1", "[::1]", "0:0:0:0:0:0:0:1", "::1%lo"] {
            assert_eq!(
                classify_host(text),
                HostClass::Address(IpAddr::V6(Ipv6Addr::LOCALHOST)),
                "{text}"
            );
        }
    }

    #[test]
    fn the_machine_itself_is_known_by_its_names() {
        for text in [
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "ip6-localhost",
        ] {
            assert_eq!(classify_host(text), HostClass::Localhost, "{text}");
        }
    }

    #[test]
    fn numbers_that_are_no_address_are_nothing() {
        for text in [
            "256.1.1.1.1",
            "1.2.3.4.5",
            "99999999999",
            "foo.1",
            "0xzz.0x1g.1",
            "a..b",
            "",
            "-a",
            "a b",
        ] {
            assert_eq!(classify_host(text), HostClass::Invalid, "{text}");
        }
        assert_eq!(
            classify_host("Red001."),
            HostClass::Name(String::from("red001"))
        );
    }

    #[test]
    fn a_name_is_nothing_else() {
        assert_eq!("Red001".parse::<Name>().unwrap().as_str(), "red001");
        for (text, error) in [
            ("", NameError::Length),
            ("1", NameError::Numeric),
            ("127.1", NameError::Numeric),
            ("red.0x7f", NameError::Numeric),
            ("localhost", NameError::Localhost),
            ("-red", NameError::Character),
            ("red\n", NameError::Character),
            ("red/..", NameError::Character),
        ] {
            assert_eq!(text.parse::<Name>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_a_name_is_never_classed_as_something_else(text in "[a-zA-Z0-9._-]{0,70}") {
            if let Ok(name) = text.parse::<Name>() {
                prop_assert!(!matches!(
                    classify_host(name.as_str()),
                    HostClass::Address(_) | HostClass::Localhost
                ));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            drop(classify_host(&text));
        }
    }
}
