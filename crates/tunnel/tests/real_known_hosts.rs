//! known_hosts files as `ssh-keygen` of OpenSSH reads and writes them, against our own reading.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use adit_ssh::key::PublicKey;
use adit_testkit::require;
use adit_testkit::seeded::SeededRandom;
use adit_tunnel::agent::login::known_hosts::{
    HostAddress, HostKeys, HostVerdict, KnownHosts, NameForm, NewHosts, ProofKind,
};
use tempfile::TempDir;

/// Runs `ssh-keygen`.
fn ssh_keygen(arguments: &[&str]) -> Output {
    let mut command = Command::new("ssh-keygen");
    command.args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// A new key of that type, as `type base64`.
fn key(directory: &Path, kind: &str) -> String {
    let file = directory.join(kind);
    let file = file.to_str().unwrap();
    let output = ssh_keygen(&["-q", "-t", kind, "-N", "", "-C", "", "-f", file]);
    assert!(output.status.success(), "{output:?}");
    let text = std::fs::read_to_string(format!("{file}.pub")).unwrap();
    text.trim().to_owned()
}

/// The lines that `ssh-keygen -F` finds.
fn found(file: &Path, host: &str) -> BTreeSet<usize> {
    let output = ssh_keygen(&["-F", host, "-f", file.to_str().unwrap()]);
    let text = String::from_utf8(output.stdout).unwrap();
    let numbers = text.lines().filter_map(|line| {
        let (_, number) = line.strip_prefix("# Host ")?.split_once(" found: line ")?;
        number.split(' ').next()?.parse().ok()
    });
    numbers.collect()
}

fn ours(file: &Path, host: &str, port: u16) -> BTreeSet<usize> {
    let known = KnownHosts::read([file]).unwrap();
    let host = HostAddress::new(host, port).unwrap();
    known.places(&host).iter().map(|place| place.line).collect()
}

fn written(host: &str, port: u16) -> String {
    HostAddress::new(host, port).unwrap().written()
}

const HOSTS: [(&str, u16); 7] = [
    ("alpha.example", 22),
    ("alpha.example", 2222),
    ("beta.example", 22),
    ("beta.example.org", 22),
    ("192.0.2.7", 22),
    ("2001:db8::7", 22),
    ("2001:db8::7", 2222),
];

#[test]
fn the_same_lines_are_found_as_by_ssh_keygen() {
    require!("ssh-keygen");
    let directory = TempDir::new().unwrap();
    let key = key(directory.path(), "ed25519");
    let names = [
        "alpha.example",
        "ALPHA.Example",
        "[alpha.example]:2222",
        "beta.example",
        "beta.*",
        "*.example",
        "*",
        "?eta.example",
        "!alpha.example",
        "!*.org",
        "192.0.2.*",
        "2001:db8::7",
        "[2001:db8::7]:2222",
        "[*]:2222",
        "",
    ];
    // A tab after a marker is left out: ssh-keygen 9.2 takes such a line for malformed and skips it,
    // also where it revokes a key. We obey it.
    let starts = ["", "", "", " ", "\t", "@cert-authority ", "@revoked ", "# "];
    let ends = ["", " comment", "\tcomment with words", " "];
    let file = directory.path().join("known_hosts");
    let mut numbers = SeededRandom::new(20_261_122);
    let mut compared = 0;
    for round in 0..40 {
        let mut text = String::new();
        for _ in 0..numbers.below(12) {
            let mut line = String::from(numbers.pick(&starts));
            for part in 0..=numbers.below(3) {
                if part > 0 {
                    line.push(',');
                }
                line.push_str(numbers.pick(&names));
            }
            line.push_str(numbers.pick(&[" ", "\t", "  "]));
            line.push_str(&key);
            line.push_str(numbers.pick(&ends));
            line.push('\n');
            // A line that begins with its key has no names. With a marker ssh-keygen skips it, and we
            // refuse the file.
            let marked = ["@cert-authority ", "@revoked "]
                .iter()
                .find_map(|start| line.strip_prefix(start));
            if !marked.unwrap_or(&line).trim_start().starts_with("ssh-") {
                text.push_str(&line);
            }
        }
        std::fs::write(&file, &text).unwrap();
        for (host, port) in HOSTS {
            let theirs = found(&file, &written(host, port));
            assert_eq!(
                ours(&file, host, port),
                theirs,
                "{host} {port} in round {round}:\n{text}"
            );
            compared += 1;
        }
    }
    assert_eq!(compared, 40 * HOSTS.len());
}

#[test]
fn names_hashed_by_ssh_keygen_are_found() {
    require!("ssh-keygen");
    let directory = TempDir::new().unwrap();
    let key = key(directory.path(), "ed25519");
    let file = directory.path().join("known_hosts");
    let lines = HOSTS.map(|(host, port)| format!("{} {key}\n", written(host, port)));
    std::fs::write(&file, lines.concat()).unwrap();
    let hashed = ssh_keygen(&["-H", "-f", file.to_str().unwrap()]);
    assert!(hashed.status.success(), "{hashed:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.lines().all(|line| line.starts_with("|1|")), "{text}");
    for (number, (host, port)) in (1..).zip(HOSTS) {
        assert_eq!(ours(&file, host, port), BTreeSet::from([number]));
    }
    assert_eq!(ours(&file, "gamma.example", 22), BTreeSet::new());
}

#[test]
fn what_we_write_is_found_and_removed_by_ssh_keygen() {
    require!("ssh-keygen");
    for names in [NameForm::Plain, NameForm::Hashed] {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("known_hosts");
        let keys = HostKeys {
            files: vec![file.clone()],
            global_files: Vec::new(),
            new_hosts: NewHosts::Accept,
            names,
            pinned: Vec::new(),
        };
        for kind in ["ed25519", "ecdsa", "rsa"] {
            let text = key(directory.path(), kind);
            let public = PublicKey::from_openssh_text(&text).unwrap();
            let host = HostAddress::new(&format!("{kind}.example"), 2222).unwrap();
            let HostVerdict::Trusted(proof) = keys.verify(&host, &public) else {
                panic!("a new host was refused");
            };
            assert_eq!(proof.kind(), &ProofKind::Added(file.clone()));
            assert_eq!(found(&file, &host.written()).len(), 1, "{kind}");
            let removed = ["-R", &host.written(), "-f", file.to_str().unwrap()];
            assert!(ssh_keygen(&removed).status.success());
            assert_eq!(ours(&file, &format!("{kind}.example"), 2222).len(), 0);
        }
    }
}

/// The fingerprint in our messages is the one that `ssh-keygen -l` prints.
#[test]
fn fingerprints_are_those_of_ssh_keygen() {
    require!("ssh-keygen");
    let directory = TempDir::new().unwrap();
    let text = key(directory.path(), "ed25519");
    let public = PublicKey::from_openssh_text(&text).unwrap();
    let file = directory.path().join("ed25519.pub");
    let output = ssh_keygen(&["-l", "-f", file.to_str().unwrap()]);
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(shown.contains(&public.fingerprint().to_string()), "{shown}");
}
