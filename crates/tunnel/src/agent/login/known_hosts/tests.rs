//! What known_hosts files make of a host's key.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use tempfile::TempDir;

use super::*;

const ONE: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHQb3hIcUnwIrWKmIBfvGqBTtvmDXhJMGHsKDwlPPRmb";
const TWO: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDM0j6V8bAFa3cU5iXT7XqYmP2l8M5ynp8Lc0v0kzJrH";
/// A key of a type that the engine does not know: the host is known by it all the same.
const DSS: &str = "ssh-dss AAAAB3NzaC1kc3MAAAABAw==";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh_text(text).unwrap()
}

fn host() -> HostAddress {
    HostAddress::new("Host.Example", 22).unwrap()
}

fn host_at(port: u16) -> HostAddress {
    HostAddress::new("host.example", port).unwrap()
}

/// Files with these contents.
fn files(contents: &[&str], new_hosts: NewHosts) -> (TempDir, HostKeys) {
    let directory = TempDir::new().unwrap();
    let mut files = Vec::new();
    for (number, content) in contents.iter().enumerate() {
        let file = directory.path().join(format!("known_hosts{number}"));
        std::fs::write(&file, content).unwrap();
        files.push(file);
    }
    let keys = HostKeys {
        files,
        global_files: Vec::new(),
        new_hosts,
        names: NameForm::Plain,
        pinned: Vec::new(),
    };
    (directory, keys)
}

/// The verdict in a word.
fn word(verdict: &HostVerdict) -> &'static str {
    match verdict {
        HostVerdict::Trusted(proof) => match proof.kind() {
            ProofKind::Known(_) => "known",
            ProofKind::Authority(_) => "authority",
            ProofKind::Added(_) => "added",
            ProofKind::Pinned => "pinned",
        },
        HostVerdict::Refused(refusal) => match refusal {
            HostKeyRefusal::Changed { .. } => "changed",
            HostKeyRefusal::Revoked { .. } => "revoked",
            HostKeyRefusal::Uncertified { .. } => "uncertified",
            HostKeyRefusal::New { .. } => "new",
            HostKeyRefusal::Unpinned { .. } => "unpinned",
            HostKeyRefusal::Weak { .. } => "weak",
            HostKeyRefusal::Store { .. } => "store",
        },
    }
}

#[test]
fn what_is_written_decides() {
    for (content, port, expected) in [
        (String::new(), 22, "new"),
        (format!("host.example {ONE}"), 22, "known"),
        (format!("other.example {ONE}"), 22, "new"),
        (format!("host.example {TWO}"), 22, "changed"),
        (
            format!("host.example {TWO}\nhost.example {ONE}"),
            22,
            "known",
        ),
        (format!("host.example {DSS}"), 22, "changed"),
        (String::from("host.example garbage AAAA"), 22, "changed"),
        (format!("[host.example]:2222 {ONE}"), 22, "new"),
        (format!("[host.example]:2222 {ONE}"), 2222, "known"),
        (format!("host.example {ONE}"), 2222, "known"),
        (format!("host.example {TWO}"), 2222, "new"),
        (
            format!("[host.example]:2222 {TWO}\nhost.example {ONE}"),
            2222,
            "changed",
        ),
        (format!("@cert-authority * {TWO}"), 22, "uncertified"),
        (format!("@cert-authority * {ONE}"), 22, "uncertified"),
        (
            format!("@cert-authority * {TWO}\nhost.example {ONE}"),
            22,
            "known",
        ),
        (
            format!("host.example {ONE}\n@revoked * {ONE}"),
            22,
            "revoked",
        ),
        (format!("@revoked host.example {ONE}"), 2222, "revoked"),
        (format!("@revoked * {TWO}\nhost.example {ONE}"), 22, "known"),
        (format!("host.example {ONE}\n@revoked * oops"), 22, "store"),
        (format!("host.example {ONE}\n@revokd * {TWO}"), 22, "store"),
    ] {
        let (_directory, keys) = files(&[&content], NewHosts::Refuse);
        let verdict = keys.verify(&host_at(port), &key(ONE));
        assert_eq!(word(&verdict), expected, "{content} at {port}");
    }
}

/// S49: the attacker chooses the type, so another type is a changed key.
#[test]
fn known_host_new_type_is_fatal() {
    let (_directory, keys) = files(&[&format!("host.example {DSS}")], NewHosts::Accept);
    assert_eq!(word(&keys.verify(&host(), &key(ONE))), "changed");
}

/// S38: what cannot be checked is not accepted.
#[test]
fn hostkey_store_error_refuses() {
    let directory = TempDir::new().unwrap();
    let not_a_file = directory.path().join("directory");
    std::fs::create_dir(&not_a_file).unwrap();
    let good = directory.path().join("good");
    std::fs::write(&good, format!("host.example {ONE}\n")).unwrap();
    for files in [
        vec![not_a_file.clone()],
        vec![good.clone(), not_a_file],
        vec![good.join("below a file")],
    ] {
        for new_hosts in [NewHosts::Refuse, NewHosts::Accept] {
            let keys = HostKeys {
                files: files.clone(),
                global_files: Vec::new(),
                new_hosts,
                names: NameForm::Plain,
                pinned: Vec::new(),
            };
            assert_eq!(word(&keys.verify(&host(), &key(ONE))), "store", "{files:?}");
        }
    }
    let nowhere = HostKeys {
        files: Vec::new(),
        global_files: Vec::new(),
        new_hosts: NewHosts::Accept,
        names: NameForm::Plain,
        pinned: Vec::new(),
    };
    assert_eq!(word(&nowhere.verify(&host(), &key(ONE))), "store");
}

#[test]
fn a_certificate_is_trusted_by_its_authority() {
    for (content, expected) in [
        (format!("@cert-authority *.example {TWO}"), "authority"),
        (format!("@cert-authority *.other {TWO}"), "new"),
        (format!("@cert-authority *.example {ONE}"), "uncertified"),
        (format!("host.example {TWO}"), "changed"),
        (format!("host.example {ONE}"), "known"),
        (String::new(), "new"),
    ] {
        let (_directory, keys) = files(&[&content], NewHosts::Refuse);
        let verdict = keys.verify_certificate(&host(), &key(ONE), &key(TWO));
        assert_eq!(word(&verdict), expected, "{content}");
    }
}

/// S70: revoked counts for the key and for its authority (CVE-2026-42508).
#[test]
fn revoked_ca_refuses_cert() {
    for revoked in [ONE, TWO] {
        let content = format!("@cert-authority * {TWO}\n@revoked * {revoked}");
        let (_directory, keys) = files(&[&content], NewHosts::Refuse);
        let verdict = keys.verify_certificate(&host(), &key(ONE), &key(TWO));
        assert_eq!(word(&verdict), "revoked");
    }
}

#[test]
fn a_new_host_is_written_once_and_known_from_then_on() {
    for names in [NameForm::Plain, NameForm::Hashed] {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("made/for/this/known_hosts");
        let keys = HostKeys {
            files: vec![file.clone()],
            global_files: Vec::new(),
            new_hosts: NewHosts::Accept,
            names,
            pinned: Vec::new(),
        };
        assert_eq!(word(&keys.verify(&host_at(2222), &key(ONE))), "added");
        assert_eq!(word(&keys.verify(&host_at(2222), &key(ONE))), "known");
        assert_eq!(word(&keys.verify(&host_at(2222), &key(TWO))), "changed");
        let text = std::fs::read_to_string(&file).unwrap();
        assert_eq!(text.lines().count(), 1);
        assert!(text.ends_with('\n'));
        assert_eq!(text.contains("host.example"), names == NameForm::Plain);
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
    }
}

#[test]
fn a_line_without_its_end_is_not_spoilt_by_the_next() {
    let (_directory, keys) = files(&[&format!("other.example {TWO}")], NewHosts::Accept);
    assert_eq!(word(&keys.verify(&host(), &key(ONE))), "added");
    let text = std::fs::read_to_string(&keys.files[0]).unwrap();
    assert_eq!(text, format!("other.example {TWO}\nhost.example {ONE}\n"));
}

#[test]
fn all_files_count_and_a_missing_one_is_empty() {
    let (directory, mut keys) = files(&["", &format!("host.example {ONE}")], NewHosts::Refuse);
    keys.files.insert(0, directory.path().join("missing"));
    assert_eq!(word(&keys.verify(&host(), &key(ONE))), "known");
    keys.global_files = keys.files.split_off(1);
    std::fs::write(&keys.global_files[0], format!("@revoked * {ONE}")).unwrap();
    assert_eq!(word(&keys.verify(&host(), &key(ONE))), "revoked");
}

#[test]
fn a_changed_key_is_told_with_both_fingerprints_and_where() {
    let (_directory, keys) = files(&[&format!("\nhost.example {TWO}")], NewHosts::Accept);
    let HostVerdict::Refused(refusal) = keys.verify(&host(), &key(ONE)) else {
        panic!("a changed key was accepted");
    };
    let text = refusal.to_string();
    let place = format!("{}:2", keys.files[0].display());
    for part in [
        &key(ONE).fingerprint().to_string(),
        &key(TWO).fingerprint().to_string(),
        &place,
        "ssh-keygen -R",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

/// S49: the order tells what is known only when it must.
#[test]
fn hostkey_order_leaks_only_when_needed() {
    use KeyAlgorithm::{Ed25519, Ed25519Cert, RsaSha256, RsaSha512};
    let preference = [Ed25519, RsaSha512, RsaSha256];
    let rsa = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQE=";
    for (content, expected) in [
        (String::new(), preference),
        (format!("host.example {ONE}"), preference),
        (
            format!("host.example {ONE}\nhost.example {rsa}"),
            preference,
        ),
        (
            format!("host.example {rsa}"),
            [RsaSha512, RsaSha256, Ed25519],
        ),
        (format!("other.example {rsa}"), preference),
        (format!("@revoked host.example {rsa}"), preference),
    ] {
        let (_directory, keys) = files(&[&content], NewHosts::Refuse);
        assert_eq!(
            keys.order(&host(), &preference).unwrap(),
            expected,
            "{content}"
        );
    }
    let (_directory, keys) = files(&[&format!("@cert-authority * {ONE}")], NewHosts::Refuse);
    let order = keys.order(&host(), &[Ed25519, Ed25519Cert]).unwrap();
    assert_eq!(order, [Ed25519Cert, Ed25519]);
}

#[test]
fn a_host_is_one_name_and_nothing_else() {
    for name in [
        "", "a b", "a,b", "*", "a?", "!a", "|1|a|b", "#a", "@revoked", "a\n", "-a", "ä",
    ] {
        assert!(HostAddress::new(name, 22).is_err(), "{name:?}");
    }
    for (name, port, written) in [
        ("A.example", 22, "a.example"),
        ("::1", 22, "::1"),
        ("::1", 2222, "[::1]:2222"),
        ("fe80::1%eth0", 22, "fe80::1%eth0"),
    ] {
        assert_eq!(HostAddress::new(name, port).unwrap().written(), written);
    }
}

#[test]
fn pins_are_fingerprints_or_keys_and_nothing_else() {
    let fingerprint = key(ONE).fingerprint().to_string();
    for text in [
        fingerprint.clone(),
        format!(" {fingerprint} "),
        ONE.to_owned(),
        format!("{ONE} root@host"),
    ] {
        let pin: PinnedKey = text.parse().unwrap();
        assert!(pin.is(&key(ONE)) && !pin.is(&key(TWO)), "{text}");
    }
    let weak = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    for (text, expected) in [
        ("", PinnedKeyError::Key),
        ("SHA256:", PinnedKeyError::Fingerprint),
        ("SHA256:AAAA", PinnedKeyError::Fingerprint),
        ("MD5:aa:bb", PinnedKeyError::Key),
        ("host.example ssh-ed25519 AAAA", PinnedKeyError::Key),
        ("ssh-ed25519", PinnedKeyError::Key),
        (
            "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIHQb3hIcUnwIrWKmIBfvGqBTtvmDXhJMGHsKDwlPPRmb",
            PinnedKeyError::Key,
        ),
        (weak, PinnedKeyError::Weak),
    ] {
        let pin: Result<PinnedKey, PinnedKeyError> = text.parse();
        assert_eq!(pin, Err(expected), "{text}");
    }
}

/// With pins, what files say of other keys does not count, and nothing is written; what is revoked does.
#[test]
fn a_pinned_host_has_the_pinned_key_or_is_refused() {
    let known = format!("host.example {ONE}");
    let revoked = format!("@revoked * {ONE}");
    for (content, pinned, expected) in [
        ("", vec![ONE], "pinned"),
        ("", vec![TWO, ONE], "pinned"),
        ("", vec![TWO], "unpinned"),
        (known.as_str(), vec![TWO], "unpinned"),
        (known.as_str(), vec![ONE], "pinned"),
        (revoked.as_str(), vec![ONE], "revoked"),
        ("@revoked x", vec![ONE], "store"),
    ] {
        let (_directory, mut keys) = files(&[content], NewHosts::Accept);
        keys.pinned = pinned.iter().map(|pin| pin.parse().unwrap()).collect();
        assert_eq!(
            word(&keys.verify(&host(), &key(ONE))),
            expected,
            "{content} {pinned:?}"
        );
        assert_eq!(std::fs::read_to_string(&keys.files[0]).unwrap(), content);
    }
}

#[test]
fn a_pin_is_the_certified_key_or_the_authority() {
    for (content, pinned, expected) in [
        (String::new(), ONE, "pinned"),
        (String::new(), TWO, "pinned"),
        (format!("@revoked * {TWO}"), ONE, "revoked"),
        (format!("@revoked * {ONE}"), TWO, "revoked"),
    ] {
        let (_directory, mut keys) = files(&[&content], NewHosts::Accept);
        keys.pinned = vec![pinned.parse().unwrap()];
        let verdict = keys.verify_certificate(&host(), &key(ONE), &key(TWO));
        assert_eq!(word(&verdict), expected, "{content}");
    }
}

#[test]
fn a_host_without_the_pinned_key_is_told_with_both_fingerprints() {
    let (_directory, mut keys) = files(&[""], NewHosts::Accept);
    keys.pinned = vec![TWO.parse().unwrap()];
    let HostVerdict::Refused(refusal) = keys.verify(&host(), &key(ONE)) else {
        panic!("another key was accepted");
    };
    let text = refusal.to_string();
    for part in [ONE, TWO].map(|one| key(one).fingerprint().to_string()) {
        assert!(text.contains(&part), "{part} is not in {text}");
    }
}

#[test]
fn a_pinned_key_is_asked_for_first() {
    use KeyAlgorithm::{Ed25519, RsaSha256, RsaSha512};
    let (_directory, mut keys) = files(&[""], NewHosts::Refuse);
    let preference = [RsaSha512, RsaSha256, Ed25519];
    let fingerprint = key(ONE).fingerprint();
    keys.pinned = vec![fingerprint.into()];
    assert_eq!(keys.order(&host(), &preference).unwrap(), preference);
    keys.pinned.push(ONE.parse().unwrap());
    let order = keys.order(&host(), &preference).unwrap();
    assert_eq!(order, [Ed25519, RsaSha512, RsaSha256]);
}
