//! Our client at a real sshd.

use std::net::TcpStream;
use std::sync::Arc;

use adit_ssh::auth::client::{
    ClientEvent, ClientLogin, Credential, LoginFailure, OfferedKey, Outcome,
};
use adit_ssh::block::Pool;
use adit_ssh::connection::{ClientConfig, TransportConfig};
use adit_ssh::printable::Printable;
use adit_ssh::provider::aws_lc;
use adit_ssh::secret::Secret;
use adit_ssh::ssh_agent::{Binding, Request, parse_binding, parse_identities, parse_signature};
use adit_ssh::{Connection, Event};
use adit_testkit::key_pair::KeyKind;
use adit_testkit::require;
use adit_testkit::sshd::Sshd;

use crate::agent::Agent;
use crate::end::{End, now};

/// What a client says to its ssh-agent before it asks for signatures.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Manners {
    /// Which session they are for.
    Bind,
    /// Nothing.
    Silent,
}

/// How a login came out.
pub(crate) enum Login {
    Succeeded,
    Failed(LoginFailure),
}

/// What was seen on the way.
#[derive(Default)]
pub(crate) struct Seen {
    banner: Vec<String>,
    pub(crate) signatures: usize,
}

/// Logs in with these credentials, whose keys are in the ssh-agent.
fn log_in(sshd: &Sshd, agent: &mut Agent, credentials: Vec<Credential>) -> (Login, Seen) {
    log_in_with(sshd, agent, credentials, Manners::Bind)
}

/// The same by a client of those manners.
pub(crate) fn log_in_with(
    sshd: &Sshd,
    agent: &mut Agent,
    credentials: Vec<Credential>,
    manners: Manners,
) -> (Login, Seen) {
    let stream = TcpStream::connect(sshd.addr()).unwrap();
    let provider = Arc::new(aws_lc::provider());
    let blobs: Vec<_> = credentials
        .iter()
        .map(|credential| {
            if let Credential::Key(key) = credential {
                key.blob().to_vec()
            } else {
                Vec::new()
            }
        })
        .collect();
    let config = ClientConfig {
        transport: TransportConfig::client(provider, Pool::new(16)),
        login: ClientLogin {
            user: sshd.user().to_owned(),
            credentials,
        },
    };
    let mut end = End::new(Connection::client(config, now()), stream);
    let mut seen = Seen::default();
    loop {
        match end.next_event().unwrap() {
            Event::HostKey(offer) => {
                if manners == Manners::Bind {
                    agent.reconnect();
                    let answer = agent.ask(&Request::Bind(offer.session_bind()));
                    assert_eq!(parse_binding(&answer), Ok(Binding::Bound));
                }
                end.connection.trust_host();
            }
            Event::Login(ClientEvent::Sign(question)) => {
                let answer = agent.ask(&Request::Sign {
                    key: &blobs[question.credential],
                    data: &question.data,
                    algorithm: question.algorithm,
                });
                let signature = parse_signature(&answer, question.algorithm).ok();
                end.connection
                    .answer_signature(question.id, signature.as_deref())
                    .unwrap();
                seen.signatures += usize::from(signature.is_some());
            }
            Event::Login(ClientEvent::Password { id, .. }) => {
                let wrong = Secret::new("certainly not".to_owned());
                end.connection.answer_password(id, Some(wrong)).unwrap();
            }
            Event::Login(ClientEvent::Banner(lines)) => {
                let lines = lines.iter().map(Printable::to_string);
                seen.banner.extend(lines);
            }
            Event::Login(ClientEvent::Failed(failure)) => return (Login::Failed(failure), seen),
            Event::Authenticated => return (Login::Succeeded, seen),
            _ => {}
        }
    }
}

/// All that an ssh-agent holds, in its order.
pub(crate) fn offers(agent: &mut Agent) -> Vec<Credential> {
    parse_identities(&agent.ask(&Request::List))
        .unwrap()
        .into_iter()
        .map(|identity| Credential::Key(OfferedKey::new(identity.blob).unwrap()))
        .collect()
}

#[test]
fn keys_of_every_kind_log_in_bound_to_the_host_key() {
    require!("sshd", "ssh-keygen", "ssh-agent", "ssh-add");
    let sshd = Sshd::builder().config_line("LogLevel DEBUG2").start();
    for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa3072] {
        let mut agent = Agent::start();
        let key = agent.key("key", kind);
        agent.add(&key);
        sshd.authorize(key.public_line());
        let credentials = offers(&mut agent);
        let (login, seen) = log_in(&sshd, &mut agent, credentials);
        assert!(matches!(login, Login::Succeeded), "{kind:?}");
        assert_eq!(seen.signatures, 1);
    }
    sshd.wait_for_log("method publickey-hostbound-v00@openssh.com");
}

#[test]
fn certificates_log_in() {
    require!("sshd", "ssh-keygen", "ssh-agent", "ssh-add");
    let sshd = Sshd::builder().start();
    for kind in [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa3072] {
        let mut agent = Agent::start();
        let authority = agent.key("authority", KeyKind::Ed25519);
        sshd.authorize(&format!("cert-authority {}", authority.public_line()));
        let key = agent.key("key", kind);
        authority.certify(&key.public_path(), &["-I", "id", "-n", sshd.user()]);
        agent.add(&key);
        let credentials = offers(&mut agent);
        assert_eq!(credentials.len(), 2);
        // The plain key is offered first and refused; only the certificate is asked to sign.
        let (login, seen) = log_in(&sshd, &mut agent, credentials);
        assert!(matches!(login, Login::Succeeded), "{kind:?}");
        assert_eq!(seen.signatures, 1);
    }
}

#[test]
fn rsa_signs_with_sha2_and_never_with_sha1() {
    require!("sshd", "ssh-keygen", "ssh-agent", "ssh-add");
    let mut agent = Agent::start();
    let key = agent.key("key", KeyKind::Rsa3072);
    agent.add(&key);
    for (algorithm, is_good) in [("rsa-sha2-512", true), ("ssh-rsa", false)] {
        let sshd = Sshd::builder()
            .config_line(&format!("PubkeyAcceptedAlgorithms {algorithm}"))
            .authorized_key(key.public_line())
            .start();
        let credentials = offers(&mut agent);
        let (login, seen) = log_in(&sshd, &mut agent, credentials);
        assert_eq!(matches!(login, Login::Succeeded), is_good, "{algorithm}");
        assert_eq!(seen.signatures, usize::from(is_good));
    }
}

#[test]
fn partial_successes_add_up() {
    require!("sshd", "ssh-keygen", "ssh-agent", "ssh-add");
    let sshd = Sshd::builder()
        .config_line("AuthenticationMethods publickey,publickey")
        .start();
    let mut agent = Agent::start();
    for (name, kind) in [("one", KeyKind::Ed25519), ("two", KeyKind::EcdsaP256)] {
        let key = agent.key(name, kind);
        agent.add(&key);
        sshd.authorize(key.public_line());
    }
    let credentials = offers(&mut agent);
    let (login, seen) = log_in(&sshd, &mut agent, credentials);
    assert!(matches!(login, Login::Succeeded));
    assert_eq!(seen.signatures, 2);
}

#[test]
fn a_login_that_fails_says_what_was_tried() {
    require!("sshd", "ssh-keygen", "ssh-agent", "ssh-add");
    let sshd = Sshd::builder()
        .config_line("PasswordAuthentication yes")
        .config_line("KbdInteractiveAuthentication no")
        .config_line("PermitRootLogin yes")
        .start();
    let mut agent = Agent::start();
    let key = agent.key("stranger", KeyKind::Ed25519);
    agent.add(&key);
    let mut credentials = offers(&mut agent);
    credentials.push(Credential::KeyboardInteractive);
    credentials.push(Credential::Password);
    let (login, seen) = log_in(&sshd, &mut agent, credentials);
    let Login::Failed(failure) = login else {
        panic!("nothing of that is right");
    };
    assert_eq!(
        seen.signatures, 0,
        "the key is not known, so it need not sign"
    );
    assert_eq!(
        failure.outcomes,
        [Outcome::KeyRefused, Outcome::NotTried, Outcome::Refused]
    );
    let methods: Vec<_> = failure.methods.iter().map(Printable::as_str).collect();
    assert_eq!(methods, ["publickey", "password"]);
    assert!(
        failure
            .signature_algorithms
            .is_some_and(|known| known.len() == 8)
    );
}

#[test]
fn the_banner_of_a_server_is_told() {
    require!("sshd", "ssh-keygen", "ssh-agent");
    let sshd = Sshd::builder().start();
    let banner = sshd.folder().join("banner");
    std::fs::write(&banner, "Keep out.\n\x1b[31mRed\n").unwrap();
    sshd.add_config_line(&format!("Banner {}", banner.display()));
    let (login, seen) = log_in(&sshd, &mut Agent::start(), Vec::new());
    assert!(matches!(login, Login::Failed(_)));
    assert_eq!(seen.banner.first().map(String::as_str), Some("Keep out."));
    assert!(seen.banner.iter().all(|line| !line.contains('\x1b')));
}
