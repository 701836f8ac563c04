//! Devices by their names, which are no names of anybody's resolver: `ssh -J gateway red001`.

use adit_testkit::key_pair::{KeyKind, KeyPair};
use adit_testkit::port::Port;
use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::wait;
use anyhow::{Context as _, ensure};
use serde_json::json;

use super::opens::{listening, stdio};
use crate::case::{Case, Seen};
use crate::client::{self, ALL, Asked, Client, Held, remote};
use crate::ground::Ground;
use crate::python::{self, Connected};
use crate::seen::{local, visit};

const NO_NAMES: &str = "sshd knows no devices: it asks the resolver of its machine";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for client in ALL {
        cases.push(Case::new(
            "-L PORT:red001:80",
            "R5, AT20",
            client,
            "visited",
            move |ground| {
                let device = Device::start(ground, 80, ground.echo())?;
                local_forward(ground, client, &device.name, 80)
            },
        ));
    }
    type Play = fn(&Ground) -> Seen;
    let with_ssh: [(&str, &str, Play); 6] = [
        ("-W red001:22", "all came back", |ground| {
            let device = Device::start(ground, 22, ground.echo())?;
            stdio(ground, "opens-names", &format!("{}:22", device.name))
        }),
        (
            "-W red001:PORT, by the number that it listens at",
            "all came back",
            |ground| {
                let device = Device::start(ground, 22, ground.echo())?;
                stdio(
                    ground,
                    "opens-names",
                    &format!("{}:{}", device.name, device.port),
                )
            },
        ),
        (
            "-W red001:80 of a device that has only port 22",
            "told: offers nothing at port 80",
            |ground| {
                let device = Device::start(ground, 22, ground.echo())?;
                refused(ground, "opens-names", &device.name, 80)
            },
        ),
        (
            "-W red001:22 by a key that may open nothing",
            "told: you may not open",
            |ground| {
                let device = Device::start(ground, 22, ground.echo())?;
                refused(ground, "plain", &device.name, 22)
            },
        ),
        ("-J gateway red001", "reached", |ground| {
            jump(ground, &["-J", "gateway"], "")
        }),
        ("Host red001, ProxyJump gateway", "reached", |ground| {
            jump(ground, &[], "  ProxyJump gateway\n")
        }),
    ];
    for (name, seen, play) in with_ssh {
        cases.push(Case::new(name, "R3, R5", Client::Ssh, seen, play));
    }
    cases
        .into_iter()
        .map(|case| case.absent(NO_NAMES))
        .collect()
}

/// A device of its own name that is there, with one service behind its prefix.
struct Device {
    name: String,
    /// Where its service listens at the gateway.
    port: u16,
    _ssh: Held,
}

impl Device {
    fn start(ground: &Ground, service: u16, target: u16) -> anyhow::Result<Self> {
        let name = format!("red{}", ground.port());
        let key = KeyPair::generate(ground.folder(), &name, KeyKind::Ed25519);
        let public = key.public_path().display().to_string();
        ground.admin(&["device", "add", &name])?;
        ground.admin(&["key", "add", &name, &public])?;
        ground.admin(&["grant", "add", &name, "--ports", "1024-65535"])?;
        let port = ground.keep(Port::reserve_one_of(
            (100..=654).map(|prefix| prefix * 100 + service),
        ));
        let forward = remote(None, port, target);
        let options = ["-v", "-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward];
        match client::ask(ground.ssh_with(&key, &options), port)? {
            Asked::Granted(ssh, _) => Ok(Self {
                name,
                port,
                _ssh: ssh,
            }),
            Asked::Refused => anyhow::bail!("the device was refused"),
        }
    }
}

fn local_forward(ground: &Ground, client: Client, name: &str, service: u16) -> Seen {
    let key = "opens-names";
    if let Some(library) = client.library() {
        let Connected::Yes(id) = python::connect(library, ground, key, json!({}))? else {
            anyhow::bail!("no login");
        };
        let answer = library
            .ask(&json!({"do": "open", "id": id, "host": name, "port": service, "size": 1_000}))?;
        library.ask(&json!({"do": "close", "id": id}))?;
        ensure!(answer["same"].as_bool() == Some(true), "{answer}");
        return Ok("visited".into());
    }
    let port = ground.port();
    let forward = format!("127.0.0.1:{port}:{name}:{service}");
    let options = ["-v", "-N", "-L", &forward];
    let command = match client {
        Client::Autossh => client::autossh(ground, key, &options),
        _ => ground.ssh(key, &options),
    };
    let _ssh = listening(command);
    visit(local(port))?;
    Ok("visited".into())
}

/// What is told of a stream that is not opened.
fn refused(ground: &Ground, key: &str, name: &str, service: u16) -> Seen {
    let mut ssh = Process::spawn(&mut ground.ssh(key, &["-W", &format!("{name}:{service}")]));
    let status = ssh.wait(wait::DEADLINE);
    let said = ssh.stderr();
    ensure!(status.code() == Some(255), "{status} {said}");
    let words = ["you may not open", "offers nothing at port 80"];
    let told = words.iter().find(|words| said.contains(**words));
    Ok(format!("told: {}", told.context(said.clone())?))
}

/// Reaches the sshd of a device, whose own host key is known by the device's name.
fn jump(ground: &Ground, options: &[&str], way: &str) -> Seen {
    let behind = Sshd::builder().start();
    let device = Device::start(ground, 22, behind.addr().port())?;
    let known = ground.folder().join(format!("known-{}", device.name));
    let host_key = behind.host_keys().first().context("a host key")?;
    let line = format!("{} {}\n", device.name, host_key.public_key());
    std::fs::write(
        &known,
        std::fs::read_to_string(ground.known_hosts())? + &line,
    )?;
    let config = ground.folder().join(format!("config-{}", device.name));
    let text = format!(
        "Host *\n  BatchMode yes\n  IdentitiesOnly yes\n  IdentityAgent none\n  StrictHostKeyChecking yes\n  \
         UserKnownHostsFile {}\n\
         Host gateway\n  HostName {}\n  Port {}\n  IdentityFile {}\n\
         Host {}\n  User {}\n  IdentityFile {}\n{way}",
        known.display(),
        ground.addr().ip(),
        ground.addr().port(),
        ground.key("opens-names").private_path().display(),
        device.name,
        behind.user(),
        behind.user_key().private_path().display(),
    );
    std::fs::write(&config, text)?;
    let mut command = std::process::Command::new(ground.program("ssh"));
    command
        .arg("-F")
        .arg(&config)
        .args(options)
        .args([&device.name, "echo reached"])
        .env_remove("SSH_AUTH_SOCK");
    let mut ssh = Process::spawn(&mut command);
    let status = ssh.wait(wait::DEADLINE);
    ensure!(status.success(), "{}", ssh.stderr());
    Ok(ssh.stdout().trim().to_owned())
}
