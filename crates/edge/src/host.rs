//! The one host of a request. Pure.
//!
//! It is worked out once and used by routing, access, certificates, logs and the upstream alike (security rule G65):
//! where two of them read a request differently, one of them is led past the other.

use std::net::Ipv6Addr;

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri, Version};

/// Why a request has no host that could be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// None, although HTTP/1.1 and later need one (RFC 9112 section 3.2).
    #[error("the request names no host")]
    Missing,
    /// More than one.
    #[error("the request names its host twice")]
    Twice,
    /// Something that is no host: a user before it, no port behind the colon, characters that names do not have.
    #[error("the request's host is malformed")]
    Malformed,
}

/// The host in lower case, without port and without the dot at its end; addresses of IPv6 keep their brackets.
///
/// The target's own authority counts before the `Host` field (RFC 9112 section 3.2.2), which must be well-formed all
/// the same; in HTTP/2 the two must be equal (RFC 9113 section 8.3.1). A request of HTTP/1.0 may have none, which is
/// the empty text.
///
/// # Errors
/// See [`HostError`]; each is answered with 400.
pub fn host(version: Version, target: &Uri, fields: &HeaderMap) -> Result<String, HostError> {
    let mut named = fields.get_all(HOST).iter();
    let field = named.next();
    if named.next().is_some() {
        return Err(HostError::Twice);
    }
    let field = match field {
        Some(value) => Some(canonical(
            value.to_str().map_err(|_| HostError::Malformed)?,
        )?),
        None => None,
    };
    let own = target.authority().map(Authority::as_str);
    match (own.map(canonical).transpose()?, field) {
        (Some(own), Some(field)) if version >= Version::HTTP_2 && own != field => {
            Err(HostError::Twice)
        }
        (Some(_), None) if version == Version::HTTP_11 => Err(HostError::Missing),
        (Some(own), _) => Ok(own),
        (None, Some(field)) => Ok(field),
        (None, None) if version < Version::HTTP_11 => Ok(String::new()),
        (None, None) => Err(HostError::Missing),
    }
}

/// A name without a port in its canonical form, if it is one and no address.
pub(crate) fn name(text: &str) -> Option<String> {
    let is_bare = !text.contains([':', '[']);
    canonical(text)
        .ok()
        .filter(|name| is_bare && name.parse::<std::net::Ipv4Addr>().is_err())
}

/// Longest name in the DNS, with the dot at its end.
const LONGEST: usize = 254;

fn canonical(text: &str) -> Result<String, HostError> {
    let (name, port) = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']').ok_or(HostError::Malformed)?;
        address
            .parse::<Ipv6Addr>()
            .map_err(|_| HostError::Malformed)?;
        let length = address.len().saturating_add(2);
        (text.get(..length).unwrap_or_default(), port)
    } else {
        let colon = text.find(':').unwrap_or(text.len());
        text.split_at_checked(colon).ok_or(HostError::Malformed)?
    };
    match port.strip_prefix(':') {
        None if port.is_empty() => {}
        // A colon alone is the default port (RFC 3986 section 3.2.3).
        Some("") => {}
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            port.parse::<u16>().map_err(|_| HostError::Malformed)?;
        }
        _ => return Err(HostError::Malformed),
    }
    if name.starts_with('[') {
        return Ok(name.to_ascii_lowercase());
    }
    if name.is_empty() || name.len() > LONGEST {
        return Err(HostError::Malformed);
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = name.split('.').all(|label| {
        !label.is_empty()
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    });
    if is_name {
        Ok(name.to_ascii_lowercase())
    } else {
        Err(HostError::Malformed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(version: Version, target: &str, hosts: &[&str]) -> Result<String, HostError> {
        let mut fields = HeaderMap::new();
        for host in hosts {
            fields.append(
                HOST,
                http::HeaderValue::from_bytes(host.as_bytes()).unwrap(),
            );
        }
        host(version, &target.parse().unwrap(), &fields)
    }

    #[test]
    fn forty_spellings_of_a_host() {
        use HostError::{Malformed, Missing, Twice};
        let good = [
            "app.example.net",
            "APP.Example.NET",
            "app.example.net.",
            "app.example.net:80",
            "app.example.net:443",
            "app.example.net.:8443",
            "app.example.net:",
            "app.example.net:00080",
        ];
        for text in good {
            let found = of(Version::HTTP_11, "/", &[text]);
            assert_eq!(found.as_deref(), Ok("app.example.net"), "{text}");
        }
        for (text, wanted) in [
            ("a_b.example", "a_b.example"),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(of(Version::HTTP_11, "/", &[text]).as_deref(), Ok(wanted));
        }
        for text in [
            "",
            ".",
            "..",
            "a..b",
            ".a",
            "a..",
            "a b",
            "user@app.example.net",
            "user:pw@app.example.net",
            "app.example.net:http",
            "app.example.net:65536",
            "app.example.net:-1",
            "app.example.net:80:80",
            "app.example.net/",
            "app.example.net#x",
            "app.example.net?x",
            "app.example.net\\x",
            "app%2eexample.net",
            "b\u{fc}cher.example",
            "[::1",
            "::1",
            "[::1]x",
            "[app]",
            "[::1%25eth0]",
            "a,b",
            "a;b",
            "*",
            &"a".repeat(300),
        ] {
            assert_eq!(of(Version::HTTP_11, "/", &[text]), Err(Malformed), "{text}");
        }
        assert_eq!(of(Version::HTTP_11, "/", &[]), Err(Missing));
        assert_eq!(of(Version::HTTP_2, "/", &[]), Err(Missing));
        assert_eq!(of(Version::HTTP_10, "/", &[]).as_deref(), Ok(""));
        assert_eq!(of(Version::HTTP_11, "/", &["a", "a"]), Err(Twice));
        assert_eq!(of(Version::HTTP_11, "/", &["a", "b"]), Err(Twice));
        // The target's own counts, and the field has to be one all the same.
        let absolute = "http://APP.example.net:80/x";
        assert_eq!(
            of(Version::HTTP_11, absolute, &["other"]).as_deref(),
            Ok("app.example.net")
        );
        assert_eq!(of(Version::HTTP_11, absolute, &["o@ther"]), Err(Malformed));
        assert_eq!(of(Version::HTTP_11, absolute, &[]), Err(Missing));
        assert_eq!(of(Version::HTTP_2, absolute, &["other"]), Err(Twice));
        assert_eq!(
            of(Version::HTTP_2, absolute, &["app.example.net"]).as_deref(),
            Ok("app.example.net")
        );
    }
}
