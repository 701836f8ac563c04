//! Forwards of Unix sockets.

use anyhow::ensure;

use super::binds::REFUSED;
use super::forwards::{ssh_until, word};
use crate::case::{Case, Seen};
use crate::client::{self, Asked, Client};
use crate::ground::Ground;
use crate::seen::{local, visit};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new(
        "-R socket, -L to it",
        "4.1, 4.4",
        Client::Ssh,
        "visited",
        unix,
    ),
        Case::new("-R socket by a key that may not", "4.3", Client::Ssh, REFUSED, unix_not_allowed)
            .differs("granted", "sockets are of a key's own folder, and only where its line permits them; permitlisten of sshd forgets them"),
        Case::new(
            "-R socket a second time after its client has ended",
            "E7",
            Client::Ssh,
            "granted",
            unix_again,
        )
        .differs(
            REFUSED,
            "sshd leaves the file behind; here the name is a lease, which comes back to its owner",
        ),
    ]
}

/// A socket's path, and the key that may listen there.
fn socket(ground: &Ground) -> (String, &'static str) {
    let name = format!("{}.sock", ground.port());
    if ground.is_gateway() {
        (format!("./{name}"), "sockets")
    } else {
        (ground.folder().join(name).display().to_string(), "plain")
    }
}

fn unix_forward(ground: &Ground, key: &str, path: &str) -> anyhow::Result<Asked> {
    let forward = format!("{path}:127.0.0.1:{}", ground.echo());
    client::ask(
        ground.ssh(
            key,
            &["-v", "-N", "-o", "ExitOnForwardFailure=yes", "-R", &forward],
        ),
        1,
    )
}

fn unix(ground: &Ground) -> Seen {
    let (path, key) = socket(ground);
    let _held = unix_forward(ground, key, &path)?;
    let port = ground.port();
    // ssh says that it listens before it asks for the address; the session comes after that.
    let back = format!("127.0.0.1:{port}:{path}");
    let _ssh = ssh_until(
        ground,
        key,
        &["-L", &back],
        "Entering interactive session",
        1,
    )?;
    visit(local(port))?;
    Ok("visited".into())
}

fn unix_not_allowed(ground: &Ground) -> Seen {
    let (path, _) = socket(ground);
    Ok(word(&unix_forward(ground, "plain", &path)?).into())
}

fn unix_again(ground: &Ground) -> Seen {
    let (path, key) = socket(ground);
    let first = unix_forward(ground, key, &path)?;
    ensure!(
        matches!(first, Asked::Granted(..)),
        "it was refused at first"
    );
    drop(first);
    Ok(word(&unix_forward(ground, key, &path)?).into())
}
