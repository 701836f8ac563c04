//! One forward of a tunnel in a file, in OpenSSH's own spelling.

use adit_text::{Node, Problem, Problems};
use adit_tunnel::agent::forward::{Destination, Forward, Permits};

use crate::config::spec::{DynamicForward, LocalForward, RemoteForward};

/// A forward and what else the file says of it.
pub(super) struct Written {
    forward: Forward,
}

/// Forwards in the order in which they are set up.
pub(super) struct Listed {
    pub(super) forwards: Vec<Forward>,
}

const REMOTE: &str = "8080:localhost:80";
const LOCAL: &str = "5432:db.lan:5432";
const DYNAMIC: &str = "1080";

/// Reads `{remote: ...}`, `{local: ...}` or `{dynamic: ...}`.
pub(super) fn read(node: &Node, problems: &mut Problems) -> Option<Written> {
    let mut fields = node.fields(problems)?;
    let remote = fields.optional("remote", |node, problems| {
        node.parsed("a forward", REMOTE, problems, |text| {
            text.parse().map(|RemoteForward(forward)| forward)
        })
    });
    let local = fields.optional("local", |node, problems| {
        node.parsed("a forward", LOCAL, problems, |text| {
            text.parse().map(|LocalForward(forward)| forward)
        })
    });
    let dynamic = fields.optional("dynamic", |node, problems| {
        node.parsed("a forward", DYNAMIC, problems, |text| {
            text.parse().map(|DynamicForward(forward)| forward)
        })
    });
    let kinds = ["remote", "local", "dynamic"];
    let said = kinds.iter().filter(|kind| fields.node(kind).is_some());
    let count = said.count();
    let permits = fields.one_or_many("permit", |node, problems| {
        node.parsed("where visitors may go", "web.lan:443", problems, str::parse)
    });
    fields.finish();
    if count != 1 {
        let message = "a forward is one of remote, local and dynamic";
        let problem = Problem::error(node.place(), message);
        problems.push(problem.with_help(format!("for example: {{remote: \"{REMOTE}\"}}")));
        return None;
    }
    let mut forward = remote.or(local).or(dynamic)?;
    match (&mut forward.to, permits) {
        (_, None) => {}
        (Destination::Named(Permits::Only(permitted)), Some(permits)) => *permitted = permits,
        (_, Some(_)) => {
            let message = "permit is for remote forwards without a target";
            let problem = Problem::error(node.place(), message);
            problems.push(
                problem.with_help("for example: {remote: \"1080\", permit: \"web.lan:443\"}"),
            );
            return None;
        }
    }
    Some(Written { forward })
}

/// The forwards of a tunnel.
pub(super) fn listed(written: Vec<Written>) -> Listed {
    Listed {
        forwards: written.into_iter().map(|one| one.forward).collect(),
    }
}
