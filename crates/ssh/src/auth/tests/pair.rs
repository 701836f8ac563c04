//! A client and a server against each other, in virtual time.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::fake::{self, HOST_KEY, SESSION, dawn, delay_secret, method_of, open_login, sent};
use crate::algorithm::SignatureAlgorithm;
use crate::auth::client::{
    ClientAuth, ClientEvent, ClientLogin, Credential, LoginFailure, OfferedKey, Outcome,
    ServerExtensions,
};
use crate::auth::server::{
    Claim, KeyVerdict, LoginVerdict, SecurityKeyRules, ServerAuth, ServerLogin, ServerPrompt,
    ServerPrompts, ServerQuestion,
};
use crate::auth::{AnswerError, Method, Outbox, QuestionId};
use crate::error::Violation;
use crate::message;
use crate::secret::Secret;

const AUTHORISED: KeyVerdict = KeyVerdict::Authorised(SecurityKeyRules::STANDARD);

/// Who may log in at the server, and how.
struct Policy {
    user: &'static str,
    keys: Vec<Vec<u8>>,
    password: &'static str,
    /// What is asked, and what must be answered, a round each.
    dialog: Vec<(&'static str, &'static str)>,
    /// Methods that must all succeed, in this order; none means that any one is enough.
    chain: Vec<Method>,
    /// How long a decision takes.
    thinks: Duration,
}

impl Policy {
    fn new() -> Self {
        Self {
            user: "anna",
            keys: vec![fake::ed25519(1), fake::rsa(1)],
            password: "hunter2",
            dialog: vec![("Colour: ", "green"), ("Code: ", "1234")],
            chain: Vec::new(),
            thinks: Duration::ZERO,
        }
    }

    fn verdict(&mut self, is_good: bool) -> LoginVerdict {
        if !is_good {
            return LoginVerdict::Reject;
        }
        if self.chain.len() > 1 {
            self.chain.remove(0);
            return LoginVerdict::Partial {
                remaining: vec![self.chain[0]],
            };
        }
        LoginVerdict::Accept
    }
}

/// What the client's owner has.
struct Owner {
    /// By credential; empty where that is no key.
    keys: Vec<Vec<u8>>,
    password: Option<&'static str>,
    answers: Vec<&'static str>,
}

/// One message, and when it was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Sent {
    is_server: bool,
    at: Duration,
    payload: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
enum End {
    LoggedIn,
    Failed(LoginFailure),
    Server(Violation),
    Client(Violation),
}

struct Pair {
    client: ClientAuth,
    server: ServerAuth,
    policy: Policy,
    owner: Owner,
    /// The server's rounds of the dialog so far.
    round: usize,
    began: Instant,
    now: Instant,
    log: Vec<Sent>,
}

impl Pair {
    fn new(user: &str, credentials: Vec<Credential>, policy: Policy, login: ServerLogin) -> Self {
        let keys = credentials
            .iter()
            .map(|credential| {
                if let Credential::Key(key) = credential {
                    key.blob().to_vec()
                } else {
                    Vec::new()
                }
            })
            .collect();
        let began = dawn();
        Self {
            client: ClientAuth::new(
                ClientLogin {
                    user: user.to_owned(),
                    credentials,
                },
                SESSION,
                HOST_KEY,
            ),
            server: fake::server(login).0,
            policy,
            owner: Owner {
                keys,
                password: Some("hunter2"),
                answers: vec!["green", "1234"],
            },
            round: 0,
            began,
            now: began,
            log: Vec::new(),
        }
    }

    /// Lets the two talk until the login has an end.
    fn run(&mut self) -> End {
        let (mut up, mut down) = (Outbox::new(), Outbox::new());
        self.client.start(&mut up);
        for _ in 0..10_000 {
            if let Some(end) = self.client_events(&mut up) {
                return end;
            }
            let to_server = sent(&mut up);
            for payload in &to_server {
                self.note(false, payload);
                if let Err(violation) = self.server.receive(self.now, payload, &mut down) {
                    return End::Server(violation);
                }
            }
            if let Err(violation) = self.decide(&mut down) {
                return End::Server(violation);
            }
            let to_client = sent(&mut down);
            for payload in &to_client {
                self.note(true, payload);
                if let Err(violation) = self.client.receive(payload, &mut up) {
                    return End::Client(violation);
                }
            }
            if to_server.is_empty()
                && to_client.is_empty()
                && let Some(deadline) = self.server.next_deadline()
            {
                self.now = self.now.max(deadline);
                if let Err(violation) = self.server.handle_timeout(self.now, &mut down) {
                    return End::Server(violation);
                }
            }
        }
        panic!("the login has no end");
    }

    fn note(&mut self, is_server: bool, payload: &[u8]) {
        self.log.push(Sent {
            is_server,
            at: self.now.duration_since(self.began),
            payload: payload.to_vec(),
        });
    }

    fn client_events(&mut self, up: &mut Outbox) -> Option<End> {
        while let Some(event) = self.client.poll_event() {
            let answered = match event {
                ClientEvent::Sign(question) => {
                    let key = &self.owner.keys[question.credential];
                    let signature = fake::sign(key, question.algorithm.signature(), &question.data);
                    self.client
                        .answer_signature(question.id, Some(&signature), up)
                }
                ClientEvent::Password { id, .. } => {
                    let password = self.owner.password.map(|text| Secret::new(text.to_owned()));
                    self.client.answer_password(id, password, up)
                }
                ClientEvent::Prompts(question) => {
                    let answer = if question.prompts[0].text.as_str() == "Colour: " {
                        self.owner.answers[0]
                    } else {
                        self.owner.answers[1]
                    };
                    let answers = vec![Secret::new(answer.to_owned())];
                    self.client.answer_prompts(question.id, Some(answers), up)
                }
                ClientEvent::Banner(_) => Ok(()),
                ClientEvent::Succeeded => {
                    assert!(self.server.has_succeeded());
                    return Some(End::LoggedIn);
                }
                ClientEvent::Failed(failure) => return Some(End::Failed(failure)),
            };
            assert_eq!(answered, Ok(()));
        }
        None
    }

    fn decide(&mut self, down: &mut Outbox) -> Result<(), Violation> {
        while let Some(question) = self.server.poll_question() {
            self.now = self.now.checked_add(self.policy.thinks).unwrap();
            match self.answer(question, down) {
                Ok(()) => {}
                Err(AnswerError::Peer(violation)) => return Err(violation),
                Err(error) => panic!("{error}"),
            }
        }
        Ok(())
    }

    fn answer(&mut self, question: ServerQuestion, down: &mut Outbox) -> Result<(), AnswerError> {
        let (now, id) = (self.now, question.id);
        let is_known = question.user == self.policy.user;
        let method = match question.claim {
            Claim::Key(_) | Claim::ProvedKey { .. } => Some(Method::PublicKey),
            Claim::Password(_) => Some(Method::Password),
            Claim::Dialog | Claim::Answers(_) => Some(Method::KeyboardInteractive),
            Claim::Nothing => None,
        };
        let is_its_turn = self
            .policy
            .chain
            .first()
            .is_none_or(|first| Some(*first) == method);
        let is_good = match question.claim {
            Claim::Key(key) => {
                let verdict = if is_known && is_its_turn && self.policy.keys.contains(&key.blob) {
                    AUTHORISED
                } else {
                    KeyVerdict::Refused
                };
                return self.server.answer_key(id, verdict, now, down);
            }
            Claim::ProvedKey { key, .. } => self.policy.keys.contains(&key.blob),
            Claim::Password(password) => password.expose() == self.policy.password,
            Claim::Nothing => true,
            Claim::Dialog => {
                self.round = 0;
                return self.prompt(id, down);
            }
            Claim::Answers(answers) => {
                let wanted = self.policy.dialog[self.round].1;
                let is_good = is_known && answers[0].expose() == wanted;
                self.round = self.round.saturating_add(1);
                if is_good && self.round < self.policy.dialog.len() {
                    return self.prompt(id, down);
                }
                is_good
            }
        };
        let verdict = self.policy.verdict(is_known && is_its_turn && is_good);
        self.server.answer_login(id, verdict, now, down)
    }

    fn prompt(&mut self, id: QuestionId, down: &mut Outbox) -> Result<(), AnswerError> {
        let prompts = ServerPrompts {
            prompts: vec![ServerPrompt {
                text: self.policy.dialog[self.round].0.to_owned(),
                echo: true,
            }],
            ..ServerPrompts::default()
        };
        self.server.answer_prompts(id, &prompts, self.now, down)
    }

    /// The methods that the client asked for, in order.
    fn asked(&self) -> Vec<String> {
        self.log
            .iter()
            .filter(|sent| sent.payload[0] == message::USERAUTH_REQUEST)
            .map(|sent| method_of(&sent.payload))
            .collect()
    }
}

fn key(blob: Vec<u8>) -> Credential {
    Credential::Key(OfferedKey::new(blob).unwrap())
}

fn pair(credentials: Vec<Credential>) -> Pair {
    Pair::new("anna", credentials, Policy::new(), open_login())
}

#[test]
fn every_method_logs_in() {
    for (credential, asked) in [
        (
            key(fake::ed25519(1)),
            &["none", "publickey", "publickey"][..],
        ),
        (key(fake::rsa(1)), &["none", "publickey", "publickey"]),
        (Credential::Password, &["none", "password"]),
        (
            Credential::KeyboardInteractive,
            &["none", "keyboard-interactive"],
        ),
    ] {
        let mut pair = pair(vec![credential]);
        assert_eq!(pair.run(), End::LoggedIn, "{asked:?}");
        assert_eq!(pair.asked(), asked);
        assert_eq!(pair.now, pair.began, "a good login does not wait");
    }
}

#[test]
fn a_login_that_claims_nothing_passes_where_it_is_allowed() {
    let mut login = open_login();
    login.anonymous = true;
    let mut pair = Pair::new("anna", Vec::new(), Policy::new(), login);
    assert_eq!(pair.run(), End::LoggedIn);
}

#[test]
fn keys_are_bound_to_the_host_key_where_the_server_announces_it() {
    for blob in [fake::ed25519(1), fake::rsa(1)] {
        let mut pair = pair(vec![key(blob)]);
        pair.client.ext_info(ServerExtensions {
            signature_algorithms: Some(vec![
                SignatureAlgorithm::Ed25519,
                SignatureAlgorithm::RsaSha256,
            ]),
            hostbound: true,
        });
        assert_eq!(pair.run(), End::LoggedIn);
        assert_eq!(
            pair.asked(),
            ["none", "publickey", "publickey-hostbound-v00@openssh.com"]
        );
    }
}

#[test]
fn a_login_to_a_server_in_the_middle_is_no_login_elsewhere() {
    let mut pair = pair(vec![key(fake::ed25519(1))]);
    pair.client.ext_info(ServerExtensions {
        signature_algorithms: None,
        hostbound: true,
    });
    let login = open_login();
    let verifier = std::sync::Arc::new(fake::Notary::default());
    pair.server = ServerAuth::new(login, SESSION, b"another", delay_secret(1), verifier);
    assert_eq!(
        pair.run(),
        End::Server(Violation::protocol("login is bound to another host key"))
    );
}

#[test]
fn partial_successes_add_up() {
    use Method::{KeyboardInteractive, Password, PublicKey};
    for chain in [
        vec![PublicKey, Password],
        vec![Password, PublicKey],
        vec![PublicKey, PublicKey],
        vec![KeyboardInteractive, PublicKey, Password],
        vec![Password, PublicKey, PublicKey, KeyboardInteractive],
    ] {
        let credentials = vec![
            Credential::KeyboardInteractive,
            Credential::Password,
            key(fake::ed25519(1)),
            key(fake::rsa(1)),
        ];
        // As sshd's AuthenticationMethods: only the first of the chain is offered at first.
        let mut login = open_login();
        login.methods = vec![chain[0]];
        let mut policy = Policy::new();
        policy.chain.clone_from(&chain);
        let mut pair = Pair::new("anna", credentials, policy, login);
        assert_eq!(pair.run(), End::LoggedIn, "{chain:?}");
        assert_eq!(pair.now, pair.began, "no step was refused");
    }
}

#[test]
fn the_right_key_is_found_among_wrong_ones() {
    let mut credentials: Vec<_> = (10..25).map(|number| key(fake::ed25519(number))).collect();
    credentials.push(key(fake::ed25519(1)));
    let mut pair = pair(credentials);
    assert_eq!(pair.run(), End::LoggedIn);
}

#[test]
fn a_login_that_fails_says_what_was_tried() {
    let mut pair = pair(vec![key(fake::ed25519(9)), Credential::Password]);
    pair.owner.password = Some("wrong");
    let End::Failed(failure) = pair.run() else {
        panic!("it fails");
    };
    assert_eq!(failure.outcomes, [Outcome::KeyRefused, Outcome::Refused]);
    assert_eq!(failure.methods.len(), 3);
}

#[test]
fn too_many_wrong_passwords_end_the_connection() {
    let mut pair = pair(vec![Credential::Password; 10]);
    pair.owner.password = Some("wrong");
    let End::Server(violation) = pair.run() else {
        panic!("the server ends it");
    };
    assert_eq!(violation.code.number(), 14);
    assert_eq!(pair.asked().len(), 7);
}

/// What the server says and when, for one credential that does not pass.
fn refusal(user: &'static str, credential: Credential, thinks: Duration) -> Vec<Sent> {
    let mut policy = Policy::new();
    // Known: there is such a user, with other secrets. Unknown: there is none.
    policy.user = user;
    policy.keys = vec![fake::ed25519(2)];
    policy.password = "other";
    policy.dialog = vec![("Colour: ", "blue")];
    policy.thinks = thinks;
    let mut pair = Pair::new("anna", vec![credential], policy, open_login());
    assert!(matches!(pair.run(), End::Failed(_)));
    pair.log.retain(|sent| sent.is_server);
    pair.log
}

/// Everything that can be refused.
fn refusable() -> [Credential; 4] {
    [
        key(fake::ed25519(1)),
        key(fake::rsa(1)),
        Credential::Password,
        Credential::KeyboardInteractive,
    ]
}

#[test]
fn unknown_user_same_bytes() {
    let bytes = |log: Vec<Sent>| -> Vec<_> { log.into_iter().map(|sent| sent.payload).collect() };
    for credential in refusable() {
        let known = refusal("anna", credential.clone(), Duration::ZERO);
        let unknown = refusal("otto", credential, Duration::ZERO);
        assert_eq!(bytes(known), bytes(unknown));
    }
}

#[test]
fn unknown_user_same_virtual_time() {
    let times = |log: &[Sent]| -> Vec<_> { log.iter().map(|sent| sent.at).collect() };
    for credential in refusable() {
        let known = times(&refusal("anna", credential.clone(), Duration::ZERO));
        let unknown = times(&refusal("otto", credential.clone(), Duration::ZERO));
        assert_eq!(known, unknown);
        assert!(*known.last().unwrap() >= Duration::from_millis(5));
        // Nor does it show how long the decision took, within the first delay. (Questions of a
        // dialog come when the owner has them.)
        if !matches!(credential, Credential::KeyboardInteractive) {
            let slow = times(&refusal("otto", credential, Duration::from_millis(2)));
            assert_eq!(known.last(), slow.last());
        }
    }
}

fn any_credential() -> impl Strategy<Value = Credential> {
    prop_oneof![
        (1..6_u8).prop_map(|number| key(fake::ed25519(number))),
        (1..6_u8).prop_map(|number| key(fake::rsa(number))),
        Just(Credential::Password),
        Just(Credential::KeyboardInteractive),
    ]
}

proptest! {
    #[test]
    fn every_login_has_an_end(
        credentials in proptest::collection::vec(any_credential(), 0..40),
        knows_password in any::<bool>(),
        methods in proptest::sample::subsequence(Method::ALL.to_vec(), 0..=3),
        chain in proptest::sample::subsequence(Method::ALL.to_vec(), 0..=3),
        hostbound in any::<bool>(),
    ) {
        let mut login = open_login();
        login.methods = methods;
        let mut policy = Policy::new();
        policy.chain = chain;
        let mut pair = Pair::new("anna", credentials, policy, login);
        if !knows_password {
            pair.owner.password = Some("wrong");
        }
        pair.client.ext_info(ServerExtensions { signature_algorithms: None, hostbound });
        let end = pair.run();
        prop_assert!(!matches!(end, End::Client(_)), "{end:?}");
        prop_assert!(pair.asked().len() <= 65);
    }
}
