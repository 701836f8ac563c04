//! Lines of `authorized_keys`, and what each lets a key listen at.

use super::binds::REFUSED;
use crate::case::{AtSshd, Case};
use crate::client::{Asked, Client};
use crate::seen::open_at;

const BOTH: &str = "127.0.0.1 ::1";

/// A line, what is asked for, what is seen.
struct Row {
    line: &'static str,
    key: &'static str,
    host: Option<&'static str>,
    port: Which,
    gateway: &'static str,
    sshd: AtSshd,
}

#[derive(Debug, Clone, Copy)]
enum Which {
    A,
    B,
    C,
    Zero,
}

const SAME: AtSshd = AtSshd::Same;
const OWN: AtSshd = AtSshd::Absent {
    why: "sshd has no such option",
};
const PUBLIC: AtSshd = AtSshd::Differs {
    seen: "0.0.0.0",
    why: "a permitlisten without a host is this machine alone: who writes 8080 does not mean the whole world",
};
const ZERO: AtSshd = AtSshd::Differs {
    seen: BOTH,
    why: "beside a permitlisten port 0 is what adit-port0 says, whatever ports are named",
};

const fn row(
    line: &'static str,
    key: &'static str,
    host: Option<&'static str>,
    port: Which,
    gateway: &'static str,
    sshd: AtSshd,
) -> Row {
    Row {
        line,
        key,
        host,
        port,
        gateway,
        sshd,
    }
}

const ROWS: &[Row] = &[
    row(
        "permitlisten=\"A\"",
        "listens-a",
        None,
        Which::A,
        BOTH,
        SAME,
    ),
    row(
        "permitlisten=\"A\"",
        "listens-a",
        Some("127.0.0.1"),
        Which::A,
        "127.0.0.1",
        SAME,
    ),
    row(
        "permitlisten=\"A\"",
        "listens-a",
        Some("0.0.0.0"),
        Which::A,
        REFUSED,
        PUBLIC,
    ),
    row(
        "permitlisten=\"A\"",
        "listens-a",
        None,
        Which::B,
        REFUSED,
        SAME,
    ),
    row(
        "permitlisten=\"A\"",
        "listens-a",
        None,
        Which::Zero,
        REFUSED,
        SAME,
    ),
    row(
        "permitlisten=\"localhost:A\"",
        "listens-localhost-a",
        None,
        Which::A,
        BOTH,
        SAME,
    ),
    row(
        "permitlisten=\"localhost:A\"",
        "listens-localhost-a",
        Some("127.0.0.1"),
        Which::A,
        REFUSED,
        SAME,
    ),
    row(
        "permitlisten=\"localhost:A\"",
        "listens-localhost-a",
        Some("*"),
        Which::A,
        REFUSED,
        SAME,
    ),
    row(
        "permitlisten=\"localhost:A\"",
        "listens-localhost-a",
        Some("0.0.0.0"),
        Which::A,
        REFUSED,
        SAME,
    ),
    row(
        "permitlisten=\"127.0.0.1:A\"",
        "listens-numeric-a",
        Some("127.0.0.1"),
        Which::A,
        "127.0.0.1",
        SAME,
    ),
    row(
        "permitlisten=\"127.0.0.1:A\"",
        "listens-numeric-a",
        None,
        Which::A,
        REFUSED,
        SAME,
    ),
    row(
        "permitlisten=\"*:A\"",
        "listens-any-a",
        Some("*"),
        Which::A,
        "0.0.0.0 ::",
        SAME,
    ),
    row(
        "permitlisten=\"*:A\"",
        "listens-any-a",
        Some("0.0.0.0"),
        Which::A,
        "0.0.0.0",
        SAME,
    ),
    row(
        "permitlisten=\"*:A\"",
        "listens-any-a",
        None,
        Which::A,
        BOTH,
        SAME,
    ),
    row(
        "permitlisten=\"*:A\"",
        "listens-any-a",
        None,
        Which::C,
        REFUSED,
        SAME,
    ),
    row(
        "permitlisten=\"*:*\"",
        "listens-wild",
        None,
        Which::A,
        BOTH,
        SAME,
    ),
    row(
        "permitlisten=\"*:*\"",
        "listens-wild",
        None,
        Which::Zero,
        REFUSED,
        ZERO,
    ),
    row("restrict", "restrict", None, Which::A, REFUSED, SAME),
    row("restrict", "restrict", None, Which::Zero, REFUSED, SAME),
    row(
        "restrict,permitlisten=\"localhost:A\"",
        "restrict-listens",
        None,
        Which::A,
        REFUSED,
        SAME,
    ),
    row(
        "restrict,port-forwarding,permitlisten=\"localhost:A\"",
        "restrict-forwards",
        None,
        Which::A,
        BOTH,
        SAME,
    ),
    row(
        "restrict,port-forwarding,permitlisten=\"localhost:A\"",
        "restrict-forwards",
        None,
        Which::B,
        REFUSED,
        SAME,
    ),
    row(
        "no-port-forwarding",
        "no-forwards",
        None,
        Which::A,
        REFUSED,
        SAME,
    ),
    row("no-pty", "no-pty", None, Which::A, BOTH, SAME),
    row(
        "command=\"...\"",
        "command",
        None,
        Which::A,
        REFUSED,
        AtSshd::Differs {
            seen: BOTH,
            why: "who writes command= means that and nothing else; sshd leaves forwards on",
        },
    ),
    row(
        "adit-permitlisten=\"A-A,B\"",
        "own-ports",
        None,
        Which::A,
        BOTH,
        OWN,
    ),
    row(
        "adit-permitlisten=\"A-A,B\"",
        "own-ports",
        None,
        Which::B,
        BOTH,
        OWN,
    ),
    row(
        "adit-permitlisten=\"A-A,B\"",
        "own-ports",
        None,
        Which::C,
        REFUSED,
        OWN,
    ),
    row(
        "permitlisten=\"localhost:A\",adit-port0",
        "own-port0",
        None,
        Which::Zero,
        BOTH,
        OWN,
    ),
];

pub(crate) fn cases() -> Vec<Case> {
    let rows = ROWS
        .iter()
        .flat_map(|row| [Client::Ssh, Client::Asyncssh].map(|client| (row, client)));
    rows.map(|(row, client)| {
        let host = row.host.map_or(String::new(), |host| format!("{host}:"));
        let port = match row.port {
            Which::Zero => String::from("0"),
            other => format!("{other:?}"),
        };
        let name = format!("{}: -R {host}{port}", row.line);
        let mut case = Case::new(name, "4.3, E6", client, row.gateway, move |ground| {
            let named = ground.named(row.key);
            let port = match row.port {
                Which::A => named.a.number(),
                Which::B => named.b.number(),
                Which::C => named.c.number(),
                Which::Zero => 0,
            };
            match client.listen(ground, row.key, row.host, port)? {
                Asked::Granted(_held, port) => open_at(port),
                Asked::Refused => Ok(REFUSED.into()),
            }
        });
        case.sshd = row.sshd;
        // The ports in a key's options are the same for all cases with it.
        case.alone()
    })
    .collect()
}
