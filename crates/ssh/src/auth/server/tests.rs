//! One server, table by table; the client is bytes.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::auth::AnswerError;
use crate::auth::tests::fake::{
    self, HOST_KEY, SESSION, answers, dawn, dialog_request, failure, open_login, password_request,
    query, request, sent, service, signed, unsigned, unsigned_bound,
};
use crate::provider::{SecurityKeyUse, Verified};
use crate::wire::Write;

mod dialog;
mod factor;
mod key;
mod limit;

const ALL_METHODS: &str = "publickey,password,keyboard-interactive";
const AUTHORISED: KeyVerdict = KeyVerdict::Authorised(SecurityKeyRules::STANDARD);
/// Longer than any first delay.
const LONG: Duration = Duration::from_secs(1);

/// A server past its SERVICE_ACCEPT, with its time.
struct Bench {
    server: ServerAuth,
    notary: Arc<fake::Notary>,
    now: Instant,
    out: Outbox,
}

impl Bench {
    fn new(login: ServerLogin) -> Self {
        let (server, notary) = fake::server(login);
        let mut bench = Self {
            server,
            notary,
            now: dawn(),
            out: Outbox::new(),
        };
        bench.take(&service(5, "ssh-userauth")).unwrap();
        assert_eq!(sent(&mut bench.out), [service(6, "ssh-userauth")]);
        bench
    }

    fn open() -> Self {
        Self::new(open_login())
    }

    fn take(&mut self, payload: &[u8]) -> Result<(), Violation> {
        self.server.receive(self.now, payload, &mut self.out)
    }

    fn question(&mut self) -> ServerQuestion {
        self.server.poll_question().expect("a question is open")
    }

    fn key(&mut self, verdict: KeyVerdict) -> Result<(), AnswerError> {
        let id = self.question().id;
        self.server.answer_key(id, verdict, self.now, &mut self.out)
    }

    fn login(&mut self, verdict: LoginVerdict) -> Result<(), AnswerError> {
        let id = self.question().id;
        self.server
            .answer_login(id, verdict, self.now, &mut self.out)
    }

    fn prompt(&mut self, count: usize) -> Result<(), AnswerError> {
        let id = self.question().id;
        self.server
            .answer_prompts(id, &prompts(count), self.now, &mut self.out)
    }

    /// Lets a refusal's time come.
    fn wait(&mut self) -> Result<(), Violation> {
        self.now = self.now.checked_add(LONG).unwrap();
        self.server.handle_timeout(self.now, &mut self.out)
    }

    /// Nothing is asked and nothing is sent until time passes; then a refusal is.
    fn expect_refusal(&mut self) {
        assert!(self.server.poll_question().is_none());
        assert!(self.out.is_empty());
        self.wait().unwrap();
        assert_eq!(sent(&mut self.out), [failure(ALL_METHODS, false)]);
    }
}

fn prompts(count: usize) -> ServerPrompts {
    ServerPrompts {
        prompts: vec![
            ServerPrompt {
                text: "Code: ".to_owned(),
                echo: false,
            };
            count
        ],
        ..ServerPrompts::default()
    }
}

const D2: DisconnectCode = DisconnectCode::ProtocolError;
const D14: DisconnectCode = DisconnectCode::NoMoreAuthMethods;

fn code(result: Result<(), Violation>) -> Option<DisconnectCode> {
    result.err().map(|violation| violation.code)
}

/// A bench in each state that a login has before its success.
fn every_state() -> Vec<(&'static str, Bench)> {
    let asking = |request: &[u8]| {
        let mut bench = Bench::open();
        bench.take(request).unwrap();
        bench
    };
    let mut opening = Bench::open();
    opening.server = fake::server(open_login()).0;
    let mut prompted = asking(&dialog_request("anna"));
    prompted.prompt(2).unwrap();
    vec![
        ("opening", opening),
        ("ready", Bench::open()),
        (
            "asking about a key",
            asking(&query("anna", KeyAlgorithm::Ed25519, &fake::ed25519(1))),
        ),
        (
            "asking about a password",
            asking(&password_request("anna", b"x")),
        ),
        ("prompted", prompted),
        ("delaying", asking(&password_request("anna", b""))),
    ]
}

#[test]
fn server_rejects_client_only_msgs() {
    let mut seen = 0;
    for number in 0..=u8::MAX {
        for (state, mut bench) in every_state() {
            if [5, 50].contains(&number) || (number == 61 && state == "prompted") {
                continue;
            }
            for body in [&[][..], &[0; 40], &[0, 0, 0, 1, b'a', 0]] {
                let mut payload = vec![number];
                payload.extend_from_slice(body);
                assert_eq!(
                    code(bench.take(&payload)),
                    Some(D2),
                    "{number} while {state}"
                );
                seen += 1;
            }
        }
    }
    assert_eq!(seen, (254 * 6 - 1) * 3);
}

#[test]
fn preauth_channel_open_d2() {
    for number in 80..=u8::MAX {
        for (state, mut bench) in every_state() {
            assert_eq!(
                code(bench.take(&[number, 0])),
                Some(D2),
                "{number} while {state}"
            );
        }
    }
}

#[test]
fn an_empty_payload_is_d2() {
    for (state, mut bench) in every_state() {
        assert_eq!(code(bench.take(&[])), Some(D2), "{state}");
    }
}

#[test]
fn a_request_before_the_service_is_d2() {
    let mut bench = Bench::open();
    bench.server = fake::server(open_login()).0;
    assert_eq!(code(bench.take(&request("anna", "none"))), Some(D2));
}

#[test]
fn another_service_is_d2() {
    let mut bench = Bench::open();
    assert_eq!(code(bench.take(&service(5, "ssh-connection"))), Some(D2));
    assert_eq!(code(bench.take(&service(5, "ssh-userauth\0"))), Some(D2));
}

#[test]
fn the_service_may_be_asked_for_before_each_attempt() {
    let mut bench = Bench::open();
    for _ in 1..limits::AUTH_REQUESTS {
        bench.take(&service(5, "ssh-userauth")).unwrap();
        assert_eq!(sent(&mut bench.out), [service(6, "ssh-userauth")]);
    }
    assert_eq!(code(bench.take(&service(5, "ssh-userauth"))), Some(D14));
}

#[test]
fn none_tells_the_methods_at_once() {
    let mut bench = Bench::open();
    bench.take(&request("anna", "none")).unwrap();
    assert_eq!(sent(&mut bench.out), [failure(ALL_METHODS, false)]);
    assert_eq!(bench.server.user(), Some("anna"));
}

#[test]
fn the_banner_comes_once_before_the_first_answer() {
    let mut login = open_login();
    login.banner = Some("hello\r\n".to_owned());
    let mut bench = Bench::new(login);
    bench.take(&request("anna", "none")).unwrap();
    let mut banner = vec![53];
    banner.put_string(b"hello\r\n");
    banner.put_string(b"");
    assert_eq!(sent(&mut bench.out), [banner, failure(ALL_METHODS, false)]);
    bench.take(&request("anna", "none")).unwrap();
    assert_eq!(sent(&mut bench.out), [failure(ALL_METHODS, false)]);
}

#[test]
fn none_and_empty_password() {
    let mut bench = Bench::open();
    bench.take(&password_request("anna", b"")).unwrap();
    bench.expect_refusal();

    let mut login = open_login();
    login.anonymous = true;
    let mut bench = Bench::new(login);
    bench.take(&request("anna", "none")).unwrap();
    bench.login(LoginVerdict::Reject).unwrap();
    assert_eq!(sent(&mut bench.out), [failure(ALL_METHODS, false)]);
    bench.take(&request("anna", "none")).unwrap();
    let question = bench.question();
    assert!(matches!(question.claim, Claim::Nothing));
    let (now, out) = (bench.now, &mut bench.out);
    bench
        .server
        .answer_login(question.id, LoginVerdict::Accept, now, out)
        .unwrap();
    assert_eq!(sent(&mut bench.out), [vec![52]]);
    assert!(bench.server.has_succeeded());
}

#[test]
fn none_is_not_asked_about_once_something_was_proved() {
    let mut login = open_login();
    login.anonymous = true;
    let mut bench = Bench::new(login);
    bench.take(&password_request("anna", b"right")).unwrap();
    let remaining = vec![Method::PublicKey];
    bench.login(LoginVerdict::Partial { remaining }).unwrap();
    bench.take(&request("anna", "none")).unwrap();
    assert!(bench.server.poll_question().is_none());
    let partial = failure("publickey", true);
    assert_eq!(sent(&mut bench.out), [partial, failure("publickey", false)]);
}

#[test]
fn after_a_broken_rule_nothing_is_asked() {
    for (state, mut bench) in every_state() {
        assert_eq!(code(bench.take(&[52])), Some(D2));
        assert!(bench.server.poll_question().is_none(), "{state}");
    }
}

#[test]
fn after_a_broken_rule_nobody_logs_in() {
    for (state, mut bench) in every_state() {
        let question = bench.server.poll_question();
        assert_eq!(code(bench.take(&[52])), Some(D2));
        assert!(bench.take(&request("anna", "none")).is_err(), "{state}");
        assert!(bench.server.poll_question().is_none());
        assert_eq!(bench.server.next_deadline(), None);
        if let Some(question) = question {
            let (now, out) = (bench.now, &mut bench.out);
            let accepted = bench
                .server
                .answer_login(question.id, LoginVerdict::Accept, now, out);
            assert_eq!(accepted, Err(AnswerError::NotOpen));
        }
        assert!(!bench.server.has_succeeded());
    }
}

#[test]
fn passwords_out_of_bounds_are_refused_unasked() {
    let mut change = request("anna", "password");
    change.put_boolean(true);
    change.put_string(b"old");
    change.put_string(b"new");
    for payload in [
        change,
        password_request("anna", &[b'x'; limits::PASSWORD + 1]),
        password_request("anna", b"\xff\xfe"),
    ] {
        let mut bench = Bench::open();
        bench.take(&payload).unwrap();
        bench.expect_refusal();
    }
    let mut bench = Bench::open();
    bench
        .take(&password_request("anna", &[b'x'; limits::PASSWORD]))
        .unwrap();
    let question = bench.question();
    assert_eq!(question.user, "anna");
    assert!(
        matches!(question.claim, Claim::Password(secret) if secret.expose().len() == limits::PASSWORD)
    );
}

#[test]
fn userauth_after_success_ignored() {
    let mut bench = Bench::open();
    bench.take(&password_request("anna", b"right")).unwrap();
    bench.take(&password_request("anna", b"behind it")).unwrap();
    bench.login(LoginVerdict::Accept).unwrap();
    assert_eq!(sent(&mut bench.out), [vec![52]]);
    for payload in [password_request("otto", b"x"), vec![50], vec![50, 255, 255]] {
        bench.take(&payload).unwrap();
    }
    assert!(bench.out.is_empty());
    assert!(bench.server.poll_question().is_none());
    assert_eq!(bench.server.ignored(), 4);
    for number in (0..=u8::MAX).filter(|number| *number != 50) {
        assert_eq!(code(bench.take(&[number])), Some(D2), "{number}");
    }
}

#[test]
fn change_of_user_d2() {
    let mut other_service = vec![50];
    for text in ["anna", "ssh-userauth", "none"] {
        other_service.put_string(text.as_bytes());
    }
    for payload in [
        password_request("otto", b"x"),
        request("otto", "none"),
        request("anna ", "none"),
        request("", "none"),
        other_service,
    ] {
        let mut bench = Bench::open();
        bench.take(&request("anna", "none")).unwrap();
        assert_eq!(code(bench.take(&payload)), Some(D2));
    }
}

#[test]
fn a_message_cut_short_anywhere_or_with_a_tail_is_d2() {
    let key = fake::ed25519(1);
    let algorithm = KeyAlgorithm::Ed25519;
    let bound = unsigned_bound("anna", algorithm, &key, HOST_KEY);
    for payload in [
        service(5, "ssh-userauth"),
        request("anna", "none"),
        password_request("anna", b"secret"),
        dialog_request("anna"),
        query("anna", algorithm, &key),
        signed(unsigned("anna", algorithm, &key), SESSION, algorithm, &key),
        signed(bound, SESSION, algorithm, &key),
    ] {
        for end in 1..payload.len() {
            assert_eq!(
                code(Bench::open().take(&payload[..end])),
                Some(D2),
                "{end} of {payload:?}"
            );
        }
        let mut long = payload.clone();
        long.push(0);
        assert_eq!(code(Bench::open().take(&long)), Some(D2), "{payload:?}");
        Bench::open().take(&payload).unwrap();
    }
}

#[test]
fn unknown_methods_not_parsed() {
    let mut login = open_login();
    login.methods = vec![Method::PublicKey];
    for method in [
        "gssapi-with-mic",
        "hostbased",
        "password",
        "keyboard-interactive",
        "NONE",
        "",
    ] {
        for tail in [&[][..], &[0xff; 9], &[0; 300]] {
            let mut bench = Bench::new(login.clone());
            let mut payload = request("anna", method);
            payload.extend_from_slice(tail);
            bench.take(&payload).unwrap();
            assert!(bench.server.poll_question().is_none());
            bench.wait().unwrap();
            assert_eq!(sent(&mut bench.out), [failure("publickey", false)]);
        }
    }
}

#[test]
fn after_a_partial_success_only_what_is_left_goes_on() {
    let mut bench = Bench::open();
    bench.take(&password_request("anna", b"right")).unwrap();
    bench
        .login(LoginVerdict::Partial {
            remaining: vec![Method::KeyboardInteractive],
        })
        .unwrap();
    assert_eq!(
        sent(&mut bench.out),
        [failure("keyboard-interactive", true)]
    );
    bench.take(&password_request("anna", b"right")).unwrap();
    assert!(bench.server.poll_question().is_none());
    bench.wait().unwrap();
    assert_eq!(
        sent(&mut bench.out),
        [failure("keyboard-interactive", false)]
    );

    let mut login = open_login();
    login.methods = vec![Method::Password];
    let mut bench = Bench::new(login);
    for remaining in [vec![], vec![Method::PublicKey]] {
        bench.take(&password_request("anna", b"right")).unwrap();
        let is_empty = remaining.is_empty();
        bench.login(LoginVerdict::Partial { remaining }).unwrap();
        if is_empty {
            assert!(bench.out.is_empty(), "with nothing left it is a refusal");
            bench.wait().unwrap();
            assert_eq!(sent(&mut bench.out), [failure("password", false)]);
        } else {
            assert_eq!(sent(&mut bench.out), [failure("publickey", true)]);
        }
    }
}

#[test]
fn an_answer_to_another_question_is_not_taken() {
    let mut bench = Bench::open();
    bench.take(&password_request("anna", b"x")).unwrap();
    let id = bench.question().id;
    let (now, mut out) = (bench.now, Outbox::new());
    let server = &mut bench.server;
    let stale = QuestionId(id.0 + 1);
    let accept = || LoginVerdict::Accept;
    let closed = Err(AnswerError::NotOpen);
    assert_eq!(server.answer_login(stale, accept(), now, &mut out), closed);
    assert_eq!(server.answer_key(id, AUTHORISED, now, &mut out), closed);
    assert_eq!(
        server.answer_prompts(id, &prompts(1), now, &mut out),
        closed
    );
    assert!(out.is_empty());
    server
        .answer_login(id, LoginVerdict::Reject, now, &mut out)
        .unwrap();
    assert_eq!(server.answer_login(id, accept(), now, &mut out), closed);
    assert!(!server.has_succeeded());
}

#[test]
fn debug_shows_no_password() {
    let mut bench = Bench::open();
    bench.take(&password_request("anna", b"hunter2")).unwrap();
    bench.take(&password_request("anna", b"hunter3")).unwrap();
    let question = bench.question();
    let shown = format!("{question:?} {:?} {:?}", bench.server, bench.out);
    assert!(!shown.contains("hunter"), "{shown}");
}
