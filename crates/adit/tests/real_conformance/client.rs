//! Who does what a case says.

use std::fmt;
use std::process::Command;

use adit_testkit::process::Process;
use adit_testkit::{real, wait};
use anyhow::{Context as _, bail};
use serde_json::json;

use crate::ground::{Ground, Release};
use crate::python::{self, Library};

/// A program or a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    /// The installed one; what it does, [`Ssh10`](Self::Ssh10) does as well.
    Ssh,
    Ssh10,
    Autossh,
    Asyncssh,
    Paramiko,
}

/// All of them but [`Client::Ssh10`], which has every case of [`Client::Ssh`].
pub(crate) const ALL: [Client; 4] = [
    Client::Ssh,
    Client::Autossh,
    Client::Asyncssh,
    Client::Paramiko,
];

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ssh => "ssh 9.2",
            Self::Ssh10 => "ssh 10.0",
            Self::Autossh => "autossh",
            Self::Asyncssh => "asyncssh",
            Self::Paramiko => "paramiko",
        })
    }
}

/// A forward that was asked for.
pub(crate) enum Asked {
    /// It is there while this is held.
    Granted(Held, u16),
    Refused,
}

/// What holds a forward.
pub(crate) enum Held {
    Process(Process),
    Connection(#[expect(dead_code, reason = "it is held, not used")] Connection),
}

impl Held {
    /// The program, if it is one.
    pub(crate) fn process(&mut self) -> anyhow::Result<&mut Process> {
        match self {
            Self::Process(process) => Ok(process),
            Self::Connection(_) => bail!("a library is no process"),
        }
    }
}

/// A library's connection, closed when dropped.
pub(crate) struct Connection {
    library: Library,
    id: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        drop(self.library.ask(&json!({"do": "close", "id": self.id})));
    }
}

impl Client {
    /// The OpenSSH whose programs it runs.
    pub(crate) fn release(self) -> Release {
        match self {
            Self::Ssh10 => Release::Newer,
            Self::Ssh | Self::Autossh | Self::Asyncssh | Self::Paramiko => Release::Installed,
        }
    }

    /// The library, for those that are one.
    pub(crate) fn library(self) -> Option<Library> {
        match self {
            Self::Ssh | Self::Ssh10 | Self::Autossh => None,
            Self::Asyncssh => Some(Library::Asyncssh),
            Self::Paramiko => Some(Library::Paramiko),
        }
    }

    /// Asks for a forward to the service that echoes, at that text and port. `None` is `-R` without an address.
    pub(crate) fn listen(
        self,
        ground: &Ground,
        key: &str,
        host: Option<&str>,
        port: u16,
    ) -> anyhow::Result<Asked> {
        self.listen_to(ground, key, (host, port), ground.echo())
    }

    /// The same, to another port of 127.0.0.1.
    pub(crate) fn listen_to(
        self,
        ground: &Ground,
        key: &str,
        (host, port): (Option<&str>, u16),
        target: u16,
    ) -> anyhow::Result<Asked> {
        let Some(library) = self.library() else {
            let forward = remote(host, port, target);
            let options = [
                "-v",
                "-N",
                "-T",
                "-o",
                "ExitOnForwardFailure=yes",
                "-R",
                &forward,
            ];
            let command = match self {
                Self::Autossh => autossh(ground, key, &options),
                _ => ground.ssh(key, &options),
            };
            return ask(command, port);
        };
        let id = match python::connect(library, ground, key, json!({}))? {
            python::Connected::Yes(id) => id,
            python::Connected::No(reason) => bail!("no login: {reason}"),
        };
        let held = Held::Connection(Connection { library, id });
        let answer = library.ask(&json!({
            "do": "listen", "id": id, "host": host.unwrap_or("localhost"), "port": port,
            "target": ["127.0.0.1", target],
        }))?;
        if answer.get("refused").is_some() {
            return Ok(Asked::Refused);
        }
        let granted = answer["port"].as_u64().context("no port in the answer")?;
        Ok(Asked::Granted(held, u16::try_from(granted)?))
    }
}

/// The words of `-R`.
pub(crate) fn remote(host: Option<&str>, port: u16, target: u16) -> String {
    match host {
        None => format!("{port}:127.0.0.1:{target}"),
        Some(host) if host.contains(':') => format!("[{host}]:{port}:127.0.0.1:{target}"),
        Some(host) => format!("{host}:{port}:127.0.0.1:{target}"),
    }
}

/// autossh with its own probing off, as everybody has it who lets ssh ask whether the server is there.
pub(crate) fn autossh(ground: &Ground, key: &str, options: &[&str]) -> Command {
    let mut all = vec!["-M", "0"];
    all.extend(options);
    let mut command = ground.command("autossh", key, &all);
    command.env("AUTOSSH_PATH", real::find("ssh").expect("ssh is installed"));
    command
}

/// Waits for what becomes of the one forward that a command asks for.
pub(crate) fn ask(mut command: Command, port: u16) -> anyhow::Result<Asked> {
    let mut process = Process::spawn(&mut command);
    let outcome = wait::until("an answer to the forward", || {
        let said = process.stderr();
        let ended = process.exit_status();
        if said.contains("remote forward success for")
            || said.contains("All remote forwarding requests processed")
        {
            Ok(Some(said))
        } else if said.contains("remote port forwarding failed")
            || said.contains("remote forward failure")
            || ended.is_some()
        {
            Ok(None)
        } else {
            Err(said)
        }
    });
    let Some(said) = outcome else {
        let said = process.stderr();
        if said.contains("forwarding failed") || said.contains("forward failure") {
            return Ok(Asked::Refused);
        }
        bail!("it ended without an answer: {said}");
    };
    let granted = if port == 0 { allocated(&said)? } else { port };
    Ok(Asked::Granted(Held::Process(process), granted))
}

/// The port that ssh says it was given.
pub(crate) fn allocated(said: &str) -> anyhow::Result<u16> {
    let rest = said
        .split("Allocated port ")
        .nth(1)
        .context("no allocated port")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Ok(digits.parse()?)
}
