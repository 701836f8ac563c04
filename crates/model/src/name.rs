//! Names that visitors reach services by: which there may be, and patterns of them. Pure.
//!
//! A name of one label is one under the gateway's own domain, `app` for `app.example.net`; one with dots is a whole
//! domain name of somebody's own. The rules are security rule G61's.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::host::{Name, NameError};

/// The port of a name whose service is a site: it speaks HTTP, and visitors come by HTTP and HTTPS.
pub const HTTP: u16 = 80;
/// The port of a name whose service speaks TLS itself: it is passed through as it is.
pub const HTTPS: u16 = 443;

/// Whether a service at that port of a name is for visitors of the name.
pub const fn is_site(port: u16) -> bool {
    matches!(port, HTTP | HTTPS)
}

/// Names, as a grant has them: one of them, or a pattern with one star in its first label. The star stands for at
/// least one character and for no dot: `*` is every name of one label, `dev-*` those that begin so, `*.example.org`
/// those one below a domain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamePattern(String);

/// Why a text is no pattern of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// Without a star it is no name, either.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There are two stars, or it stands behind a dot.
    #[error("a pattern of names has one '*', in its first label: *, dev-*, *.example.org")]
    Star,
    /// What is around the star is no part of a name.
    #[error("a pattern of names has letters, digits, '.', '_' and '-' around its '*'")]
    Character,
}

impl NamePattern {
    /// The text, in lower case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The one name that it stands for, if it is no pattern.
    pub fn exact(&self) -> Option<Name> {
        self.0.parse().ok()
    }

    /// Whether it stands for that name.
    pub fn matches(&self, name: &Name) -> bool {
        let name = name.as_str();
        let Some((before, behind)) = self.0.split_once('*') else {
            return self.0 == name;
        };
        name.strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(behind))
            .is_some_and(|star| !star.is_empty() && !star.contains('.'))
    }
}

impl From<Name> for NamePattern {
    fn from(name: Name) -> Self {
        Self(name.into())
    }
}

impl FromStr for NamePattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let Some((before, behind)) = text.split_once('*') else {
            return Ok(Self::from(text.parse::<Name>()?));
        };
        if before.contains('.') || behind.contains('*') {
            return Err(PatternError::Star);
        }
        // Whatever stands in the star's place has to make a name of it.
        let sample: Name = format!("{before}a{behind}").parse().map_err(|error| {
            if error == NameError::Length {
                PatternError::Name(error)
            } else {
                PatternError::Character
            }
        })?;
        let is_whole = sample.as_str().split('.').all(|label| !label.is_empty());
        if !is_whole {
            return Err(PatternError::Character);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }
}

impl TryFrom<String> for NamePattern {
    type Error = PatternError;

    fn try_from(text: String) -> Result<Self, PatternError> {
        text.parse()
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why a name is nobody's whom no grant gives it word for word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameFault {
    /// Programs and people take what is there for the gateway's own.
    #[error("it is reserved")]
    Reserved,
    /// It is no host name (RFC 1123 section 2.1).
    #[error("a name has letters, digits and '-', and neither begins nor ends with '-'")]
    Character,
    /// It is shown as other characters than it has, or may be one day (RFC 5890 section 2.3.1).
    #[error("a name has no '--' at its third place: that is kept for names in other scripts")]
    Encoded,
    /// Of more than one label, below the gateway's own domain.
    #[error("under this gateway's domain a name has one part")]
    Nested,
}

/// Names that nobody has whom no grant gives them word for word: what mail programs, browsers and resolvers look
/// for by themselves, what certificates are proved by, and what people take for the operator's own.
pub const RESERVED: &[&str] = &[
    "abuse",
    "account",
    "accounts",
    "acme",
    "adit",
    "admin",
    "administrator",
    "api",
    "auth",
    "autoconfig",
    "autodiscover",
    "broadcasthost",
    "control",
    "dashboard",
    "dns",
    "ftp",
    "gateway",
    "gw",
    "help",
    "hostmaster",
    "imap",
    "internal",
    "isatap",
    "local",
    "localdomain",
    "localhost",
    "login",
    "mail",
    "metrics",
    "mta-sts",
    "mx",
    "ns",
    "ns1",
    "ns2",
    "oauth",
    "openpgpkey",
    "pop",
    "pop3",
    "postmaster",
    "root",
    "secure",
    "security",
    "signin",
    "smtp",
    "ssh",
    "ssl",
    "sso",
    "status",
    "support",
    "webmaster",
    "wpad",
    "www",
];

/// Which names there may be at a gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameRules {
    domain: Option<Box<str>>,
    own: BTreeSet<Name>,
}

impl NameRules {
    /// Those of a gateway with that domain, of which it keeps those names for itself besides [`RESERVED`].
    pub fn new(domain: &str, own: impl IntoIterator<Item = Name>) -> Self {
        let domain = domain.strip_suffix('.').unwrap_or(domain);
        Self {
            domain: Some(domain.to_ascii_lowercase().into()),
            own: own.into_iter().collect(),
        }
    }

    /// The domain that names of one label are under, if the gateway has one.
    pub fn domain(&self) -> Option<&str> {
        self.domain.as_deref()
    }

    /// The name that somebody asks for, in lower case, without the dot at its end and the gateway's own domain.
    ///
    /// # Errors
    /// It is none.
    pub fn read(&self, asked: &str) -> Result<Name, NameError> {
        let whole = asked
            .strip_suffix('.')
            .unwrap_or(asked)
            .to_ascii_lowercase();
        let label = self
            .under_domain(&whole)
            .filter(|label| !label.contains('.'));
        let text = label.unwrap_or(&whole);
        if text.split('.').any(str::is_empty) {
            return Err(NameError::Character);
        }
        text.parse()
    }

    /// The host by which visitors reach a name, if they do.
    pub fn host(&self, name: &Name) -> Option<String> {
        let domain = self.domain.as_deref()?;
        Some(if is_domain(name) {
            String::from(name.as_str())
        } else {
            format!("{name}.{domain}")
        })
    }

    /// Whether somebody may have a name whom no grant gives it word for word.
    ///
    /// # Errors
    /// See [`NameFault`].
    pub fn judge(&self, name: &Name) -> Result<(), NameFault> {
        let is_host = |label: &str| {
            let is_ldh = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            !label.is_empty()
                && label.bytes().all(is_ldh)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let text = name.as_str();
        if !text.split('.').all(is_host) {
            return Err(NameFault::Character);
        }
        if is_domain(name) {
            // Their owners say themselves in which scripts they are.
            let is_own = self.domain() == Some(text) || self.under_domain(text).is_some();
            return if is_own {
                Err(NameFault::Nested)
            } else {
                Ok(())
            };
        }
        if text.get(2..4) == Some("--") {
            return Err(NameFault::Encoded);
        }
        if RESERVED.contains(&text) || self.own.contains(name) {
            return Err(NameFault::Reserved);
        }
        Ok(())
    }

    /// What stands before the gateway's own domain.
    fn under_domain<'a>(&self, whole: &'a str) -> Option<&'a str> {
        let domain = self.domain.as_deref()?;
        whole.strip_suffix(domain)?.strip_suffix('.')
    }
}

/// Whether it is a whole domain name, rather than one label under the gateway's.
pub fn is_domain(name: &Name) -> bool {
    name.as_str().contains('.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        text.parse().unwrap()
    }

    fn rules() -> NameRules {
        NameRules::new("GW.test.", [name("relay")])
    }

    #[test]
    fn a_star_stands_for_part_of_one_label() {
        for (pattern, is, is_not) in [
            ("app", vec!["app"], vec!["apps", "app.example"]),
            ("*", vec!["app", "a"], vec!["app.example"]),
            (
                "dev-*",
                vec!["dev-1", "dev-x-y"],
                vec!["dev-", "dev-1.example", "xdev-1"],
            ),
            ("*-ci", vec!["a-ci"], vec!["-ci.example", "ci"]),
            ("Pre*Suf", vec!["preXsuf"], vec!["presuf", "pre.suf"]),
            (
                "*.Example.org",
                vec!["a.example.org"],
                vec!["example.org", "a.b.example.org"],
            ),
        ] {
            let pattern: NamePattern = pattern.parse().unwrap();
            for text in is {
                assert!(pattern.matches(&name(text)), "{pattern} {text}");
            }
            for text in is_not {
                if let Ok(name) = text.parse() {
                    assert!(!pattern.matches(&name), "{pattern} {text}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "", "**", "a.*", "*.*", "*/x", "* ", "*.", "*..a", "-*", "*.0x1", "1.2.3.4",
        ] {
            assert!(text.parse::<NamePattern>().is_err(), "{text:?}");
        }
        assert_eq!(
            "App".parse::<NamePattern>().unwrap().exact(),
            Some(name("app"))
        );
        assert_eq!("*".parse::<NamePattern>().unwrap().exact(), None);
    }

    #[test]
    fn a_name_is_one_label_or_a_domain_of_ones_own() {
        let rules = rules();
        for (asked, read, host) in [
            ("App", "app", "app.gw.test"),
            ("app.", "app", "app.gw.test"),
            ("app.GW.test", "app", "app.gw.test"),
            ("app.gw.test.", "app", "app.gw.test"),
            ("blog.example.org", "blog.example.org", "blog.example.org"),
            ("a.app.gw.test", "a.app.gw.test", "a.app.gw.test"),
        ] {
            let found = rules.read(asked).unwrap();
            assert_eq!(found.as_str(), read, "{asked}");
            assert_eq!(rules.host(&found).as_deref(), Some(host), "{asked}");
        }
        for asked in [
            "",
            ".",
            "a..",
            "a..b",
            "localhost",
            "127.0.0.1",
            "*",
            "a b",
            "_acme-challenge",
        ] {
            rules.read(asked).unwrap_err();
        }
        assert_eq!(NameRules::default().host(&name("app")), None);
    }

    #[test]
    fn name_rules_table() {
        let rules = rules();
        for (text, fault) in [
            ("app", None),
            ("a", None),
            ("a1-b", None),
            ("dev-1", None),
            ("blog.example.org", None),
            ("xn--bcher-kva.example", None),
            ("www", Some(NameFault::Reserved)),
            ("wpad", Some(NameFault::Reserved)),
            ("isatap", Some(NameFault::Reserved)),
            ("autodiscover", Some(NameFault::Reserved)),
            ("mta-sts", Some(NameFault::Reserved)),
            ("relay", Some(NameFault::Reserved)),
            ("xn--bcher-kva", Some(NameFault::Encoded)),
            ("ab--cd", Some(NameFault::Encoded)),
            ("app-", Some(NameFault::Character)),
            ("a_b", Some(NameFault::Character)),
            ("a..example", Some(NameFault::Character)),
            ("a-.example", Some(NameFault::Character)),
            ("gw.test", Some(NameFault::Nested)),
            ("a.app.gw.test", Some(NameFault::Nested)),
        ] {
            assert_eq!(rules.judge(&name(text)).err(), fault, "{text}");
        }
    }

    #[test]
    fn the_reserved_names_are_in_order_and_there_once() {
        assert!(RESERVED.is_sorted_by(|one, next| one < next));
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in any::<String>()) {
            let rules = rules();
            let _pattern = text.parse::<NamePattern>();
            if let Ok(name) = rules.read(&text) {
                let _judged = rules.judge(&name);
            }
        }

        #[test]
        fn what_is_read_is_read_again_as_the_same(text in "[a-zA-Z0-9._-]{1,40}") {
            let rules = rules();
            if let Ok(name) = rules.read(&text) {
                let host = rules.host(&name).unwrap();
                prop_assert_eq!(rules.read(&host), Ok(name));
            }
        }
    }
}
