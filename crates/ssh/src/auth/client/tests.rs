//! One client, table by table; the server is bytes.

use proptest::prelude::*;

use super::*;
use crate::algorithm::SignatureAlgorithm;
use crate::auth::AnswerError;
use crate::auth::tests::fake::{
    self, HOST_KEY, SESSION, answers, dialog_request, failure, info_request, method_of,
    password_request, query, request, sent, service, signed, unsigned, unsigned_bound,
};
use crate::error::DisconnectCode;
use crate::message;
use crate::printable::Printable;
use crate::secret::Secret;
use crate::wire::Write;

mod dialog;
mod key;
mod limit;

const D2: Option<DisconnectCode> = Some(DisconnectCode::ProtocolError);

fn code(result: Result<(), Violation>) -> Option<DisconnectCode> {
    result.err().map(|violation| violation.code)
}

fn key(blob: Vec<u8>) -> Credential {
    Credential::Key(OfferedKey::new(blob).unwrap())
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

/// A client with what it sent.
struct Bench {
    client: ClientAuth,
    out: Outbox,
}

impl Bench {
    fn idle(credentials: Vec<Credential>) -> Self {
        let login = ClientLogin {
            user: "anna".to_owned(),
            credentials,
        };
        Self {
            client: ClientAuth::new(login, SESSION, HOST_KEY),
            out: Outbox::new(),
        }
    }

    /// Past its SERVICE_ACCEPT, with `none` at the server.
    fn new(credentials: Vec<Credential>) -> Self {
        let mut bench = Self::idle(credentials);
        bench.client.start(&mut bench.out);
        let opening = [service(5, "ssh-userauth"), request("anna", "none")];
        assert_eq!(bench.sent(), opening);
        bench.take(&service(6, "ssh-userauth")).unwrap();
        bench
    }

    /// The same after the server has named its methods.
    fn told(credentials: Vec<Credential>, methods: &str) -> Self {
        let mut bench = Self::new(credentials);
        bench.take(&failure(methods, false)).unwrap();
        bench
    }

    fn take(&mut self, payload: &[u8]) -> Result<(), Violation> {
        self.client.receive(payload, &mut self.out)
    }

    fn sent(&mut self) -> Vec<Vec<u8>> {
        sent(&mut self.out)
    }

    fn event(&mut self) -> ClientEvent {
        self.client.poll_event().expect("there is an event")
    }

    fn failed(&mut self) -> LoginFailure {
        let ClientEvent::Failed(failure) = self.event() else {
            panic!("it has failed");
        };
        failure
    }
}

fn pk_ok(algorithm: &str, key: &[u8]) -> Vec<u8> {
    let mut payload = vec![60];
    payload.put_string(algorithm.as_bytes());
    payload.put_string(key);
    payload
}

fn banner(text: &[u8]) -> Vec<u8> {
    let mut payload = vec![53];
    payload.put_string(text);
    payload.put_string(b"");
    payload
}

/// A client in each state that a login has.
fn every_state() -> Vec<(&'static str, Bench)> {
    let one = fake::ed25519(1);
    let mut opening = Bench::idle(Vec::new());
    opening.client.start(&mut opening.out);
    let mut signing = Bench::told(vec![key(one.clone())], "publickey");
    signing.take(&pk_ok("ssh-ed25519", &one)).unwrap();
    let mut prompted = Bench::told(
        vec![Credential::KeyboardInteractive],
        "keyboard-interactive",
    );
    prompted.take(&info_request(1, &["Code: "])).unwrap();
    let mut succeeded = Bench::new(Vec::new());
    succeeded.take(&[52]).unwrap();
    vec![
        ("idle", Bench::idle(Vec::new())),
        ("opening", opening),
        ("none is out", Bench::new(Vec::new())),
        ("a query is out", Bench::told(vec![key(one)], "publickey")),
        ("signing", signing),
        (
            "asking for a password",
            Bench::told(vec![Credential::Password], "password"),
        ),
        ("asking for answers", prompted),
        ("succeeded", succeeded),
        ("failed", Bench::told(Vec::new(), "publickey")),
    ]
}

#[test]
fn client_rejects_server_only_msgs() {
    for number in 0..=u8::MAX {
        if [6, 51, 52, 53, 60].contains(&number) {
            continue;
        }
        for (state, mut bench) in every_state() {
            for body in [&[][..], &[0; 40]] {
                let mut payload = vec![number];
                payload.extend_from_slice(body);
                assert_eq!(code(bench.take(&payload)), D2, "{number} while {state}");
            }
        }
    }
}

#[test]
fn unsolicited_success_d2() {
    for (state, mut bench) in every_state() {
        let is_out = bench.client.progress() == Progress::WaitingForServer && state != "opening";
        for payload in [vec![52], failure("publickey", false)] {
            let (_, mut bench) = every_state()
                .into_iter()
                .find(|(name, _)| *name == state)
                .unwrap();
            assert_eq!(
                code(bench.take(&payload)),
                if is_out { None } else { D2 },
                "{state}"
            );
        }
        let again = code(bench.take(&service(6, "ssh-userauth")));
        assert_eq!(again, if state == "opening" { None } else { D2 }, "{state}");
    }
}

#[test]
fn a_success_ends_the_login() {
    let mut bench = Bench::new(vec![Credential::Password]);
    bench.take(&[52]).unwrap();
    assert!(matches!(bench.event(), ClientEvent::Succeeded));
    assert_eq!(bench.client.progress(), Progress::Succeeded);
    for payload in [vec![52], failure("password", false), banner(b"x")] {
        assert_eq!(code(bench.take(&payload)), D2);
    }
}

#[test]
fn starting_twice_sends_nothing_more() {
    let mut bench = Bench::new(Vec::new());
    bench.client.start(&mut bench.out);
    assert!(bench.out.is_empty());
}

#[test]
fn the_service_may_be_accepted_without_its_name() {
    for (payload, expected) in [(service(6, "ssh-connection"), D2), (vec![6], None)] {
        let mut bench = Bench::idle(Vec::new());
        bench.client.start(&mut bench.out);
        assert_eq!(code(bench.take(&payload)), expected);
    }
}

#[test]
fn after_a_broken_rule_nobody_is_logged_in() {
    let mut bench = Bench::new(vec![Credential::Password]);
    assert_eq!(code(bench.take(&[50])), D2);
    assert_eq!(bench.client.progress(), Progress::Failed);
    assert_eq!(code(bench.take(&[52])), D2);
    assert!(bench.client.poll_event().is_none());
}

#[test]
fn credentials_are_tried_in_order_and_once() {
    let mut bench = Bench::told(
        vec![
            Credential::Password,
            key(fake::ed25519(1)),
            Credential::KeyboardInteractive,
            key(fake::ed25519(2)),
        ],
        "publickey,keyboard-interactive",
    );
    let again = failure("publickey,keyboard-interactive", false);
    let algorithm = KeyAlgorithm::Ed25519;
    assert_eq!(bench.sent(), [query("anna", algorithm, &fake::ed25519(1))]);
    bench.take(&again).unwrap();
    assert_eq!(bench.sent(), [dialog_request("anna")]);
    bench.take(&again).unwrap();
    assert_eq!(bench.sent(), [query("anna", algorithm, &fake::ed25519(2))]);
    bench.take(&again).unwrap();
    assert!(bench.out.is_empty());
    let failed = bench.failed();
    assert_eq!(
        failed.outcomes,
        [
            Outcome::NotTried,
            Outcome::KeyRefused,
            Outcome::Refused,
            Outcome::KeyRefused
        ]
    );
    let methods: Vec<_> = failed.methods.iter().map(Printable::as_str).collect();
    assert_eq!(methods, ["publickey", "keyboard-interactive"]);
    assert_eq!(
        failed.to_string(),
        "login failed; server accepts publickey, keyboard-interactive"
    );
    assert!(!failed.is_cut_short);
    assert_eq!(bench.client.progress(), Progress::Failed);
    assert_eq!(code(bench.take(&again)), D2);
}

#[test]
fn a_partial_success_goes_on_with_what_was_not_tried() {
    let blob = fake::ed25519(1);
    let mut bench = Bench::told(vec![Credential::Password, key(blob.clone())], "publickey");
    bench.take(&pk_ok("ssh-ed25519", &blob)).unwrap();
    let ClientEvent::Sign(question) = bench.event() else {
        panic!("a signature is wanted");
    };
    let signature = fake::sign(&blob, SignatureAlgorithm::Ed25519, &question.data);
    bench
        .client
        .answer_signature(question.id, Some(&signature), &mut bench.out)
        .unwrap();
    bench.take(&failure("password,publickey", true)).unwrap();
    bench.sent();
    let ClientEvent::Password { id, credential: 0 } = bench.event() else {
        panic!("the password is wanted");
    };
    bench
        .client
        .answer_password(id, Some(secret("hunter2")), &mut bench.out)
        .unwrap();
    assert_eq!(bench.sent(), [password_request("anna", b"hunter2")]);
    bench.take(&failure("password", false)).unwrap();
    assert_eq!(
        bench.failed().outcomes,
        [Outcome::Refused, Outcome::Accepted]
    );
}

#[test]
fn what_the_owner_has_not_is_passed_over() {
    let blob = fake::ed25519(1);
    let all = "publickey,password,keyboard-interactive";
    let mut bench = Bench::told(
        vec![
            key(blob.clone()),
            Credential::Password,
            Credential::KeyboardInteractive,
        ],
        all,
    );
    bench.take(&pk_ok("ssh-ed25519", &blob)).unwrap();
    let ClientEvent::Sign(question) = bench.event() else {
        panic!("a signature is wanted");
    };
    let (client, out) = (&mut bench.client, &mut bench.out);
    client.answer_signature(question.id, None, out).unwrap();
    let ClientEvent::Password { id, credential: 1 } = client.poll_event().unwrap() else {
        panic!("a password is wanted");
    };
    client.answer_password(id, None, out).unwrap();
    client.receive(&info_request(1, &["Code: "]), out).unwrap();
    let ClientEvent::Prompts(question) = client.poll_event().unwrap() else {
        panic!("answers are wanted");
    };
    client.answer_prompts(question.id, None, out).unwrap();
    assert_eq!(bench.failed().outcomes, [Outcome::NotGiven; 3]);
}

#[test]
fn a_password_that_must_be_changed_is_passed_over() {
    let mut change = vec![60];
    change.put_string(b"Expired. New password: ");
    change.put_string(b"");
    let mut long = change.clone();
    long.push(0);
    for (payload, expected) in [(change, None), (long, D2)] {
        let mut bench = Bench::told(vec![Credential::Password], "password");
        let ClientEvent::Password { id, .. } = bench.event() else {
            panic!("a password is wanted");
        };
        bench
            .client
            .answer_password(id, Some(secret("old")), &mut bench.out)
            .unwrap();
        assert_eq!(code(bench.take(&payload)), expected);
        if expected.is_none() {
            assert_eq!(bench.failed().outcomes, [Outcome::ChangeWanted]);
        }
    }
}

#[test]
fn a_banner_comes_out_by_lines_and_harmless() {
    let mut bench = Bench::new(Vec::new());
    bench
        .take(&banner(b"one\r\n\r\ntwo \x1b[2J\nthree\n\n"))
        .unwrap();
    let ClientEvent::Banner(text) = bench.event() else {
        panic!("there is a banner");
    };
    let text: Vec<_> = text.iter().map(Printable::as_str).collect();
    assert_eq!(text, ["one", "", "two \\u{1b}[2J", "three"]);
}

#[test]
fn the_method_list_is_read_with_care() {
    for (list, is_tried) in [
        ("password", true),
        ("publickey,password", true),
        (",,password,", true),
        ("Password", false),
        ("passwords", false),
        ("", false),
    ] {
        let bench = Bench::told(vec![Credential::Password], list);
        let expected = if is_tried {
            Progress::WaitingForOwner
        } else {
            Progress::Failed
        };
        assert_eq!(bench.client.progress(), expected, "{list}");
    }
    let mut bench = Bench::new(Vec::new());
    let long = "x,".repeat(limits::AUTH_METHOD_LIST);
    assert_eq!(code(bench.take(&failure(&long, false))), D2);
    let mut bench = Bench::new(Vec::new());
    bench.take(&failure("\x1b[2J", false)).unwrap();
    assert_eq!(bench.failed().methods[0].as_str(), "\\u{1b}[2J");
}

#[test]
fn messages_cut_short_or_with_a_tail_are_d2() {
    for payload in [failure("password", false), vec![52], banner(b"hello")] {
        for end in 0..payload.len() {
            let mut bench = Bench::new(Vec::new());
            assert_eq!(
                code(bench.take(&payload[..end])),
                D2,
                "{end} of {payload:?}"
            );
        }
        let mut long = payload.clone();
        long.push(0);
        assert_eq!(code(Bench::new(Vec::new()).take(&long)), D2);
    }
}

#[test]
fn debug_shows_no_secret() {
    let mut bench = Bench::told(vec![Credential::Password], "password");
    let ClientEvent::Password { id, .. } = bench.event() else {
        panic!("a password is wanted");
    };
    bench
        .client
        .answer_password(id, Some(secret("hunter2")), &mut bench.out)
        .unwrap();
    let shown = format!("{:?} {:?}", bench.client, bench.out);
    assert!(!shown.contains("hunter"), "{shown}");
}
