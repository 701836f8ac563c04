//! The ssh-agent codec against the stock `ssh-agent`: what it lists, signs and binds.

use adit_ssh::algorithm::{KeyAlgorithm, SignatureAlgorithm};
use adit_ssh::auth::client::OfferedKey;
use adit_ssh::key::PublicKey;
use adit_ssh::provider::aws_lc;
use adit_ssh::ssh_agent::{
    AgentError, Binding, Request, SessionBind, parse_binding, parse_identities, parse_signature,
};
use adit_testkit::key_pair::KeyKind;
use adit_testkit::require;
use adit_testkit::ssh_agent::{Key, Request as Asked, SshAgent};
use adit_testkit::sshd::Sshd;

use crate::agent::Agent;
use crate::at_sshd::{Login, Manners, log_in_with, offers};

#[test]
fn what_it_signs_is_what_was_asked_for() {
    require!("ssh-agent", "ssh-add", "ssh-keygen");
    let mut agent = Agent::start();
    assert_eq!(parse_identities(&agent.ask(&Request::List)), Ok(vec![]));

    let kinds = [KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa3072];
    let authority = agent.key("authority", KeyKind::Ed25519);
    let mut keys = Vec::new();
    for (index, kind) in kinds.into_iter().enumerate() {
        let key = agent.key(&format!("key{index}"), kind);
        authority.certify(&key.public_path(), &["-I", "id", "-n", "anna"]);
        agent.add(&key);
        keys.push(PublicKey::from_openssh_text(key.public_key()).unwrap());
    }
    let listed = parse_identities(&agent.ask(&Request::List)).unwrap();
    assert_eq!(listed.len(), 6, "each key and its certificate");

    let verifier = aws_lc::provider().verifier;
    let mut signatures = 0;
    for (index, identity) in listed.iter().enumerate() {
        // A certificate stands behind its key.
        let key = &keys[index / 2];
        let is_certificate = index % 2 == 1;
        assert_eq!(identity.blob == key.blob(), !is_certificate);
        let offered = OfferedKey::new(identity.blob.clone()).unwrap();
        for algorithm in offered.algorithms() {
            assert_eq!(algorithm.is_certificate(), is_certificate);
            let answer = agent.ask(&Request::Sign {
                key: &identity.blob,
                data: b"data",
                algorithm: *algorithm,
            });
            let signature = parse_signature(&answer, *algorithm).unwrap();
            verifier
                .verify(key, algorithm.signature(), b"data", &signature)
                .unwrap();
            signatures += 1;
        }
    }
    assert_eq!(signatures, 8, "RSA signs with two hashes");
}

#[test]
fn a_key_that_it_does_not_hold_is_refused() {
    require!("ssh-agent", "ssh-keygen");
    let mut agent = Agent::start();
    let key = agent.key("key", KeyKind::Ed25519);
    let blob = PublicKey::from_openssh_text(key.public_key()).unwrap();
    let answer = agent.ask(&Request::Sign {
        key: blob.blob(),
        data: b"data",
        algorithm: KeyAlgorithm::Ed25519,
    });
    let refused = parse_signature(&answer, KeyAlgorithm::Ed25519);
    assert_eq!(refused, Err(AgentError::Refused));
}

#[test]
fn it_binds_to_a_session_whose_host_key_signed() {
    require!("ssh-agent");
    let mut agent = Agent::start();
    let signer = aws_lc::sign::ed25519(&[7; 32]).unwrap();
    let session_id = [5; 32];
    let signature = signer
        .sign(SignatureAlgorithm::Ed25519, &session_id)
        .unwrap();
    for (session_id, expected) in [([6; 32], Binding::Refused), (session_id, Binding::Bound)] {
        let answer = agent.ask(&Request::Bind(SessionBind {
            host_key: signer.public_key().blob(),
            session_id: &session_id,
            signature: &signature,
        }));
        assert_eq!(parse_binding(&answer), Ok(expected));
    }
}

/// A key that its owner has bound to one destination signs for the server that proves to be that
/// host, and for nobody else: the ssh-agent itself holds what it was told against the request.
#[test]
fn s82_session_bind_before_sign() {
    require!("sshd", "ssh-keygen", "ssh-agent", "ssh-add");
    let sshd = Sshd::builder().start();
    let user = sshd.user();
    for (destination, manners, is_good) in [
        (format!("{user}@lab"), Manners::Bind, true),
        (String::from("lab"), Manners::Bind, true),
        (String::from("lab"), Manners::Silent, false),
        (String::from("elsewhere"), Manners::Bind, false),
        (
            String::from("nobody-of-that-name@lab"),
            Manners::Bind,
            false,
        ),
    ] {
        let mut agent = Agent::start();
        let known_hosts = agent.folder().join("known_hosts");
        let stranger = agent.key("stranger", KeyKind::Ed25519);
        let own = sshd.host_keys().iter().map(|key| ("lab", key));
        let lines = own.chain([("elsewhere", &stranger)]);
        let lines = lines.map(|(host, key)| format!("{host} {}\n", key.public_key()));
        std::fs::write(&known_hosts, lines.collect::<String>()).unwrap();
        let key = agent.key("key", KeyKind::Ed25519);
        sshd.authorize(key.public_line());
        agent.add_for(&destination, &known_hosts, &key);
        let credentials = offers(&mut agent);
        let (login, seen) = log_in_with(&sshd, &mut agent, credentials, manners);
        assert_eq!(matches!(login, Login::Succeeded), is_good, "{destination}");
        assert_eq!(seen.signatures, usize::from(is_good), "{destination}");
    }
}

#[test]
fn s82_what_is_signed_is_for_the_session_that_was_bound_first() {
    require!("sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let software = SshAgent::start();
    let key = Key::ed25519([3; 32]);
    sshd.authorize(&key.public_line());
    software.add(key);
    let mut agent = Agent::at(&software.socket());
    let credentials = offers(&mut agent);
    let (login, _) = log_in_with(&sshd, &mut agent, credentials, Manners::Bind);
    assert!(matches!(login, Login::Succeeded), "{}", sshd.log());

    let requests = software.requests();
    let [
        Asked::List,
        Asked::SessionBind {
            host_key,
            session_id,
            signature,
            forwarding: false,
        },
        Asked::Sign { data, .. },
    ] = requests.as_slice()
    else {
        panic!("{requests:?}");
    };
    let host_key = PublicKey::from_blob(host_key).unwrap();
    assert!(
        sshd.host_keys()
            .iter()
            .any(|own| PublicKey::from_openssh_text(own.public_key()).unwrap() == host_key)
    );
    let algorithm = SignatureAlgorithm::Ed25519;
    let verifier = aws_lc::provider().verifier;
    verifier
        .verify(&host_key, algorithm, session_id, signature)
        .unwrap();
    assert_eq!(&data[4..4 + session_id.len()], session_id);
}
