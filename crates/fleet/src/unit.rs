//! Services at boot, as text: units of systemd, and scripts for OpenRC and plain init.
//!
//! Values are types that hold what they say and nothing else, and each form quotes them by its own rules, so that no
//! path can become another directive or another word.

use std::fmt;
use std::str::FromStr;

use crate::host::UserName;

mod script;
mod systemd;

pub use self::script::{openrc, sysv};
pub use self::systemd::{system, user};

/// Stands in each file that is written, so that nobody else's is ever replaced or removed.
pub const MARK: &str = "Written by adit service install; adit service uninstall takes it away.";

/// How a service ends that was told to by adit stop or adit down, and is not to be started again.
pub const TOLD: u8 = 3;

/// The name of a service: a lower-case letter or digit, then those and `-`, 64 characters at the most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceName(String);

/// A word of a command line, or a path: text without control characters, 4,096 bytes at the most (`PATH_MAX`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word(String);

/// A path from the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbsolutePath(Word);

/// Why a text cannot stand in a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// It is no name.
    #[error(
        "a service's name has lower-case letters, digits and '-', 64 at the most, and no '-' in front"
    )]
    Name,
    /// It is no word.
    #[error("it has a control character, or more than 4096 bytes")]
    Word,
    /// It is no path from the root.
    #[error("it is no path from the root, or ends with a backslash or a blank")]
    Relative,
    /// A credential's file with a blank or a colon, or a name of other characters.
    #[error(
        "a credential is a path from the root without blanks, quotes and colons, its last part letters, digits, '-' and '_'"
    )]
    Credential,
}

/// A secret that the service finds in a file of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    name: String,
    file: AbsolutePath,
}

/// What a variable says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word.
    Word(Word),
    /// Where a credential is.
    File(Credential),
}

/// What a service may do to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sandbox {
    /// What tunnels need.
    Tight,
    /// What any program may need that is started by it, but no right that its user does not have.
    Programs,
}

/// Whose the service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Account {
    /// Somebody of the machine.
    User(UserName),
    /// A user of that name which there is only while the service runs.
    Dynamic(UserName),
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Its name.
    pub name: ServiceName,
    /// What it is.
    pub about: &'static str,
    /// The program and its arguments.
    pub program: AbsolutePath,
    /// The rest of its command line.
    pub arguments: Vec<Word>,
    /// Whose it is, where it is the machine's.
    pub account: Account,
    /// Where it is started.
    pub folder: Option<AbsolutePath>,
    /// Variables of its environment; no secret.
    pub environment: Vec<(&'static str, Value)>,
    /// What it may write to, besides what is made for it.
    pub writable: Vec<AbsolutePath>,
    /// The directory below /var/lib that is made for it.
    pub state: Option<ServiceName>,
    /// Its secrets.
    pub credentials: Vec<Credential>,
    /// What it may do.
    pub sandbox: Sandbox,
    /// Whether it reads its settings anew at SIGHUP.
    pub reloads: bool,
    /// After so many seconds without a word it is started anew.
    pub watchdog: u32,
    /// So many seconds its end may take.
    pub stop: u32,
}

impl ServiceName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Word {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AbsolutePath {
    /// The text.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for ServiceName {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let is_name =
            (1..=64).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(is_part);
        is_name
            .then(|| Self(text.to_owned()))
            .ok_or(UnitError::Name)
    }
}

impl FromStr for Word {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let is_word = text.len() <= 4_096 && !text.chars().any(char::is_control);
        is_word
            .then(|| Self(text.to_owned()))
            .ok_or(UnitError::Word)
    }
}

impl FromStr for AbsolutePath {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let word: Word = text.parse()?;
        // At the end of a line, where systemd would take them for something of its own or drop them.
        let is_whole = !text.ends_with(|last: char| last == '\\' || last.is_whitespace());
        (text.starts_with('/') && is_whole)
            .then_some(Self(word))
            .ok_or(UnitError::Relative)
    }
}

impl Credential {
    /// That file, under a name of letters, digits, `-` and `_`.
    ///
    /// # Errors
    ///
    /// It is no such name, or the path has a character that systemd parts credentials by.
    pub fn named(name: &str, file: &str) -> Result<Self, UnitError> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        let is_name = (1..=64).contains(&name.len()) && name.bytes().all(is_part);
        let is_plain =
            !file.contains(|found: char| found.is_whitespace() || ":\"'\\".contains(found));
        let file = file.parse().map_err(|_| UnitError::Credential)?;
        let name = name.to_owned();
        (is_name && is_plain)
            .then_some(Self { name, file })
            .ok_or(UnitError::Credential)
    }
}

impl FromStr for Credential {
    type Err = UnitError;

    /// A path, whose last part is the name.
    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (_, name) = text.rsplit_once('/').ok_or(UnitError::Credential)?;
        Self::named(name, text)
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for AbsolutePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word for a shell (POSIX, 2.2.2).
fn shell(word: &str) -> String {
    let is_plain = |found: char| found.is_ascii_alphanumeric() || "-_./:=@%+,".contains(found);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests;
