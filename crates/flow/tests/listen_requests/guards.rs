//! Who may make a request: addresses, tokens, signatures, and what of it is logged.

use std::fmt::{Debug, Write as _};
use std::sync::{Arc, Mutex};

use adit_flow::callback::{Hub, Replays};
use adit_flow::listen::{Context, NoTunnel};
use aws_lc_rs::hmac;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

use crate::support::{
    JSON, Lab, Launches, SECRET, bind, config, outcome, seconds, short, still_waits,
};

const UNAUTHORIZED: &str = r#"401 {"detail":"Unauthorized"}"#;
const FORBIDDEN: &str = r#"403 {"detail":"Forbidden"}"#;

fn hex(key: &str, message: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_bytes());
    let mut hex = String::new();
    for byte in hmac::sign(&key, message).as_ref() {
        write!(hex, "{byte:02x}").unwrap();
    }
    hex
}

fn signed(seconds: u64, body: &str) -> String {
    let code = hex(SECRET, format!("{seconds}.{body}").as_bytes());
    format!("{JSON}x-signature: t={seconds},v1={code}\r\n")
}

#[tokio::test]
async fn a_signed_request_is_good_once_and_now() {
    let lab = Lab::new(
        "type: http-callback, path: /c, identify_by: '${body.id}', auth: {type: hmac, secret: 'env:TOKEN'}",
    )
    .await;
    let body = r#"{"id": "a"}"#;
    let now = seconds();
    for (headers, body) in [
        (JSON.to_owned(), body),
        (format!("{JSON}x-signature: nonsense\r\n"), body),
        (signed(now, body), r#"{"id":"a"}"#),
        (signed(now - 400, body), body),
        (signed(now + 400, body), body),
        (format!("{}{}", signed(now, body), signed(now, body)), body),
    ] {
        let waiting = lab.waiting("a");
        let answer = short(&lab.post("/c", &headers, body).await);
        assert_eq!(answer, UNAUTHORIZED, "{headers}");
        still_waits(&lab, waiting);
    }
    let waiting = lab.waiting("a");
    let good = signed(now, body);
    assert_eq!(short(&lab.post("/c", &good, body).await), "200");
    assert_eq!(outcome(waiting).await, r#"{"id":"a"}"#);
    // The answer is that of the first time, and nobody gets anything.
    let waiting = lab.waiting("a");
    assert_eq!(short(&lab.post("/c", &good, body).await), "200");
    still_waits(&lab, waiting);
    // A proof is looked at before what is proven is read.
    let answer = lab.post("/c", JSON, "{bad").await;
    assert_eq!(short(&answer), UNAUTHORIZED);
}

#[tokio::test]
async fn a_signed_trigger_that_is_repeated_starts_nothing_more() {
    let lab = Lab::new(
        "type: http-trigger, path: /t, workflow: w, auth: {type: hmac, secret: 'env:TOKEN'}",
    )
    .await;
    let headers = signed(seconds(), "1");
    let answers = [
        r#"200 {"task_id":"RUN1","status":"pending"}"#,
        r#"200 {"detail":"Received before."}"#,
    ];
    for answer in answers {
        assert_eq!(short(&lab.post("/t", &headers, "1").await), answer);
    }
    assert_eq!(lab.launches.all().len(), 1);
}

#[tokio::test]
async fn github_and_telegram_are_believed_in_their_own_forms() {
    let github = "auth: {type: hmac, form: github, secret: 'env:TOKEN'}";
    let telegram =
        "auth: {type: token, token: 'env:TOKEN', header: X-Telegram-Bot-Api-Secret-Token}";
    let bearer = "auth: {type: token, token: 'env:TOKEN'}";
    let body = r#"{"x":"ä"}"#;
    let right = hex(SECRET, body.as_bytes());
    let wrong = hex("other", body.as_bytes());
    for (auth, headers, answer) in [
        (
            github,
            format!("X-Hub-Signature-256: sha256={right}\r\n"),
            "200",
        ),
        (
            github,
            format!("X-Hub-Signature-256: sha256={wrong}\r\n"),
            UNAUTHORIZED,
        ),
        (
            github,
            format!("X-Hub-Signature: sha256={right}\r\n"),
            UNAUTHORIZED,
        ),
        (
            telegram,
            format!("x-telegram-bot-api-secret-token: {SECRET}\r\n"),
            "200",
        ),
        (
            telegram,
            "x-telegram-bot-api-secret-token: x\r\n".into(),
            UNAUTHORIZED,
        ),
        (telegram, String::new(), UNAUTHORIZED),
        (bearer, format!("Authorization: bearer {SECRET}\r\n"), "200"),
        (
            bearer,
            format!("Authorization: Basic {SECRET}\r\n"),
            UNAUTHORIZED,
        ),
    ] {
        let lab = Lab::new(&format!("type: http-callback, path: /c, {auth}")).await;
        let waiting = lab.waiting("__callback__");
        let answer_there = lab.post("/c", &format!("{JSON}{headers}"), body).await;
        assert_eq!(short(&answer_there), answer, "{auth} {headers}");
        let named = answer_there.contains("\nwww-authenticate: Bearer\n");
        assert_eq!(named, auth == bearer && answer == UNAUTHORIZED);
        if answer == "200" {
            assert_eq!(outcome(waiting).await, body);
        } else {
            still_waits(&lab, waiting);
        }
    }
}

#[tokio::test]
async fn where_a_visitor_comes_from_is_what_the_tunnel_says_and_no_header() {
    let lab =
        Lab::new("type: http-callback, path: /c, allow: ['203.0.113.0/24', '2001:db8::1']").await;
    let lies =
        "X-Forwarded-For: 203.0.113.7\r\nForwarded: for=203.0.113.7\r\nX-Real-IP: 203.0.113.7\r\n";
    assert_eq!(short(&lab.post("/c", lies, "").await), FORBIDDEN);
    for (visitor, answer) in [
        ("203.0.113.7", "200"),
        ("::ffff:203.0.113.7", "200"),
        ("203.0.114.7", FORBIDDEN),
        ("2001:db8::1", "200"),
        ("127.0.0.1", FORBIDDEN),
    ] {
        lab.tunnel.set(visitor);
        assert_eq!(short(&lab.post("/c", lies, "").await), answer, "{visitor}");
    }
}

#[tokio::test]
async fn a_refusal_that_needs_no_body_comes_before_it() {
    let lab = Lab::new(
        "type: http-callback, callbacks: [{path: /a, allow: 203.0.113.7}, \
         {path: /t, auth: {type: token, token: 'env:TOKEN'}}]",
    )
    .await;
    for (path, answer) in [("/a", FORBIDDEN), ("/t", UNAUTHORIZED)] {
        let head =
            format!("POST {path} HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n");
        // The body is never sent, and never asked for.
        assert_eq!(short(&lab.ask(head).await), answer);
    }
}

/// Keeps every event as text.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

struct Line<'l>(&'l mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("adit")
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut lines = self.0.lock().unwrap();
        write!(lines, "{} ", event.metadata().target()).unwrap();
        event.record(&mut Line(&mut lines));
        lines.push('\n');
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

#[tokio::test]
async fn a_token_in_the_path_is_checked_and_logged_nowhere() {
    let lines = Lines::default();
    let _guard = tracing::subscriber::set_default(lines.clone());
    let lab = Lab::new(
        "type: http-callback, path: /c, identify_by: '${body.id}', \
         auth: {type: token, in: path, token: 'env:TOKEN'}",
    )
    .await;
    let waiting = lab.waiting("a\u{1b}[2J");
    let body = r#"{"id":"a\u001b[2J","result":"private"}"#;
    let encoded = SECRET.bytes().fold(String::new(), |encoded, byte| {
        format!("{encoded}%{byte:02X}")
    });
    for (path, answer) in [
        (format!("/c/{SECRET}"), "200"),
        (format!("/c/{encoded}"), "200"),
        (format!("/c/{SECRET}x"), UNAUTHORIZED),
        ("/c/".to_owned(), UNAUTHORIZED),
        ("/c".to_owned(), UNAUTHORIZED),
        (format!("/c/{SECRET}/"), r#"404 {"detail":"Not Found"}"#),
        (format!("/{SECRET}"), r#"404 {"detail":"Not Found"}"#),
    ] {
        let answered = lab.post(&path, JSON, body).await;
        assert_eq!(short(&answered), answer, "{path}");
        assert!(!answered.contains(SECRET), "{answered}");
    }
    assert_eq!(
        outcome(waiting).await,
        r#"{"id":"a\u001b[2J","result":"private"}"#
    );
    let lines = lines.0.lock().unwrap().clone();
    assert!(
        !lines.contains(SECRET) && !lines.contains("private"),
        "{lines}"
    );
    assert!(!lines.contains('\u{1b}'), "{lines}");
    let taken = lines
        .lines()
        .filter(|line| line.starts_with("adit::access "));
    let taken: Vec<&str> = taken.collect();
    assert_eq!(taken.len(), 5, "{lines}");
    assert!(
        taken[0].contains("message=callback received path=\"/c\""),
        "{lines}"
    );
    assert!(
        taken[0].contains(r#"ids="a\u{1b}[2J" taken.completed=1"#),
        "{lines}"
    );
    assert!(taken[1].contains("taken.unknown=1"), "{lines}");
    assert!(
        taken[2].contains("status=401 error=the token or signature is wrong"),
        "{lines}"
    );
    assert!(taken[3].contains("visitor.addr=127.0.0.1"), "{lines}");
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_no_open_door() {
    let context = || Context {
        hub: Hub::new(),
        launch: Arc::new(Launches::default()),
        visitors: Arc::new(NoTunnel),
        replays: Arc::new(Mutex::new(Replays::new())),
    };
    for (secret, text) in [
        ("MISSING", "cannot read the secret of /b/c"),
        ("EMPTY", "/b/c cannot be guarded"),
    ] {
        let config = config(&format!(
            "listener: {{type: http-callback, base_path: b, path: c, \
             auth: {{type: token, token: 'env:{secret}'}}}}"
        ));
        let error = bind(&config, context()).await.unwrap_err();
        assert_eq!(error.to_string(), text);
    }
    let taken = config("listener: {type: http-callback, host: 127.0.0.1, path: c}");
    let first = bind(&taken, context()).await.unwrap();
    let mut second = taken.clone();
    second.port.value = first.port();
    let error = bind(&second, context()).await.unwrap_err();
    let port = first.port();
    let text = format!("cannot listen at 127.0.0.1:{port}: the port is in use");
    assert_eq!(error.to_string(), text);
}
