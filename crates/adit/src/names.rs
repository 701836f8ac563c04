//! The hosts that a command line names: one grammar for every command (`adit_fleet::range`).

use std::fmt;
use std::str::FromStr;

use adit_fleet::host::{Host, UserName};
use adit_fleet::range::{Groups, RangeError, expand};

/// NAMES of a command line, expanded: at least one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Names(Vec<Host>);

/// Why a text names no hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum NamesError {
    /// It is not in the grammar, and where.
    Range(RangeError),
    /// It stands for nobody.
    Nobody,
    /// It has a line end, or another character that nobody writes there.
    Control,
}

impl Names {
    /// The hosts, in order.
    pub(crate) fn hosts(&self) -> &[Host] {
        &self.0
    }

    /// The hosts, those without a user as that one.
    pub(crate) fn hosts_as(&self, user: Option<&UserName>) -> Vec<Host> {
        let hosts = self.0.iter().cloned();
        hosts.map(|host| with_user(host, user)).collect()
    }
}

/// The host, as that user if it names none.
pub(crate) fn with_user(host: Host, user: Option<&UserName>) -> Host {
    Host {
        user: host.user.or_else(|| user.cloned()),
        ..host
    }
}

/// The groups that expressions may name.
pub(crate) fn groups() -> Groups {
    Groups::default()
}

impl FromStr for Names {
    type Err = NamesError;

    fn from_str(text: &str) -> Result<Self, NamesError> {
        if text.contains(char::is_control) {
            return Err(NamesError::Control);
        }
        let hosts = expand([text], [], &groups()).map_err(NamesError::Range)?;
        if hosts.is_empty() {
            return Err(NamesError::Nobody);
        }
        Ok(Self(hosts))
    }
}

impl fmt::Display for NamesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(error) => {
                write!(f, "{error}")?;
                for line in error.caret().lines() {
                    write!(f, "\n    {line}")?;
                }
                Ok(())
            }
            Self::Nobody => f.write_str("it stands for no host"),
            Self::Control => {
                f.write_str("a line end or another control character stands in no name")
            }
        }
    }
}

impl std::error::Error for NamesError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hosts_and_what_is_none_is_told_at_its_place() {
        let names: Names = "pi@red00[1-2] blue".parse().unwrap();
        let user: UserName = "ubuntu".parse().unwrap();
        let shown = |hosts: &[Host]| hosts.iter().map(Host::to_string).collect::<Vec<_>>();
        assert_eq!(shown(names.hosts()), ["pi@red001", "pi@red002", "blue"]);
        assert_eq!(
            shown(&names.hosts_as(Some(&user))),
            ["pi@red001", "pi@red002", "ubuntu@blue"]
        );
        let error = "red[2-1]".parse::<Names>().unwrap_err().to_string();
        assert!(
            error.contains("\n    red[2-1]\n") && error.contains('^'),
            "{error}"
        );
        assert_eq!("a!a".parse::<Names>(), Err(NamesError::Nobody));
        for text in [
            "red\n ProxyCommand sh",
            "red\u{0}",
            "",
            "a;b",
            "%h",
            "-oX=y",
        ] {
            assert!(text.parse::<Names>().is_err(), "{text:?}");
        }
    }
}
