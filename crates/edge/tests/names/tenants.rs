//! What one tenant has is never another's: connections for the one that carry requests for the other, sessions,
//! cookies, and the paths that are the gateway's own.

use std::sync::{Arc, Mutex};

use adit_edge::access::Access;
use adit_edge::http::Settings;
use adit_edge::route::Route;
use adit_testkit::wait;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue,
};
use rustls::pki_types::ServerName;
use rustls::{HandshakeKind, NamedGroup};
use tokio::io::AsyncReadExt as _;

use crate::http2::{DATA, END_HEADERS, END_STREAM, Frame, HEADERS, Peer, request};
use crate::place::{Stand, Talk, echo_heads, field, route};

/// `app.test` and `more.test` are one tenant's, `other.test` another's, and `guarded.test` of the first has a rule of
/// its own.
fn stand() -> Stand {
    let guarded = Route {
        access: Access::only(vec!["127.0.0.0/8".parse().unwrap()]),
        ..route("guarded.test", 1, &[1])
    };
    let routes = vec![
        route("app.test", 1, &[1]),
        route("more.test", 1, &[1]),
        route("other.test", 2, &[2]),
        guarded,
    ];
    Stand::new(routes, Settings::default())
}

/// For which host, on a connection for `app.test`, what is answered.
const CROSSINGS: [(&str, u16); 7] = [
    ("app.test", 200),
    ("APP.test:443", 200),
    ("more.test", 200),
    ("other.test", 421),
    ("guarded.test", 421),
    ("nobody.test", 404),
    ("app.test", 200),
];

#[tokio::test]
async fn g66_misdirected_421() {
    let stand = stand();
    let _upstream = stand.upstream(1, echo_heads).await;
    let _other = stand.upstream(2, echo_heads).await;
    let mut visitor = stand.secure_visitor("app.test").await;
    let mut http2 = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    for (number, (host, wanted)) in CROSSINGS.into_iter().enumerate() {
        visitor
            .say(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        let (head, _) = visitor.answer().await;
        let line = format!("HTTP/1.1 {wanted}");
        assert!(head.starts_with(&line), "{host}: {head}");
        let stream = u32::try_from(number).unwrap() * 2 + 1;
        let block = request("GET", host, "/", &[]);
        let ask = Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, block);
        http2.say(&[ask]).await;
        let head = http2.until(HEADERS).await.unwrap();
        assert_eq!((head.stream, head.status()), (stream, wanted), "{host}");
    }
    // The other tenant was never asked by this connection, and is by one of its own.
    let mut visitor = stand.secure_visitor("other.test").await;
    visitor
        .say("GET / HTTP/1.1\r\nHost: other.test\r\n\r\n")
        .await;
    let (head, seen) = visitor.answer().await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    assert_eq!(field(&seen, "x-forwarded-proto"), Some("https"));
    let dialled = stand.dial.dialled.lock().unwrap().clone();
    let others = dialled
        .iter()
        .filter(|it| it.holding == adit_model::lease::Holding::Port(2));
    assert_eq!(others.count(), 1);
    drop((visitor, http2));
    stand.end().await;
}

/// Offers any session for any name.
#[derive(Debug, Default)]
struct Offers {
    version13: Mutex<Vec<Tls13ClientSessionValue>>,
    version12: Mutex<Option<Tls12ClientSessionValue>>,
}

impl ClientSessionStore for Offers {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        *self.version12.lock().unwrap() = Some(value);
    }

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.version12.lock().unwrap().clone()
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.version13.lock().unwrap().push(value);
    }

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.version13.lock().unwrap().pop()
    }
}

#[tokio::test]
async fn g66_no_tls_session_of_one_name_is_taken_up_for_another() {
    let stand = stand();
    let _upstream = stand.upstream(1, echo_heads).await;
    let _other = stand.upstream(2, echo_heads).await;
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(Arc::clone(&stand.roots))
            .with_no_client_auth();
        config.resumption = Resumption::store(Arc::<Offers>::default());
        let config = Arc::new(config);
        for (name, wanted) in [
            ("app.test", HandshakeKind::Full),
            ("app.test", HandshakeKind::Resumed),
            ("other.test", HandshakeKind::Full),
            ("more.test", HandshakeKind::Full),
        ] {
            let socket = stand.secured(Arc::clone(&config), name).await.unwrap();
            let mut visitor = Talk::new(socket);
            visitor
                .say(format!(
                    "GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
                ))
                .await;
            let (head, _) = visitor.answer().await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let kind = visitor.socket.get_ref().1.handshake_kind();
            // Only one of TLS 1.3 asks for the key of a group again.
            let is_full = kind != Some(HandshakeKind::Resumed);
            assert_eq!(is_full, wanted == HandshakeKind::Full, "{version:?} {name}");
            visitor.rest().await;
        }
    }
    stand.end().await;
}

#[tokio::test]
async fn who_names_no_host_by_tls_gets_the_certificate_there_is_and_an_unknown_name_none() {
    let stand = stand();
    let _upstream = stand.upstream(1, echo_heads).await;
    // Without a name.
    let mut config = stand.client(&["http/1.1"]);
    config.enable_sni = false;
    let config = Arc::new(config);
    let mut visitor = Talk::new(stand.secured(config, "app.test").await.unwrap());
    visitor
        .say("GET / HTTP/1.1\r\nHost: app.test\r\n\r\n")
        .await;
    assert!(visitor.answer().await.0.starts_with("HTTP/1.1 200"));
    drop(visitor);
    let alert = |error: std::io::Error| error.to_string();
    let config = Arc::new(stand.client(&["http/1.1"]));
    let unknown = stand.secured(config, "app.example").await.map(drop);
    let words = unknown.map_err(alert).unwrap_err();
    // rustls says so of a name that it has no certificate for.
    assert!(
        words.contains("AccessDenied")
            || words.contains("UnrecogniselName")
            || words.contains("alert"),
        "{words}"
    );
    // Proofs of certificates are nobody's but the gateway's.
    let config = Arc::new(stand.client(&["acme-tls/1"]));
    let acme = stand.secured(config, "app.test").await.map(drop);
    let words = acme.map_err(alert).unwrap_err();
    assert!(words.contains("NoApplicationProtocol"), "{words}");
    // Who fails is told before it is counted.
    wait::until_async("two handshakes that failed", async || {
        let counts = stand.server.counts();
        (counts.handshakes_failed == 2).then_some(()).ok_or(counts)
    })
    .await;
    stand.end().await;
}

#[tokio::test]
async fn g60_set_cookie_parent_domain_removed() {
    let stand = stand();
    let _upstream = stand
        .upstream(1, |socket| async move {
            let mut talk = Talk::new(socket);
            while talk.head().await.is_some() {
                talk.say(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Set-Cookie\r\n\
                     Set-Cookie: a=1; Domain=test; Path=/\r\nSet-Cookie: b=2; domain=.TEST\r\n\
                     Set-Cookie: c=3; Domain=app.test\r\n\r\n\
                     2\r\nok\r\n0\r\nSet-Cookie: d=4; Domain=test\r\n\r\n",
                )
                .await;
            }
        })
        .await;
    let mut visitor = stand.visitor().await;
    visitor
        .say("GET / HTTP/1.1\r\nHost: app.test\r\nTE: trailers\r\nConnection: close, TE\r\n\r\n")
        .await;
    let told = String::from_utf8(visitor.rest().await).unwrap();
    let cookies: Vec<&str> = told
        .lines()
        .filter(|line| line.to_ascii_lowercase().starts_with("set-cookie"))
        .collect();
    assert_eq!(
        cookies,
        [
            "set-cookie: a=1; Path=/",
            "set-cookie: b=2",
            "set-cookie: c=3; Domain=app.test"
        ]
    );
    // In HTTP/2, what stands behind a body reaches visitors.
    let mut http2 = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    let block = request("GET", "app.test", "/", &[("te", "trailers")]);
    http2
        .say(&[Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, block)])
        .await;
    let head = http2.until(HEADERS).await.unwrap();
    assert!(!contains(&head.payload, b"Domain=test"));
    while let Some(frame) = http2.frame().await {
        assert!(!contains(&frame.payload, b"Domain"), "{frame:?}");
        if frame.stream == 1 && frame.flags & END_STREAM != 0 {
            break;
        }
    }
    drop(http2);
    stand.end().await;
}

fn contains(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn g64_acme_path_never_reaches_tenant() {
    let stand = stand();
    let _upstream = stand.upstream(1, echo_heads).await;
    let mut http2 = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    let paths = [
        ("/.well-known/acme-challenge/token", true),
        ("/.well-known/acme-challenge/", true),
        (
            "/.well-known/acme-challenge/../acme-challenge/token?x=1",
            true,
        ),
        ("http://app.test/.well-known/acme-challenge/token", true),
        // No authority asks for these.
        ("/.well-known/acme-challenge", false),
        ("/.well-known/security.txt", false),
        ("/x/.well-known/acme-challenge/token", false),
    ];
    let mut stream = 1;
    for (path, is_ours) in paths {
        let wanted = if is_ours { 404 } else { 200 };
        for mut visitor in [stand.visitor().await] {
            visitor
                .say(format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n"))
                .await;
            let (head, _) = visitor.answer().await;
            assert!(head.starts_with(&format!("HTTP/1.1 {wanted}")), "{path}");
        }
        let path = path.trim_start_matches("http://app.test");
        let block = request("GET", "app.test", path, &[]);
        http2
            .say(&[Frame::new(HEADERS, END_HEADERS | END_STREAM, stream, block)])
            .await;
        assert_eq!(
            http2.until(HEADERS).await.unwrap().status(),
            wanted,
            "{path}"
        );
        stream += 2;
    }
    drop(http2);
    stand.end().await;
}

#[tokio::test]
async fn a_request_for_the_head_of_a_page_gets_no_body() {
    let stand = stand();
    let mut http2 = Peer::begin(stand.visitor_of_http2("app.test").await, &[]).await;
    let mut visitor = stand.visitor().await;
    visitor
        .say("HEAD / HTTP/1.1\r\nHost: nobody.test\r\nConnection: close\r\n\r\n")
        .await;
    let told = String::from_utf8(visitor.rest().await).unwrap();
    assert!(told.starts_with("HTTP/1.1 404") && told.ends_with("\r\n\r\n"));
    assert!(field(&told, "content-length").is_some_and(|length| length != "0"));
    let block = request("HEAD", "nobody.test", "/", &[]);
    http2
        .say(&[Frame::new(HEADERS, END_HEADERS | END_STREAM, 1, block)])
        .await;
    let head = http2.until(HEADERS).await.unwrap();
    assert_eq!((head.status(), head.flags & END_STREAM), (404, END_STREAM));
    let ask = request("GET", "nobody.test", "/", &[]);
    http2
        .say(&[Frame::new(HEADERS, END_HEADERS | END_STREAM, 3, ask)])
        .await;
    assert_eq!(http2.until(DATA).await.unwrap().stream, 3);
    drop((visitor, http2));
    let mut rest = Vec::new();
    let mut late = stand.visitor().await;
    late.say("HEAD / HTTP/1.0\r\n\r\n").await;
    late.socket.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"\r\n\r\n"));
    stand.end().await;
}
