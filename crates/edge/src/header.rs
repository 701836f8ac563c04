//! Fields of requests and answers on their way through. Pure.
//!
//! What is of one hop stays there (RFC 9110 section 7.6.1); who the visitor is, is said by the edge alone (security
//! rule G70); and no tenant's cookies are for its neighbours (G60).

use std::net::IpAddr;

use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, FORWARDED, HOST, HeaderName,
    HeaderValue, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Version};
use ipnet::IpNet;

use crate::access::contains;

/// What an upstream is told of a visitor.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// The host that the visitor asked for, in its canonical form.
    pub host: &'a str,
    /// Whether it came by TLS.
    pub is_secure: bool,
    /// Whose word on those before it is taken.
    pub trusted: &'a [IpNet],
    /// Who connected.
    pub peer: IpAddr,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_SCHEME: HeaderName = HeaderName::from_static("x-forwarded-scheme");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Most names in `Connection` fields that are looked at; a request with more is none (a stock client sends two).
const OPTIONS: usize = 16;

/// A `Connection` field that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the Connection field is malformed")]
pub struct ConnectionError;

/// The visitor's own address: that of the peer, or, where a trusted proxy stands in front, the last one in
/// `X-Forwarded-For` that is none of those.
pub fn visitor(fields: &HeaderMap, peer: IpAddr, trusted: &[IpNet]) -> IpAddr {
    if trusted.is_empty() || !contains(trusted, peer) {
        return peer;
    }
    let mut visitor = peer;
    for value in fields.get_all(X_FORWARDED_FOR).iter().rev() {
        let Ok(value) = value.to_str() else {
            return visitor;
        };
        for text in value.rsplit(',') {
            let Ok(address) = text.trim().parse::<IpAddr>() else {
                return visitor;
            };
            visitor = address.to_canonical();
            if !contains(trusted, visitor) {
                return visitor;
            }
        }
    }
    visitor
}

/// Makes a visitor's fields into those for the upstream.
///
/// # Errors
/// [`ConnectionError`]: nobody could say which fields are for this hop alone; 400.
pub fn to_upstream(fields: &mut HeaderMap, told: &Told<'_>) -> Result<(), ConnectionError> {
    let Told {
        host,
        is_secure,
        trusted,
        peer,
    } = *told;
    let is_trusted = !trusted.is_empty() && contains(trusted, peer);
    let chain = chain(fields, peer, is_trusted);
    let real = visitor(fields, peer, trusted);
    let scheme = scheme(fields, is_secure, is_trusted);
    drop_listed(fields)?;
    drop_all(fields, is_for_this_hop_or_about_the_visitor);
    if let Ok(value) = HeaderValue::from_str(host) {
        fields.insert(X_FORWARDED_HOST, value.clone());
        fields.insert(HOST, value);
    }
    if let Ok(value) = HeaderValue::from_str(&real.to_string()) {
        fields.insert(X_REAL_IP, value.clone());
        fields.insert(X_FORWARDED_FOR, chain.unwrap_or(value));
    }
    fields.insert(X_FORWARDED_PROTO, scheme.clone());
    fields.insert(X_FORWARDED_SCHEME, scheme);
    join_cookies(fields);
    Ok(())
}

/// The addresses that a trusted proxy has told, and its own.
fn chain(fields: &HeaderMap, peer: IpAddr, is_trusted: bool) -> Option<HeaderValue> {
    if !is_trusted {
        return None;
    }
    let told = fields.get_all(X_FORWARDED_FOR).iter();
    let mut chain: Vec<&str> = told.filter_map(|value| value.to_str().ok()).collect();
    let peer = peer.to_string();
    chain.push(&peer);
    HeaderValue::from_str(&chain.join(", ")).ok()
}

/// How the visitor came; as a trusted proxy says, where one stands in front.
fn scheme(fields: &HeaderMap, is_secure: bool, is_trusted: bool) -> HeaderValue {
    let told = is_trusted.then(|| fields.get(X_FORWARDED_PROTO)).flatten();
    match told.map(HeaderValue::as_bytes) {
        Some(b"https") => HeaderValue::from_static("https"),
        Some(b"http") => HeaderValue::from_static("http"),
        _ if is_secure => HeaderValue::from_static("https"),
        _ => HeaderValue::from_static("http"),
    }
}

/// A cookie of HTTP/2 may come in pieces, which HTTP/1.1 does not know (RFC 9113 section 8.2.3).
fn join_cookies(fields: &mut HeaderMap) {
    let mut pieces = fields.get_all(COOKIE).iter();
    if pieces.next().is_none() || pieces.next().is_none() {
        return;
    }
    let pieces: Vec<&[u8]> = fields
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(value) = HeaderValue::from_bytes(&pieces.join(&b"; "[..])) {
        fields.insert(COOKIE, value);
    }
}

/// Makes an upstream's fields into those for the visitor of that host.
pub fn to_visitor(fields: &mut HeaderMap, host: &str) {
    // One that cannot be read lists nothing.
    drop_listed(fields).ok();
    drop_all(fields, is_for_this_hop);
    if fields.contains_key(SET_COOKIE) {
        keep_cookies_at_home(fields, host);
    }
}

/// Whether a request is of gRPC, which HTTP/1.1 cannot carry.
pub(crate) fn is_grpc(fields: &HeaderMap) -> bool {
    let content = fields.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content.is_some_and(|content| {
        content
            .strip_prefix(b"application/grpc")
            .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
    })
}

/// Makes what an upstream says behind a body into what the visitor may be told there.
pub(crate) fn trailers_to_visitor(fields: &mut HeaderMap) {
    drop_all(fields, |name| {
        is_for_this_hop(name) || *name == SET_COOKIE || *name == CONTENT_LENGTH
    });
}

/// Whether `Connection` lists `Upgrade`: else the field is somebody else's, who came through a proxy that does not
/// know of it (RFC 9110 section 7.8).
pub(crate) fn lists_upgrade(fields: &HeaderMap) -> bool {
    let mut options = fields
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}

/// Whether a request asks for a WebSocket and nothing else, in a way that can be granted (RFC 6455 section 4.2.1).
pub(crate) fn is_websocket(version: Version, fields: &HeaderMap) -> bool {
    let mut asked = fields.get_all(UPGRADE).iter();
    let is_one = asked
        .next()
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"websocket"));
    version == Version::HTTP_11 && is_one && asked.next().is_none() && lists_upgrade(fields)
}

/// Drops what `Connection` lists, and it: first of all, so that no field of ours can be listed.
fn drop_listed(fields: &mut HeaderMap) -> Result<(), ConnectionError> {
    let mut listed: Vec<HeaderName> = Vec::new();
    for value in fields.get_all(CONNECTION) {
        let value = value.to_str().map_err(|_| ConnectionError)?;
        for option in value.split(',') {
            let option = option.trim_matches([' ', '\t']);
            if option.is_empty()
                || option.eq_ignore_ascii_case("keep-alive")
                || option.eq_ignore_ascii_case("close")
                || option.eq_ignore_ascii_case("upgrade")
            {
                continue;
            }
            let name = HeaderName::from_bytes(option.as_bytes()).map_err(|_| ConnectionError)?;
            if listed.len() >= OPTIONS {
                return Err(ConnectionError);
            }
            listed.push(name);
        }
    }
    for name in listed {
        fields.remove(name);
    }
    Ok(())
}

/// One look at each name, since each removal hashes.
fn drop_all(fields: &mut HeaderMap, is_dropped: fn(&HeaderName) -> bool) {
    loop {
        let mut found: [Option<HeaderName>; 8] = [const { None }; 8];
        let names = fields.keys().filter(|name| is_dropped(name));
        for (place, name) in found.iter_mut().zip(names) {
            *place = Some(name.clone());
        }
        let is_full = found.last().is_some_and(Option::is_some);
        for name in found.into_iter().flatten() {
            fields.remove(name);
        }
        if !is_full {
            return;
        }
    }
}

fn is_for_this_hop(name: &HeaderName) -> bool {
    matches!(
        *name,
        CONNECTION | TE | TRAILER | TRANSFER_ENCODING | UPGRADE
    ) || matches!(
        name.as_str(),
        "keep-alive"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "http2-settings"
    )
}

fn is_for_this_hop_or_about_the_visitor(name: &HeaderName) -> bool {
    if is_for_this_hop(name) || *name == EXPECT || *name == FORWARDED {
        return true;
    }
    // Some servers take '_' for '-'.
    let name = name.as_str();
    let is_like = |other: &str| {
        name.len() == other.len()
            && name
                .bytes()
                .zip(other.bytes())
                .all(|(byte, wanted)| byte == wanted || (byte == b'_' && wanted == b'-'))
    };
    match name.as_bytes().first() {
        Some(b'x') => {
            name.get(.."x-forwarded".len())
                .is_some_and(|head| head == "x-forwarded" || head == "x_forwarded")
                || is_like("x-real-ip")
                || is_like("x-client-ip")
                || is_like("x-cluster-client-ip")
                || is_like("x-original-forwarded-for")
        }
        Some(b'p') => is_like("proxy-authorization") || is_like("proxy-connection"),
        Some(b't') => is_like("true-client-ip") || is_like("transfer-encoding"),
        Some(b'c') => name != "content-length" && is_like("content-length"),
        _ => false,
    }
}

/// Takes from each cookie a `Domain` above the host itself: it would be every tenant's.
fn keep_cookies_at_home(fields: &mut HeaderMap, host: &str) {
    let cookies: Vec<HeaderValue> = fields.get_all(SET_COOKIE).iter().cloned().collect();
    if !cookies.iter().any(|cookie| at_home(cookie, host).is_some()) {
        return;
    }
    fields.remove(SET_COOKIE);
    for cookie in cookies {
        let changed = at_home(&cookie, host);
        fields.append(SET_COOKIE, changed.unwrap_or(cookie));
    }
}

/// The cookie without the domains that it must not have; nothing where it has none.
fn at_home(cookie: &HeaderValue, host: &str) -> Option<HeaderValue> {
    let is_above = |attribute: &&[u8]| {
        let mut halves = attribute.splitn(2, |byte| *byte == b'=');
        let name = halves.next().unwrap_or_default().trim_ascii();
        if !name.eq_ignore_ascii_case(b"domain") {
            return false;
        }
        let domain = halves.next().unwrap_or_default().trim_ascii();
        let domain = domain.strip_prefix(b".").unwrap_or(domain);
        !domain.is_empty() && !domain.eq_ignore_ascii_case(host.as_bytes())
    };
    let parts = || cookie.as_bytes().split(|byte| *byte == b';');
    if !parts().skip(1).any(|part| is_above(&part)) {
        return None;
    }
    let kept: Vec<&[u8]> = parts()
        .enumerate()
        .filter(|(number, part)| *number == 0 || !is_above(part))
        .map(|(_, part)| part)
        .collect();
    HeaderValue::from_bytes(&kept.join(&b';')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> HeaderMap {
        let mut fields = HeaderMap::new();
        for (name, value) in list {
            fields.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        fields
    }

    fn sent(list: &[(&str, &str)], trusted: &[&str]) -> HeaderMap {
        let trusted: Vec<IpNet> = trusted.iter().map(|text| text.parse().unwrap()).collect();
        let told = Told {
            host: "app.example.net",
            is_secure: false,
            trusted: &trusted,
            peer: "192.0.2.7".parse().unwrap(),
        };
        let mut fields = fields(list);
        to_upstream(&mut fields, &told).unwrap();
        fields
    }

    fn all<'a>(fields: &'a HeaderMap, name: &str) -> Vec<&'a str> {
        let values = fields.get_all(name).iter();
        values.map(|value| value.to_str().unwrap()).collect()
    }

    const OURS: [(&str, &str); 6] = [
        ("host", "app.example.net"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "app.example.net"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-scheme", "http"),
        ("x-real-ip", "192.0.2.7"),
    ];

    #[test]
    fn nobody_but_a_trusted_proxy_says_who_the_visitor_is() {
        let lies = [
            ("host", "APP.example.net:80"),
            ("x-forwarded-for", "203.0.113.9"),
            ("X-Forwarded-For", "203.0.113.8"),
            ("x_forwarded_for", "203.0.113.9"),
            ("x-forwarded_for", "203.0.113.9"),
            ("x-forwarded-host", "admin.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-scheme", "https"),
            ("x-forwarded-server", "x"),
            ("x-forwarded", "for=203.0.113.9"),
            ("forwarded", "for=203.0.113.9"),
            ("x-real-ip", "203.0.113.9"),
            ("x_real_ip", "203.0.113.9"),
            ("x-client-ip", "203.0.113.9"),
            ("true-client-ip", "203.0.113.9"),
            ("x-cluster-client-ip", "203.0.113.9"),
            ("content_length", "7"),
            ("transfer_encoding", "chunked"),
        ];
        for connection in [
            "",
            "close, x-forwarded-for",
            "X-Real-IP,x-forwarded-proto, Host",
        ] {
            let list: Vec<_> = lies
                .iter()
                .copied()
                .chain([("connection", connection)])
                .collect();
            let fields = sent(&list, &[]);
            assert_eq!(fields.len(), OURS.len(), "{fields:?}");
            for (name, value) in OURS {
                assert_eq!(all(&fields, name), [value], "{name}");
            }
            assert_eq!(
                all(&sent(&list, &["198.51.100.0/24"]), "x-real-ip"),
                ["192.0.2.7"]
            );
        }
    }

    #[test]
    fn a_trusted_proxys_word_is_taken_as_far_as_it_is_trusted() {
        let trusted = ["192.0.2.0/24", "10.0.0.0/8"];
        let list = [
            ("x-forwarded-for", "203.0.113.1, 203.0.113.9, 10.1.1.1"),
            ("x-forwarded-for", "192.0.2.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "other.example"),
        ];
        let fields = sent(&list, &trusted);
        assert_eq!(all(&fields, "x-real-ip"), ["203.0.113.9"]);
        assert_eq!(
            all(&fields, "x-forwarded-for"),
            ["203.0.113.1, 203.0.113.9, 10.1.1.1, 192.0.2.9, 192.0.2.7"]
        );
        assert_eq!(all(&fields, "x-forwarded-proto"), ["https"]);
        assert_eq!(all(&fields, "x-forwarded-host"), ["app.example.net"]);
        for odd in ["nonsense", "", "203.0.113.9:80", ","] {
            let fields = sent(
                &[("x-forwarded-for", odd), ("x-forwarded-proto", "gopher")],
                &trusted,
            );
            assert_eq!(all(&fields, "x-real-ip"), ["192.0.2.7"], "{odd}");
            assert_eq!(all(&fields, "x-forwarded-proto"), ["http"]);
        }
    }

    #[test]
    fn what_is_of_one_hop_stays_there() {
        let hop = [
            ("connection", "keep-alive, x-mine, upgrade"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AAMAAABk"),
            ("expect", "100-continue"),
        ];
        let fields = sent(&hop, &[]);
        assert_eq!(fields.len(), OURS.len(), "{fields:?}");
        let kept = [
            ("accept-encoding", "br"),
            ("authorization", "Bearer x"),
            ("range", "bytes=0-1"),
        ];
        assert_eq!(sent(&kept, &[]).len(), OURS.len() + kept.len());
        let told = Told {
            host: "a",
            is_secure: true,
            trusted: &[],
            peer: "::1".parse().unwrap(),
        };
        for odd in ["a b", "\u{e9}", "a;b", &"a,".repeat(17)] {
            let mut bad = fields.clone();
            bad.insert(CONNECTION, HeaderValue::from_bytes(odd.as_bytes()).unwrap());
            assert_eq!(to_upstream(&mut bad, &told), Err(ConnectionError), "{odd}");
        }
    }

    #[test]
    fn a_cookie_in_pieces_is_one_for_the_upstream() {
        let fields = sent(
            &[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")],
            &[],
        );
        assert_eq!(all(&fields, "cookie"), ["a=1; b=2; c=3"]);
    }

    #[test]
    fn no_tenants_cookies_are_for_its_neighbours() {
        let list = [
            "a=1; Path=/; Domain=example.net; Secure",
            "b=1; domain=.EXAMPLE.net",
            "c=1; DOMAIN = app.example.net; HttpOnly",
            "d=1; Domain=.app.example.net",
            "e=1; Path=/",
            "f=domain=example.net; Path=/",
            "g=1;Domain=net;Domain=example.net",
        ];
        let pairs: Vec<_> = list.iter().map(|cookie| ("set-cookie", *cookie)).collect();
        let mut fields = fields(&pairs);
        to_visitor(&mut fields, "app.example.net");
        let wanted = [
            "a=1; Path=/; Secure",
            "b=1",
            list[2],
            list[3],
            list[4],
            list[5],
            "g=1",
        ];
        assert_eq!(all(&fields, "set-cookie"), wanted);
    }

    #[test]
    fn only_a_whole_wish_for_a_websocket_is_one() {
        let asks = |version, values: &[&str]| {
            let asked = values.iter().map(|value| ("upgrade", *value));
            let pairs: Vec<_> = asked.chain([("connection", "close, Upgrade")]).collect();
            is_websocket(version, &fields(&pairs))
        };
        assert!(asks(Version::HTTP_11, &["websocket"]));
        assert!(asks(Version::HTTP_11, &["WebSocket"]));
        assert!(!asks(Version::HTTP_10, &["websocket"]));
        assert!(!asks(Version::HTTP_2, &["websocket"]));
        let unlisted = fields(&[("upgrade", "websocket"), ("connection", "keep-alive")]);
        assert!(!is_websocket(Version::HTTP_11, &unlisted));
        for values in [
            &["h2c"][..],
            &["websocket, h2c"],
            &["websocket", "h2c"],
            &[""],
            &[],
        ] {
            assert!(!asks(Version::HTTP_11, values), "{values:?}");
        }
    }
}
