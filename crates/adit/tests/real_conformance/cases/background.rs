//! `ssh -f`: it goes to the background when its forwards are there, and not before.

use adit_testkit::process::Process;
use adit_testkit::wait;

use super::master::control;
use crate::case::{Case, Seen};
use crate::client::{Client, remote};
use crate::ground::Ground;
use crate::seen::open_at;

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
            "-f returns when the forward is there",
            "4.1",
            Client::Ssh,
            "exit 0, 127.0.0.1 ::1",
            background,
        ),
        Case::new(
            "-f of a refused forward",
            "4.1",
            Client::Ssh,
            "exit 255",
            background_refused,
        ),
        Case::new(
            "-fN -R PORT:localhost:22, word for word",
            "AT20",
            Client::Ssh,
            "exit 0, 127.0.0.1 ::1",
            background_localhost,
        ),
    ]
}

/// `ssh -f`, ended with its control socket when dropped.
fn in_background(ground: &Ground, forward: &str, then: impl FnOnce() -> Seen) -> Seen {
    let socket = control(ground);
    let path = socket.display().to_string();
    let options = [
        "-f",
        "-N",
        "-M",
        "-S",
        &path,
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        forward,
    ];
    let mut ssh = Process::spawn(&mut ground.ssh("plain", &options));
    let status = ssh.wait(wait::DEADLINE);
    let code = status.code().unwrap_or(-1);
    if code != 0 {
        return Ok(format!("exit {code}"));
    }
    let seen = then();
    Process::spawn(&mut ground.ssh("plain", &["-S", &path, "-O", "exit"])).wait(wait::DEADLINE);
    Ok(format!("exit {code}, {}", seen?))
}

fn background(ground: &Ground) -> Seen {
    let port = ground.port();
    in_background(ground, &remote(None, port, ground.echo()), || open_at(port))
}

fn background_localhost(ground: &Ground) -> Seen {
    let port = ground.port();
    let forward = format!("{port}:localhost:{}", ground.echo());
    in_background(ground, &forward, || open_at(port))
}

fn background_refused(ground: &Ground) -> Seen {
    let taken = ground.port();
    let _another = Client::Ssh.listen(ground, "other", None, taken)?;
    in_background(ground, &remote(None, taken, 1), || Ok("there".into()))
}
