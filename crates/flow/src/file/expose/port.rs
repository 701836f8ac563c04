//! Which public port leads where: every form that model-compose knows.
//!
//! ```text
//! forward = PORT | PORT ":" PORT | PORT ":" HOST | PORT ":" HOST ":" PORT | [ PORT, HOST, PORT ]
//! HOST    = name | IPv4 address | "[" IPv6 address "]"
//! ```
//!
//! The first port is the public one and may be 0, by which the server chooses. A host without a port
//! gets the public one.

use std::net::Ipv6Addr;

use adit_text::{Content, Node, Problem, Problems};

use crate::file::limited;
use crate::model::Placed;
use crate::model::expose::PortForward;

/// The host of a forward that names none.
pub(super) const LOCAL: &str = "localhost";

const WANTED: &str = "a port and where it leads";
const EXAMPLE: &str = "\"9834:8090\"";

/// One forward or a list of them.
pub(super) fn forwards(node: &Node, problems: &mut Problems) -> Option<Vec<PortForward>> {
    let forwards = node.one_or_many(problems, forward)?;
    if forwards.is_empty() && node.as_sequence() == Some(&[]) {
        problems.push(Problem::error(node.place(), "the list names no port"));
        return None;
    }
    Some(limited(forwards, node, problems))
}

fn forward(node: &Node, problems: &mut Problems) -> Option<PortForward> {
    let (remote, host, port) = match node.content() {
        Content::Scalar(_) => node.parsed(WANTED, EXAMPLE, problems, parse)?,
        Content::Sequence(nodes) => {
            let [remote, host, port] = nodes.as_slice() else {
                let message = "wanted a public port, a host and its port";
                let problem = Problem::error(node.place(), message);
                problems.push(problem.with_help("for example: [9834, localhost, 8090]"));
                return None;
            };
            let remote = remote.integer(0..=u16::MAX.into(), problems);
            let host = host.parsed("a host", LOCAL, problems, host_alone);
            let port = port.port(problems);
            (u16::try_from(remote?).ok()?, host?, port?)
        }
        Content::Mapping(_) => {
            problems.push(node.mismatch(WANTED, EXAMPLE));
            return None;
        }
    };
    Some(PortForward {
        remote: Placed::new(remote, node.place()),
        host,
        port,
    })
}

/// Why a text is no forward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
enum ForwardError {
    #[error("the public port is a number from 0 to 65535")]
    Remote,
    #[error("the local port is a number from 1 to 65535")]
    Local,
    #[error("the host is a name, an IPv4 address or an IPv6 address in brackets")]
    Host,
    #[error("the server is to choose the public port, so the local one is to be said")]
    Chosen,
}

fn parse(text: &str) -> Result<(u16, String, u16), ForwardError> {
    let (remote, target) = match text.split_once(':') {
        Some((remote, target)) => (remote, Some(target)),
        None => (text, None),
    };
    let remote = number(remote).ok_or(ForwardError::Remote)?;
    let same = |host: String| match remote {
        0 => Err(ForwardError::Chosen),
        _ => Ok((remote, host, remote)),
    };
    let Some(target) = target else {
        return same(LOCAL.to_owned());
    };
    if !target.is_empty() && target.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok((remote, LOCAL.to_owned(), local(target)?));
    }
    let (host, port) = if let Some(rest) = target.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(ForwardError::Host)?;
        let _: Ipv6Addr = host.parse().map_err(|_| ForwardError::Host)?;
        match after {
            "" => (host, None),
            _ => (
                host,
                Some(after.strip_prefix(':').ok_or(ForwardError::Host)?),
            ),
        }
    } else {
        let (host, port) = match target.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (target, None),
        };
        if !is_name(host) {
            return Err(ForwardError::Host);
        }
        (host, port)
    };
    match port {
        Some(port) => Ok((remote, host.to_owned(), local(port)?)),
        None => same(host.to_owned()),
    }
}

/// A host that stands alone: an IPv6 address with brackets or without.
fn host_alone(text: &str) -> Result<String, ForwardError> {
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let bare = bare.unwrap_or(text);
    if bare.parse::<Ipv6Addr>().is_ok() || is_name(text) {
        return Ok(bare.to_owned());
    }
    Err(ForwardError::Host)
}

fn is_name(text: &str) -> bool {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !text.is_empty() && !text.starts_with('-') && text.bytes().all(is_good)
}

fn number(text: &str) -> Option<u16> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_digits)
}

fn local(text: &str) -> Result<u16, ForwardError> {
    number(text)
        .filter(|port| *port > 0)
        .ok_or(ForwardError::Local)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands under `port:`, or what is wrong with it.
    fn read(written: &str) -> Result<Vec<(u16, String, u16)>, String> {
        let document = adit_text::parse("f.yml", written.as_bytes()).unwrap();
        let mut problems = Problems::new();
        let read = forwards(document.root(), &mut problems);
        if problems.has_errors() {
            return Err(problems.to_string());
        }
        let read = read.unwrap().into_iter();
        Ok(read
            .map(|one| (one.remote.value, one.host, one.port))
            .collect())
    }

    #[test]
    fn every_form_of_a_forward_is_read() {
        for (written, remote, host, port) in [
            ("8090", 8090, "localhost", 8090),
            ("\"8090\"", 8090, "localhost", 8090),
            ("\"9834:8090\"", 9834, "localhost", 8090),
            ("9834:8090", 9834, "localhost", 8090),
            ("\"22:22\"", 22, "localhost", 22),
            ("22:22", 22, "localhost", 22),
            ("0:8090", 0, "localhost", 8090),
            ("8080:192.168.1.107", 8080, "192.168.1.107", 8080),
            ("8080:example.com", 8080, "example.com", 8080),
            ("9834:192.168.1.107:3000", 9834, "192.168.1.107", 3000),
            ("\"9834:[::1]:3000\"", 9834, "::1", 3000),
            ("\"9834:[::1]\"", 9834, "::1", 9834),
        ] {
            let wanted = vec![(remote, host.to_owned(), port)];
            assert_eq!(read(written), Ok(wanted.clone()), "{written}");
            assert_eq!(read(&format!("[{written}]")), Ok(wanted), "[{written}]");
        }
        let list = "[8090, \"9834:8091\", [9835, localhost, 8092], [0, \"::1\", 8093]]";
        let wanted = [
            (8090, "localhost", 8090),
            (9834, "localhost", 8091),
            (9835, "localhost", 8092),
            (0, "::1", 8093),
        ];
        let wanted = wanted.map(|(remote, host, port)| (remote, host.to_owned(), port));
        assert_eq!(read(list), Ok(wanted.to_vec()));
    }

    #[test]
    fn what_is_no_forward_says_why() {
        for (written, wrong) in [
            ("70000", "the public port is a number from 0 to 65535"),
            ("http", "the public port is a number from 0 to 65535"),
            ("\"+80:80\"", "the public port is a number from 0 to 65535"),
            ("80:0", "the local port is a number from 1 to 65535"),
            ("80:70000", "the local port is a number from 1 to 65535"),
            ("80:host:x", "the local port is a number from 1 to 65535"),
            ("80:-host:80", "the host is a name"),
            ("80:::1:80", "the host is a name"),
            ("\"80:[::x]:80\"", "the host is a name"),
            ("\"80:[::1]80\"", "the host is a name"),
            ("\"80:\"", "the host is a name"),
            ("0", "the local one is to be said"),
            ("0:host", "the local one is to be said"),
            ("[]", "the list names no port"),
            ("[[1, 2]]", "wanted a public port, a host and its port"),
            ("[[70000, localhost, 80]]", "a whole number from 0 to 65535"),
            (
                "{a: 1}",
                "wanted a port and where it leads, found a mapping",
            ),
        ] {
            let error = read(written).unwrap_err();
            assert!(error.contains(wrong), "{written}: {error}");
        }
    }
}
