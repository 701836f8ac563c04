//! Much, many at once, and only one way.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use anyhow::{Context as _, ensure};
use serde_json::json;

use super::opens;
use crate::case::{Case, Seen};
use crate::client::{self, Asked, Client, remote};
use crate::ground::Ground;
use crate::python::{self, Connected, Library};
use crate::seen::{PATIENCE, exchange, local, payload};

const MUCH: usize = 4 << 20;
const AT_ONCE: usize = 64;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for client in [Client::Ssh, Client::Asyncssh, Client::Paramiko] {
        cases.push(Case::new(
            "4 MiB each way at once through -R",
            "4.4",
            client,
            "all came back",
            move |ground| {
                let (_held, port) = forward(ground, client, mirror()?)?;
                exchange(local(port), MUCH)?;
                Ok("all came back".into())
            },
        ));
        cases.push(Case::new(
            "64 visitors at once",
            "4.4",
            client,
            "64 visited",
            move |ground| many(ground, client),
        ));
        cases.push(Case::new(
            "a service that ends first, and reads on",
            "4.4",
            client,
            "both got everything",
            move |ground| service_ends_first(ground, client),
        ));
        if let Some(library) = client.library() {
            cases.push(Case::new(
                "4 MiB each way at once through -L",
                "4.4",
                client,
                "visited",
                move |ground| opens::open(ground, library, "opens-anywhere", mirror()?, MUCH),
            ));
            cases.push(Case::new(
                "new keys while bytes go both ways",
                "RFC 4253 9",
                client,
                "all came back",
                move |ground| renewed(ground, library),
            ));
        }
    }
    for (name, options) in [
        ("new keys after every MiB", ["-o", "RekeyLimit=1M"]),
        (
            "new keys after every MiB, aes256-ctr",
            ["-o", "RekeyLimit=1M"],
        ),
        (
            "new keys after every MiB, 48 MiB each way",
            ["-o", "RekeyLimit=1M"],
        ),
        // ssh takes bytes for blocks when it looks ahead, and below 1M renews its keys before every packet.
        ("RekeyLimit=256K, 4 MiB each way", ["-o", "RekeyLimit=256K"]),
        ("RekeyLimit=16K, 2 MiB each way", ["-o", "RekeyLimit=16K"]),
        (
            "-C: compression that is not offered",
            ["-o", "Compression=yes"],
        ),
    ] {
        let cipher = if name.ends_with("ctr") {
            "aes256-ctr"
        } else {
            "aes128-gcm@openssh.com"
        };
        // sntrup761 of ssh 9.2 takes a tenth of a second each time.
        let kex = if name.contains("each way") {
            "curve25519-sha256"
        } else {
            "sntrup761x25519-sha512@openssh.com"
        };
        // More exchanges than are answered at once.
        let size = match name {
            "new keys after every MiB, 48 MiB each way" => 48 << 20,
            "RekeyLimit=16K, 2 MiB each way" => 2 << 20,
            _ => MUCH,
        };
        cases.push(Case::new(
            name,
            "RFC 4253 9",
            Client::Ssh,
            "all came back",
            move |ground| with_options(ground, &options, cipher, kex, size),
        ));
    }
    cases.push(Case::new(
        "a visitor who resets",
        "4.4",
        Client::Ssh,
        "the service was told, others visit",
        reset,
    ));
    cases.push(Case::new(
        "a service that is not there",
        "4.1",
        Client::Ssh,
        "turned away, others visit",
        no_service,
    ));
    cases.push(Case::new(
        "a visitor who reads nothing",
        "4.4",
        Client::Ssh,
        "others visit",
        slow_reader,
    ));
    cases
}

fn forward(ground: &Ground, client: Client, target: u16) -> anyhow::Result<(client::Held, u16)> {
    match client.listen_to(ground, "plain", (None, 0), target)? {
        Asked::Granted(held, port) => Ok((held, port)),
        Asked::Refused => anyhow::bail!("refused"),
    }
}

/// Bytes both ways through a forward of an ssh with these options.
fn with_options(ground: &Ground, options: &[&str], cipher: &str, kex: &str, size: usize) -> Seen {
    let forward = remote(None, 0, mirror()?);
    let (cipher, kex) = (format!("Ciphers={cipher}"), format!("KexAlgorithms={kex}"));
    let own = ["-v", "-N", "-R", &forward, "-o", &cipher, "-o", &kex];
    let command = ground.ssh("plain", &[&own[..], options].concat());
    let Asked::Granted(mut held, port) = client::ask(command, 0)? else {
        anyhow::bail!("refused");
    };
    if let Err(error) = exchange(local(port), size) {
        anyhow::bail!("{error:#}: {}", held.process()?.stderr());
    }
    Ok("all came back".into())
}

/// The stream ends when all bytes are there, and not before: a paramiko that has asked for new keys and then reads the
/// end of a channel waits in the thread that reads for an answer that only this thread could read, until 30 s are over
/// (`Channel._handle_close` of 5.1 calls `Transport._send_user_message`; at sshd 7 times in 40, measured 2026-11-22).
fn renewed(ground: &Ground, library: Library) -> Seen {
    let Connected::Yes(id) =
        python::connect(library, ground, "opens-anywhere", json!({"rekey": 1 << 20}))?
    else {
        anyhow::bail!("no login");
    };
    let answer = library.ask(&json!({
        "do": "open", "id": id, "host": "127.0.0.1", "port": mirror()?, "size": MUCH, "open": true,
    }))?;
    library.ask(&json!({"do": "close", "id": id}))?;
    ensure!(answer["same"].as_bool() == Some(true), "{answer}");
    Ok("all came back".into())
}

/// A service that says back each byte when it hears it, so that bytes go both ways at once.
fn mirror() -> anyhow::Result<u16> {
    let (listener, port) = service()?;
    std::thread::spawn(move || {
        while let Ok((visitor, _)) = listener.accept() {
            std::thread::spawn(move || {
                let (mut from, mut to) = (&visitor, &visitor);
                // A visitor that has left wants no answer.
                drop(std::io::copy(&mut from, &mut to));
                drop(visitor.shutdown(Shutdown::Write));
            });
        }
    });
    Ok(port)
}

fn many(ground: &Ground, client: Client) -> Seen {
    let (_held, port) = forward(ground, client, ground.echo())?;
    let visitors: Vec<TcpStream> = (0..AT_ONCE)
        .map(|_| TcpStream::connect(local(port)))
        .collect::<Result<_, _>>()?;
    // All are open before any has ended.
    for (number, visitor) in visitors.iter().enumerate() {
        let mut visitor = visitor;
        visitor.set_read_timeout(Some(PATIENCE))?;
        write!(visitor, "visitor {number}")?;
    }
    for (number, mut visitor) in visitors.into_iter().enumerate() {
        visitor.shutdown(Shutdown::Write)?;
        let mut got = String::new();
        visitor
            .read_to_string(&mut got)
            .with_context(|| format!("visitor {number}"))?;
        ensure!(got == format!("visitor {number}"), "{got:?}");
    }
    Ok(format!("{AT_ONCE} visited"))
}

fn service() -> anyhow::Result<(TcpListener, u16)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    Ok((listener, port))
}

fn service_ends_first(ground: &Ground, client: Client) -> Seen {
    let (listener, target) = service()?;
    let (_held, port) = forward(ground, client, target)?;
    let sent = payload(200_000);
    let mut visitor = TcpStream::connect(local(port))?;
    visitor.set_read_timeout(Some(PATIENCE))?;
    let (mut served, _) = listener.accept()?;
    served.set_read_timeout(Some(PATIENCE))?;
    served.write_all(&sent)?;
    served.shutdown(Shutdown::Write)?;
    let mut got = Vec::new();
    visitor.read_to_end(&mut got)?;
    ensure!(got == sent, "the visitor got {} bytes", got.len());
    // The other way is still open.
    visitor.write_all(&sent)?;
    visitor.shutdown(Shutdown::Write)?;
    let mut got = Vec::new();
    served.read_to_end(&mut got)?;
    ensure!(got == sent, "the service got {} bytes", got.len());
    Ok("both got everything".into())
}

fn reset(ground: &Ground) -> Seen {
    let (listener, target) = service()?;
    let (_held, port) = forward(ground, Client::Ssh, target)?;
    let mut visitor = TcpStream::connect(local(port))?;
    visitor.write_all(b"x")?;
    let (mut served, _) = listener.accept()?;
    served.set_read_timeout(Some(PATIENCE))?;
    served.read_exact(&mut [0])?;
    rustix::net::sockopt::set_socket_linger(&visitor, Some(std::time::Duration::ZERO))?;
    drop(visitor);
    let told = served.read(&mut [0]);
    ensure!(!matches!(told, Ok(1)) && !timed_out(&told), "{told:?}");
    let mut other = TcpStream::connect(local(port))?;
    let (mut served, _) = listener.accept()?;
    other.write_all(b"y")?;
    served.set_read_timeout(Some(PATIENCE))?;
    served.read_exact(&mut [0])?;
    Ok("the service was told, others visit".into())
}

fn timed_out(result: &std::io::Result<usize>) -> bool {
    let kind = result.as_ref().map_err(std::io::Error::kind).err();
    matches!(
        kind,
        Some(std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    )
}

fn no_service(ground: &Ground) -> Seen {
    let (mut held, port) = forward(ground, Client::Ssh, ground.port())?;
    ensure!(
        crate::seen::is_turned_away(local(port)),
        "a visitor was answered"
    );
    ensure!(
        crate::seen::is_turned_away(local(port)),
        "another visitor was answered"
    );
    ensure!(held.process()?.exit_status().is_none(), "ssh has ended");
    Ok("turned away, others visit".into())
}

fn slow_reader(ground: &Ground) -> Seen {
    let (_held, port) = forward(ground, Client::Ssh, ground.echo())?;
    let stuck = TcpStream::connect(local(port))?;
    let mut writing = stuck.try_clone()?;
    let writer = std::thread::spawn(move || {
        // What nobody reads is not all taken; the end of the case ends this.
        drop(
            writing
                .write_all(&payload(8 << 20))
                .and_then(|()| writing.shutdown(Shutdown::Write)),
        );
    });
    for _ in 0..3 {
        exchange(local(port), 100_000)?;
    }
    drop(stuck.shutdown(Shutdown::Both));
    writer.join().expect("writing does not panic");
    Ok("others visit".into())
}
