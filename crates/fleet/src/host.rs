//! Hosts and users as they stand in tables, in ssh's configuration and in units: typed, so that nothing of them can be
//! taken for more than a name there (security page 4.6, I5-b).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host as ssh is told of it: a name, or an address without brackets. Letters, digits, `.`, `_`, `-` and `:`, 255
/// characters at the most, and no `-` in front; kept as it is written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// A user name as ssh is told of it: OpenSSH's rule (`valid_ruser` of ssh.c), and no `@`, `%` or `,`, and nothing beyond
/// ASCII; 64 characters at the most.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UserName(String);

/// A host, and maybe the user to be there: `pi@red001`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host {
    /// Who to log in as; ssh's configuration says it otherwise.
    pub user: Option<UserName>,
    /// Where.
    pub name: HostName,
}

/// Longest host: that of a DNS name with its last dot, and one more (RFC 1035 section 2.3.4).
pub const HOST_LENGTH: usize = 255;
/// Longest user name; Linux has 32 (useradd(8)), others a little more.
pub const USER_LENGTH: usize = 64;

/// Why a text is no host or no user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// It is no host.
    #[error(
        "a host has 1 to {HOST_LENGTH} letters, digits, '.', '_', '-' and ':', and no '-' in front"
    )]
    Host,
    /// It is no user.
    #[error(
        "a user name has 1 to {USER_LENGTH} characters of ASCII, no blank, none of @ % , ' \" ` ; & < > | ( ) {{ }} \\ and no \
         '-' in front"
    )]
    User,
}

impl HostName {
    /// `localhost`: whoever it is told to, itself.
    pub fn localhost() -> Self {
        Self(String::from("localhost"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl UserName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:".contains(&byte);
        let is_host = (1..=HOST_LENGTH).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(is_part);
        is_host
            .then(|| Self(text.to_owned()))
            .ok_or(HostError::Host)
    }
}

impl FromStr for UserName {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let is_part = |byte: u8| byte.is_ascii_graphic() && !b"@%,'\"`;&<>|(){}\\".contains(&byte);
        let is_user = (1..=USER_LENGTH).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(is_part);
        is_user
            .then(|| Self(text.to_owned()))
            .ok_or(HostError::User)
    }
}

impl FromStr for Host {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let (user, name) = match text.rsplit_once('@') {
            Some((user, name)) => (Some(user.parse()?), name),
            None => (None, text),
        };
        let name = name.parse()?;
        Ok(Self { user, name })
    }
}

impl TryFrom<String> for HostName {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl TryFrom<String> for UserName {
    type Error = HostError;

    fn try_from(text: String) -> Result<Self, HostError> {
        text.parse()
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        self.name.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_file_or_a_shell_could_take_for_more_is_none() {
        for text in [
            "",
            "-oProxyCommand=x",
            "red 001",
            "red\n001",
            "red#",
            "red*",
            "red/..",
            "red;x",
            "r\u{e9}d",
            "pi@",
            "@red",
            "a b@red",
            "%h@red",
            "x\n@red",
            "-l@red",
            "a@b@red",
            "\"@red",
            "red?",
            "!red",
            "red,blue",
        ] {
            assert!(text.parse::<Host>().is_err(), "{text:?}");
        }
        for text in [
            "red001",
            "Red.local",
            "pi@10.0.0.1",
            "fe80::1",
            "first.last@red_1",
            "a+b@x",
        ] {
            assert_eq!(text.parse::<Host>().unwrap().to_string(), text);
        }
    }
}
