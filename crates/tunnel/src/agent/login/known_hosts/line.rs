//! One line of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT").
//!
//! `[marker] names type base64 [comment]`, parted by blanks and tabs. Names are patterns parted by
//! commas, or one name hashed as `|1|salt|hash`. Empty lines and lines that begin with `#` say
//! nothing.

use adit_ssh::key::{Fingerprint, PublicKey};
use aws_lc_rs::hmac;
use base64ct::{Base64, Encoding as _};

use crate::pattern::matches_list;

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) marker: Marker,
    pub(super) names: Names,
    pub(super) key: LineKey,
}

/// What a line says about its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker {
    /// The host has it.
    Host,
    /// It signs certificates of the host.
    Authority,
    /// It must not be used.
    Revoked,
}

/// Which hosts a line is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Names {
    /// Patterns as they were written.
    Patterns(Vec<u8>),
    /// One name, as HMAC-SHA1 of it under a salt.
    Hashed {
        /// 20 bytes.
        salt: Vec<u8>,
        /// 20 bytes.
        hash: Vec<u8>,
    },
}

/// The key of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum LineKey {
    /// Type and blob, which agree. Whether the type is one of ours is not looked at.
    Blob {
        /// Type name.
        kind: String,
        /// Blob.
        blob: Vec<u8>,
    },
    /// Not a key. The host is known nevertheless: what it shows cannot be this.
    Unreadable,
}

/// Why a line with a marker cannot be used. It may have been meant to revoke what we would accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LineError {
    Marker,
    Short,
    Hash,
    Key,
}

impl LineError {
    /// In words.
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Marker => "marker is none of @cert-authority and @revoked",
            Self::Short => "line with a marker has no host names or no key",
            Self::Hash => "line with a marker has a malformed hashed name",
            Self::Key => "line with a marker has a malformed key",
        }
    }
}

/// What hashed names begin with: HMAC-SHA1, the only one there is.
const HASH_MAGIC: &[u8] = b"|1|";
/// Bytes of SHA-1, which the salt has too.
const HASH_LENGTH: usize = 20;

impl Line {
    /// Parses a line without its line feed. `None` for one that says nothing: empty, a comment, a
    /// key of protocol 1, or (with no marker) one without host names or key.
    pub(super) fn parse(line: &[u8]) -> Result<Option<Self>, LineError> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let mut words = Words(line);
        let Some(first) = words.next() else {
            return Ok(None);
        };
        let (marker, names) = match first {
            [b'#', ..] => return Ok(None),
            b"@cert-authority" => (Marker::Authority, words.next()),
            b"@revoked" => (Marker::Revoked, words.next()),
            [b'@', ..] => return Err(LineError::Marker),
            names => (Marker::Host, Some(names)),
        };
        let (Some(names), Some(kind)) = (names, words.next()) else {
            return if marker == Marker::Host {
                Ok(None)
            } else {
                Err(LineError::Short)
            };
        };
        if kind.iter().all(u8::is_ascii_digit) {
            // Bits of an RSA key of protocol 1, which is of no use to anybody.
            return if marker == Marker::Host {
                Ok(None)
            } else {
                Err(LineError::Key)
            };
        }
        let key = LineKey::parse(kind, words.next().unwrap_or_default());
        if marker != Marker::Host && key == LineKey::Unreadable {
            return Err(LineError::Key);
        }
        match Names::parse(names) {
            Some(names) => Ok(Some(Self { marker, names, key })),
            // It can match nobody.
            None if marker == Marker::Host => Ok(None),
            None => Err(LineError::Hash),
        }
    }
}

impl Names {
    /// `None` for a malformed hash.
    fn parse(names: &[u8]) -> Option<Self> {
        if !names.starts_with(b"|") {
            return Some(Self::Patterns(names.to_vec()));
        }
        let names = std::str::from_utf8(names.strip_prefix(HASH_MAGIC)?).ok()?;
        let (salt, hash) = names.split_once('|')?;
        let salt = Base64::decode_vec(salt).ok()?;
        let hash = Base64::decode_vec(hash).ok()?;
        (salt.len() == HASH_LENGTH && hash.len() == HASH_LENGTH)
            .then_some(Self::Hashed { salt, hash })
    }

    /// Whether they name `host`, which is in lower case.
    pub(super) fn matches(&self, host: &str) -> bool {
        match self {
            Self::Patterns(patterns) => matches_list(host.as_bytes(), patterns),
            Self::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, host.as_bytes(), hash).is_ok()
            }
        }
    }
}

impl LineKey {
    pub(super) fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Blob { blob, .. } => blob == key.blob(),
            Self::Unreadable => false,
        }
    }

    pub(super) fn kind(&self) -> Option<&str> {
        match self {
            Self::Blob { kind, .. } => Some(kind),
            Self::Unreadable => None,
        }
    }

    pub(super) fn show(&self) -> Option<(String, Fingerprint)> {
        match self {
            Self::Blob { kind, blob } => Some((kind.clone(), Fingerprint::of(blob))),
            Self::Unreadable => None,
        }
    }

    fn parse(kind: &[u8], base64: &[u8]) -> Self {
        Self::try_parse(kind, base64).unwrap_or(Self::Unreadable)
    }

    /// The blob's own type must be the one written before it.
    fn try_parse(kind: &[u8], base64: &[u8]) -> Option<Self> {
        let blob = Base64::decode_vec(std::str::from_utf8(base64).ok()?).ok()?;
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
        if rest.get(..length)? != kind {
            return None;
        }
        let kind = String::from_utf8(kind.to_vec()).ok()?;
        Some(Self::Blob { kind, blob })
    }
}

/// Words parted by blanks and tabs.
struct Words<'a>(&'a [u8]);

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = self.0.iter().position(|byte| !is_blank(byte))?;
        let (_, rest) = self.0.split_at_checked(start)?;
        let end = rest.iter().position(is_blank).unwrap_or(rest.len());
        let (word, rest) = rest.split_at_checked(end)?;
        self.0 = rest;
        Some(word)
    }
}

/// The name of `host` as `HashKnownHosts` writes it, under a salt of 20 random bytes.
pub(super) fn hashed_name(host: &str, salt: &[u8; HASH_LENGTH]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
    let hash = hmac::sign(&key, host.as_bytes());
    let (salt, hash) = (
        Base64::encode_string(salt),
        Base64::encode_string(hash.as_ref()),
    );
    format!("|1|{salt}|{hash}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHQb3hIcUnwIrWKmIBfvGqBTtvmDXhJMGHsKDwlPPRmb";

    fn parse(line: &str) -> Result<Option<Line>, LineError> {
        Line::parse(line.as_bytes())
    }

    #[test]
    fn patterns_match_as_openssh_matches_them() {
        for (host, patterns, expected) in [
            ("example.com", "example.com", true),
            ("example.com", "EXAMPLE.com", true),
            ("example.com", "example.co", false),
            ("example.com", "other,example.com", true),
            ("a.example.com", "*.example.com", true),
            ("example.com", "*.example.com", false),
            ("a.example.com", "*.example.com,!a.*", false),
            ("a.example.com", "!a.*,*.example.com", false),
            ("a.example.com", "!b.*", false),
            ("host1", "host?", true),
            ("host", "host?", false),
            ("host12", "host?", false),
            ("[host]:2222", "*", true),
            ("[host]:2222", "[host]:2222", true),
            ("[host]:2222", "host", false),
            ("[host]:2222", "[*]:2222", true),
            ("aaab", "*ab", true),
            ("abcbcd", "a*bcd", true),
            ("abcbc", "a*bcd", false),
            ("x", "**", true),
            ("x", "", false),
            ("x", ",", false),
            ("x", "*?", true),
            ("", "*", true),
        ] {
            let names = Names::parse(patterns.as_bytes()).unwrap();
            assert_eq!(names.matches(host), expected, "{host:?} by {patterns:?}");
        }
    }

    #[test]
    fn lines_that_say_nothing_are_skipped() {
        for line in [
            "",
            "   ",
            "\t",
            "# comment",
            "  # comment",
            "host",
            "host 2048 65537 123456789",
            "|1|salt|hash ssh-ed25519 AAAA",
            "|2|AAAA|AAAA ssh-ed25519 AAAA",
        ] {
            assert_eq!(parse(line), Ok(None), "{line:?}");
        }
    }

    #[test]
    fn blanks_tabs_comments_and_carriage_returns_do_not_matter() {
        let plain = parse(&format!("host {KEY}")).unwrap().unwrap();
        let tabbed = format!(
            "\t host\t {} comment with words\r",
            KEY.replace(' ', "\t  ")
        );
        assert_eq!(parse(&tabbed).unwrap().unwrap(), plain);
        assert_eq!(plain.marker, Marker::Host);
        let revoked = parse(&format!("@revoked\thost {KEY}")).unwrap().unwrap();
        assert_eq!(revoked.marker, Marker::Revoked);
    }

    #[test]
    fn a_marker_that_cannot_be_read_is_an_error() {
        for (line, expected) in [
            (format!("@revokd host {KEY}"), LineError::Marker),
            (format!("@REVOKED host {KEY}"), LineError::Marker),
            (String::from("@revoked"), LineError::Short),
            (String::from("@revoked host"), LineError::Short),
            (String::from("@revoked host ssh-ed25519"), LineError::Key),
            (String::from("@revoked host ssh-rsa AAAA"), LineError::Key),
            (String::from("@revoked host 2048 3 9"), LineError::Key),
            (format!("@cert-authority |1|a|b {KEY}"), LineError::Hash),
        ] {
            assert_eq!(parse(&line), Err(expected), "{line}");
        }
        let authority = parse(&format!("@cert-authority *.example.com {KEY}"));
        assert_eq!(authority.unwrap().unwrap().marker, Marker::Authority);
    }

    #[test]
    fn a_host_whose_key_cannot_be_read_is_still_known() {
        for line in [
            "host ssh-ed25519",
            "host ssh-ed25519 !!!",
            "host ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIHQb3hIcUnwIrWKmIBfvGqBTtvmDXhJMGHsKDwlPPRmb",
        ] {
            let line = parse(line).unwrap().unwrap();
            assert_eq!(line.key, LineKey::Unreadable);
            assert!(line.names.matches("host"));
        }
    }

    #[test]
    fn a_hashed_name_matches_its_host_alone() {
        let hashed = hashed_name("[example.com]:2222", &[7; 20]);
        let names = Names::parse(hashed.as_bytes()).unwrap();
        assert!(names.matches("[example.com]:2222"));
        assert!(!names.matches("example.com"));
    }

    proptest! {
        #[test]
        fn no_line_makes_it_panic(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some(line)) = Line::parse(&line) {
                let _ = line.names.matches("host");
            }
        }
    }
}
