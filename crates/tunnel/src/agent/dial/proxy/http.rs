//! CONNECT of HTTP/1.1 (RFC 9110 section 9.3.6), with Basic for a login (RFC 7617).

use adit_ssh::printable::Printable;
use base64ct::{Base64, Encoding as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use zeroize::Zeroizing;

use super::{CREDENTIAL, Credentials, ProxyFailure};

/// Longest head of an answer, in bytes: what proxies themselves take for a request.
const HEAD: usize = 8_192;
/// Answers that may come before the last (1xx).
const INTERIM: usize = 8;
/// Room for a request: two times a host and a port, and credentials in Base64.
const REQUEST: usize = 1_024 + (CREDENTIAL * 2 + 1) * 4 / 3;

/// Asks for a connection to `host`. Takes no byte behind the answer.
pub(super) async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut S,
    host: &str,
    port: u16,
    credentials: Option<&Credentials>,
) -> Result<(), ProxyFailure> {
    let request = request(host, port, credentials);
    let written = socket.write_all(request.as_bytes()).await;
    written.map_err(ProxyFailure::Ended)?;
    drop(request);
    socket.flush().await.map_err(ProxyFailure::Ended)?;
    for _ in 0..INTERIM {
        let head = read_head(socket).await?;
        let answer = Answer::parse(&head).ok_or(ProxyFailure::Protocol("HTTP"))?;
        match answer.status {
            200..=299 => return Ok(()),
            100 | 102..=199 => {}
            // 401 is a server's, but tinyproxy says it to a wrong password, and nobody else can here.
            401 | 407 => return Err(login_wanted(&answer, credentials)),
            _ => return Err(ProxyFailure::Refused(Printable::new(answer.words))),
        }
    }
    Err(ProxyFailure::Protocol("HTTP"))
}

/// The request. Host and port are letters, digits and a few signs, so no line can be forged.
fn request(host: &str, port: u16, credentials: Option<&Credentials>) -> Zeroizing<String> {
    // Never larger, so that no part of a secret is left where it grew out of.
    let mut text = Zeroizing::new(String::with_capacity(REQUEST));
    let target = if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    };
    text.push_str("CONNECT ");
    text.push_str(&target);
    text.push_str(" HTTP/1.1\r\nHost: ");
    text.push_str(&target);
    text.push_str("\r\n");
    if let Some(Credentials { user, password }) = credentials {
        let mut plain = Zeroizing::new(Vec::with_capacity(CREDENTIAL * 2 + 1));
        plain.extend_from_slice(user.expose());
        plain.push(b':');
        plain.extend_from_slice(password.expose());
        let encoded = Zeroizing::new(Base64::encode_string(&plain));
        text.push_str("Proxy-Authorization: Basic ");
        text.push_str(&encoded);
        text.push_str("\r\n");
    }
    text.push_str("\r\n");
    text
}

/// Reads up to the empty line that ends a head. A byte at a time: what follows belongs to the peer,
/// and a head has a hundred bytes or two.
async fn read_head<S: AsyncRead + Unpin>(socket: &mut S) -> Result<Vec<u8>, ProxyFailure> {
    const BEGINNING: &[u8] = b"HTTP/1.";
    let mut head = Vec::new();
    while head.len() < HEAD {
        head.push(socket.read_u8().await.map_err(ProxyFailure::Ended)?);
        if !head
            .iter()
            .zip(BEGINNING)
            .all(|(got, wanted)| got == wanted)
        {
            // An SSH server, for example, would go on waiting for us.
            break;
        }
        if head.ends_with(b"\n\r\n") || head.ends_with(b"\n\n") {
            return Ok(head);
        }
    }
    Err(ProxyFailure::Protocol("HTTP"))
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
struct Answer<'a> {
    status: u16,
    /// The status with what is said about it.
    words: &'a [u8],
    /// The lines after the first.
    fields: &'a [u8],
}

impl<'a> Answer<'a> {
    fn parse(head: &'a [u8]) -> Option<Self> {
        let end = head.iter().position(|byte| *byte == b'\n')?;
        let (line, fields) = head.split_at_checked(end)?;
        let (version, words) = line.split_at_checked(b"HTTP/1.1 ".len())?;
        let is_version = version.starts_with(b"HTTP/1.") && version.ends_with(b" ");
        let (digits, after) = words.split_at_checked(3)?;
        let is_number = digits.iter().all(u8::is_ascii_digit);
        let is_whole = after.first().is_none_or(u8::is_ascii_whitespace);
        if !(is_version && is_number && is_whole) {
            return None;
        }
        Some(Self {
            status: str::from_utf8(digits).ok()?.parse().ok()?,
            words: words.trim_ascii(),
            fields,
        })
    }

    /// The values of a field, each.
    fn values(&self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let lines = self.fields.split(|byte| *byte == b'\n');
        lines.filter_map(move |line| {
            let (found, value) = line.split_at_checked(name.len())?;
            let value = value.strip_prefix(b":")?;
            found
                .eq_ignore_ascii_case(name.as_bytes())
                .then(|| value.trim_ascii())
        })
    }
}

/// What a refused login means.
fn login_wanted(answer: &Answer<'_>, credentials: Option<&Credentials>) -> ProxyFailure {
    let mut others = answer.values("Proxy-Authenticate").peekable();
    let is_basic = |value: &[u8]| {
        let scheme = value.get(.."Basic".len()).unwrap_or_default();
        scheme.eq_ignore_ascii_case(b"Basic")
    };
    if others.peek().is_some() && !answer.values("Proxy-Authenticate").any(is_basic) {
        let schemes = others.map(|value| {
            let end = value.iter().position(u8::is_ascii_whitespace);
            value.get(..end.unwrap_or(value.len())).unwrap_or_default()
        });
        let schemes: Vec<&[u8]> = schemes.collect();
        return ProxyFailure::Login(Printable::new(&schemes.join(&b", "[..])));
    }
    match credentials {
        Some(_) => ProxyFailure::CredentialsRefused,
        None => ProxyFailure::CredentialsWanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_line_is_read_and_what_is_none_is_not() {
        for (head, status) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.0 200\r\n\r\n", Some(200)),
            ("HTTP/1.1 503 Service Unavailable\n\n", Some(503)),
            ("HTTP/1.1 2000 OK\r\n\r\n", None),
            ("HTTP/1.1 +20 OK\r\n\r\n", None),
            ("HTTP/1.1 20\r\n\r\n", None),
            ("HTTP/1.1\r\n\r\n", None),
            ("HTTP/1.11200 OK\r\n\r\n", None),
            ("\r\n\r\n", None),
        ] {
            let answer = Answer::parse(head.as_bytes());
            assert_eq!(answer.map(|answer| answer.status), status, "{head:?}");
        }
    }

    #[test]
    fn a_request_holds_the_credentials_in_base64_and_has_room_for_the_longest() {
        let plain = request("a.example", 22, None);
        assert_eq!(
            plain.as_str(),
            "CONNECT a.example:22 HTTP/1.1\r\nHost: a.example:22\r\n\r\n"
        );
        let credentials = Credentials::parse("Aladdin:open%20sesame").unwrap();
        let text = request("::1", 65_535, Some(&credentials));
        assert_eq!(
            text.as_str(),
            "CONNECT [::1]:65535 HTTP/1.1\r\nHost: [::1]:65535\r\n\
             Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n\r\n"
        );
        let longest = format!("{}:{}", "u".repeat(CREDENTIAL), "p".repeat(CREDENTIAL));
        let longest = Credentials::parse(&longest).unwrap();
        let text = request(&"h".repeat(255), 65_535, Some(&longest));
        assert!(text.len() <= REQUEST && text.capacity() == REQUEST);
    }
}
