//! What may be printed of a connection: never a password, an answer or a key.

#![expect(clippy::wildcard_enum_match_arm, reason = "this is a test")]

mod support;

use std::fmt::Write as _;

use adit_ssh::Event;
use adit_ssh::auth::Method;
use adit_ssh::auth::client::{ClientEvent, Credential};
use adit_ssh::auth::server::{Claim, LoginVerdict, ServerPrompt, ServerPrompts};
use adit_ssh::secret::Secret;
use support::Pair;

const PASSWORD: &str = "correct horse";
const ANSWER: &str = "battery staple";

/// A login by password, which is not enough, and then by an answer. Everything that has a debug
/// form on the way is written down.
#[test]
fn s111_trace_log_has_no_secret() {
    let mut log = String::new();
    let mut pair = Pair::with(
        |client| {
            client.login.credentials = vec![Credential::Password, Credential::KeyboardInteractive];
            write!(log, "{client:?}").unwrap();
        },
        |server| server.login.methods = vec![Method::Password, Method::KeyboardInteractive],
    );
    let mut is_in = [false; 2];
    for _ in 0..50 {
        pair.client.flush(pair.now, 262_144);
        pair.carry_up();
        pair.server.flush(pair.now, 262_144);
        pair.carry_down();
        write!(
            log,
            "{:?} {:?}",
            pair.client.connection, pair.server.connection
        )
        .unwrap();
        while let Some(event) = pair.client.connection.poll_event() {
            write!(log, "{event:?}").unwrap();
            match event {
                Event::HostKey(_) => {
                    pair.client.connection.trust_host();
                    pair.client.hear(pair.now, []);
                }
                Event::Login(ClientEvent::Password { id, .. }) => {
                    let password = Secret::new(PASSWORD.to_owned());
                    let connection = &mut pair.client.connection;
                    connection.answer_password(id, Some(password)).unwrap();
                }
                Event::Login(ClientEvent::Prompts(question)) => {
                    let answers = vec![Secret::new(ANSWER.to_owned())];
                    let connection = &mut pair.client.connection;
                    connection
                        .answer_prompts(question.id, Some(answers))
                        .unwrap();
                }
                Event::Authenticated => is_in[0] = true,
                _ => {}
            }
        }
        let now = pair.now;
        while let Some(event) = pair.server.connection.poll_event() {
            write!(log, "{event:?}").unwrap();
            let connection = &mut pair.server.connection;
            match event {
                Event::Admission(question) => match question.claim {
                    Claim::Password(password) => {
                        assert_eq!(password.expose(), PASSWORD);
                        let remaining = vec![Method::KeyboardInteractive];
                        let verdict = LoginVerdict::Partial { remaining };
                        connection.answer_login(question.id, verdict, now).unwrap();
                    }
                    Claim::Dialog => {
                        let prompts = ServerPrompts {
                            prompts: vec![ServerPrompt {
                                text: "which".to_owned(),
                                echo: false,
                            }],
                            ..ServerPrompts::default()
                        };
                        connection.ask_prompts(question.id, &prompts, now).unwrap();
                    }
                    Claim::Answers(answers) => {
                        assert_eq!(answers[0].expose(), ANSWER);
                        let verdict = LoginVerdict::Accept;
                        connection.answer_login(question.id, verdict, now).unwrap();
                    }
                    other => {
                        let verdict = LoginVerdict::Reject;
                        assert!(!matches!(other, Claim::ProvedKey { .. }));
                        connection.answer_login(question.id, verdict, now).unwrap();
                    }
                },
                Event::Authenticated => is_in[1] = true,
                _ => {}
            }
        }
        pair.advance(std::time::Duration::from_millis(10));
    }
    assert_eq!(
        is_in, [true; 2],
        "{:?} {:?}",
        pair.client.error, pair.server.error
    );
    assert!(log.len() > 1_000);
    for secret in [PASSWORD, ANSWER] {
        tells_nothing_of(&log, secret);
    }
}

/// Neither as text nor as bytes, in decimal or in hexadecimal.
fn tells_nothing_of(log: &str, secret: &str) {
    assert!(!log.contains(secret), "{log}");
    let bytes: Vec<u8> = secret.bytes().take(4).collect();
    let decimal = format!("{bytes:?}");
    assert!(!log.contains(decimal.trim_matches(['[', ']'])), "{log}");
    let hexadecimal = bytes
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    assert!(!log.contains(&hexadecimal), "{log}");
}
