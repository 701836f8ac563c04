//! A client that comes again while its old connection is still there.

use std::net::TcpListener;

use adit_testkit::echo;
use adit_testkit::process::Process;
use anyhow::{Context as _, ensure};
use rustix::process::Signal;

use super::binds::REFUSED;
use crate::case::{Case, Seen};
use crate::client::{self, ALL, Asked, Client, Held, remote};
use crate::ground::Ground;
use crate::seen::{PATIENCE, local};

const WAITS: &str =
    "sshd holds a dead client's port until ClientAliveInterval is over, or for hours without it";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for client in ALL {
        cases.push(
            Case::new(
                "the old connection hangs, the same key comes",
                "AT27",
                client,
                "taken over",
                move |ground| hanging(ground, client, "plain"),
            )
            .differs(REFUSED, WAITS),
        );
        cases.push(Case::new(
            "the old connection hangs, another key comes",
            "AT28",
            client,
            REFUSED,
            move |ground| hanging(ground, client, "other"),
        ));
        cases.push(Case::new(
            "the old connection answers, the same key comes",
            "R7",
            client,
            "refused, the old one visited",
            move |ground| answering(ground, client, "plain"),
        ));
        cases.push(Case::new(
            "the old connection answers, another key comes",
            "AT28",
            client,
            "refused, the old one visited",
            move |ground| answering(ground, client, "other"),
        ));
        cases.push(Case::new(
            "the old connection was cut, the same key comes",
            "R7",
            client,
            "granted, the new one visited",
            move |ground| cut(ground, client),
        ));
    }
    cases.push(
        Case::new(
            "the old connection comes back to life",
            "AT29",
            Client::Ssh,
            "visitors reach the new one, the old one ends",
            revived,
        )
        .absent(WAITS),
    );
    cases
}

/// A service that says who it is.
fn service(name: &str) -> anyhow::Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    echo::serve(listener, name.as_bytes().to_vec());
    Ok(port)
}

/// Whose service a visitor reaches.
fn reached(port: u16) -> anyhow::Result<String> {
    use std::io::{Read as _, Write as _};
    let mut visitor = std::net::TcpStream::connect(local(port))?;
    visitor.set_read_timeout(Some(PATIENCE))?;
    visitor.write_all(b"at ")?;
    visitor.shutdown(std::net::Shutdown::Write)?;
    let mut got = String::new();
    visitor.read_to_string(&mut got)?;
    Ok(got)
}

fn first(ground: &Ground, port: u16) -> anyhow::Result<Process> {
    let forward = remote(None, port, service("old")?);
    let options = ["-v", "-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward];
    match client::ask(ground.ssh("plain", &options), port)? {
        Asked::Granted(Held::Process(process), _) => Ok(process),
        _ => anyhow::bail!("the first was refused"),
    }
}

fn hanging(ground: &Ground, client: Client, key: &str) -> Seen {
    let port = ground.port();
    let old = first(ground, port)?;
    old.signal(Signal::STOP);
    let new = client.listen_to(ground, key, (None, port), service("new")?);
    let seen = match &new {
        Ok(Asked::Granted(..)) => {
            let reached = reached(port)?;
            ensure!(reached == "at new", "{reached}");
            "taken over"
        }
        _ => REFUSED,
    };
    old.signal(Signal::CONT);
    new?;
    Ok(seen.into())
}

fn answering(ground: &Ground, client: Client, key: &str) -> Seen {
    let port = ground.port();
    let _old = first(ground, port)?;
    let new = client.listen_to(ground, key, (None, port), service("new")?)?;
    let word = match new {
        Asked::Granted(..) => "granted",
        Asked::Refused => REFUSED,
    };
    let who = match reached(port)?.as_str() {
        "at old" => "old",
        _ => "new",
    };
    Ok(format!("{word}, the {who} one visited"))
}

fn cut(ground: &Ground, client: Client) -> Seen {
    let port = ground.port();
    let mut old = first(ground, port)?;
    old.kill();
    if !ground.is_gateway() {
        adit_testkit::wait::until("a free port", || {
            let found = crate::seen::listeners(port);
            if found.is_empty() { Ok(()) } else { Err(found) }
        });
    }
    let new = client.listen_to(ground, "plain", (None, port), service("new")?)?;
    ensure!(matches!(new, Asked::Granted(..)), "it was refused");
    let reached = reached(port)?;
    ensure!(reached == "at new", "{reached}");
    Ok("granted, the new one visited".into())
}

fn revived(ground: &Ground) -> Seen {
    let port = ground.port();
    let mut old = first(ground, port)?;
    old.signal(Signal::STOP);
    let new = Client::Ssh.listen_to(ground, "plain", (None, port), service("new")?)?;
    ensure!(matches!(new, Asked::Granted(..)), "it was refused");
    old.signal(Signal::CONT);
    let status = old.wait(adit_testkit::wait::DEADLINE);
    ensure!(!status.success(), "{status}");
    for _ in 0..3 {
        let reached = reached(port).context("a visitor")?;
        ensure!(reached == "at new", "{reached}");
    }
    Ok("visitors reach the new one, the old one ends".into())
}
