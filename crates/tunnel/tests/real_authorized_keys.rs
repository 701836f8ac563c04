//! Lines of authorized_keys, read by us and by a real sshd: whom it lets in, and what they may forward.
//!
//! Ours may be stricter where the table says why. It is never laxer.

#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::net::TcpListener;
use std::process::Command;
use std::thread;

use adit_model::grant::{Grant, Reach};
use adit_model::host::{HostClass, classify_host};
use adit_model::port::PortSet;
use adit_testkit::port::Port;
use adit_testkit::require;
use adit_testkit::sshd::Sshd;
use adit_tunnel::gateway::authorized_keys::{AuthorizedKeys, Defaults};
use jiff::tz::TimeZone;

/// What is asked for after the login, in whose place `P` stands for a port.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// `-R P:…`, which asks with `localhost`.
    Listen,
    /// `-R TEXT:P:…`.
    ListenAt(&'static str),
    /// `-W TEXT:P`.
    Open(&'static str),
}
use Ask::{Listen, ListenAt, Open};

/// Why ours says no where sshd says yes.
type Stricter = Option<&'static str>;

const SAME: Stricter = None;
const GAP: Stricter = Some("an option between two commas is a slip of the hand");
const COMMAND: Stricter = Some("command= alone means that nothing else is wanted");
const BARE: Stricter =
    Some("a bare port is the machine's own unless the gateway's default is public");
const BLANKS: Stricter =
    Some("sshd takes a blank for a part of a name, so the rest of the list is without effect");
const DAY: Stricter = Some("a day that no month has is a slip of the hand");
const NAMED: Stricter = Some("names of services differ between machines");
const CONTROL: Stricter = Some("control characters");
const NAME_OF_HOST: Stricter = Some("names of hosts are not looked up");
const NUMBER: Stricter = Some("a number is digits alone");

/// All lines: flags by rule, and what is written out.
fn table() -> Vec<(String, Ask, Stricter)> {
    let mut table: Vec<(String, Ask, Stricter)> = Vec::new();
    // Flags, one to three of them: the last one counts.
    let flags = [
        "restrict",
        "port-forwarding",
        "no-port-forwarding",
        "pty",
        "X11-forwarding",
    ];
    for first in flags {
        table.push((format!("{first} K"), Listen, SAME));
        for second in flags {
            table.push((format!("{first},{second} K"), Listen, SAME));
        }
    }
    for first in ["restrict", "port-forwarding", "no-port-forwarding"] {
        for second in ["no-PTY", "Restrict", "PORT-forwarding"] {
            for third in ["port-forwarding", "restrict"] {
                table.push((format!("{first},{second},{third} K"), Listen, SAME));
            }
        }
    }
    for flag in [
        "agent-forwarding",
        "no-agent-forwarding",
        "no-x11-forwarding",
        "user-rc",
        "no-user-rc",
        "touch-required",
        "no-touch-required",
        "verify-required",
        "no-verify-required",
        "no-restrict",
        "no-cert-authority",
        "x-port-forwarding",
        "restricted",
        "pt",
        "pty=",
        "pty=\"1\"",
    ] {
        table.push((format!("{flag} K"), Listen, SAME));
    }
    table.extend(
        ROWS.iter()
            .map(|(line, ask, stricter)| ((*line).to_owned(), *ask, *stricter)),
    );
    table
}

/// `K` stands for the key, `BLOB` for its base64, `P` for a port that is asked for, `Q` for another.
const ROWS: &[(&str, Ask, Stricter)] = &[
    // What parts a line.
    ("K", Listen, SAME),
    ("   K", Listen, SAME),
    ("\tK", Listen, SAME),
    ("K comment", Listen, SAME),
    ("K # comment with \"a quote", Listen, SAME),
    ("K\r", Listen, SAME),
    ("# K", Listen, SAME),
    (" #K", Listen, SAME),
    ("pty  \t K", Listen, SAME),
    ("pty\tK", Listen, SAME),
    ("pty ,restrict K", Listen, SAME),
    ("pty, K", Listen, GAP),
    (",pty K", Listen, GAP),
    ("pty,,user-rc K", Listen, GAP),
    ("pty; K", Listen, SAME),
    ("restrict", Listen, SAME),
    ("unknown K", Listen, SAME),
    ("pty,unknown K", Listen, SAME),
    ("pty unknown K", Listen, SAME),
    // Quotes.
    ("command=\"true\" K", Listen, COMMAND),
    ("command=\"true\",port-forwarding K", Listen, SAME),
    ("COMMAND=\"true\",port-forwarding K", Listen, SAME),
    ("command=\"true\",restrict K", Listen, SAME),
    ("command=\"true K", Listen, SAME),
    ("command=true K", Listen, SAME),
    ("command=\"true\"x K", Listen, SAME),
    ("command =\"true\" K", Listen, SAME),
    ("command= \"true\" K", Listen, SAME),
    (
        "command=\"true \\\"a b\\\"\",port-forwarding K",
        Listen,
        SAME,
    ),
    ("command=\"true \\\\\",port-forwarding K", Listen, SAME),
    ("command=\"true \\\",port-forwarding K", Listen, SAME),
    ("command=\"true\",command=\"true\" K", Listen, SAME),
    ("command=\"\",port-forwarding K", Listen, SAME),
    ("command='true' K", Listen, SAME),
    (
        "command=\"true # not a comment\",port-forwarding K",
        Listen,
        SAME,
    ),
    ("command=\"true\u{7}\",port-forwarding K", Listen, CONTROL),
    // Where from.
    ("from=\"127.0.0.1\" K", Listen, SAME),
    ("from=\"127.0.0.0/8\" K", Listen, SAME),
    ("from=\"127.0.0.1/8\" K", Listen, SAME),
    ("from=\"127.*\" K", Listen, SAME),
    ("from=\"127.0.0.?\" K", Listen, SAME),
    ("from=\"*\" K", Listen, SAME),
    ("from=\"10.0.0.0/8\" K", Listen, SAME),
    ("from=\"10.0.0.0/8,127.0.0.1\" K", Listen, SAME),
    ("from=\"!127.0.0.1,*\" K", Listen, SAME),
    ("from=\"*,!127.0.0.1\" K", Listen, SAME),
    ("from=\"*,!10.0.0.0/8\" K", Listen, SAME),
    ("from=\"!10.0.0.0/8\" K", Listen, SAME),
    ("from=\"\" K", Listen, SAME),
    ("from=\"10.0.0.1, 127.0.0.1\" K", Listen, SAME),
    ("from=\"127.0.0.1, 10.0.0.1\" K", Listen, BLANKS),
    ("from=\"127.0.0.1/33\" K", Listen, SAME),
    ("from=\"0.0.0.0/0\" K", Listen, SAME),
    ("from=\"::1\" K", Listen, SAME),
    ("from=\"127.0.0.1,host.example\" K", Listen, NAME_OF_HOST),
    ("from=\"127.0.0.1\",from=\"127.0.0.1\" K", Listen, SAME),
    // Until when.
    ("expiry-time=\"20991231\" K", Listen, SAME),
    ("expiry-time=\"20991231Z\" K", Listen, SAME),
    ("expiry-time=\"209912312359\" K", Listen, SAME),
    ("expiry-time=\"20991231235959\" K", Listen, SAME),
    ("expiry-time=\"20991231235959Z\" K", Listen, SAME),
    ("expiry-time=\"20200101\" K", Listen, SAME),
    ("expiry-time=\"20200101Z\" K", Listen, SAME),
    (
        "expiry-time=\"20991231\",expiry-time=\"20200101\" K",
        Listen,
        SAME,
    ),
    (
        "expiry-time=\"20200101\",expiry-time=\"20991231\" K",
        Listen,
        SAME,
    ),
    ("expiry-time=\"2099\" K", Listen, SAME),
    ("expiry-time=\"209912\" K", Listen, SAME),
    ("expiry-time=\"2099123123\" K", Listen, SAME),
    ("expiry-time=\"20991301\" K", Listen, SAME),
    ("expiry-time=\"20990231\" K", Listen, DAY),
    ("expiry-time=\"+1d\" K", Listen, SAME),
    ("expiry-time=\"\" K", Listen, SAME),
    ("expiry-time=\"never\" K", Listen, SAME),
    ("expiry-time=20991231 K", Listen, SAME),
    // What may be asked for.
    ("permitlisten=\"P\" K", Listen, SAME),
    ("permitlisten=\"Q\" K", Listen, SAME),
    ("permitlisten=\"Q\",permitlisten=\"P\" K", Listen, SAME),
    ("permitlisten=\"localhost:P\" K", Listen, SAME),
    (
        "permitlisten=\"localhost:P\" K",
        ListenAt("127.0.0.1"),
        SAME,
    ),
    (
        "permitlisten=\"127.0.0.1:P\" K",
        ListenAt("127.0.0.1"),
        SAME,
    ),
    ("permitlisten=\"127.0.0.1:P\" K", Listen, SAME),
    ("permitlisten=\"*:P\" K", Listen, SAME),
    ("permitlisten=\"*:P\" K", ListenAt("*"), SAME),
    ("permitlisten=\"*:*\" K", ListenAt("127.0.0.1"), SAME),
    ("permitlisten=\"localhost:*\" K", Listen, SAME),
    ("permitlisten=\"*\" K", Listen, SAME),
    ("permitlisten=\"P\" K", ListenAt("127.0.0.1"), SAME),
    ("permitlisten=\"P\" K", ListenAt("*"), BARE),
    ("permitlisten=\"P\" K", ListenAt("0.0.0.0"), BARE),
    ("permitlisten=\"0.0.0.0:P\" K", ListenAt("0.0.0.0"), SAME),
    ("permitlisten=\"[::1]:P\" K", Listen, SAME),
    ("restrict,permitlisten=\"P\" K", Listen, SAME),
    (
        "restrict,port-forwarding,permitlisten=\"P\" K",
        Listen,
        SAME,
    ),
    (
        "restrict,permitlisten=\"P\",port-forwarding K",
        Listen,
        SAME,
    ),
    ("permitlisten=\"P\",restrict K", Listen, SAME),
    ("command=\"true\",permitlisten=\"P\" K", Listen, SAME),
    ("permitlisten=\"0\" K", Listen, SAME),
    ("permitlisten=\"65536\" K", Listen, SAME),
    ("permitlisten=\"-1\" K", Listen, SAME),
    ("permitlisten=\"+P\" K", Listen, NUMBER),
    ("permitlisten=\"P,Q\" K", Listen, SAME),
    ("permitlisten=\"1-65535\" K", Listen, SAME),
    ("permitlisten=\"localhost:http\" K", Listen, NAMED),
    ("permitlisten=\"P\",permitlisten=\"http\" K", Listen, NAMED),
    ("permitlisten=\"\" K", Listen, SAME),
    ("permitlisten=P K", Listen, SAME),
    ("permitlisten K", Listen, SAME),
    // What may be opened.
    ("permitopen=\"127.0.0.1:P\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"127.0.0.1:*\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"127.0.0.1:Q\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"localhost:P\" K", Open("localhost"), SAME),
    ("permitopen=\"10.0.0.1:P\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"fakehost:1\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"Q\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"127.0.0.1:0\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"127.0.0.1:65536\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"127.0.0.1\" K", Open("127.0.0.1"), SAME),
    ("permitopen=\"\" K", Open("127.0.0.1"), SAME),
    (
        "restrict,permitopen=\"127.0.0.1:P\" K",
        Open("127.0.0.1"),
        SAME,
    ),
    (
        "restrict,port-forwarding,permitopen=\"127.0.0.1:P\" K",
        Open("127.0.0.1"),
        SAME,
    ),
    (
        "permitopen=\"127.0.0.1:Q\",permitopen=\"127.0.0.1:P\" K",
        Open("127.0.0.1"),
        SAME,
    ),
    (
        "permitopen=\"fakehost:1\",permitlisten=\"P\" K",
        Listen,
        SAME,
    ),
    // What there is nothing of.
    ("environment=\"A=1\" K", Listen, SAME),
    ("environment=\"A_1=b c\" K", Listen, SAME),
    ("environment=\"A\" K", Listen, SAME),
    ("environment=\"=1\" K", Listen, SAME),
    ("environment=\"A-B=1\" K", Listen, SAME),
    ("tunnel=\"0\" K", Listen, SAME),
    ("tunnel=\"any\" K", Listen, SAME),
    ("tunnel=\"x\" K", Listen, SAME),
    ("tunnel=\"\" K", Listen, SAME),
    ("tunnel=\"+1\" K", Listen, NUMBER),
    ("cert-authority K", Listen, SAME),
    ("cert-authority,principals=\"me\" K", Listen, SAME),
    ("principals=\"me\" K", Listen, SAME),
    // Keys.
    ("ssh-ed25519", Listen, SAME),
    ("ssh-ed25519 AAAA", Listen, SAME),
    ("ssh-rsa BLOB", Listen, SAME),
    ("rsa-sha2-256 BLOB", Listen, SAME),
    ("ed25519 BLOB", Listen, SAME),
    ("SSH-ED25519 BLOB", Listen, SAME),
    ("ssh-ed25519 BLOB=", Listen, SAME),
    ("ssh-ed25519 BLOBAAAA", Listen, SAME),
    ("ssh-ed25519BLOB", Listen, SAME),
    ("ssh-ed25519\tBLOB\tcomment", Listen, SAME),
    ("ssh-ed25519   BLOB", Listen, SAME),
    ("ssh-ed25519,pty BLOB", Listen, SAME),
    ("pty ssh-ed25519 AAAA", Listen, SAME),
    ("pty \"K\"", Listen, SAME),
];

fn defaults() -> Defaults {
    Defaults {
        grant: Grant {
            ports: PortSet::all(),
            reach: Reach::Asked,
            ..Grant::default()
        },
        zone: TimeZone::system(),
    }
}

/// Whether somebody is let in, and may do what is asked.
type Verdict = (bool, bool);

fn ours(line: &str, ask: Ask, port: u16) -> Verdict {
    let keys = AuthorizedKeys::parse(line.as_bytes(), &defaults()).unwrap();
    let Some(line) = keys.lines.first() else {
        return (false, false);
    };
    let is_key = line
        .identities()
        .iter()
        .any(|identity| !identity.to_string().contains('@'));
    let now = jiff::Timestamp::now();
    let here = "127.0.0.1".parse().unwrap();
    let is_in =
        is_key && line.sources.contains(here) && line.not_after.is_none_or(|until| now < until);
    let grant = &line.grant;
    let may = match ask {
        Listen => grant.listen("localhost", port).is_ok(),
        // ssh sends an empty text for it.
        ListenAt("*") => grant.listen("", port).is_ok(),
        ListenAt(text) => grant.listen(text, port).is_ok(),
        Open(text) => match classify_host(text) {
            HostClass::Address(address) => grant.opens_address(address, port).is_ok(),
            HostClass::Localhost => grant.opens_address(here, port).is_ok(),
            HostClass::Name(_) | HostClass::Invalid => false,
        },
    };
    (is_in, is_in && may)
}

fn theirs(sshd: &Sshd, ask: Ask, port: u16) -> Verdict {
    let asked = match ask {
        Listen => format!("-R{port}:127.0.0.1:1"),
        ListenAt(text) => format!("-R{text}:{port}:127.0.0.1:1"),
        Open(text) => format!("-W{text}:{port}"),
    };
    let mut ssh: Command = sshd.ssh(&["-o", "ExitOnForwardFailure=yes", &asked]);
    if !matches!(ask, Open(_)) {
        ssh.arg("true");
    }
    let output = ssh.output().unwrap();
    let words = String::from_utf8_lossy(&output.stderr);
    // 255 is ssh's own; anything else is what was run.
    if output.status.code() != Some(255) {
        (true, true)
    } else if words.contains("Permission denied") {
        (false, false)
    } else if words.contains("forwarding failed") {
        (true, false)
    } else {
        panic!("{asked}: {words}");
    }
}

#[test]
fn gw_authorized_keys_vs_sshd() {
    require!("sshd", "ssh", "ssh-keygen");
    let sshd = Sshd::builder()
        .config_line("GatewayPorts clientspecified")
        .config_line("AllowTcpForwarding yes")
        .start();
    let file = sshd.folder().join("authorized_keys");
    let key = sshd.user_key().public_key().to_owned();
    let blob = key.strip_prefix("ssh-ed25519 ").unwrap().to_owned();
    let free = Port::reserve();
    let target = TcpListener::bind("127.0.0.1:0").unwrap();
    let target_port = target.local_addr().unwrap().port();
    thread::spawn(move || target.incoming().for_each(drop));
    let table = table();
    assert!(table.len() >= 200, "{} lines", table.len());
    let mut wrong = Vec::new();
    for (template, ask, stricter) in table {
        let port = match ask {
            Open(_) => target_port,
            Listen | ListenAt(_) => free.number(),
        };
        let line = fill(&template, &key, &blob, port);
        std::fs::write(&file, format!("{line}\n")).unwrap();
        let (ours, theirs) = (ours(&line, ask, port), theirs(&sshd, ask, port));
        let is_right = match stricter {
            None => ours == theirs,
            Some(_) => theirs.0 && ours != theirs && ours <= theirs,
        };
        if !is_right {
            wrong.push(format!(
                "{template:?} {ask:?}: ours {ours:?}, sshd's {theirs:?}, {stricter:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The line of a template: single letters stand for what a test cannot know before.
fn fill(template: &str, key: &str, blob: &str, port: u16) -> String {
    let mut line = String::new();
    let mut rest = template;
    while let Some(first) = rest.chars().next() {
        let bounded = |word: &str| {
            rest.strip_prefix(word).filter(|after| {
                !line.ends_with(|it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_')
                    && !after.starts_with(|it: char| {
                        it.is_ascii_alphanumeric() || it == '-' || it == '_'
                    })
            })
        };
        if let Some(after) = rest.strip_prefix("BLOB") {
            line.push_str(blob);
            rest = after;
        } else if let Some(after) = bounded("K") {
            line.push_str(key);
            rest = after;
        } else if let Some(after) = bounded("P") {
            line.push_str(&port.to_string());
            rest = after;
        } else if let Some(after) = bounded("Q") {
            line.push_str(&(port ^ 1).to_string());
            rest = after;
        } else {
            line.push(first);
            rest = rest.split_at(first.len_utf8()).1;
        }
    }
    line
}
