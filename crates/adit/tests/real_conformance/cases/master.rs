//! `ssh -M`: forwards that come and go on a connection that lives.

use std::path::PathBuf;
use std::process::Command;

use adit_testkit::process::Process;
use adit_testkit::wait;
use anyhow::Context as _;

use super::forwards::wait_until_free;
use crate::case::{Case, Seen};
use crate::client::{Client, remote};
use crate::ground::Ground;
use crate::seen::open_at;

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    type Play = fn(&Master<'_>) -> Seen;
    let on_a_master: [(&str, &str, Play); 9] = [
        ("-O check", "exit 0", |master| master.ask("check", &[])),
        ("-O forward -R 0", "127.0.0.1 ::1", mux_zero),
        ("-O forward -R PORT twice", "exit 0, exit 0", mux_twice),
        ("-O forward of a taken port", "exit 255", mux_taken),
        ("-O cancel -R PORT", "exit 0, free", mux_cancel),
        (
            "-O cancel, then -O forward again",
            "127.0.0.1 ::1",
            mux_again,
        ),
        (
            "-O cancel of what was never asked for",
            "exit 0",
            |master| master.ask("cancel", &["-R", &remote(None, master.ground.port(), 1)]),
        ),
        ("-O exit", "exit 0, ended", |master| mux_end(master, "exit")),
        ("-O stop", "exit 0, ended", |master| mux_end(master, "stop")),
    ];
    for (name, seen, play) in on_a_master {
        cases.push(Case::new(
            name,
            "4.1, E8",
            Client::Ssh,
            seen,
            move |ground| play(&Master::start(ground, "plain")?),
        ));
    }
    cases
}

/// Where a master listens.
pub(super) fn control(ground: &Ground) -> PathBuf {
    ground.folder().join(format!("control-{}", ground.port()))
}

/// `ssh -M`, and others that ask it for things.
struct Master<'g> {
    ground: &'g Ground,
    process: Process,
    socket: String,
}

impl<'g> Master<'g> {
    fn start(ground: &'g Ground, key: &str) -> anyhow::Result<Self> {
        let socket = control(ground).display().to_string();
        let mut process = Process::spawn(&mut ground.ssh(key, &["-M", "-S", &socket, "-N"]));
        wait::until("a control socket", || {
            let ended = process.exit_status();
            assert!(ended.is_none(), "{ended:?} {}", process.stderr());
            if std::path::Path::new(&socket).exists() {
                Ok(())
            } else {
                Err(process.stderr())
            }
        });
        Ok(Self {
            ground,
            process,
            socket,
        })
    }

    fn output(&self, what: &str, more: &[&str]) -> anyhow::Result<(i32, String)> {
        let mut command: Command = self
            .ground
            .ssh("plain", &[&["-S", &self.socket, "-O", what], more].concat());
        let output = command.output()?;
        Ok((
            output.status.code().unwrap_or(-1),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    }

    fn ask(&self, what: &str, more: &[&str]) -> Seen {
        Ok(format!("exit {}", self.output(what, more)?.0))
    }
}

fn mux_zero(master: &Master<'_>) -> Seen {
    let forward = remote(None, 0, master.ground.echo());
    let (_, said) = master.output("forward", &["-R", &forward])?;
    open_at(
        said.trim()
            .parse()
            .with_context(|| format!("no port: {said:?}"))?,
    )
}

fn mux_twice(master: &Master<'_>) -> Seen {
    let forward = remote(None, master.ground.port(), master.ground.echo());
    let first = master.ask("forward", &["-R", &forward])?;
    Ok(format!(
        "{first}, {}",
        master.ask("forward", &["-R", &forward])?
    ))
}

fn mux_taken(master: &Master<'_>) -> Seen {
    let taken = master.ground.port();
    let _another = Client::Ssh.listen(master.ground, "other", None, taken)?;
    master.ask("forward", &["-R", &remote(None, taken, 1)])
}

fn mux_cancel(master: &Master<'_>) -> Seen {
    let port = master.ground.port();
    let forward = remote(None, port, master.ground.echo());
    master.ask("forward", &["-R", &forward])?;
    open_at(port)?;
    let exit = master.ask("cancel", &["-R", &forward])?;
    wait_until_free(port);
    Ok(format!("{exit}, free"))
}

fn mux_again(master: &Master<'_>) -> Seen {
    let port = master.ground.port();
    let forward = remote(None, port, master.ground.echo());
    master.ask("forward", &["-R", &forward])?;
    master.ask("cancel", &["-R", &forward])?;
    wait_until_free(port);
    master.ask("forward", &["-R", &forward])?;
    open_at(port)
}

fn mux_end(master: &Master<'_>, how: &str) -> Seen {
    let exit = master.ask(how, &[])?;
    let id = master.process.id();
    wait::until("the master's end", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", id.as_raw_nonzero()));
        match stat {
            // Z: it has ended, and nobody has asked how.
            Ok(stat) if !stat.contains(") Z ") => Err(stat),
            _ => Ok(()),
        }
    });
    Ok(format!("{exit}, ended"))
}
