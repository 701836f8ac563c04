//! Certificates as ssh-keygen makes them.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step of a test ends it, and a skip is printed"
)]

use std::fs;
use std::net::IpAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use program::{is_there, keygen, public_of, run};

use adit_ssh::certificate::{
    Approval, Certificate, CertificateKind, CertifiedKey, Question, Refusal, Revocable, Wanted,
};
use adit_ssh::key::PublicKey;
use adit_ssh::key_file;
use adit_ssh::provider::aws_lc::provider;

mod program;

/// Within the time of `TIMES`, in seconds since 1970.
const NOW: u64 = 1_800_000_000;

/// Validity for ssh-keygen, in UTC: 2026-01-01 to 2028-01-01.
const TIMES: &str = "20260101000000Z:20280101000000Z";

const ALICE: Wanted<'static> = Wanted::Login {
    principals: &["alice"],
    source: Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST)),
};

/// Signs the key at `subject` and reads the certificate that is then beside it.
fn certify(authority: &Path, subject: &Path, arguments: &[&str]) -> Certificate {
    run(Command::new("ssh-keygen")
        .args(["-q", "-s"])
        .arg(authority)
        .args(["-I", "an id", "-z", "42"])
        .args(arguments)
        .arg(subject.with_extension("pub")));
    let mut name = subject.file_name().unwrap().to_owned();
    name.push("-cert.pub");
    let text = fs::read_to_string(subject.with_file_name(name)).unwrap();
    let mut words = text.split_whitespace();
    let (name, base64) = (words.next().unwrap(), words.next().unwrap());
    Certificate::from_openssh_text(&format!("{name} {base64}")).unwrap()
}

fn check(
    certificate: &Certificate,
    authority: &PublicKey,
    wanted: Wanted<'_>,
    is_revoked: &dyn Fn(Revocable<'_>) -> bool,
    now: u64,
) -> Result<Approval, Refusal> {
    certificate.check(
        provider().verifier.as_ref(),
        &Question {
            authorities: std::slice::from_ref(authority),
            is_revoked,
            wanted,
            now,
        },
    )
}

#[test]
fn every_type_of_key_and_of_authority_is_good() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mut keys = Vec::new();
    for (key_type, bits) in [
        ("ed25519", "256"),
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
        ("rsa", "2048"),
    ] {
        let name = format!("{key_type}{bits}");
        keys.push(keygen(
            directory.path(),
            &name,
            &["-t", key_type, "-b", bits, "-N", ""],
        ));
    }
    let mut seen = 0;
    for authority in &keys {
        for subject in keys.iter().filter(|subject| *subject != authority) {
            let (authority_key, key) = (public_of(authority), public_of(subject));
            let certificate = certify(authority, subject, &["-n", "alice,bob", "-V", TIMES]);
            assert_eq!(certificate.key(), &key);
            assert_eq!(certificate.authority(), &authority_key);
            assert_eq!(certificate.kind(), CertificateKind::User);
            assert_eq!(certificate.serial(), 42);
            assert_eq!(certificate.key_id().as_str(), "an id");
            assert_eq!(certificate.principals(), ["alice", "bob"]);
            let approval = check(&certificate, &authority_key, ALICE, &|_| false, NOW).unwrap();
            assert!(approval.permits_port_forwarding);
            assert_eq!(approval.expires, Some(1_830_297_600));
            assert_eq!(
                check(&certificate, &key, ALICE, &|_| false, NOW),
                Err(Refusal::UnknownAuthority)
            );
            let signer = key_file::parse(&fs::read(subject).unwrap(), None).unwrap();
            let certified = CertifiedKey::new(certificate, Arc::clone(&signer)).unwrap();
            assert_eq!(certified.key_algorithms().len(), signer.algorithms().len());
            seen += 1;
        }
    }
    assert_eq!(seen, 5 * 4);
}

#[test]
fn an_rsa_authority_that_signs_with_sha1_is_refused() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = keygen(
        directory.path(),
        "ca",
        &["-t", "rsa", "-b", "2048", "-N", ""],
    );
    let subject = keygen(directory.path(), "key", &["-t", "ed25519", "-N", ""]);
    for (algorithm, expected) in [
        ("rsa-sha2-512", None),
        ("rsa-sha2-256", None),
        ("ssh-rsa", Some(Refusal::SignatureAlgorithm)),
    ] {
        let certificate = certify(
            &authority,
            &subject,
            &["-n", "alice", "-V", TIMES, "-t", algorithm],
        );
        let result = check(&certificate, &public_of(&authority), ALICE, &|_| false, NOW);
        assert_eq!(result.err(), expected, "{algorithm}");
    }
}

#[test]
fn cert_empty_principals_refused() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = keygen(directory.path(), "ca", &["-t", "ed25519", "-N", ""]);
    let subject = keygen(directory.path(), "key", &["-t", "ed25519", "-N", ""]);
    let authority_key = public_of(&authority);
    // Without -n, ssh-keygen of Debian 12 names nobody, which OpenSSH before 10.3 took for all.
    let user = certify(&authority, &subject, &["-V", TIMES]);
    assert_eq!(
        check(&user, &authority_key, ALICE, &|_| false, NOW),
        Err(Refusal::NoPrincipals)
    );
    let host = certify(&authority, &subject, &["-h", "-V", TIMES]);
    let wanted = Wanted::Host {
        name: "a.example.com",
    };
    assert_eq!(
        check(&host, &authority_key, wanted, &|_| false, NOW),
        Err(Refusal::NoPrincipals)
    );
}

#[test]
fn cert_type_time_wildcard() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = keygen(directory.path(), "ca", &["-t", "ed25519", "-N", ""]);
    let subject = keygen(directory.path(), "key", &["-t", "ed25519", "-N", ""]);
    let authority_key = public_of(&authority);
    let host = certify(
        &authority,
        &subject,
        &["-h", "-n", "*.example.com", "-V", TIMES],
    );
    assert_eq!(host.kind(), CertificateKind::Host);
    for (name, expected) in [
        ("a.example.com", None),
        ("example.com", Some(Refusal::WrongPrincipal)),
        ("a.example.org", Some(Refusal::WrongPrincipal)),
    ] {
        let wanted = Wanted::Host { name };
        let result = check(&host, &authority_key, wanted, &|_| false, NOW);
        assert_eq!(result.err(), expected, "{name}");
    }
    assert_eq!(
        check(&host, &authority_key, ALICE, &|_| false, NOW),
        Err(Refusal::WrongKind)
    );
    let user = certify(&authority, &subject, &["-n", "al*", "-V", TIMES]);
    assert_eq!(
        check(&user, &authority_key, ALICE, &|_| false, NOW),
        Err(Refusal::WrongPrincipal)
    );
    let user = certify(&authority, &subject, &["-n", "alice", "-V", TIMES]);
    for (now, expected) in [
        (1_767_225_599, Some(Refusal::NotYetValid)),
        (1_767_225_600, None),
        (1_830_297_599, None),
        (1_830_297_600, Some(Refusal::Expired)),
    ] {
        let result = check(&user, &authority_key, ALICE, &|_| false, now);
        assert_eq!(result.err(), expected, "{now}");
    }
    let ever = certify(
        &authority,
        &subject,
        &["-n", "alice", "-V", "always:forever"],
    );
    for now in [0, NOW, u64::MAX - 1] {
        let approval = check(&ever, &authority_key, ALICE, &|_| false, now).unwrap();
        assert_eq!(approval.expires, None);
    }
}

#[test]
fn cert_options_table() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = keygen(directory.path(), "ca", &["-t", "ed25519", "-N", ""]);
    let subject = keygen(directory.path(), "key", &["-t", "ed25519", "-N", ""]);
    let authority_key = public_of(&authority);
    for (option, expected) in [
        ("source-address=127.0.0.0/8,2001:db8::/32", None),
        ("source-address=192.0.2.0/24", Some(Refusal::SourceAddress)),
        ("force-command=/bin/true", Some(Refusal::CriticalOption)),
        (
            "critical:made-up@example.com",
            Some(Refusal::CriticalOption),
        ),
        ("extension:made-up@example.com=text", None),
        ("verify-required", None),
    ] {
        let certificate = certify(
            &authority,
            &subject,
            &["-n", "alice", "-V", TIMES, "-O", option],
        );
        let result = check(&certificate, &authority_key, ALICE, &|_| false, NOW);
        assert_eq!(result.err(), expected, "{option}");
        if option == "verify-required" {
            assert!(result.unwrap().requires_verification);
        }
    }
    let bare = certify(
        &authority,
        &subject,
        &["-n", "alice", "-V", TIMES, "-O", "clear"],
    );
    let approval = check(&bare, &authority_key, ALICE, &|_| false, NOW).unwrap();
    assert!(!approval.permits_port_forwarding);
    assert!(approval.requires_touch);
    let untouched = certify(
        &authority,
        &subject,
        &["-n", "alice", "-V", TIMES, "-O", "no-touch-required"],
    );
    let approval = check(&untouched, &authority_key, ALICE, &|_| false, NOW).unwrap();
    assert!(approval.permits_port_forwarding);
    assert!(!approval.requires_touch);
}

#[test]
fn a_certificate_is_no_certificate_authority() {
    if !is_there("ssh-keygen") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = keygen(directory.path(), "ca", &["-t", "ed25519", "-N", ""]);
    let subject = keygen(directory.path(), "key", &["-t", "ed25519", "-N", ""]);
    let certificate = certify(&authority, &subject, &["-n", "alice", "-V", TIMES]);
    assert!(PublicKey::from_blob(certificate.blob()).is_err());
    let revoked = |what: Revocable<'_>| what == Revocable::Key(certificate.authority());
    assert_eq!(
        check(&certificate, &public_of(&authority), ALICE, &revoked, NOW),
        Err(Refusal::Revoked)
    );
}
