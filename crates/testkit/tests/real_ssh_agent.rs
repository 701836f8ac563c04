//! The software ssh-agent, proved by the stock `ssh-add` and by logins of the stock `ssh` to a real sshd.

use std::process::{Command, Output};

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::ssh_agent::{
    Behaviour, Key, RSA_SHA2_256, RSA_SHA2_512, Request, SshAgent, USER_PRESENT, USER_VERIFIED,
};
use adit_testkit::sshd::Sshd;
use adit_testkit::{real, require};

/// One key of every kind.
fn keys() -> Vec<Key> {
    vec![
        Key::ed25519([1; 32]),
        Key::ecdsa_p256(),
        Key::rsa_2048(),
        Key::security_key_ed25519([2; 32], "ssh:"),
        Key::security_key_ecdsa_p256("ssh:lab"),
    ]
}

#[expect(clippy::unwrap_used, reason = "part of a test")]
fn login(sshd: &Sshd, agent: &SshAgent) -> Output {
    let socket = format!("IdentityAgent={}", agent.socket().display());
    sshd.ssh_without_key(&["-o", &socket])
        .arg("echo hello")
        .output()
        .unwrap()
}

#[test]
fn ssh_add_lists_every_key_with_the_fingerprint_that_ssh_keygen_sees() {
    require!("ssh-add", "ssh-keygen");
    let agent = SshAgent::start();
    let mut expected = String::new();
    for key in keys() {
        let path = agent.folder().join("key.pub");
        std::fs::write(&path, key.public_line()).unwrap();
        let output = Command::new("ssh-keygen")
            .arg("-lf")
            .arg(&path)
            .output()
            .unwrap();
        expected.push_str(&String::from_utf8(output.stdout).unwrap());
        agent.add(key);
    }
    let mut ssh_add = Command::new(real::find("ssh-add").unwrap());
    let output = ssh_add
        .arg("-l")
        .env("SSH_AUTH_SOCK", agent.socket())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    assert_eq!(expected.lines().count(), 5);
    assert_eq!(agent.requests(), [Request::List]);
}

#[test]
fn stock_ssh_logs_in_by_every_kind_of_key() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    for key in keys() {
        let agent = SshAgent::start();
        agent.add(key.clone());
        let refused = login(&sshd, &agent);
        assert!(!refused.status.success(), "{key:?} is not authorised yet");
        sshd.authorize(&key.public_line());
        let output = login(&sshd, &agent);
        assert_eq!(
            output.stdout,
            b"hello\n",
            "{key:?}: {output:?}\n{}",
            sshd.log()
        );
    }
}

#[test]
fn stock_ssh_binds_the_session_that_it_then_signs_for() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let (agent, key) = (SshAgent::start(), Key::rsa_2048());
    sshd.authorize(&key.public_line());
    agent.add(key);
    assert!(login(&sshd, &agent).status.success(), "{}", sshd.log());

    let requests = agent.requests();
    let bound = requests.iter().find_map(|request| {
        let Request::SessionBind {
            session_id,
            forwarding: false,
            ..
        } = request
        else {
            return None;
        };
        Some(session_id)
    });
    let signed = requests.iter().find_map(|request| {
        let Request::Sign { data, flags, .. } = request else {
            return None;
        };
        Some((data, *flags))
    });
    let (bound, (data, flags)) = (bound.unwrap(), signed.unwrap());
    assert_eq!(flags & (RSA_SHA2_256 | RSA_SHA2_512), RSA_SHA2_512);
    assert_eq!(
        &data[4..4 + bound.len()],
        bound,
        "the signed data start with the session id"
    );
}

#[test]
fn a_certificate_logs_in_where_its_authority_is_trusted() {
    require!("ssh", "sshd", "ssh-keygen");
    let agent = SshAgent::start();
    let authority = KeyPair::generate(agent.folder(), "authority", KeyKind::Ed25519);
    let trusted = format!("TrustedUserCAKeys {}", authority.public_path().display());
    let sshd = Sshd::builder().config_line(&trusted).start();

    let key = Key::ed25519([7; 32]);
    let path = agent.folder().join("user.pub");
    std::fs::write(&path, key.public_line()).unwrap();
    let certificate = authority.certify(&path, &["-I", "lab", "-n", sshd.user()]);
    let line = std::fs::read_to_string(certificate).unwrap();

    agent.add(key.clone());
    assert!(
        !login(&sshd, &agent).status.success(),
        "the bare key is not authorised"
    );
    agent.add(key.with_certificate(&line));
    assert!(login(&sshd, &agent).status.success(), "{}", sshd.log());
    sshd.wait_for_log("ED25519-CERT");
}

#[test]
fn a_server_sees_whether_the_owner_of_a_security_key_was_present_and_verified() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder()
        .config_line("PubkeyAuthOptions verify-required")
        .start();
    let key = Key::security_key_ed25519([3; 32], "ssh:");
    sshd.authorize(&key.public_line());
    for (flags, accepted) in [
        (0, false),
        (USER_PRESENT, false),
        (USER_VERIFIED, false),
        (USER_PRESENT | USER_VERIFIED, true),
    ] {
        let agent = SshAgent::start();
        agent.add(key.clone().with_flags(flags));
        assert_eq!(
            login(&sshd, &agent).status.success(),
            accepted,
            "flags {flags}: {}",
            sshd.log()
        );
    }
}

#[test]
fn stock_ssh_gives_up_on_every_hostile_agent() {
    require!("ssh", "sshd", "ssh-keygen");
    let sshd = Sshd::builder().start();
    let key = Key::ed25519([4; 32]);
    sshd.authorize(&key.public_line());
    for behaviour in [
        Behaviour::Refusing,
        Behaviour::HugeFrame,
        Behaviour::EmptyFrame,
        Behaviour::CutFrame,
        Behaviour::WrongReply,
        Behaviour::WrongAlgorithm,
        Behaviour::WrongSignature,
        Behaviour::ShortList,
        Behaviour::HangingUp,
    ] {
        let agent = SshAgent::start();
        agent.add(key.clone());
        agent.behave(behaviour);
        let output = login(&sshd, &agent);
        assert!(!output.status.success(), "{behaviour:?}: {output:?}");
        assert_ne!(agent.requests(), [], "{behaviour:?}");
        agent.behave(Behaviour::Honest);
        assert!(
            login(&sshd, &agent).status.success(),
            "after {behaviour:?}: {}",
            sshd.log()
        );
    }
}
