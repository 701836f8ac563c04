//! One forward of a tunnel in a file, in OpenSSH's own spelling.

use std::time::Duration;

use adit_text::{Node, Problem, Problems};
use adit_tunnel::agent::forward::{Destination, Forward, Listens, Permits};
use adit_tunnel::agent::target::Kind;
use adit_tunnel::transport::Target;

use super::duration;
use crate::config::spec::{DynamicForward, LocalForward, RemoteForward};
use crate::tunnels::Check;

/// A forward and what else the file says of it.
pub(super) struct Written {
    pub(super) forward: Forward,
    pub(super) check: Wish,
}

/// Whether and how a target is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wish {
    /// As its port has it.
    Usual,
    /// Not at all.
    Never,
    /// As this kind, at this interval where not at the kind's own.
    Kind(Kind, Option<Duration>),
}

const REMOTE: &str = "8080:localhost:80";
const LOCAL: &str = "5432:db.lan:5432";
const DYNAMIC: &str = "1080";
/// The word for no check.
const NEVER: &str = "none";

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
    let check = fields.optional("check", wish);
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
    let is_checked = matches!(&check, Some(Wish::Kind(..)));
    if is_checked
        && check
            .clone()
            .and_then(|wish| wish.check(0, &forward))
            .is_none()
    {
        let message = "check is for remote forwards with a target";
        problems.push(Problem::error(node.place(), message));
        return None;
    }
    Some(Written {
        forward,
        check: check.unwrap_or(Wish::Usual),
    })
}

/// `none`, `http`, or `{kind: http, every: 30s}`.
fn wish(node: &Node, problems: &mut Problems) -> Option<Wish> {
    if node.as_mapping().is_none() {
        let is_off = node
            .as_scalar()
            .is_some_and(|scalar| scalar.text() == NEVER);
        return if is_off {
            Some(Wish::Never)
        } else {
            Some(Wish::Kind(kind(node, problems)?, None))
        };
    }
    let mut fields = node.fields(problems)?;
    let kind = fields.required("kind", kind);
    let every = fields.optional("every", duration);
    fields.finish();
    Some(Wish::Kind(kind?, every))
}

fn kind(node: &Node, problems: &mut Problems) -> Option<Kind> {
    node.parsed("a check", "http:/health", problems, str::parse)
}

impl Wish {
    /// The check of a forward, by its place among all of a tunnel.
    pub(super) fn check(self, number: usize, forward: &Forward) -> Option<Check> {
        let (Listens::There, Destination::One(target)) = (forward.listens, &forward.to) else {
            return None;
        };
        let (kind, every) = match (self, target) {
            (Self::Kind(kind, every), _) => (kind, every),
            (Self::Usual, Target::Tcp { port, .. }) => (Kind::usual(*port)?, None),
            (Self::Usual, Target::Unix { .. }) | (Self::Never, _) => return None,
        };
        Some(Check {
            number,
            target: target.clone(),
            every: every.unwrap_or_else(|| kind.interval()),
            kind,
        })
    }
}
