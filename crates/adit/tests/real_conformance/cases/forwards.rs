//! Several forwards, forwards that are refused, and forwards that are taken back.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use adit_testkit::process::Process;
use adit_testkit::wait;
use anyhow::{Context as _, ensure};
use serde_json::json;

use super::binds::REFUSED;
use crate::case::{Case, Seen};
use crate::client::{ALL, Asked, Client, remote};
use crate::ground::Ground;
use crate::python::{self, Connected, Library};
use crate::seen::{listeners, local, open_at};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for client in ALL {
        cases.push(Case::new(
            "a port that another key holds",
            "AT28",
            client,
            REFUSED,
            move |ground| taken_by_another(ground, client),
        ));
        cases.push(
            Case::new(
                "a port of which another program has one address",
                "AT33, E5",
                client,
                REFUSED,
                move |ground| half_taken(ground, client),
            )
            .differs(
                "granted",
                "sshd reports success if it could bind either family",
            ),
        );
        cases.push(
            Case::new("the port when its client has ended", "4.5", client, "held", move |ground| {
                after_the_end(ground, client)
            })
            .differs("free", "a lease waits for its owner: visitors are kept for a moment, and nobody else gets the port"),
        );
    }
    for library in [Library::Asyncssh, Library::Paramiko] {
        let client = of(library);
        cases.push(Case::new(
            "cancel, then the same again",
            "4.4",
            client,
            "granted, free, granted",
            move |ground| cancel_and_again(ground, library),
        ));
        cases.push(Case::new(
            "two connections of one key, a port each",
            "4.4",
            client,
            "visited, visited",
            move |ground| two_connections(ground, library),
        ));
    }
    cases.push(Case::new(
        "cancel of one of two",
        "4.4",
        Client::Asyncssh,
        "one free, one visited",
        // paramiko forgets how to serve any when one is cancelled.
        |ground| cancel_one(ground, Library::Asyncssh),
    ));
    cases.push(Case::new(
        "replies in the order of the requests",
        "4.4",
        Client::Asyncssh,
        "granted, refused, granted, refused, granted",
        order,
    ));
    cases.push(Case::new(
        "ten forwards in one command",
        "4.1",
        Client::Ssh,
        "10 visited",
        ten,
    ));
    cases.push(Case::new(
        "port 0 twice",
        "4.1",
        Client::Ssh,
        "two ports",
        zero_twice,
    ));
    cases.push(Case::new(
        "a refused forward beside a granted one",
        "4.1",
        Client::Ssh,
        "one visited",
        one_of_two,
    ));
    cases.push(
        Case::new(
            "the only forward refused, ExitOnForwardFailure=no",
            "AT30, E3",
            Client::Ssh,
            "ends with the reason",
            useless,
        )
        .differs(
            "stays for ever",
            "a client with nothing to do is told why and sent away, so that what restarts it does",
        ),
    );
    cases.push(Case::new(
        "-R PORT alone: SOCKS for visitors",
        "4.1",
        Client::Ssh,
        "visited",
        remote_socks,
    ));
    cases
}

fn of(library: Library) -> Client {
    match library {
        Library::Asyncssh => Client::Asyncssh,
        Library::Paramiko => Client::Paramiko,
    }
}

pub(super) fn word(asked: &Asked) -> &'static str {
    match asked {
        Asked::Granted(..) => "granted",
        Asked::Refused => REFUSED,
    }
}

fn taken_by_another(ground: &Ground, client: Client) -> Seen {
    let port = ground.port();
    let _first = Client::Ssh.listen(ground, "plain", None, port)?;
    let second = client.listen(ground, "other", None, port)?;
    open_at(port).context("the first one's visitors")?;
    Ok(word(&second).into())
}

fn half_taken(ground: &Ground, client: Client) -> Seen {
    let port = ground.port();
    let _foreign = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    Ok(word(&client.listen(ground, "plain", None, port)?).into())
}

fn after_the_end(ground: &Ground, client: Client) -> Seen {
    let port = ground.port();
    let held = client.listen(ground, "plain", None, port)?;
    ensure!(matches!(held, Asked::Granted(..)), "it was refused");
    drop(held);
    if ground.is_gateway() {
        ensure!(!listeners(port).is_empty(), "the port is free");
        return Ok("held".into());
    }
    wait_until_free(port);
    Ok("free".into())
}

pub(super) fn wait_until_free(port: u16) {
    wait::until("a free port", || {
        let found = listeners(port);
        if found.is_empty() { Ok(()) } else { Err(found) }
    });
}

/// A connection of a library, closed when dropped.
struct Connection<'g> {
    ground: &'g Ground,
    library: Library,
    id: u64,
}

impl<'g> Connection<'g> {
    fn open(ground: &'g Ground, library: Library, key: &str) -> anyhow::Result<Self> {
        match python::connect(library, ground, key, json!({}))? {
            Connected::Yes(id) => Ok(Self {
                ground,
                library,
                id,
            }),
            Connected::No(reason) => anyhow::bail!("no login: {reason}"),
        }
    }

    fn listen(&self, port: u16) -> anyhow::Result<u16> {
        let answer = self.library.ask(&json!({
            "do": "listen", "id": self.id, "host": "localhost", "port": port,
            "target": ["127.0.0.1", self.ground.echo()],
        }))?;
        Ok(u16::try_from(answer["port"].as_u64().context("refused")?)?)
    }

    fn cancel(&self, port: u16) -> anyhow::Result<()> {
        self.library
            .ask(&json!({"do": "cancel", "id": self.id, "host": "localhost", "port": port}))?;
        Ok(())
    }
}

impl Drop for Connection<'_> {
    fn drop(&mut self) {
        drop(self.library.ask(&json!({"do": "close", "id": self.id})));
    }
}

fn cancel_and_again(ground: &Ground, library: Library) -> Seen {
    let connection = Connection::open(ground, library, "plain")?;
    let port = connection.listen(ground.port())?;
    open_at(port)?;
    connection.cancel(port)?;
    wait_until_free(port);
    connection.listen(port)?;
    open_at(port)?;
    Ok("granted, free, granted".into())
}

fn cancel_one(ground: &Ground, library: Library) -> Seen {
    let connection = Connection::open(ground, library, "plain")?;
    let (one, other) = (connection.listen(0)?, connection.listen(0)?);
    connection.cancel(one)?;
    wait_until_free(one);
    open_at(other)?;
    Ok("one free, one visited".into())
}

fn two_connections(ground: &Ground, library: Library) -> Seen {
    let first = Connection::open(ground, library, "plain")?;
    let second = Connection::open(ground, library, "plain")?;
    open_at(first.listen(ground.port())?)?;
    open_at(second.listen(ground.port())?)?;
    Ok("visited, visited".into())
}

fn order(ground: &Ground) -> Seen {
    let taken = ground.port();
    let _another = Client::Ssh.listen(ground, "other", None, taken)?;
    let connection = Connection::open(ground, Library::Asyncssh, "plain")?;
    let ports = [ground.port(), taken, ground.port(), taken, ground.port()];
    let binds: Vec<_> = ports.iter().map(|port| ("localhost", *port)).collect();
    let answer = Library::Asyncssh.ask(&json!({
        "do": "listen_all", "id": connection.id, "binds": binds, "target": ["127.0.0.1", ground.echo()],
    }))?;
    let answers = answer["answers"].as_array().context("no answers")?;
    let words = ports
        .iter()
        .zip(answers)
        .map(|(port, answer)| match answer.as_u64() {
            Some(0) => REFUSED,
            Some(granted) if granted == u64::from(*port) => "granted",
            _ => "another port",
        });
    let words: Vec<&str> = words.collect();
    Ok(words.join(", "))
}

/// An ssh with these options; waits until it has said that so often.
pub(super) fn ssh_until(
    ground: &Ground,
    key: &str,
    options: &[&str],
    text: &str,
    count: usize,
) -> anyhow::Result<Process> {
    let mut process = Process::spawn(&mut ground.ssh(key, &[&["-v", "-N"], options].concat()));
    wait::until(text, || {
        let said = process.stderr();
        if said.matches(text).count() >= count {
            Ok(())
        } else {
            Err((process.exit_status(), said))
        }
    });
    Ok(process)
}

fn ten(ground: &Ground) -> Seen {
    let ports: Vec<u16> = (0..10).map(|_| ground.port()).collect();
    let forwards: Vec<String> = ports
        .iter()
        .map(|port| remote(None, *port, ground.echo()))
        .collect();
    let options: Vec<&str> = forwards
        .iter()
        .flat_map(|forward| ["-R", forward.as_str()])
        .collect();
    let _ssh = ssh_until(ground, "plain", &options, "remote forward success for", 10)?;
    for port in &ports {
        open_at(*port)?;
    }
    Ok("10 visited".into())
}

fn zero_twice(ground: &Ground) -> Seen {
    let (one, other) = (
        remote(None, 0, ground.echo()),
        remote(Some("127.0.0.1"), 0, ground.echo()),
    );
    let ssh = ssh_until(
        ground,
        "plain",
        &["-R", &one, "-R", &other],
        "remote forward success for",
        2,
    )?;
    let said = ssh.stderr();
    let mut ports = said
        .split("Allocated port ")
        .skip(1)
        .filter_map(|rest| rest.split(' ').next()?.parse().ok());
    let (one, other): (u16, u16) = (ports.next().context("one")?, ports.next().context("other")?);
    open_at(one)?;
    open_at(other)?;
    Ok(if one == other {
        "one port"
    } else {
        "two ports"
    }
    .into())
}

fn one_of_two(ground: &Ground) -> Seen {
    let (taken, free) = (ground.port(), ground.port());
    let _another = Client::Ssh.listen(ground, "other", None, taken)?;
    let (one, other) = (remote(None, taken, 1), remote(None, free, ground.echo()));
    let ssh = ssh_until(
        ground,
        "plain",
        &["-R", &one, "-R", &other],
        "remote forward success for",
        1,
    )?;
    ensure!(
        ssh.stderr()
            .contains("remote port forwarding failed for listen port"),
        "nothing is said of the other"
    );
    open_at(free)?;
    Ok("one visited".into())
}

fn useless(ground: &Ground) -> Seen {
    let taken = ground.port();
    let _another = Client::Ssh.listen(ground, "other", None, taken)?;
    let forward = remote(None, taken, 1);
    let failed = "remote port forwarding failed for listen port";
    let mut ssh = ssh_until(ground, "plain", &["-R", &forward], failed, 1)?;
    if ground.is_gateway() {
        let status = ssh.wait(wait::DEADLINE);
        let said = ssh.stderr();
        ensure!(
            said.contains("is refused") && status.code() == Some(255),
            "{status} {said}"
        );
        return Ok("ends with the reason".into());
    }
    let begun = std::time::Instant::now();
    wait::until("two seconds", || {
        let ended = ssh.exit_status();
        assert!(ended.is_none(), "it has ended: {ended:?}");
        if begun.elapsed() > Duration::from_secs(2) {
            Ok(())
        } else {
            Err(())
        }
    });
    Ok("stays for ever".into())
}

fn remote_socks(ground: &Ground) -> Seen {
    let port = ground.port();
    let _ssh = ssh_until(
        ground,
        "plain",
        &["-R", &port.to_string()],
        "remote forward success for",
        1,
    )?;
    super::opens::socks5(local(port), ground.echo())?;
    Ok("visited".into())
}
