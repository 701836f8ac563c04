//! Keep-alives: those of clients are answered, and a server that hangs is noticed by them.

use std::time::{Duration, Instant};

use adit_testkit::process::Process;
use adit_testkit::wait;
use anyhow::ensure;
use serde_json::json;

use crate::case::{Case, Seen};
use crate::client::{ALL, Client};
use crate::ground::Ground;
use crate::python::{self, Connected};

const STAYS: &str = "stays";
/// Three keep-alives of one second.
const LONG: Duration = Duration::from_millis(3_300);

pub(crate) fn cases() -> Vec<Case> {
    let stays = ALL.map(|client| {
        Case::new(
            "ServerAliveInterval=1, ServerAliveCountMax=1",
            "4.1, E9",
            client,
            STAYS,
            move |ground| answered(ground, client),
        )
    });
    let mut cases = Vec::from(stays);
    let hangs = Case::new(
        "ServerAliveInterval=1 and the server hangs",
        "4.1, E9",
        Client::Ssh,
        "exit 255",
        hangs,
    );
    cases.push(hangs.alone());
    cases
}

fn answered(ground: &Ground, client: Client) -> Seen {
    let begun = Instant::now();
    let long_enough = || {
        if begun.elapsed() > LONG {
            Ok(())
        } else {
            Err(())
        }
    };
    if let Some(library) = client.library() {
        let Connected::Yes(id) =
            python::connect(library, ground, "plain", json!({"keepalive": 1}))?
        else {
            anyhow::bail!("no login");
        };
        wait::until("three keep-alives", long_enough);
        let alive = library.ask(&json!({"do": "alive", "id": id}))?;
        library.ask(&json!({"do": "close", "id": id}))?;
        ensure!(alive["alive"].as_bool() == Some(true), "{alive}");
        return Ok(STAYS.into());
    }
    let options = [
        "-v",
        "-N",
        "-o",
        "ServerAliveInterval=1",
        "-o",
        "ServerAliveCountMax=1",
    ];
    let command = match client {
        Client::Autossh => crate::client::autossh(ground, "plain", &options),
        _ => ground.ssh("plain", &options),
    };
    let mut ssh = Process::spawn(&mut { command });
    ssh.wait_for_text("Entering interactive session");
    wait::until("three keep-alives", long_enough);
    ensure!(ssh.exit_status().is_none(), "{}", ssh.stderr());
    ensure!(!ssh.stderr().contains("not responding"), "{}", ssh.stderr());
    Ok(STAYS.into())
}

fn hangs(ground: &Ground) -> Seen {
    let options = [
        "-v",
        "-N",
        "-o",
        "ServerAliveInterval=1",
        "-o",
        "ServerAliveCountMax=1",
    ];
    let mut ssh = Process::spawn(&mut ground.ssh("plain", &options));
    ssh.wait_for_text("Entering interactive session");
    let frozen = ground.freeze();
    let status = ssh.wait(wait::DEADLINE);
    drop(frozen);
    Ok(format!("exit {}", status.code().unwrap_or(-1)))
}
