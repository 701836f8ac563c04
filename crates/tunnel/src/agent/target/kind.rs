//! What a target is: which questions are asked, and what the answers mean.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Page, Reading, http, mysql, postgres, ssh};
use crate::transport::Target;

/// What a target is said to be, which decides how it is checked.
///
/// Written `tcp`, `http`, `http:/health`, `http://name/health`, `ssh`, `mysql` or `postgres`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Anything that accepts connections. It is dialled and the connection closed: the least that can
    /// be asked, and the least gentle. A service that speaks first, or that counts strangers who say
    /// nothing, logs each.
    Tcp,
    /// A web server, asked for a page.
    Http(Page),
    /// An SSH server, which says its version.
    Ssh,
    /// MySQL or MariaDB, which greets.
    MySql,
    /// PostgreSQL, which answers a question about encryption.
    Postgres,
}

/// A text that names no kind of check.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KindError {
    /// It is no word for a kind.
    #[error(
        "there is no check `{0}`: say tcp, http, http:/PATH, http://HOST/PATH, ssh, mysql or postgres"
    )]
    Unknown(String),
    /// What follows `http:` is no path and no `//HOST/PATH`.
    #[error("`{0}` is not a page: say http:/PATH or http://HOST/PATH, without spaces")]
    Page(String),
}

impl Kind {
    /// The kind that is to be expected behind a port by its registered use (IANA); none for any other, so that
    /// nothing is checked there unasked.
    pub const fn usual(port: u16) -> Option<Self> {
        match port {
            22 => Some(Self::Ssh),
            80 => Some(Self::Http(Page::ANY)),
            3306 => Some(Self::MySql),
            5432 => Some(Self::Postgres),
            _ => None,
        }
    }

    /// How often a target that is well is checked if nobody says otherwise: each minute where that
    /// leaves no line in a log but the access log, every five minutes where it does.
    pub const fn interval(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Http(_) | Self::Postgres => 60,
            Self::Tcp | Self::Ssh | Self::MySql => 300,
        })
    }

    /// What is said first.
    pub(super) fn question(&self, target: &Target) -> Vec<u8> {
        match self {
            Self::Http(page) => page.request(target),
            Self::Ssh => ssh::IDENTIFICATION.to_vec(),
            Self::Postgres => postgres::QUESTION.to_vec(),
            Self::Tcp | Self::MySql => Vec::new(),
        }
    }

    /// What the bytes heard so far mean.
    pub(super) fn read(&self, heard: &[u8]) -> Reading {
        match self {
            Self::Tcp => Reading::More,
            Self::Http(page) => http::read(page, heard),
            Self::Ssh => ssh::read(heard),
            Self::MySql => mysql::read(heard),
            Self::Postgres => postgres::read(heard),
        }
    }
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        match text {
            "tcp" => Ok(Self::Tcp),
            "http" => Ok(Self::Http(Page::ANY)),
            "ssh" => Ok(Self::Ssh),
            "mysql" => Ok(Self::MySql),
            "postgres" => Ok(Self::Postgres),
            _ => match text.strip_prefix("http:") {
                Some(page) => Page::parse(page)
                    .map(Self::Http)
                    .ok_or_else(|| KindError::Page(text.escape_debug().to_string())),
                None => Err(KindError::Unknown(text.escape_debug().to_string())),
            },
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Http(page) => write!(f, "http{page}"),
            Self::Ssh => f.write_str("ssh"),
            Self::MySql => f.write_str("mysql"),
            Self::Postgres => f.write_str("postgres"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_written_as_it_is_read() {
        for text in [
            "tcp",
            "http",
            "http:/",
            "http:/health?full=1",
            "http://www.example.net:8080/health",
            "http://[::1]/",
            "ssh",
            "mysql",
            "postgres",
        ] {
            assert_eq!(text.parse::<Kind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_no_kind_is_refused_with_those_there_are() {
        for text in [
            "",
            "HTTP",
            "https",
            "mysql ",
            "ftp",
            "http:",
            "http:health",
            "http://",
            "http://host",
            "http:///x",
            "http:/a b",
            "http:/a\r\nX: y",
            "http://a\tb/",
            "http:/ä",
        ] {
            let error = text.parse::<Kind>().unwrap_err().to_string();
            assert!(error.contains("http:/PATH"), "{error}");
            assert!(!error.contains(['\r', '\n']), "{error}");
        }
        let long = format!("http:/{}", "x".repeat(5_000));
        assert!(long.parse::<Kind>().is_err());
    }

    #[test]
    fn a_port_of_no_known_kind_is_not_checked() {
        let usual = |port| Kind::usual(port).map(|kind| kind.to_string());
        for (port, expected) in [
            (22, Some("ssh")),
            (80, Some("http")),
            (3306, Some("mysql")),
            (5432, Some("postgres")),
            (0, None),
            (443, None),
            (2222, None),
            (8080, None),
            (33060, None),
        ] {
            assert_eq!(usual(port).as_deref(), expected, "{port}");
        }
    }
}
