//! Who is let in, and whom clients believe.

use std::path::PathBuf;

use adit_testkit::process::Process;
use adit_testkit::wait;
use anyhow::ensure;
use serde_json::json;

use super::binds::REFUSED;
use crate::case::{Case, Seen};
use crate::client::Client;
use crate::ground::Ground;
use crate::python::{self, Connected};

const IN: &str = "in";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let keys: [(&str, &str, &str); 10] = [
        ("a key that is nobody's", "stranger", REFUSED),
        ("a key without options", "plain", IN),
        ("expiry-time that is over", "expired", REFUSED),
        ("expiry-time to come", "lasting", IN),
        ("from= the client's address", "from-here", IN),
        ("from= the client's network", "from-network", IN),
        ("from= another network", "from-elsewhere", REFUSED),
        ("from= not this address", "from-not-here", REFUSED),
        ("a line with an unknown option", "unknown-option", REFUSED),
        ("command= on the line", "command", IN),
    ];
    for client in [Client::Ssh, Client::Asyncssh, Client::Paramiko] {
        for (name, key, seen) in keys {
            cases.push(Case::new(name, "4.3", client, seen, move |ground| {
                login(ground, client, key, &[], json!({}))
            }));
        }
        cases.push(
            Case::new("another user name", "4.4", client, IN, move |ground| {
                login(ground, client, "plain", &["-o", "User=nobody-of-that-name"], json!({"user": "nobody-of-that-name"}))
            })
            .differs(REFUSED, "a key is a principal; the user name is a label, so that rsshd's autossh@ and any other work"),
        );
        cases.push(Case::new(
            "a password",
            "security 3.1",
            client,
            REFUSED,
            move |ground| {
                let options = [
                    "-o",
                    "PubkeyAuthentication=no",
                    "-o",
                    "PreferredAuthentications=password",
                ];
                login(
                    ground,
                    client,
                    "plain",
                    &options,
                    json!({"key": null, "password": "secret"}),
                )
            },
        ));
        cases.push(Case::new(
            "another host key than is known",
            "4.1",
            client,
            "host key refused",
            move |ground| wrong_host_key(ground, client),
        ));
    }
    let certificates: [(&str, &str, &[&str], &'static str); 7] = [
        (
            "for the name on the line",
            "authority",
            &["-n", "carol"],
            IN,
        ),
        ("for another name", "authority", &["-n", "mallory"], REFUSED),
        (
            "that has expired",
            "authority",
            &["-n", "carol", "-V", "20200101:20200102"],
            REFUSED,
        ),
        (
            "that is not valid yet",
            "authority",
            &["-n", "carol", "-V", "20900101:20900102"],
            REFUSED,
        ),
        (
            "for the client's address",
            "authority",
            &["-n", "carol", "-O", "source-address=127.0.0.0/8"],
            IN,
        ),
        (
            "for another address",
            "authority",
            &["-n", "carol", "-O", "source-address=192.0.2.0/24"],
            REFUSED,
        ),
        (
            "of another authority",
            "stranger",
            &["-n", "carol"],
            REFUSED,
        ),
    ];
    for client in [Client::Ssh, Client::Asyncssh, Client::Paramiko] {
        for (name, authority, arguments, seen) in certificates {
            let name = format!("a certificate {name}");
            cases.push(Case::new(name, "4.2, 4.3", client, seen, move |ground| {
                certified(ground, client, authority, arguments)
            }));
        }
    }
    cases.push(Case::new(
        "StrictHostKeyChecking=accept-new",
        "4.1",
        Client::Ssh,
        "in, one line kept",
        accept_new,
    ));
    cases.push(Case::new(
        "UpdateHostKeys learns every host key",
        "4.4",
        Client::Ssh,
        "all host keys",
        update_host_keys,
    ));
    cases.push(Case::new(
        "seven keys that are nobody's",
        "4.2",
        Client::Ssh,
        REFUSED,
        seven_keys,
    ));
    cases.push(Case::new(
        "PreferredAuthentications=none",
        "RFC 4252 5.2",
        Client::Ssh,
        REFUSED,
        |ground| {
            login(
                ground,
                Client::Ssh,
                "plain",
                &["-o", "PreferredAuthentications=none"],
                json!({}),
            )
        },
    ));
    cases.push(Case::new(
        "keyboard-interactive",
        "RFC 4256",
        Client::Ssh,
        REFUSED,
        |ground| {
            login(
                ground,
                Client::Ssh,
                "plain",
                &["-o", "PreferredAuthentications=keyboard-interactive"],
                json!({}),
            )
        },
    ));
    cases
}

fn login(
    ground: &Ground,
    client: Client,
    key: &str,
    options: &[&str],
    more: serde_json::Value,
) -> Seen {
    if let Some(library) = client.library() {
        return match python::connect(library, ground, key, more)? {
            Connected::Yes(id) => {
                library.ask(&json!({"do": "close", "id": id}))?;
                Ok(IN.into())
            }
            Connected::No(reason) if reason == "login" => Ok(REFUSED.into()),
            Connected::No(reason) => Ok(format!("{reason} refused")),
        };
    }
    into(&mut Process::spawn(
        &mut ground.ssh(key, &[&["-v", "-N"], options].concat()),
    ))
}

/// What becomes of an `ssh -v -N`.
pub(super) fn into(ssh: &mut Process) -> Seen {
    wait::until("the end of a login", || {
        let said = ssh.stderr();
        if said.contains("Authenticated to") {
            return Ok(Ok(IN.into()));
        }
        if ssh.exit_status().is_none() {
            return Err(said);
        }
        let said = ssh.stderr();
        let found = [
            ("Authenticated to", IN),
            ("Unable to negotiate", "nothing in common"),
            ("Host key verification failed", "host key refused"),
            ("Permission denied", REFUSED),
            ("Too many authentication failures", REFUSED),
        ];
        let found = found.iter().find(|(words, _)| said.contains(words));
        Ok(found
            .map(|(_, seen)| (*seen).to_owned())
            .ok_or_else(|| anyhow::anyhow!("{said}")))
    })
}

fn wrong_host_key(ground: &Ground, client: Client) -> Seen {
    let wrong = ground.key("stranger").public_key();
    if let Some(library) = client.library() {
        return Ok(
            match python::connect(library, ground, "plain", json!({"host_key": wrong}))? {
                Connected::Yes(_) => IN.into(),
                Connected::No(reason) => format!("{reason} refused"),
            },
        );
    }
    let file = ground.folder().join(format!("known-{}", ground.port()));
    std::fs::write(
        &file,
        format!("[127.0.0.1]:{} {wrong}\n", ground.addr().port()),
    )?;
    let known = format!("UserKnownHostsFile={}", file.display());
    login(ground, client, "plain", &["-o", &known], json!({}))
}

/// A certificate of the key `certified`, in a folder of its own.
/// An address of a network that no other case comes from: the gateway has who failed often with keys that are
/// nobody's wait for some seconds, and all of them from one network count as one.
fn network(ground: &Ground) -> String {
    let [high, low] = ground.port().to_be_bytes();
    format!("127.{high}.{low}.1")
}

fn certified(ground: &Ground, client: Client, authority: &str, arguments: &[&str]) -> Seen {
    let folder = ground
        .folder()
        .join(format!("certificate-{}", ground.port()));
    std::fs::create_dir(&folder)?;
    let public = folder.join("key.pub");
    let private: PathBuf = folder.join("key");
    std::fs::copy(ground.key("certified").public_path(), &public)?;
    std::fs::copy(ground.key("certified").private_path(), &private)?;
    let signer = if authority == "authority" {
        ground.authority()
    } else {
        ground.key(authority)
    };
    let certificate = signer.certify(&public, &[&["-I", "conformance"], arguments].concat());
    let option = format!("CertificateFile={}", certificate.display());
    let from = network(ground);
    let more = json!({"key": private, "certificate": certificate, "from": from});
    login(
        ground,
        client,
        "certified",
        &["-b", &from, "-o", &option],
        more,
    )
}

fn accept_new(ground: &Ground) -> Seen {
    let file = ground.folder().join(format!("known-{}", ground.port()));
    let known = format!("UserKnownHostsFile={}", file.display());
    let options = ["-o", &known, "-o", "StrictHostKeyChecking=accept-new"];
    let seen = login(ground, Client::Ssh, "plain", &options, json!({}))?;
    let lines = std::fs::read_to_string(&file)?;
    ensure!(lines.contains(ground.host_keys()[0].as_str()), "{lines}");
    Ok(format!("{seen}, one line kept"))
}

fn update_host_keys(ground: &Ground) -> Seen {
    let file = ground.folder().join(format!("known-{}", ground.port()));
    let line = format!(
        "[127.0.0.1]:{} {}\n",
        ground.addr().port(),
        ground.host_keys()[0]
    );
    std::fs::write(&file, line)?;
    let known = format!("UserKnownHostsFile={}", file.display());
    let _ssh =
        Process::spawn(&mut ground.ssh("plain", &["-N", "-o", &known, "-o", "UpdateHostKeys=yes"]));
    wait::until("every host key", || {
        let lines = std::fs::read_to_string(&file).unwrap_or_default();
        let all = ground
            .host_keys()
            .iter()
            .all(|key| lines.contains(key.as_str()));
        if all { Ok(()) } else { Err(lines) }
    });
    Ok("all host keys".into())
}

fn seven_keys(ground: &Ground) -> Seen {
    let keys = [
        "stranger",
        "certified",
        "unknown-option",
        "expired",
        "from-elsewhere",
        "from-not-here",
    ];
    let keys: Vec<String> = keys
        .iter()
        .map(|key| ground.key(key).private_path().display().to_string())
        .collect();
    let options: Vec<&str> = keys.iter().flat_map(|key| ["-i", key.as_str()]).collect();
    login(ground, Client::Ssh, "stranger", &options, json!({}))
}
