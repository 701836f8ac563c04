//! A web server, asked for a page.
//!
//! The question is a GET with `Connection: close`: every server answers it, while some refuse HEAD or answer
//! it otherwise than GET. The status line is the verdict; the rest of the answer is read, up to a limit, and
//! dropped. One line of an access log is left, by a user agent that says who it was.

use std::borrow::Cow;
use std::fmt;

use super::Reading;
use crate::transport::Target;

/// The page that a web server is asked for.
///
/// Without a path of its own it is `/`, and any answer but a server's error (5xx) is a good one: a service
/// behind a login says 401 and is well. A path that somebody named is there to be asked, so only 2xx and 3xx
/// are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    host: Option<String>,
    path: Option<String>,
}

/// Longest text of a page. Servers take request lines of 8 KiB (RFC 9112 section 3 asks for 8,000 bytes at
/// least).
const LENGTH: usize = 2_000;

impl Page {
    /// Whatever answers.
    pub const ANY: Self = Self {
        host: None,
        path: None,
    };

    /// Reads `/PATH` or `//HOST/PATH`. Nothing in it can end a line of a request.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > LENGTH || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let (host, path) = match text.strip_prefix("//") {
            Some(rest) => {
                let (host, _) = rest.split_once('/')?;
                (Some(host), rest.strip_prefix(host)?)
            }
            None => (None, text),
        };
        let is_good = path.starts_with('/') && host.is_none_or(|host| !host.is_empty());
        is_good.then(|| Self {
            host: host.map(str::to_owned),
            path: Some(path.to_owned()),
        })
    }

    /// The request for it.
    pub(super) fn request(&self, target: &Target) -> Vec<u8> {
        let path = self.path.as_deref().unwrap_or("/");
        let host = match (&self.host, target) {
            (Some(host), _) => Cow::Borrowed(host.as_str()),
            (None, Target::Tcp { host, port }) => host_header(host, *port),
            // As curl --unix-socket has it where the address names no host.
            (None, Target::Unix { .. }) => Cow::Borrowed("localhost"),
        };
        format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: adit\r\nAccept: */*\r\n\
             Connection: close\r\n\r\n"
        )
        .into_bytes()
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.is_some() || self.path.is_some() {
            f.write_str(":")?;
        }
        if let Some(host) = &self.host {
            write!(f, "//{host}")?;
        }
        f.write_str(self.path.as_deref().unwrap_or_default())
    }
}

/// The target as a `Host` header has it (RFC 9112 section 3.2). The scope of an IPv6 address concerns this
/// machine alone (RFC 6874 section 4).
fn host_header(host: &str, port: u16) -> Cow<'_, str> {
    let host = host.split_once('%').map_or(host, |(host, _)| host);
    if !host.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Cow::Borrowed("localhost");
    }
    match (host.contains(':'), port) {
        (false, 80) => Cow::Borrowed(host),
        (true, 80) => Cow::Owned(format!("[{host}]")),
        (false, _) => Cow::Owned(format!("{host}:{port}")),
        (true, _) => Cow::Owned(format!("[{host}]:{port}")),
    }
}

/// Reads a status line: `HTTP/1.1 200 OK` (RFC 9112 section 4).
pub(super) fn read(page: &Page, heard: &[u8]) -> Reading {
    const START: &[u8] = b"HTTP/1.";
    /// Up to the byte behind the status: `HTTP/1.1 200 `.
    const BEGIN: usize = 13;
    let known = heard.len().min(START.len());
    if heard.get(..known) != START.get(..known) {
        return Reading::Not;
    }
    let Some(line) = heard.first_chunk::<BEGIN>() else {
        return Reading::More;
    };
    let [.., minor, b' ', hundreds @ b'1'..=b'9', tens, ones, behind] = line else {
        return Reading::Not;
    };
    let is_status = [minor, tens, ones].iter().all(|byte| byte.is_ascii_digit());
    if !is_status || !matches!(behind, b' ' | b'\r' | b'\n') {
        return Reading::Not;
    }
    let status: String = [*hundreds, *tens, *ones].map(char::from).iter().collect();
    let is_good = match hundreds {
        b'2' | b'3' => true,
        b'5'..=b'9' => false,
        _ => page.path.is_none(),
    };
    let said = format!("HTTP {status}");
    if is_good {
        Reading::Well(said)
    } else {
        Reading::Ill(said)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> Target {
        let host = host.to_owned();
        Target::Tcp { host, port }
    }

    #[test]
    fn a_request_names_page_and_host() {
        let named = Page::parse("//www.example.net/health?full=1").unwrap();
        let unix = Target::Unix {
            path: String::from("/run/app"),
        };
        for (page, target, line, host) in [
            (Page::ANY, tcp("app", 8080), "GET / HTTP/1.1", "app:8080"),
            (Page::ANY, tcp("app", 80), "GET / HTTP/1.1", "app"),
            (Page::ANY, tcp("::1", 80), "GET / HTTP/1.1", "[::1]"),
            (
                Page::ANY,
                tcp("fe80::1%eth0", 81),
                "GET / HTTP/1.1",
                "[fe80::1]:81",
            ),
            (Page::ANY, tcp("a\r\nb", 81), "GET / HTTP/1.1", "localhost"),
            (Page::ANY, unix, "GET / HTTP/1.1", "localhost"),
            (
                named,
                tcp("app", 8080),
                "GET /health?full=1 HTTP/1.1",
                "www.example.net",
            ),
        ] {
            let request = String::from_utf8(page.request(&target)).unwrap();
            let lines: Vec<&str> = request.split("\r\n").collect();
            assert_eq!(lines.first(), Some(&line));
            assert!(
                lines.contains(&format!("Host: {host}").as_str()),
                "{request}"
            );
            assert!(lines.contains(&"Connection: close"), "{request}");
            assert!(request.ends_with("\r\n\r\n"), "{request}");
        }
    }

    #[test]
    fn a_status_line_is_a_verdict_as_soon_as_its_status_is_there() {
        let named = Page::parse("/health").unwrap();
        let well = |text: &str| Reading::Well(text.to_owned());
        let ill = |text: &str| Reading::Ill(text.to_owned());
        for (page, heard, expected) in [
            (&Page::ANY, "", Reading::More),
            (&Page::ANY, "HTTP/1.1 20", Reading::More),
            (&Page::ANY, "HTTP/1.1 200 ", well("HTTP 200")),
            (&Page::ANY, "HTTP/1.0 301\r\n", well("HTTP 301")),
            (
                &Page::ANY,
                "HTTP/1.1 401 Unauthorized\r\n",
                well("HTTP 401"),
            ),
            (&named, "HTTP/1.1 401 Unauthorized\r\n", ill("HTTP 401")),
            (&named, "HTTP/1.1 204 No Content\r\n", well("HTTP 204")),
            (
                &Page::ANY,
                "HTTP/1.1 503 Service Unavailable\r\n",
                ill("HTTP 503"),
            ),
            (&Page::ANY, "HTTP/1.1 2000 ", Reading::Not),
            (&Page::ANY, "HTTP/1.1 099 ", Reading::Not),
            (&Page::ANY, "HTTP/2 200 OK", Reading::Not),
            (&Page::ANY, "SSH-2.0-OpenSSH", Reading::Not),
            (&Page::ANY, "\x15\x03", Reading::Not),
        ] {
            assert_eq!(read(page, heard.as_bytes()), expected, "{heard}");
        }
    }
}
