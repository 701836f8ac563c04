//! The name of an interface, which a forward that listens here may bear instead of an address.

use std::fmt;

use crate::transport::Bind;

/// The name of an interface, as Linux takes it (`dev_valid_name`): 1 to 15 bytes, no `/`, no `:`, no white
/// space, and neither `.` nor `..`. Control characters are refused besides.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InterfaceName(String);

/// A text that no interface can be called.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no interface is called {0:?}: a name has 1 to 15 bytes, no slash, colon or white space")]
pub struct InterfaceNameError(String);

/// Longest name in bytes (`IFNAMSIZ` without its NUL).
const LENGTH: usize = 15;
/// What stands before an interface's name in the place of an address.
const SIGN: char = '%';

impl InterfaceName {
    /// Checks a name.
    pub fn new(text: &str) -> Result<Self, InterfaceNameError> {
        let is_bad = |it: char| matches!(it, '/' | ':') || it.is_whitespace() || it.is_control();
        if text.is_empty()
            || text.len() > LENGTH
            || matches!(text, "." | "..")
            || text.contains(is_bad)
        {
            return Err(InterfaceNameError(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name in the host of a bind, `%eth0`; none where the host is something else.
    pub fn of_host(host: &str) -> Option<Result<Self, InterfaceNameError>> {
        host.strip_prefix(SIGN).map(Self::new)
    }

    /// Whether a bind names an interface.
    pub fn is_in(bind: &Bind) -> bool {
        matches!(bind, Bind::Tcp { host, .. } if host.starts_with(SIGN))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_linux_takes() {
        for name in [
            "lo",
            "wlan0",
            "enp0s31f6",
            "br-1f2e3d4c5b6a",
            "eth0.100",
            "a@b",
            "%",
        ] {
            assert_eq!(InterfaceName::new(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            ".",
            "..",
            "a/b",
            "a b",
            "a\tb",
            "a:1",
            "a\u{7f}",
            "sixteen-bytes-xx",
        ] {
            let error = InterfaceName::new(name).unwrap_err().to_string();
            assert!(error.contains(&format!("{name:?}")), "{error}");
        }
    }

    #[test]
    fn a_host_with_the_sign_is_an_interface() {
        assert_eq!(InterfaceName::of_host("wlan0"), None);
        assert_eq!(InterfaceName::of_host("fe80::1%wlan0"), None);
        assert!(InterfaceName::of_host("%").unwrap().is_err());
        let name = InterfaceName::of_host("%wlan0").unwrap().unwrap();
        assert_eq!(name.to_string(), "wlan0");
    }
}
