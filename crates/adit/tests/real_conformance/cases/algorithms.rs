//! Every algorithm that a client can be held to, but chacha20-poly1305: whether the gateway offers it depends on the
//! machine (it does not where AES is fast, so that stock clients come out at AES-GCM).

use adit_testkit::process::Process;
use anyhow::ensure;
use serde_json::json;

use super::logins;
use crate::case::{Case, Seen};
use crate::client::Client;
use crate::ground::Ground;
use crate::python::{self, Connected};

const IN: &str = "in";
const NOTHING: &str = "nothing in common";
const OLD: &str =
    "the gateway does not offer what is weaker than what every client of this decade has";

const NEWER: &str = "sshd has it from 9.9";

/// Of both releases of ssh: the option, the value, and whether the gateway has it.
const WITH_SSH: &[(&str, &str, bool)] = &[
    ("KexAlgorithms", "sntrup761x25519-sha512@openssh.com", true),
    ("KexAlgorithms", "curve25519-sha256", true),
    ("KexAlgorithms", "curve25519-sha256@libssh.org", true),
    ("KexAlgorithms", "ecdh-sha2-nistp256", false),
    ("KexAlgorithms", "ecdh-sha2-nistp384", false),
    ("KexAlgorithms", "ecdh-sha2-nistp521", false),
    ("KexAlgorithms", "diffie-hellman-group16-sha512", false),
    ("KexAlgorithms", "diffie-hellman-group14-sha256", false),
    (
        "KexAlgorithms",
        "diffie-hellman-group-exchange-sha256",
        false,
    ),
    ("Ciphers", "aes128-gcm@openssh.com", true),
    ("Ciphers", "aes256-gcm@openssh.com", true),
    ("Ciphers", "aes128-ctr", true),
    ("Ciphers", "aes256-ctr", true),
    ("Ciphers", "aes192-ctr", false),
    ("MACs", "hmac-sha2-256-etm@openssh.com", true),
    ("MACs", "hmac-sha2-512-etm@openssh.com", true),
    ("MACs", "hmac-sha2-256", false),
    ("MACs", "umac-128-etm@openssh.com", false),
    ("HostKeyAlgorithms", "ssh-ed25519", true),
    ("HostKeyAlgorithms", "rsa-sha2-512", true),
    ("HostKeyAlgorithms", "rsa-sha2-256", true),
];

/// What nobody offers any more, by default.
const BY_NOBODY: &[(&str, &str)] = &[
    ("KexAlgorithms", "diffie-hellman-group1-sha1"),
    ("Ciphers", "aes128-cbc"),
    ("Ciphers", "3des-cbc"),
    ("MACs", "hmac-md5"),
    ("HostKeyAlgorithms", "ssh-rsa"),
];

/// Of the libraries: the client, its option, the value, and whether sshd 9.2 has it.
const WITH_LIBRARIES: &[(Client, &str, &str, bool)] = &[
    (Client::Asyncssh, "kex", "mlkem768x25519-sha256", false),
    (Client::Asyncssh, "kex", "curve25519-sha256", true),
    (Client::Asyncssh, "ciphers", "aes256-gcm@openssh.com", true),
    (Client::Asyncssh, "ciphers", "aes256-ctr", true),
    (Client::Asyncssh, "host_key_algorithm", "rsa-sha2-512", true),
    (Client::Paramiko, "kex", "mlkem768x25519-sha256", false),
    (
        Client::Paramiko,
        "kex",
        "curve25519-sha256@libssh.org",
        true,
    ),
    (Client::Paramiko, "ciphers", "aes128-gcm@openssh.com", true),
    (Client::Paramiko, "ciphers", "aes128-ctr", true),
    (Client::Paramiko, "ciphers", "aes256-ctr", true),
    (Client::Paramiko, "host_key_algorithm", "rsa-sha2-256", true),
];

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (option, value, is_ours) in WITH_SSH {
        let seen = if *is_ours { IN } else { NOTHING };
        let case = Case::new(
            format!("{option}={value}"),
            "4.4",
            Client::Ssh,
            seen,
            |ground| with_ssh(ground, option, value),
        );
        cases.push(if *is_ours {
            case
        } else {
            case.differs(IN, OLD)
        });
    }
    for (option, value) in BY_NOBODY {
        cases.push(Case::new(
            format!("{option}={value}"),
            "4.4",
            Client::Ssh,
            NOTHING,
            |ground| with_ssh(ground, option, value),
        ));
    }
    cases.push(
        Case::new(
            "KexAlgorithms=mlkem768x25519-sha256",
            "4.4",
            Client::Ssh10,
            IN,
            |ground| with_ssh(ground, "KexAlgorithms", "mlkem768x25519-sha256"),
        )
        .differs(NOTHING, NEWER),
    );
    for (client, option, value, is_theirs) in WITH_LIBRARIES {
        let case = Case::new(format!("{option}={value}"), "4.4", *client, IN, |ground| {
            with_library(ground, *client, option, value)
        });
        cases.push(if *is_theirs {
            case
        } else {
            case.differs(NOTHING, NEWER)
        });
    }
    cases
}

fn with_ssh(ground: &Ground, option: &str, value: &str) -> Seen {
    let setting = format!("{option}={value}");
    let mut options = vec!["-v", "-N", "-o", &setting];
    if option == "MACs" {
        // An AEAD would make it a word without meaning.
        options.extend(["-o", "Ciphers=aes128-ctr"]);
    }
    let mut ssh = Process::spawn(&mut ground.ssh("plain", &options));
    let seen = logins::into(&mut ssh)?;
    if seen == IN {
        let said = ssh.stderr();
        ensure!(
            said.contains(value),
            "{value} was not what they agreed on: {said}"
        );
    }
    Ok(seen)
}

fn with_library(ground: &Ground, client: Client, option: &str, value: &str) -> Seen {
    let library = client.library().expect("a library");
    match python::connect(library, ground, "plain", json!({option: value})) {
        Ok(Connected::Yes(id)) => {
            library.ask(&json!({"do": "close", "id": id}))?;
            Ok(IN.into())
        }
        Ok(Connected::No(reason)) if reason == "key exchange" => Ok(NOTHING.into()),
        Ok(Connected::No(reason)) => Ok(reason),
        Err(error) if error.to_string().contains("IncompatiblePeer") => Ok(NOTHING.into()),
        Err(error) => Err(error),
    }
}
