//! What a gateway is not: a machine to log in to.

use std::process::Command;

use adit_testkit::process::Process;
use adit_testkit::wait;
use anyhow::ensure;
use serde_json::{Value, json};

use crate::case::{Case, Seen};
use crate::client::Client;
use crate::ground::Ground;
use crate::python::{self, Connected, Library};

const NO_SHELL: &str =
    "a gateway runs nothing for anybody: who logs in without -N sees what forwards there are";
const NO_COMMANDS: &str = "a gateway runs no commands, and says so";
const NO_FILES: &str = "a gateway keeps no files, and says so";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    type Play = fn(&Ground) -> Seen;
    let with_ssh: [(&str, &str, &str, &'static str, Play); 6] = [
        (
            "a command",
            "exit 1, told: runs no commands",
            "exit 0, ran",
            NO_COMMANDS,
            |ground| session(ground, "ssh", &["-T"], &["echo ran"]),
        ),
        (
            "a command on a terminal",
            "exit 1, told: runs no commands",
            "exit 0, ran",
            NO_COMMANDS,
            |ground| session(ground, "ssh", &["-tt"], &["echo ran"]),
        ),
        (
            "RemoteCommand",
            "exit 1, told: runs no commands",
            "exit 0, ran",
            NO_COMMANDS,
            |ground| session(ground, "ssh", &["-T", "-o", "RemoteCommand=echo ran"], &[]),
        ),
        (
            "a shell without a terminal",
            "the page",
            "a shell",
            NO_SHELL,
            |ground| page(ground, &["-T"]),
        ),
        (
            "a shell on a terminal",
            "the page",
            "a shell",
            NO_SHELL,
            |ground| page(ground, &["-tt"]),
        ),
        (
            "a shell with SetEnv",
            "the page",
            "a shell",
            NO_SHELL,
            |ground| page(ground, &["-T", "-o", "SetEnv=LC_ALL=C"]),
        ),
    ];
    for (name, seen, at_sshd, why, play) in with_ssh {
        cases.push(Case::new(name, "4.4, AT24", Client::Ssh, seen, play).differs(at_sshd, why));
    }
    cases.push(
        Case::new(
            "a subsystem that nobody has",
            "4.4",
            Client::Ssh,
            "exit 1, told: no subsystem",
            |ground| session(ground, "ssh", &["-s"], &["nonsense"]),
        )
        .differs(
            "exit 255",
            "sshd says no more than that a request has failed; the gateway names what it has not",
        ),
    );
    cases.push(
        Case::new(
            "sftp",
            "4.4, AT24",
            Client::Ssh,
            "told: no sftp or scp",
            |ground| copy(ground, "sftp", &[]),
        )
        .differs("connected", NO_FILES),
    );
    cases.push(
        Case::new(
            "scp",
            "4.4, AT24",
            Client::Ssh,
            "told: no sftp or scp",
            |ground| copy(ground, "scp", &[]),
        )
        .differs("copied", NO_FILES),
    );
    cases.push(
        Case::new(
            "scp -O",
            "4.4, AT24",
            Client::Ssh,
            "told: runs no commands",
            |ground| copy(ground, "scp", &["-O"]),
        )
        .differs("copied", NO_FILES),
    );
    cases.push(Case::new("ssh-agent forwarding", "4.3", Client::Ssh, "told: no ssh-agent is forwarded", agent)
        .differs("an agent", "nothing runs here that could use it, and a key that can be used is a key that can be stolen"));
    cases.push(
        Case::new(
            "X11 forwarding",
            "4.3",
            Client::Ssh,
            "told: no X11 is forwarded",
            x11,
        )
        .differs(
            "refused",
            "sshd does not offer it by default, and says nothing but that a request has failed",
        ),
    );
    cases.push(Case::new(
        "a tun device",
        "4.3",
        Client::Ssh,
        "refused",
        tun,
    ));
    cases.push(Case::new(
        "-N: no session at all",
        "4.1",
        Client::Ssh,
        "stays, nothing on stdout",
        no_session,
    ));
    for library in [Library::Asyncssh, Library::Paramiko] {
        let client = match library {
            Library::Asyncssh => Client::Asyncssh,
            Library::Paramiko => Client::Paramiko,
        };
        type Order = fn() -> Value;
        let orders: [(&str, &str, &'static str, &'static str, Order); 5] = [
            (
                "a command",
                "exit 1, told: runs no commands",
                "exit 0, ran",
                NO_COMMANDS,
                || json!({"command": "echo ran"}),
            ),
            (
                "a command on a terminal",
                "exit 1, told: runs no commands",
                "exit 0, ran",
                NO_COMMANDS,
                || json!({"command": "echo ran", "terminal": true}),
            ),
            (
                "the subsystem sftp",
                "exit 1, told: no sftp or scp",
                "exit 0",
                NO_FILES,
                || json!({"subsystem": "sftp"}),
            ),
            (
                "a shell without a terminal",
                "the page",
                "a shell",
                NO_SHELL,
                || json!({"page": true}),
            ),
            (
                "a shell on a terminal",
                "the page",
                "a shell",
                NO_SHELL,
                || json!({"page": true, "terminal": true}),
            ),
        ];
        for (name, seen, at_sshd, why, order) in orders {
            cases.push(
                Case::new(name, "4.4, AT24", client, seen, move |ground| {
                    in_library(ground, library, order())
                })
                .differs(at_sshd, why),
            );
        }
    }
    cases
}

/// What a gateway says that does not do something.
const TOLD: [&str; 5] = [
    "runs no commands",
    "no sftp or scp",
    "no subsystem",
    "no ssh-agent is forwarded",
    "no X11 is forwarded",
];

fn told(text: &str) -> Option<String> {
    TOLD.iter()
        .find(|words| text.contains(**words))
        .map(|words| format!("told: {words}"))
}

fn words(status: Option<i32>, text: &str) -> String {
    let mut words = vec![format!("exit {}", status.unwrap_or(-1))];
    words.extend(told(text));
    if text.lines().any(|line| line.trim() == "ran") {
        words.push("ran".into());
    }
    words.join(", ")
}

fn session(ground: &Ground, program: &str, options: &[&str], command: &[&str]) -> Seen {
    let mut ssh = Process::spawn(ground.command(program, "plain", options).args(command));
    let status = ssh.wait(wait::DEADLINE);
    Ok(words(status.code(), &(ssh.stdout() + &ssh.stderr())))
}

/// Without a command, on an input that ends at once.
fn page(ground: &Ground, options: &[&str]) -> Seen {
    let mut ssh = Process::spawn(&mut ground.ssh("plain", options));
    if ground.is_gateway() {
        ssh.wait_for_text("adit gateway. You are ");
        ssh.wait_for_text("No forwards.");
        return Ok("the page".into());
    }
    // On a terminal it waits for a person.
    wait::until("a shell's end or its words", || {
        let said = ssh.stdout();
        if ssh.exit_status().is_some() || !said.is_empty() {
            Ok(())
        } else {
            Err(said)
        }
    });
    ensure!(!ssh.stdout().contains("adit"), "{}", ssh.stdout());
    Ok("a shell".into())
}

fn copy(ground: &Ground, program: &str, options: &[&str]) -> Seen {
    let target = ground.folder().join(format!("copy-{}", ground.port()));
    let mut command = Command::new(ground.program(program));
    command.arg("-S").arg(ground.program("ssh"));
    command.args(options).args(ground.options("plain"));
    command.args(["-P", &ground.addr().port().to_string()]);
    let peer = format!("{}@{}", ground.user(), ground.addr().ip());
    if program == "sftp" {
        command.arg(peer);
    } else {
        command
            .arg(ground.known_hosts())
            .arg(format!("{peer}:{}", target.display()));
    }
    let mut copy = Process::spawn(&mut command);
    let status = copy.wait(wait::DEADLINE);
    if target.exists() {
        return Ok("copied".into());
    }
    if status.success() {
        return Ok("connected".into());
    }
    Ok(told(&copy.stderr()).unwrap_or_else(|| format!("failed: {}", copy.stderr())))
}

fn agent(ground: &Ground) -> Seen {
    let agent = adit_testkit::ssh_agent::SshAgent::start();
    let socket = format!("IdentityAgent={}", agent.socket().display());
    let mut command = ground.ssh("plain", &["-A", "-T", "-o", &socket]);
    if ground.is_gateway() {
        let mut ssh = Process::spawn(&mut command);
        ssh.wait_for_text("no ssh-agent is forwarded");
        return Ok("told: no ssh-agent is forwarded".into());
    }
    let mut ssh = Process::spawn(command.arg("test -S \"$SSH_AUTH_SOCK\" && echo an agent"));
    ssh.wait(wait::DEADLINE);
    Ok(ssh.stdout().trim().to_owned())
}

fn x11(ground: &Ground) -> Seen {
    let mut command = ground.ssh(
        "plain",
        &["-v", "-X", "-T", "-o", "XAuthLocation=/bin/false"],
    );
    command.env("DISPLAY", "localhost:99");
    if ground.is_gateway() {
        let mut ssh = Process::spawn(&mut command);
        ssh.wait_for_text("no X11 is forwarded");
        return Ok("told: no X11 is forwarded".into());
    }
    let mut ssh = Process::spawn(command.arg("test -n \"$DISPLAY\" && echo a display"));
    ssh.wait(wait::DEADLINE);
    Ok(if ssh.stdout().contains("a display") {
        "a display"
    } else {
        "refused"
    }
    .into())
}

fn tun(ground: &Ground) -> Seen {
    let mut ssh = Process::spawn(&mut ground.ssh(
        "plain",
        &["-v", "-N", "-w", "7:7", "-o", "ExitOnForwardFailure=yes"],
    ));
    let status = ssh.wait(wait::DEADLINE);
    Ok(if status.success() {
        "a device"
    } else {
        "refused"
    }
    .into())
}

fn no_session(ground: &Ground) -> Seen {
    let mut ssh = Process::spawn(&mut ground.ssh("plain", &["-v", "-N"]));
    ssh.wait_for_text("Entering interactive session");
    ensure!(ssh.exit_status().is_none(), "it has ended");
    ensure!(ssh.stdout().is_empty(), "{}", ssh.stdout());
    Ok("stays, nothing on stdout".into())
}

fn in_library(ground: &Ground, library: Library, mut order: Value) -> Seen {
    let Connected::Yes(id) = python::connect(library, ground, "plain", json!({}))? else {
        anyhow::bail!("no login");
    };
    order["do"] = json!("session");
    order["id"] = json!(id);
    let is_page = order.get("page").is_some();
    if is_page && ground.is_gateway() {
        order["until"] = json!("Stop with q");
        order["open"] = json!(true);
    } else if is_page {
        order["input"] = json!("exit\n");
    }
    let answer = library.ask(&order);
    library.ask(&json!({"do": "close", "id": id}))?;
    let answer = answer?;
    let text = answer["text"].as_str().unwrap_or_default();
    if is_page {
        return Ok(if text.contains("adit gateway. You are ") {
            "the page"
        } else {
            "a shell"
        }
        .into());
    }
    let status = answer["status"]
        .as_i64()
        .and_then(|status| i32::try_from(status).ok());
    Ok(words(status, text))
}
