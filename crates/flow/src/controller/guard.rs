//! Who may ask: one decision before anything else, for every method, content type and the WebSocket
//! (security rules G85 and G86).
//!
//! A page of another site can make a browser on this machine ask anything of a loopback port, and with
//! forms it need not ask first. It cannot choose three things: the `Host` that the browser sends, the
//! `Origin`, and `Sec-Fetch-Site`. So:
//!
//! 1. `Host` is a name or address of the loopback with our port, a configured name, or the address
//!    that was connected to, if the request came in at one that is no loopback. Thus a name of somebody
//!    else's that leads here (DNS rebinding, a gateway that maps our port by mistake) is refused.
//! 2. An `Origin` is that of `Host`, or a configured one.
//! 3. A request that says that it comes from another site has a configured origin, or is refused.
//! 4. Where a token is wanted, it is shown, compared in constant time.
//!
//! Pages of configured origins may read answers; nothing ever lets them send credentials that the
//! browser keeps.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::constant_time;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use zeroize::Zeroizing;

/// What a request has to show in `Authorization: Bearer`.
pub struct Token(Zeroizing<Vec<u8>>);

impl Token {
    /// A token. One that is empty, or white space, is none: nobody could tell it from a missing one.
    pub fn new(text: &str) -> Option<Self> {
        let text = text.trim();
        (!text.is_empty()).then(|| Self(Zeroizing::new(text.as_bytes().to_vec())))
    }

    fn is(&self, shown: &[u8]) -> bool {
        constant_time::verify_slices_are_equal(shown, &self.0).is_ok()
    }
}

impl Clone for Token {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What one server lets in.
#[derive(Clone, Debug)]
pub(super) struct Guard {
    hosts: Vec<Authority>,
    origins: Origins,
    token: Option<Token>,
}

#[derive(Clone, Debug)]
enum Origins {
    Any,
    Listed(Vec<String>),
}

/// A host and a port, as they stand in `Host` and behind the scheme of an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Authority {
    /// In lower case, an address without brackets.
    host: String,
    port: Option<u16>,
}

/// Why a request is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// `Host` is missing, there twice, or somebody else's.
    Host,
    /// It comes from another site's page.
    Origin,
    /// It shows no token, or a wrong one.
    Token,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// Something that does or tells anything.
    Api,
    /// A page that is the same for all and does nothing by being shown, so that another site may have a
    /// link to it, and that asks for the token itself.
    Page,
}

/// A request that is let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Admitted {
    /// The origin that may read the answer, if it is not our own.
    reader: Option<HeaderValue>,
    /// Whether it only asks what it may ask.
    pub(super) is_preflight: bool,
}

impl Guard {
    /// A guard for a server with these names and origins beside those of the loopback.
    pub(super) fn new(hosts: &[String], origins: &[String], token: Option<Token>) -> Self {
        let origins = if origins.iter().any(|origin| origin == "*") {
            Origins::Any
        } else {
            Origins::Listed(origins.iter().map(|it| it.to_ascii_lowercase()).collect())
        };
        Self {
            hosts: hosts.iter().filter_map(|it| Authority::parse(it)).collect(),
            origins,
            token,
        }
    }

    /// Whether a request that came in at `local` is let in.
    pub(super) fn admit(
        &self,
        request: &Parts,
        local: SocketAddr,
        asked: Asked,
    ) -> Result<Admitted, Refusal> {
        let host = host(request).ok_or(Refusal::Host)?;
        let is_configured = self.is_configured(&host);
        if !is_configured && !is_here(&host, local) {
            return Err(Refusal::Host);
        }
        let origin = only(&request.headers, &header::ORIGIN).map_err(|_| Refusal::Origin)?;
        let reader = match origin {
            None => None,
            Some(origin) if is_same(origin, &host, is_configured) => None,
            Some(origin) if self.may_read(origin) => Some(self.reader(origin)),
            Some(_) => return Err(Refusal::Origin),
        };
        if reader.is_none() && is_foreign(&request.headers, asked) {
            return Err(Refusal::Origin);
        }
        let wants_method = request
            .headers
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
        let is_preflight = request.method == Method::OPTIONS && wants_method && reader.is_some();
        // A browser sends no token with a preflight, which tells nothing.
        if asked == Asked::Api && !is_preflight && !self.has_token(&request.headers) {
            return Err(Refusal::Token);
        }
        Ok(Admitted {
            reader,
            is_preflight,
        })
    }

    fn is_configured(&self, host: &Authority) -> bool {
        let mut hosts = self.hosts.iter();
        // A name without a port is ours at whatever port a proxy before us has.
        hosts.any(|ours| ours.host == host.host && (ours.port.is_none() || ours.port == host.port))
    }

    fn may_read(&self, origin: &HeaderValue) -> bool {
        match &self.origins {
            Origins::Any => true,
            Origins::Listed(origins) => {
                let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
                origins.contains(&origin)
            }
        }
    }

    fn reader(&self, origin: &HeaderValue) -> HeaderValue {
        match self.origins {
            Origins::Any => HeaderValue::from_static("*"),
            Origins::Listed(_) => origin.clone(),
        }
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.token else {
            return true;
        };
        let Ok(Some(shown)) = only(headers, &header::AUTHORIZATION) else {
            return false;
        };
        let shown = shown.as_bytes();
        shown
            .split_at_checked(BEARER.len())
            .is_some_and(|(scheme, shown)| {
                scheme.eq_ignore_ascii_case(BEARER) && token.is(shown.trim_ascii())
            })
    }
}

const BEARER: &[u8] = b"bearer ";

impl Admitted {
    /// Adds who may read an answer.
    pub(super) fn mark(&self, headers: &mut HeaderMap) {
        if let Some(reader) = &self.reader {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, reader.clone());
        }
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }

    /// Adds what may be asked.
    pub(super) fn permit(headers: &mut HeaderMap) {
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, HEAD, POST"),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, Content-Type",
            ),
            (header::ACCESS_CONTROL_MAX_AGE, "600"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

impl Refusal {
    pub(super) fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Origin => StatusCode::FORBIDDEN,
            Self::Token => StatusCode::UNAUTHORIZED,
        }
    }

    pub(super) fn detail(self) -> &'static str {
        match self {
            Self::Host => "This host is not served here.",
            Self::Origin => "Requests of other sites are not served here.",
            Self::Token => "A token is required.",
        }
    }
}

impl Authority {
    /// `name`, `name:port`, `[::1]:port`; as a URL has it, without a user.
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                host.parse::<std::net::Ipv6Addr>().ok()?;
                (
                    host,
                    port.strip_prefix(':')
                        .or_else(|| port.is_empty().then_some("")),
                )
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, Some("")),
            },
        };
        let port = match port? {
            "" => None,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(digits.parse().ok()?)
            }
            _ => return None,
        };
        let is_bare = !host.is_empty() && !host.contains(['@', '/', '\\', '?', '#', ' ', ',']);
        is_bare.then(|| Self {
            host: host.trim_end_matches('.').to_ascii_lowercase(),
            port,
        })
    }

    fn address(&self) -> Option<IpAddr> {
        let address: IpAddr = self.host.parse().ok()?;
        Some(address.to_canonical())
    }
}

/// A header that is there once or not at all.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Result<Option<&'h HeaderValue>, Twice> {
    let mut values = headers.get_all(name).iter();
    let value = values.next();
    match values.next() {
        None => Ok(value),
        Some(_) => Err(Twice),
    }
}

/// A header is there twice.
struct Twice;

/// Whom a request is for. A target in absolute form counts before `Host` (RFC 9112, 3.2.2), and both
/// must say the same, so that nothing between us takes one for the other.
fn host(request: &Parts) -> Option<Authority> {
    let written = only(&request.headers, &header::HOST).ok()??;
    let host = Authority::parse(written.to_str().ok()?)?;
    match request.uri.authority() {
        Some(target) => (Authority::parse(target.as_str())? == host).then_some(host),
        None => Some(host),
    }
}

/// Whether a host is the loopback's with our port, or the address that was connected to.
fn is_here(host: &Authority, local: SocketAddr) -> bool {
    if host.port.unwrap_or(HTTP_PORT) != local.port() {
        return false;
    }
    match host.address() {
        Some(address) => address.is_loopback() || address == local.ip().to_canonical(),
        None => host.host == "localhost",
    }
}

/// Whether an origin is that of the host that was asked. Only before a configured name may stand
/// something that speaks TLS.
fn is_same(origin: &HeaderValue, host: &Authority, is_configured: bool) -> bool {
    let Ok(origin) = origin.to_str() else {
        return false;
    };
    let (rest, port) = match (
        origin.strip_prefix("http://"),
        origin.strip_prefix("https://"),
    ) {
        (Some(rest), _) => (rest, HTTP_PORT),
        (None, Some(rest)) if is_configured => (rest, HTTPS_PORT),
        _ => return false,
    };
    Authority::parse(rest).is_some_and(|origin| {
        origin.host == host.host && origin.port.unwrap_or(port) == host.port.unwrap_or(port)
    })
}

/// Whether a browser says that another site's page asks. A link that leads to a page is nobody's
/// harm.
fn is_foreign(headers: &HeaderMap, asked: Asked) -> bool {
    let Ok(site) = only(headers, &SEC_FETCH_SITE) else {
        return true;
    };
    let is = |name: &HeaderName, value: &str| headers.get(name).is_some_and(|it| it == value);
    let is_link = is(&SEC_FETCH_MODE, "navigate") && is(&SEC_FETCH_DEST, "document");
    match site.map(HeaderValue::as_bytes) {
        // Without: no browser, or an old one, which sends an origin with whatever is not a plain GET.
        None | Some(b"same-origin" | b"none") => false,
        Some(_) => !(asked == Asked::Page && is_link),
    }
}

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const SEC_FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What stands for no port behind `http://` and `https://`.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

#[cfg(test)]
mod tests;
