//! The login of both sides, with an owner that answers as the input says.
#![no_main]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use adit_fuzz::{client, server, start, steps};
use adit_ssh::auth::Outbox;
use adit_ssh::auth::client::{ClientAuth, ClientEvent};
use adit_ssh::auth::server::{
    Claim, KeyVerdict, LoginVerdict, SecurityKeyRules, ServerAuth, ServerPrompt, ServerPrompts,
};
use adit_ssh::block::Pool;
use adit_ssh::provider::{CryptoProvider, aws_lc};
use adit_ssh::secret::Secret;
use libfuzzer_sys::fuzz_target;

static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| Arc::new(aws_lc::provider()));

fuzz_target!(|input: &[u8]| {
    let Some((role, input)) = input.split_first() else {
        return;
    };
    if role & 1 == 0 {
        as_client(input);
    } else {
        as_server(input);
    }
});

fn as_client(input: &[u8]) {
    let config = client(&PROVIDER, &Pool::new(1));
    let mut login = ClientAuth::new(config.login, &[7; 32], b"host key");
    let mut out = Outbox::new();
    login.start(&mut out);
    for (action, payload) in steps(input) {
        if payload.is_empty() || login.receive(payload, &mut out).is_err() {
            return;
        }
        while let Some(event) = login.poll_event() {
            match event {
                ClientEvent::Sign(question) => {
                    let signature = (action & 1 == 0).then_some(payload);
                    login
                        .answer_signature(question.id, signature, &mut out)
                        .ok();
                }
                ClientEvent::Password { id, .. } => {
                    let password = (action & 1 == 0).then(|| Secret::new("word".to_owned()));
                    login.answer_password(id, password, &mut out).ok();
                }
                ClientEvent::Prompts(question) => {
                    let answers = question.prompts.iter().map(|_| Secret::new(String::new()));
                    let answers = (action & 1 == 0).then(|| answers.collect());
                    login.answer_prompts(question.id, answers, &mut out).ok();
                }
                _ => {}
            }
        }
        while out.pop().is_some() {}
    }
}

fn as_server(input: &[u8]) {
    let config = server(&PROVIDER, &Pool::new(1));
    let verifier = Arc::clone(&PROVIDER.verifier);
    let mut login = ServerAuth::new(
        config.login,
        &[7; 32],
        b"host key",
        config.delay_secret,
        verifier,
    );
    let mut out = Outbox::new();
    let mut now = start();
    for (action, payload) in steps(input) {
        now += Duration::from_millis(u64::from(action));
        if login.handle_timeout(now, &mut out).is_err()
            || payload.is_empty()
            || login.receive(now, payload, &mut out).is_err()
        {
            return;
        }
        while let Some(question) = login.poll_question() {
            let id = question.id;
            let answered = match question.claim {
                Claim::Key(_) if action & 1 == 0 => {
                    let verdict = KeyVerdict::Authorised(SecurityKeyRules::STANDARD);
                    login.answer_key(id, verdict, now, &mut out)
                }
                Claim::Key(_) => login.answer_key(id, KeyVerdict::Refused, now, &mut out),
                Claim::Dialog { .. } | Claim::Answers(_) if action & 1 == 0 => {
                    let prompts = ServerPrompts {
                        name: "title".to_owned(),
                        instruction: String::new(),
                        prompts: vec![ServerPrompt {
                            text: "code: ".to_owned(),
                            echo: false,
                        }],
                    };
                    login.answer_prompts(id, &prompts, now, &mut out)
                }
                _ => login.answer_login(id, LoginVerdict::Reject, now, &mut out),
            };
            if answered.is_err() {
                return;
            }
        }
        while out.pop().is_some() {}
    }
}
