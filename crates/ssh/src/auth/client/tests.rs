//! One client, table by table; the server is bytes.

use proptest::prelude::*;

use super::*;
use crate::algorithm::SignatureAlgorithm;
use crate::auth::fake::{
    self, HOST_KEY, SESSION, answers, dialog_request, failure, info_request, method_of,
    password_request, query, request, sent, service, signed, unsigned, unsigned_bound,
};
use crate::error::DisconnectCode;

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
    let mut bench = Bench::idle(Vec::new());
    bench.client.start(&mut bench.out);
    assert_eq!(code(bench.take(&service(6, "ssh-connection"))), D2);
    bench.take(&[6]).unwrap();
}

#[test]
fn a_key_is_queried_and_then_signs() {
    let blob = fake::ed25519(1);
    let algorithm = KeyAlgorithm::Ed25519;
    for hostbound in [false, true] {
        let mut bench = Bench::told(vec![key(blob.clone())], "publickey");
        bench.client.ext_info(ServerExtensions {
            signature_algorithms: None,
            hostbound,
        });
        assert_eq!(bench.sent(), [query("anna", algorithm, &blob)]);
        bench.take(&pk_ok("ssh-ed25519", &blob)).unwrap();
        let ClientEvent::Sign(question) = bench.event() else {
            panic!("a signature is wanted");
        };
        assert_eq!((question.credential, question.algorithm), (0, algorithm));
        let signature = fake::sign(&blob, algorithm.signature(), &question.data);
        bench
            .client
            .answer_signature(question.id, Some(&signature), &mut bench.out)
            .unwrap();
        let wanted = if hostbound {
            unsigned_bound("anna", algorithm, &blob, HOST_KEY)
        } else {
            unsigned("anna", algorithm, &blob)
        };
        assert_eq!(bench.sent(), [signed(wanted, SESSION, algorithm, &blob)]);
        bench.take(&[52]).unwrap();
        assert!(matches!(bench.event(), ClientEvent::Succeeded));
    }
}

#[test]
fn a_key_that_was_not_offered_cannot_be_accepted() {
    let blob = fake::rsa(1);
    for (algorithm, named, is_good) in [
        ("rsa-sha2-512", blob.clone(), true),
        ("ssh-rsa", blob.clone(), true),
        ("rsa-sha2-256", blob.clone(), false),
        ("ssh-ed25519", blob.clone(), false),
        ("rsa-sha2-512", fake::rsa(2), false),
        ("rsa-sha2-512", Vec::new(), false),
    ] {
        let mut bench = Bench::told(vec![key(blob.clone()), key(fake::rsa(2))], "publickey");
        let result = bench.take(&pk_ok(algorithm, &named));
        assert_eq!(code(result), if is_good { None } else { D2 }, "{algorithm}");
    }
    for (state, mut bench) in every_state() {
        let expected = if state == "a query is out" { None } else { D2 };
        let payload = pk_ok("ssh-ed25519", &fake::ed25519(1));
        assert_eq!(code(bench.take(&payload)), expected, "{state}");
    }
}

#[test]
fn a_signature_of_another_algorithm_is_not_sent() {
    let blob = fake::rsa(1);
    for name in ["ssh-rsa", "rsa-sha2-256", "ssh-ed25519"] {
        let mut bench = Bench::told(vec![key(blob.clone()), Credential::Password], "publickey");
        bench.sent();
        bench.take(&pk_ok("rsa-sha2-512", &blob)).unwrap();
        let ClientEvent::Sign(question) = bench.event() else {
            panic!("a signature is wanted");
        };
        let mut signature = Vec::new();
        signature.put_string(name.as_bytes());
        signature.put_string(&[1; 256]);
        bench
            .client
            .answer_signature(question.id, Some(&signature), &mut bench.out)
            .unwrap();
        assert!(bench.out.is_empty());
        assert_eq!(
            bench.failed().outcomes,
            [Outcome::WrongSignature, Outcome::NotTried]
        );
    }
}

#[test]
fn extinfo_cannot_enable_sha1() {
    use SignatureAlgorithm::{Ed25519, RsaSha256, RsaSha512};
    let blob = fake::rsa(1);
    for (accepted, chosen) in [
        (None, Some("rsa-sha2-512")),
        (Some(vec![RsaSha256, RsaSha512]), Some("rsa-sha2-512")),
        (Some(vec![Ed25519, RsaSha256]), Some("rsa-sha2-256")),
        // A list of nothing but ssh-rsa arrives empty: the name has no value here.
        (Some(vec![]), None),
    ] {
        let mut bench = Bench::new(vec![key(blob.clone())]);
        bench.client.ext_info(ServerExtensions {
            signature_algorithms: accepted,
            hostbound: false,
        });
        bench.take(&failure("publickey", false)).unwrap();
        if let Some(name) = chosen {
            let algorithm = KeyAlgorithm::from_name(name.as_bytes()).unwrap();
            assert_eq!(bench.sent(), [query("anna", algorithm, &blob)]);
        } else {
            let failure = bench.failed();
            assert_eq!(failure.outcomes, [Outcome::NoCommonAlgorithm]);
            assert_eq!(failure.signature_algorithms, Some(vec![]));
        }
    }
}

#[test]
fn a_later_extinfo_holds_for_later_attempts() {
    let blob = fake::rsa(1);
    let mut bench = Bench::told(vec![key(blob.clone()), key(fake::rsa(2))], "publickey");
    assert_eq!(
        bench.sent(),
        [query("anna", KeyAlgorithm::RsaSha512, &blob)]
    );
    bench.client.ext_info(ServerExtensions {
        signature_algorithms: Some(vec![SignatureAlgorithm::RsaSha256]),
        hostbound: false,
    });
    bench.take(&failure("publickey", false)).unwrap();
    let later = query("anna", KeyAlgorithm::RsaSha256, &fake::rsa(2));
    assert_eq!(bench.sent(), [later]);
}

#[test]
fn ed25519_is_offered_even_if_the_list_names_only_rsa() {
    let mut bench = Bench::new(vec![key(fake::ed25519(1))]);
    bench.client.ext_info(ServerExtensions {
        signature_algorithms: Some(vec![SignatureAlgorithm::RsaSha512]),
        hostbound: false,
    });
    bench.take(&failure("publickey", false)).unwrap();
    assert_eq!(bench.sent().len(), 1);
}

#[test]
fn keys_of_unknown_types_cannot_be_offered() {
    let mut dss = Vec::new();
    dss.put_string(b"ssh-dss");
    let mut huge = fake::ed25519(1);
    huge.resize(limits::KEY_BLOB + 1, 0);
    for blob in [dss, huge, Vec::new(), vec![0, 0, 0, 9]] {
        assert_eq!(OfferedKey::new(blob), None);
    }
    let mut certificate = Vec::new();
    certificate.put_string(b"ssh-rsa-cert-v01@openssh.com");
    assert_eq!(
        OfferedKey::new(certificate).unwrap().algorithms(),
        [KeyAlgorithm::RsaSha512Cert, KeyAlgorithm::RsaSha256Cert]
    );
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
    let mut bench = Bench::told(vec![Credential::Password], "password");
    let ClientEvent::Password { id, .. } = bench.event() else {
        panic!("a password is wanted");
    };
    bench
        .client
        .answer_password(id, Some(secret("old")), &mut bench.out)
        .unwrap();
    let mut change = vec![60];
    change.put_string(b"Expired. New password: ");
    change.put_string(b"");
    let mut long = change.clone();
    long.push(0);
    bench.take(&change).unwrap();
    assert_eq!(bench.failed().outcomes, [Outcome::ChangeWanted]);
    assert_eq!(code(bench.take(&long)), D2);
}

#[test]
fn answers_that_do_not_fit_are_not_taken() {
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive],
        "keyboard-interactive",
    );
    bench.sent();
    bench.take(&info_request(2, &["User: ", "Code: "])).unwrap();
    let ClientEvent::Prompts(question) = bench.event() else {
        panic!("answers are wanted");
    };
    assert_eq!(question.prompts.len(), 2);
    assert_eq!(question.prompts[1].text.as_str(), "Code: ");
    assert!(!question.prompts[1].echo);
    assert_eq!(question.name.as_str(), "name");
    let id = question.id;
    let stale = QuestionId(id.0 + 1);
    let (client, out) = (&mut bench.client, &mut bench.out);
    let two = || Some(vec![secret("anna"), secret("123")]);
    assert_eq!(
        client.answer_prompts(id, Some(vec![secret("one")]), out),
        Err(AnswerError::Count { wanted: 2 })
    );
    let long = secret(&"x".repeat(limits::KBDINT_TEXT + 1));
    assert_eq!(
        client.answer_prompts(id, Some(vec![secret("a"), long]), out),
        Err(AnswerError::Limit)
    );
    assert_eq!(
        client.answer_prompts(stale, two(), out),
        Err(AnswerError::NotOpen)
    );
    assert_eq!(
        client.answer_password(id, None, out),
        Err(AnswerError::NotOpen)
    );
    assert_eq!(
        client.answer_signature(id, None, out),
        Err(AnswerError::NotOpen)
    );
    assert!(out.is_empty());
    client.answer_prompts(id, two(), out).unwrap();
    assert_eq!(
        client.answer_prompts(id, two(), out),
        Err(AnswerError::NotOpen)
    );
    assert_eq!(bench.sent(), [answers(2, &[b"anna", b"123"])]);

    let mut bench = Bench::told(vec![Credential::Password], "password");
    let ClientEvent::Password { id, .. } = bench.event() else {
        panic!("a password is wanted");
    };
    let long = secret(&"x".repeat(limits::PASSWORD + 1));
    assert_eq!(
        bench.client.answer_password(id, Some(long), &mut bench.out),
        Err(AnswerError::Limit)
    );
}

#[test]
fn kbdint_table() {
    let long = "x".repeat(limits::KBDINT_TEXT + 1);
    let nine = ["x"; 9];
    for (payload, expected) in [
        (info_request(1, &["Code: "]), None),
        (info_request(8, &nine[..8]), None),
        (info_request(0, &[]), None),
        (info_request(9, &nine), D2),
        (info_request(u32::MAX, &[]), D2),
        (info_request(2, &["x"]), D2),
        (info_request(1, &["x", "y"]), D2),
        (info_request(1, &[&long]), D2),
    ] {
        let methods = "keyboard-interactive";
        let mut bench = Bench::told(vec![Credential::KeyboardInteractive], methods);
        assert_eq!(code(bench.take(&payload)), expected, "{payload:?}");
    }
}

#[test]
fn questions_without_prompts_are_answered_at_once() {
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive],
        "keyboard-interactive",
    );
    bench.sent();
    bench.take(&info_request(0, &[])).unwrap();
    assert_eq!(bench.sent(), [answers(0, &[])]);
    let ClientEvent::Banner(said) = bench.event() else {
        panic!("what the server says is passed on");
    };
    let said: Vec<_> = said.iter().map(Printable::as_str).collect();
    assert_eq!(said, ["name", "instruction"]);
    bench.take(&[52]).unwrap();
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
fn client_auth_loop_ends() {
    // Banners by number and by size.
    let mut bench = Bench::new(Vec::new());
    for _ in 0..limits::BANNERS {
        bench.take(&banner(b"hello")).unwrap();
    }
    assert_eq!(code(bench.take(&banner(b"hello"))), D2);
    let mut bench = Bench::new(Vec::new());
    bench.take(&banner(&[b'x'; limits::BANNER_BYTES])).unwrap();
    assert_eq!(code(bench.take(&banner(b"x"))), D2);

    // Questions.
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive],
        "keyboard-interactive",
    );
    for _ in 0..limits::KBDINT_ROUNDS {
        bench.take(&info_request(0, &[])).unwrap();
    }
    assert_eq!(code(bench.take(&info_request(0, &[]))), D2);

    // Partial successes: every credential is tried once.
    let mut bench = Bench::told(
        vec![Credential::KeyboardInteractive; 3],
        "keyboard-interactive",
    );
    for _ in 0..3 {
        assert_eq!(bench.sent(), [dialog_request("anna")]);
        bench.take(&failure("keyboard-interactive", true)).unwrap();
    }
    assert!(bench.sent().is_empty());
    assert_eq!(bench.failed().outcomes, [Outcome::Accepted; 3]);

    // Requests, however many credentials there are.
    let mut bench = Bench::new(vec![Credential::KeyboardInteractive; 100]);
    let mut requests = 1;
    while bench.client.progress() == Progress::WaitingForServer {
        bench.take(&failure("keyboard-interactive", true)).unwrap();
        requests += bench.sent().len();
    }
    assert_eq!(requests, 64);
    assert!(bench.failed().is_cut_short);
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

/// A message of a server, most of them nearly right.
fn any_message() -> impl Strategy<Value = Vec<u8>> {
    let blob = fake::ed25519(1);
    let all = "publickey,password,keyboard-interactive";
    let seed = prop_oneof![
        Just(failure(all, false)),
        Just(failure(all, true)),
        Just(failure("password", false)),
        Just(banner(b"hello")),
        Just(info_request(1, &["Code: "])),
        Just(info_request(0, &[])),
        Just(pk_ok("ssh-ed25519", &blob)),
        proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let change = proptest::option::weighted(0.05, (any::<prop::sample::Index>(), any::<u8>()));
    (seed, change).prop_map(|(mut payload, change)| {
        if let Some((index, byte)) = change
            && !payload.is_empty()
        {
            let index = index.index(payload.len());
            payload[index] = byte;
        }
        payload
    })
}

proptest! {
    #[test]
    fn whatever_a_server_sends_the_login_ends_within_its_limits(
        messages in proptest::collection::vec(any_message(), 1..300),
    ) {
        let mut credentials = vec![key(fake::ed25519(1)); 30];
        credentials.extend(vec![Credential::Password; 30]);
        credentials.extend(vec![Credential::KeyboardInteractive; 30]);
        let mut bench = Bench::new(credentials);
        let mut requests = 1_usize;
        for payload in messages {
            if bench.take(&payload).is_err() {
                break;
            }
            while let Some(event) = bench.client.poll_event() {
                let (client, out) = (&mut bench.client, &mut bench.out);
                let answered = match event {
                    ClientEvent::Sign(question) => {
                        let algorithm = question.algorithm.signature();
                        let signature = fake::sign(b"", algorithm, &question.data);
                        client.answer_signature(question.id, Some(&signature), out)
                    }
                    ClientEvent::Password { id, .. } => {
                        client.answer_password(id, Some(secret("x")), out)
                    }
                    ClientEvent::Prompts(question) => {
                        let answers = question.prompts.iter().map(|_| secret("x")).collect();
                        client.answer_prompts(question.id, Some(answers), out)
                    }
                    ClientEvent::Banner(_) | ClientEvent::Succeeded | ClientEvent::Failed(_) => {
                        Ok(())
                    }
                };
                prop_assert_eq!(answered, Ok(()));
            }
            for payload in bench.sent() {
                if payload[0] == message::USERAUTH_REQUEST {
                    prop_assert_ne!(method_of(&payload), METHOD_NONE);
                    requests = requests.saturating_add(1);
                }
            }
            prop_assert!(requests <= 64);
            prop_assert!(bench.client.banners <= limits::BANNERS);
        }
    }
}
