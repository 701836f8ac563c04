//! Where a request goes.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use base64ct::{Base64, Encoding as _};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::request::RequestError;
use crate::expr::{NoTextError, Value};

/// A URL of HTTP. It is shown as far as everybody may read it: without user, password and query.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    /// Without user, password and fragment.
    url: reqwest::Url,
    /// User and password of the URL as Basic credentials.
    login: Option<String>,
}

/// Why a text is no URL that can be asked. What was written is not quoted, since it can hold secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlError {
    /// `example.org/x`.
    #[error("a URL begins with http:// or https://")]
    NoScheme,
    /// `ftp://example.org`.
    #[error("only http and https can be asked, not {scheme}")]
    Scheme {
        /// What it has instead.
        scheme: String,
    },
    /// `http:///callback`, as a variable leaves it that is null.
    #[error("the URL names no host")]
    NoHost,
    /// A line break or the like.
    #[error("there is a control character in the URL")]
    Control,
    /// `../admin` after a base.
    #[error("a path with `..` would leave its base URL")]
    Leaves,
    /// Something else.
    #[error("no URL: {reason}")]
    Syntax {
        /// What the reader says of it.
        reason: String,
    },
}

impl Url {
    /// A whole URL. What URLs cannot hold as it is, such as letters of other scripts, is encoded; a
    /// fragment is dropped.
    ///
    /// # Errors
    ///
    /// It is none of HTTP, or names no host.
    pub fn endpoint(text: &str) -> Result<Self, UrlError> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err(UrlError::Control);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(UrlError::NoScheme);
        };
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        if scheme.is_empty() || !scheme.bytes().all(is_word) {
            return Err(UrlError::NoScheme);
        }
        let scheme = scheme.to_ascii_lowercase();
        if scheme != "http" && scheme != "https" {
            return Err(UrlError::Scheme { scheme });
        }
        // Readers of URLs take `http:///callback` for the host `callback`.
        if rest.is_empty() || rest.starts_with(['/', '\\', '?', '#', ':']) {
            return Err(UrlError::NoHost);
        }
        let url = reqwest::Url::parse(text).map_err(|error| UrlError::Syntax {
            reason: error.to_string(),
        })?;
        Ok(Self::clean(url))
    }

    /// A path below a base URL: joined by one slash whatever slashes there are, an empty path being
    /// the base itself. Everything that a path cannot hold is encoded, a `#` too; a `%` that already
    /// begins an encoded byte stays. What follows a `?` is the query, after that of the base.
    ///
    /// # Errors
    ///
    /// The base is no URL of HTTP, or the path would lead out of it.
    pub fn under(base: &str, path: &str) -> Result<Self, UrlError> {
        let mut whole = Self::endpoint(base)?;
        if path.chars().any(char::is_control) {
            return Err(UrlError::Control);
        }
        let (path, query) = match path.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (path, None),
        };
        let is_up = |segment: &str| segment.to_ascii_lowercase().replace("%2e", ".") == "..";
        if path.split('/').any(is_up) {
            return Err(UrlError::Leaves);
        }
        if !path.is_empty() {
            let above = whole.url.path().trim_end_matches('/').to_owned();
            let below = encoded(path.trim_start_matches('/'), &PATH);
            whole.url.set_path(&format!("{above}/{below}"));
        }
        if let Some(query) = query.filter(|query| !query.is_empty()) {
            let query = encoded(query, &QUERY);
            let query = match whole.url.query() {
                Some(first) if !first.is_empty() => format!("{first}&{query}"),
                Some(_) | None => query,
            };
            whole.url.set_query(Some(&query));
        }
        Ok(whole)
    }

    /// With parameters after those that it has: `a=1&b=x+y`. A list is a parameter for each of its
    /// values; null is none.
    ///
    /// # Errors
    ///
    /// [`RequestError::Param`]: a value has no text form.
    pub fn with_params(mut self, params: &[(String, Value)]) -> Result<Self, RequestError> {
        for (name, value) in params {
            for text in texts(value) {
                let text = text.map_err(|source| RequestError::Param {
                    name: name.clone(),
                    source,
                })?;
                self.url.query_pairs_mut().append_pair(name, &text);
            }
        }
        Ok(self)
    }

    /// Where a redirect from here leads. A login in it counts for nothing: nobody here wrote it.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, UrlError> {
        let url = self.url.join(location).map_err(|error| UrlError::Syntax {
            reason: error.to_string(),
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            let scheme = url.scheme().to_owned();
            return Err(UrlError::Scheme { scheme });
        }
        Ok(Self {
            login: None,
            ..Self::clean(url)
        })
    }

    fn clean(mut url: reqwest::Url) -> Self {
        let login = if url.username().is_empty() && url.password().is_none() {
            None
        } else {
            let decoded = |text: &str| percent_decode_str(text).collect::<Vec<u8>>();
            let mut pair = decoded(url.username());
            pair.push(b':');
            pair.extend(decoded(url.password().unwrap_or_default()));
            Some(format!("Basic {}", Base64::encode_string(&pair)))
        };
        // Neither fails for a URL of HTTP, which has a host.
        url.set_username("").ok();
        url.set_password(None).ok();
        url.set_fragment(None);
        Self { url, login }
    }

    /// What is asked.
    pub(crate) fn as_sent(&self) -> &reqwest::Url {
        &self.url
    }

    /// The `Authorization` that user and password in the URL stand for.
    pub(super) fn login(&self) -> Option<&str> {
        self.login.as_deref()
    }

    /// The name or address; an IPv6 address is in brackets.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Whether it is asked over TLS.
    pub fn is_https(&self) -> bool {
        self.url.scheme() == "https"
    }

    /// Whether scheme, host and port are the same.
    pub(super) fn is_origin_of(&self, other: &Self) -> bool {
        self.url.origin() == other.url.origin()
    }

    /// Whether the host is this machine: `localhost`, a name below it, or an address of the loopback.
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = address.parse::<IpAddr>() {
            return address.to_canonical().is_loopback() || address.is_unspecified();
        }
        let name = host.strip_suffix('.').unwrap_or(host);
        name == "localhost" || name.ends_with(".localhost")
    }
}

/// Whether a host that is connected to is this machine, however it is written: `127.1`, `0x7f.0.0.1` and `0` are
/// addresses to the system (inet_aton(3)), and what connects to the unspecified address comes to the loopback.
///
/// Names are not looked up, so one of the hosts file or of DNS that leads here is not seen; nor is an address of
/// this machine that is not the loopback's.
pub fn is_here(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    // Of `::1%lo`, the zone changes nothing.
    let bare = bare.split_once('%').map_or(bare, |(bare, _zone)| bare);
    let name = bare.strip_suffix('.').unwrap_or(bare);
    if LOCAL_NAMES
        .iter()
        .any(|local| name.eq_ignore_ascii_case(local))
    {
        return true;
    }
    if bare.contains(['/', '\\', '?', '#', '@']) {
        return false;
    }
    let url = if bare.contains(':') {
        format!("http://[{bare}]")
    } else {
        format!("http://{bare}")
    };
    Url::endpoint(&url).is_ok_and(|url| url.is_loopback())
}

/// What the hosts files of Linux systems call the loopback, beside `localhost`.
const LOCAL_NAMES: [&str; 5] = [
    "localhost.localdomain",
    "localhost4",
    "localhost6",
    "ip6-localhost",
    "ip6-loopback",
];

/// The texts that a parameter or a header has: of a list one for each value, of null none.
pub(super) fn texts(value: &Value) -> impl Iterator<Item = Result<Cow<'_, str>, NoTextError>> {
    values(value).map(Value::text_form)
}

/// The values of a list, or the one that is no list; without null.
pub(super) fn values(value: &Value) -> impl Iterator<Item = &Value> {
    let values = value
        .as_list()
        .unwrap_or_else(|| std::slice::from_ref(value));
    values.iter().filter(|value| !value.is_null())
}

/// Encodes what is in the set, and each `%` that begins no encoded byte.
fn encoded(text: &str, set: &'static AsciiSet) -> String {
    let mut whole = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        whole.extend(utf8_percent_encode(before, set));
        let mut digits = after.bytes();
        let is_digit = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        let is_encoded = is_digit(digits.next()) && is_digit(digits.next());
        whole.push_str(if is_encoded { "%" } else { "%25" });
        rest = after;
    }
    whole.extend(utf8_percent_encode(rest, set));
    whole
}

/// `http://host:port/path`.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.url.scheme(), self.host())?;
        if let Some(port) = self.url.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.url.path())
    }
}

/// As it is displayed.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Url({self})")
    }
}

/// What a path segment cannot hold as it is (RFC 3986, 3.3), but `/` and `%`.
const PATH: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

/// What a query cannot hold as it is (RFC 3986, 3.4), but `%`; brackets are left, since servers read
/// them: `filter[name]=x`.
const QUERY: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');

#[cfg(test)]
mod tests;
