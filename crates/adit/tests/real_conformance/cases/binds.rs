//! Every text of an address with every client.

use crate::case::{Case, Seen};
use crate::client::{ALL, Asked, Client};
use crate::ground::Ground;
use crate::seen::open_at;

/// A text, what it means, and whether port 0 is tried with it, too.
struct Form {
    host: Option<&'static str>,
    seen: &'static str,
    any_port: bool,
}

const BOTH: &str = "127.0.0.1 ::1";
const ALL_ADDRESSES: &str = "0.0.0.0 ::";

const FORMS: &[Form] = &[
    Form {
        host: None,
        seen: BOTH,
        any_port: true,
    },
    Form {
        host: Some("localhost"),
        seen: BOTH,
        any_port: true,
    },
    Form {
        host: Some("LOCALHOST"),
        seen: BOTH,
        any_port: false,
    },
    Form {
        host: Some("127.0.0.1"),
        seen: "127.0.0.1",
        any_port: true,
    },
    Form {
        host: Some("::1"),
        seen: "::1",
        any_port: false,
    },
    Form {
        host: Some("0.0.0.0"),
        seen: "0.0.0.0",
        any_port: true,
    },
    Form {
        host: Some("::"),
        seen: "::",
        any_port: false,
    },
    Form {
        host: Some("*"),
        seen: ALL_ADDRESSES,
        any_port: true,
    },
    Form {
        host: Some(""),
        seen: ALL_ADDRESSES,
        any_port: true,
    },
    Form {
        host: Some("127.0.0.9"),
        seen: "127.0.0.9",
        any_port: false,
    },
    Form {
        host: Some("192.0.2.7"),
        seen: REFUSED,
        any_port: false,
    },
];

/// What is seen of a forward that is refused.
pub(super) const REFUSED: &str = "refused";

const RESOLVED: &str = "sshd takes localhost in lower case for both loopbacks, and asks its resolver for any other \
                        name; the gateway takes either case and asks nobody";

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for form in FORMS {
        for client in ALL {
            // A library has to say something.
            if form.host.is_none() && client.library().is_some() {
                continue;
            }
            let shown = form.host.map_or(String::new(), |host| match host {
                "" => String::from(":"),
                host if host.contains(':') => format!("[{host}]:"),
                host => format!("{host}:"),
            });
            let name = format!("-R {shown}PORT");
            let case = Case::new(name, "4.1, 4.2", client, form.seen, move |ground| {
                listen(ground, client, form.host, ground.port())
            });
            // asyncssh writes it in lower case.
            let is_resolved = form.host == Some("LOCALHOST") && client != Client::Asyncssh;
            cases.push(if is_resolved {
                case.differs("127.0.0.1", RESOLVED)
            } else {
                case
            });
            if form.any_port {
                let name = format!("-R {shown}0");
                cases.push(Case::new(name, "4.1", client, form.seen, move |ground| {
                    listen(ground, client, form.host, 0)
                }));
            }
        }
    }
    cases
}

fn listen(ground: &Ground, client: Client, host: Option<&str>, port: u16) -> Seen {
    match client.listen(ground, "plain", host, port)? {
        Asked::Granted(_held, port) => open_at(port),
        Asked::Refused => Ok(REFUSED.into()),
    }
}
