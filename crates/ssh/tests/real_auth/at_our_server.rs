//! The real ssh at our server.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use adit_ssh::algorithm::SignatureAlgorithm;
use adit_ssh::auth::Method;
use adit_ssh::auth::server::{
    Claim, DelaySecret, KeyVerdict, LoginVerdict, SecurityKeyRules, ServerLogin, ServerPrompt,
    ServerPrompts, ServerQuestion,
};
use adit_ssh::block::Pool;
use adit_ssh::certificate::{Certificate, Question, Wanted};
use adit_ssh::connection::{ServerConfig, TransportConfig};
use adit_ssh::error::ConnectionError;
use adit_ssh::kex::HostKey;
use adit_ssh::key::PublicKey;
use adit_ssh::provider::aws_lc;
use adit_ssh::{Connection, Event};
use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::process::Process;
use adit_testkit::{real, require};

use crate::end::{End, now};

/// Who may come in.
#[derive(Default)]
struct Policy {
    keys: Vec<Vec<u8>>,
    /// Who may sign certificates for the user.
    authorities: Vec<PublicKey>,
    /// Wrong answers before the right one is taken.
    refusals: usize,
    /// Methods that must succeed, one after the other.
    chain: Vec<Method>,
}

/// What a client did until it was in.
#[derive(Default, Debug)]
struct Seen {
    user: String,
    claims: Vec<&'static str>,
}

/// Lets a stock ssh come in with these options.
fn serve(
    mut policy: Policy,
    folder: &Path,
    options: &[&str],
) -> (Result<(), ConnectionError>, Seen, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut ssh = Process::spawn(
        Command::new(real::find("ssh").unwrap())
            .args(["-F", "none", "-N", "-o", "StrictHostKeyChecking=no"])
            .args([
                "-o",
                "UserKnownHostsFile=/dev/null",
                "-o",
                "IdentityAgent=none",
            ])
            .args(["-o", "IdentitiesOnly=yes", "-v", "-p", &port.to_string()])
            .args(options)
            .args(["-o", "IdentityFile=none", "anna@127.0.0.1"])
            .env_remove("SSH_AUTH_SOCK")
            .env("SSH_ASKPASS", folder.join("askpass"))
            .env("SSH_ASKPASS_REQUIRE", "force"),
    );
    let (stream, _) = listener.accept().unwrap();
    let provider = Arc::new(aws_lc::provider());
    let host_key = aws_lc::sign::ed25519(&[9; 32]).unwrap();
    let config = ServerConfig {
        transport: TransportConfig::server(Arc::clone(&provider), Pool::new(16)),
        host_keys: Arc::new([HostKey::plain(host_key)]),
        login: ServerLogin {
            methods: policy
                .chain
                .first()
                .map_or_else(|| Method::ALL.to_vec(), |first| vec![*first]),
            banner: Some("Welcome, stranger.\r\n".to_owned()),
            signature_algorithms: SignatureAlgorithm::ALL.to_vec(),
            anonymous: false,
        },
        delay_secret: DelaySecret::generate(provider.random.as_ref()).unwrap(),
    };
    let mut end = End::new(Connection::server(&config, now()), stream);
    let mut seen = Seen::default();
    let ended = loop {
        match end.next_event() {
            Ok(Event::Admission(question)) => policy.answer(&mut end, question, &mut seen),
            Ok(Event::Authenticated) => break end.flush(),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
    };
    if ended.is_ok() {
        ssh.wait_for_text("Authenticated to 127.0.0.1");
    } else {
        ssh.wait(adit_testkit::wait::DEADLINE);
    }
    (ended, seen, ssh.stderr())
}

impl Policy {
    fn answer(&mut self, end: &mut End, question: ServerQuestion, seen: &mut Seen) {
        let (connection, id) = (&mut end.connection, question.id);
        seen.user = question.user;
        let (claim, is_good) = match question.claim {
            Claim::Key(key) => {
                seen.claims.push("key");
                let is_certified = key
                    .certificate
                    .as_deref()
                    .is_some_and(|certificate| self.certifies(certificate, &seen.user));
                let verdict = if is_certified || self.keys.contains(&key.blob) {
                    KeyVerdict::Authorised(SecurityKeyRules::STANDARD)
                } else {
                    KeyVerdict::Refused
                };
                return connection.answer_key(id, verdict, now()).unwrap();
            }
            Claim::Dialog => {
                seen.claims.push("dialog");
                let prompts = ServerPrompts {
                    name: "Second factor".to_owned(),
                    instruction: String::new(),
                    prompts: vec![
                        ServerPrompt {
                            text: "Code: ".to_owned(),
                            echo: true,
                        };
                        2
                    ],
                };
                return connection.ask_prompts(id, &prompts, now()).unwrap();
            }
            Claim::ProvedKey { .. } => ("proved key", true),
            Claim::Password(password) => ("password", password.expose() == "hunter2"),
            Claim::Answers(answers) => (
                "answers",
                answers.len() == 2 && answers.iter().all(|answer| answer.expose() == "hunter2"),
            ),
            _ => ("nothing", false),
        };
        seen.claims.push(claim);
        let verdict = if !is_good || self.refusals > 0 {
            self.refusals = self.refusals.saturating_sub(1);
            LoginVerdict::Reject
        } else if self.chain.len() > 1 {
            self.chain.remove(0);
            LoginVerdict::Partial {
                remaining: vec![self.chain[0]],
            }
        } else {
            LoginVerdict::Accept
        };
        connection.answer_login(id, verdict, now()).unwrap();
    }
}

impl Policy {
    fn certifies(&self, certificate: &Certificate, user: &str) -> bool {
        let question = Question {
            authorities: &self.authorities,
            is_revoked: &|_| false,
            wanted: Wanted::Login {
                principals: &[user],
                source: None,
            },
            now: certificate.valid_after(),
        };
        let verifier = aws_lc::provider().verifier;
        certificate.check(verifier.as_ref(), &question).is_ok()
    }
}

/// A folder with a program that knows the password.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let askpass = folder.path().join("askpass");
    std::fs::write(&askpass, "#!/bin/sh\necho hunter2\n").unwrap();
    std::fs::set_permissions(&askpass, std::fs::Permissions::from_mode(0o700)).unwrap();
    folder
}

fn blob(key: &KeyPair) -> Vec<u8> {
    let key = PublicKey::from_openssh_text(key.public_key()).unwrap();
    key.blob().to_vec()
}

#[test]
fn keys_of_every_kind_log_in() {
    require!("ssh", "ssh-keygen");
    for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa3072] {
        let folder = folder();
        let stranger = KeyPair::generate(folder.path(), "stranger", KeyKind::Ed25519);
        let key = KeyPair::generate(folder.path(), "key", kind);
        let policy = Policy {
            keys: vec![blob(&key)],
            ..Policy::default()
        };
        let paths = [&stranger, &key].map(|key| key.private_path().display().to_string());
        let options = ["-i", &paths[0], "-i", &paths[1]];
        let (ended, seen, said) = serve(policy, folder.path(), &options);
        assert_eq!(ended, Ok(()), "{said}");
        assert_eq!(seen.user, "anna");
        assert_eq!(seen.claims, ["key", "key", "key", "proved key"]);
        assert!(said.contains("Welcome, stranger."), "{said}");
        assert!(
            said.contains("publickey-hostbound@openssh.com=<0>"),
            "{said}"
        );
    }
}

#[test]
fn certificates_log_in() {
    require!("ssh", "ssh-keygen");
    for (kind, principal) in [
        (KeyKind::Ed25519, "anna"),
        (KeyKind::EcdsaP256, "anna"),
        (KeyKind::Rsa3072, "anna"),
        (KeyKind::Ed25519, "otto"),
    ] {
        let folder = folder();
        let authority = KeyPair::generate(folder.path(), "authority", KeyKind::Ed25519);
        let key = KeyPair::generate(folder.path(), "key", kind);
        authority.certify(&key.public_path(), &["-I", "id", "-n", principal]);
        let policy = Policy {
            authorities: vec![PublicKey::from_openssh_text(authority.public_key()).unwrap()],
            ..Policy::default()
        };
        let path = key.private_path().display().to_string();
        let options = ["-i", &path, "-o", "PreferredAuthentications=publickey"];
        let (ended, seen, said) = serve(policy, folder.path(), &options);
        if principal == "anna" {
            assert_eq!(ended, Ok(()), "{said}");
            assert_eq!(seen.claims.last(), Some(&"proved key"));
        } else {
            assert!(ended.is_err());
        }
    }
}

#[test]
fn passwords_and_dialogs_log_in() {
    require!("ssh");
    for (method, claims) in [
        ("password", ["password", "password"].as_slice()),
        (
            "keyboard-interactive",
            &["dialog", "answers", "dialog", "answers"],
        ),
    ] {
        let folder = folder();
        let policy = Policy {
            refusals: 1,
            ..Policy::default()
        };
        let option = format!("PreferredAuthentications={method}");
        let (ended, seen, said) = serve(policy, folder.path(), &["-o", &option]);
        assert_eq!(ended, Ok(()), "{said}");
        assert_eq!(seen.claims, claims);
    }
}

#[test]
fn a_chain_of_methods_logs_in() {
    require!("ssh", "ssh-keygen");
    let folder = folder();
    let key = KeyPair::generate(folder.path(), "key", KeyKind::Ed25519);
    let policy = Policy {
        keys: vec![blob(&key)],
        chain: vec![
            Method::PublicKey,
            Method::KeyboardInteractive,
            Method::Password,
        ],
        ..Policy::default()
    };
    let path = key.private_path().display().to_string();
    let (ended, seen, said) = serve(policy, folder.path(), &["-i", &path]);
    assert_eq!(ended, Ok(()), "{said}");
    assert_eq!(
        seen.claims,
        ["key", "key", "proved key", "dialog", "answers", "password"]
    );
}

#[test]
fn a_client_that_knows_nothing_is_told_what_it_could_try() {
    require!("ssh");
    let folder = folder();
    let policy = Policy {
        refusals: usize::MAX,
        ..Policy::default()
    };
    let option = "PreferredAuthentications=password";
    let (ended, seen, said) = serve(policy, folder.path(), &["-o", option]);
    assert!(ended.is_err());
    assert_eq!(seen.claims, ["password"; 3]);
    let told = "Permission denied (publickey,password,keyboard-interactive).";
    assert!(said.contains(told), "{said}");
}
