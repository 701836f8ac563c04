//! Streams that clients open: `-L`, `-W`, `-D`, `-J`, and what libraries call them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use adit_testkit::process::Process;
use adit_testkit::sshd::Sshd;
use adit_testkit::wait;
use anyhow::{Context as _, ensure};
use serde_json::json;

use super::binds::REFUSED;
use crate::case::{Case, Seen};
use crate::client::Client;
use crate::ground::Ground;
use crate::python::{self, Connected, Library};
use crate::seen::{PATIENCE, is_turned_away, local, visit};

const CLOSED: &str = "an address is opened by who has a permitopen for it; the gateway stands in somebody's network, and \
                      a key that logs in is no key to that";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for client in [
        Client::Ssh,
        Client::Autossh,
        Client::Asyncssh,
        Client::Paramiko,
    ] {
        cases.push(Case::new(
            "-L to what permitopen names",
            "4.1, 4.3",
            client,
            "visited",
            move |ground| local_forward(ground, client, "opens", ground.echo()),
        ));
        cases.push(Case::new(
            "-L to another port",
            "4.2, 4.3",
            client,
            REFUSED,
            move |ground| local_forward(ground, client, "opens", ground.port()),
        ));
        cases.push(Case::new(
            "-L to where nobody listens",
            "4.2",
            client,
            REFUSED,
            move |ground| {
                local_forward(
                    ground,
                    client,
                    "opens-closed",
                    ground.named("opens-closed").c.number(),
                )
            },
        ));
        cases.push(
            Case::new(
                "-L by a key without permitopen",
                "4.3, G55",
                client,
                REFUSED,
                move |ground| local_forward(ground, client, "plain", ground.echo()),
            )
            .differs("visited", CLOSED),
        );
    }
    cases.push(Case::new(
        "-W",
        "4.1",
        Client::Ssh,
        "all came back",
        |ground| stdio(ground, "opens", &format!("127.0.0.1:{}", ground.echo())),
    ));
    cases.push(Case::new(
        "-W to another port",
        "4.1",
        Client::Ssh,
        "exit 255",
        |ground| stdio(ground, "opens", &format!("127.0.0.1:{}", ground.port())),
    ));
    cases.push(Case::new(
        "-D with SOCKS5",
        "4.1",
        Client::Ssh,
        "visited",
        |ground| {
            let (_ssh, addr) = dynamic(ground)?;
            socks5(addr, ground.echo())?;
            Ok("visited".into())
        },
    ));
    cases.push(Case::new(
        "-D with SOCKS4",
        "4.1",
        Client::Ssh,
        "visited",
        |ground| {
            let (_ssh, addr) = dynamic(ground)?;
            socks4(addr, ground.echo())?;
            Ok("visited".into())
        },
    ));
    cases.push(Case::new(
        "-D to another port",
        "4.1",
        Client::Ssh,
        REFUSED,
        |ground| {
            let (_ssh, addr) = dynamic(ground)?;
            let refused = socks5(addr, ground.port()).is_err();
            Ok(if refused { REFUSED } else { "visited" }.into())
        },
    ));
    cases.push(Case::new(
        "-J through it",
        "4.1, R8",
        Client::Ssh,
        "reached",
        |ground| jump(ground, "jump"),
    ));
    cases.push(Case::new(
        "ProxyCommand ssh -qW%h:%p",
        "R8",
        Client::Ssh,
        "reached",
        |ground| jump(ground, "command"),
    ));
    cases.push(
        Case::new(
            "-L to a socket of the server's machine",
            "4.4",
            Client::Ssh,
            REFUSED,
            to_socket,
        )
        .differs(
            "visited",
            "a client reaches sockets of its own folder, and no file of the machine's",
        ),
    );
    cases
}

fn local_forward(ground: &Ground, client: Client, key: &str, target: u16) -> Seen {
    if let Some(library) = client.library() {
        return open(ground, library, key, target, 1_000);
    }
    let port = ground.port();
    let forward = format!("127.0.0.1:{port}:127.0.0.1:{target}");
    let options = ["-v", "-N", "-L", &forward];
    let command = match client {
        Client::Autossh => crate::client::autossh(ground, key, &options),
        _ => ground.ssh(key, &options),
    };
    let _ssh = listening(command);
    if visit(local(port)).is_ok() {
        return Ok("visited".into());
    }
    ensure!(is_turned_away(local(port)), "answered, but not with all");
    Ok(REFUSED.into())
}

/// Starts an ssh that listens here, and waits until it does.
pub(super) fn listening(mut command: std::process::Command) -> Process {
    let mut ssh = Process::spawn(&mut command);
    ssh.wait_for_text("Entering interactive session");
    ssh
}

/// A stream of a library, through which so many bytes go and come back.
pub(super) fn open(ground: &Ground, library: Library, key: &str, port: u16, size: usize) -> Seen {
    let Connected::Yes(id) = python::connect(library, ground, key, json!({}))? else {
        anyhow::bail!("no login");
    };
    let answer = library
        .ask(&json!({"do": "open", "id": id, "host": "127.0.0.1", "port": port, "size": size}))?;
    library.ask(&json!({"do": "close", "id": id}))?;
    if answer.get("refused").is_some() {
        return Ok(REFUSED.into());
    }
    ensure!(answer["same"].as_bool() == Some(true), "{answer}");
    Ok("visited".into())
}

/// `ssh -W`, through which bytes go and come back.
pub(super) fn stdio(ground: &Ground, key: &str, target: &str) -> Seen {
    let mut ssh = ground
        .ssh(key, &["-W", target])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let sent = crate::seen::payload(100_000);
    let mut input = ssh.stdin.take().context("its input")?;
    let data = sent.clone();
    let writing = std::thread::spawn(move || {
        // One that was refused reads nothing.
        drop(input.write_all(&data));
    });
    let output = ssh.wait_with_output()?;
    writing.join().expect("writing does not panic");
    if output.status.success() {
        ensure!(
            output.stdout == sent,
            "{} bytes came back",
            output.stdout.len()
        );
        return Ok("all came back".into());
    }
    Ok(format!("exit {}", output.status.code().unwrap_or(-1)))
}

fn dynamic(ground: &Ground) -> anyhow::Result<(Process, SocketAddr)> {
    let port = ground.port();
    let ssh = listening(ground.ssh("opens", &["-v", "-N", "-D", &format!("127.0.0.1:{port}")]));
    Ok((ssh, local(port)))
}

/// A visitor who comes through a SOCKS5 proxy (RFC 1928).
pub(super) fn socks5(proxy: SocketAddr, port: u16) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&proxy, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[5, 1, 0])?;
    let mut method = [0; 2];
    stream.read_exact(&mut method)?;
    ensure!(method == [5, 0], "{method:?}");
    stream.write_all(&[5, 1, 0, 1, 127, 0, 0, 1])?;
    stream.write_all(&port.to_be_bytes())?;
    let mut reply = [0; 10];
    stream.read_exact(&mut reply)?;
    ensure!(reply[1] == 0, "{reply:?}");
    finish(stream)
}

fn socks4(proxy: SocketAddr, port: u16) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect_timeout(&proxy, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(&[4, 1])?;
    stream.write_all(&port.to_be_bytes())?;
    stream.write_all(&[127, 0, 0, 1, b'a', 0])?;
    let mut reply = [0; 8];
    stream.read_exact(&mut reply)?;
    ensure!(reply[1] == 90, "{reply:?}");
    finish(stream)
}

fn finish(mut stream: TcpStream) -> anyhow::Result<()> {
    stream.write_all(b"through a proxy")?;
    stream.shutdown(std::net::Shutdown::Write)?;
    let mut got = String::new();
    stream.read_to_string(&mut got)?;
    ensure!(got == "through a proxy", "{got:?}");
    Ok(())
}

/// Reaches an sshd behind the server, as `~/.ssh/config` says it.
fn jump(ground: &Ground, how: &str) -> Seen {
    let behind = Sshd::builder().start();
    let known = ground.folder().join(format!("known-{}", ground.port()));
    let lines = std::fs::read_to_string(ground.known_hosts())? + &behind.known_hosts();
    std::fs::write(&known, lines)?;
    let config = ground.folder().join(format!("config-{}", ground.port()));
    let way = match how {
        "jump" => String::from("ProxyJump gateway"),
        _ => format!(
            "ProxyCommand {} -F {} -qW%h:%p gateway",
            ground.program("ssh").display(),
            config.display()
        ),
    };
    let text = format!(
        "Host *\n  BatchMode yes\n  IdentitiesOnly yes\n  IdentityAgent none\n  StrictHostKeyChecking yes\n  \
         UserKnownHostsFile {}\n\
         Host gateway\n  HostName {}\n  Port {}\n  User {}\n  IdentityFile {}\n\
         Host behind\n  HostName 127.0.0.1\n  Port {}\n  User {}\n  IdentityFile {}\n  {way}\n",
        known.display(),
        ground.addr().ip(),
        ground.addr().port(),
        ground.user(),
        ground.key("opens-anywhere").private_path().display(),
        behind.addr().port(),
        behind.user(),
        behind.user_key().private_path().display(),
    );
    std::fs::write(&config, text)?;
    let mut command = std::process::Command::new(ground.program("ssh"));
    command
        .arg("-F")
        .arg(&config)
        .args(["behind", "echo reached"])
        .env_remove("SSH_AUTH_SOCK");
    let mut ssh = Process::spawn(&mut command);
    let status = ssh.wait(wait::DEADLINE);
    ensure!(status.success(), "{}", ssh.stderr());
    Ok(ssh.stdout().trim().to_owned())
}

fn to_socket(ground: &Ground) -> Seen {
    let path = ground.folder().join(format!("{}.sock", ground.port()));
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    adit_testkit::echo::serve_unix(listener);
    let port = ground.port();
    let forward = format!("127.0.0.1:{port}:{}", path.display());
    let _ssh = listening(ground.ssh("plain", &["-v", "-N", "-L", &forward]));
    Ok(if visit(local(port)).is_ok() {
        "visited"
    } else {
        REFUSED
    }
    .into())
}
