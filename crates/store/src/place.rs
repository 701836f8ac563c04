//! Where the store is.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use zeroize::Zeroizing;

/// Where a store is kept.
#[derive(Debug, Clone)]
pub enum Place {
    /// SQLite: a file in the data folder, which is made if it is not there. The folder is nobody else's (see
    /// [`make_folder`](crate::make_folder)); what SQLite puts beside the file is as private as the file.
    File(PathBuf),
    /// PostgreSQL, MySQL or MariaDB.
    Url(DatabaseUrl),
}

/// The URL of a database server. It may hold a password, so neither `Debug` nor `Display` shows more of it than
/// the kind, the host and the database (security rule G121).
#[derive(Clone)]
pub struct DatabaseUrl {
    text: Zeroizing<String>,
    pub(crate) server: Server,
}

/// How a server is reached.
#[derive(Clone)]
pub(crate) enum Server {
    Postgres(Box<PgConnectOptions>),
    MySql(Box<MySqlConnectOptions>),
}

/// Why a text is no URL of a database. None of them repeats the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// Another beginning.
    #[error(
        "a database URL begins with postgres:// or mysql://; SQLite needs none, it is a file of the data folder"
    )]
    Kind,
    /// It cannot be read.
    #[error(
        "not a database URL: postgres://USER:PASSWORD@HOST/DATABASE or mysql://..., with reserved characters as %XX"
    )]
    Malformed,
    /// No database is named.
    #[error("the database URL names no database: add /DATABASE behind the host")]
    NoDatabase,
    /// A parameter that is not known here; it would be ignored.
    #[error(
        "the database URL has a parameter that is not known: it may have sslmode, sslrootcert, sslcert, sslkey and host (PostgreSQL), or ssl-mode, ssl-ca, ssl-cert, ssl-key and socket (MySQL)"
    )]
    Parameter,
}

/// What a URL of each kind may say behind its `?`.
const POSTGRES_PARAMETERS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "host"];
const MYSQL_PARAMETERS: [&str; 5] = ["ssl-mode", "ssl-ca", "ssl-cert", "ssl-key", "socket"];

impl FromStr for DatabaseUrl {
    type Err = UrlError;

    /// Reads a URL. Where it says nothing about TLS and the server is another machine, the server has to show
    /// a certificate for its name that the system's roots, or those the URL names, vouch for; drivers would
    /// fall back to plain text.
    fn from_str(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Kind)?;
        let query = rest.split_once('?').map_or("", |(_, query)| query);
        let names: Vec<String> = form_urlencoded::parse(query.as_bytes())
            .map(|(name, _)| name.into_owned())
            .collect();
        let knows = |known: &[&str]| {
            let is_known = names.iter().all(|name| known.contains(&name.as_str()));
            is_known.then_some(()).ok_or(UrlError::Parameter)
        };
        let says_tls = names.iter().any(|name| name.replace('-', "") == "sslmode");
        let server = match scheme {
            "postgres" | "postgresql" => {
                knows(&POSTGRES_PARAMETERS)?;
                let options: PgConnectOptions = text.parse().map_err(|_| UrlError::Malformed)?;
                options.get_database().ok_or(UrlError::NoDatabase)?;
                let is_here = options.get_socket().is_some() || is_loopback(options.get_host());
                Server::Postgres(Box::new(if says_tls || is_here {
                    options
                } else {
                    options.ssl_mode(PgSslMode::VerifyFull)
                }))
            }
            "mysql" | "mariadb" => {
                knows(&MYSQL_PARAMETERS)?;
                let options: MySqlConnectOptions = format!("mysql://{rest}")
                    .parse()
                    .map_err(|_| UrlError::Malformed)?;
                options.get_database().ok_or(UrlError::NoDatabase)?;
                let is_here = options.get_socket().is_some() || is_loopback(options.get_host());
                Server::MySql(Box::new(if says_tls || is_here {
                    options
                } else {
                    options.ssl_mode(MySqlSslMode::VerifyIdentity)
                }))
            }
            _ => return Err(UrlError::Kind),
        };
        Ok(Self {
            text: Zeroizing::new(String::from(text)),
            server,
        })
    }
}

fn is_loopback(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || host.starts_with('/')
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|addr| addr.is_loopback())
}

impl DatabaseUrl {
    /// The whole text, password included: only for a process that is given it by a pipe or a file.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port, database) = match &self.server {
            Server::Postgres(options) => (
                "postgres",
                options.get_host(),
                options.get_port(),
                options.get_database(),
            ),
            Server::MySql(options) => (
                "mysql",
                options.get_host(),
                options.get_port(),
                options.get_database(),
            ),
        };
        write!(
            f,
            "{scheme}://{host}:{port}/{}",
            database.unwrap_or_default()
        )
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => url.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_in_no_text_about_a_url() {
        for text in [
            "postgres://adit:hunter2@db.example.com/adit",
            "mysql://adit:hunter2@127.0.0.1:3307/adit?ssl-mode=DISABLED",
            "mariadb://adit:hunter2@[::1]/adit",
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            assert_eq!(url.expose(), text);
            let place = Place::Url(url);
            assert!(!format!("{place} {place:?} {place:#?}").contains("hunter2"));
        }
    }

    #[test]
    fn what_is_no_url_of_a_database_is_refused_without_being_repeated() {
        for (text, error) in [
            ("hunter2", UrlError::Kind),
            ("sqlite://hunter2", UrlError::Kind),
            ("https://hunter2/", UrlError::Kind),
            ("postgres://a:hunter2@h:70000/d", UrlError::Malformed),
            ("postgres://a:hunter2@h/", UrlError::NoDatabase),
            ("postgres://a@h/d?pasword=hunter2", UrlError::Parameter),
            ("mysql://a@h/d?password=hunter2", UrlError::Parameter),
        ] {
            let refused = text.parse::<DatabaseUrl>().unwrap_err();
            assert_eq!(refused, error, "{text}");
            assert!(!refused.to_string().contains("hunter2"));
        }
    }

    #[test]
    fn a_server_elsewhere_has_to_prove_its_name_unless_the_url_says_otherwise() {
        for (text, mode) in [
            ("postgres://a:b@db.example.com/d", PgSslMode::VerifyFull),
            ("postgres://a:b@192.0.2.1/d", PgSslMode::VerifyFull),
            (
                "postgres://a:b@db.example.com/d?sslmode=require",
                PgSslMode::Require,
            ),
            ("postgres://a:b@localhost/d", PgSslMode::Prefer),
            ("postgres://a:b@[::1]/d", PgSslMode::Prefer),
            ("postgres://a@%2Frun%2Fpostgresql/d", PgSslMode::Prefer),
        ] {
            let url: DatabaseUrl = text.parse().unwrap();
            let Server::Postgres(options) = url.server else {
                panic!("{text}")
            };
            assert_eq!(
                format!("{:?}", options.get_ssl_mode()),
                format!("{mode:?}"),
                "{text}"
            );
        }
        let url: DatabaseUrl = "mysql://a:b@db.example.com/d".parse().unwrap();
        let Server::MySql(options) = url.server else {
            panic!("another kind")
        };
        assert!(matches!(
            options.get_ssl_mode(),
            MySqlSslMode::VerifyIdentity
        ));
    }
}
