//! A `ProxyCommand` that is ssh itself, where there is no ssh: in a container that holds adit alone.
//!
//! `ssh -qW%h:%p bastion` passes bytes through a host that it logs in at. That is a `ProxyJump`, and adit can do it
//! by itself. Only such lines are read so, and only where the program is not to be found.

use std::path::Path;

use adit_tunnel::ssh_config::Jump;

use crate::config::destination::Destination;

/// The program.
const SSH: &str = "ssh";

/// The host that these words would go through, if they are such a line and there is no ssh here.
pub(super) fn jump(words: &[String]) -> Option<Jump> {
    let (program, arguments) = words.split_first()?;
    if is_there(program) {
        return None;
    }
    read(program, arguments)
}

fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let folders = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&folders).any(|folder| folder.join(program).is_file())
}

/// Reads `ssh [-q] -W HOST:PORT [-l USER] [-p PORT] [USER@]HOST`, in any order and in ssh's ways to write it. Whatever
/// else stands there means something that a jump would not do.
fn read(program: &str, arguments: &[String]) -> Option<Jump> {
    if Path::new(program).file_name()? != SSH {
        return None;
    }
    let (mut passes_bytes, mut user, mut port, mut destination) = (false, None, None, None);
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(mut flags) = argument.strip_prefix('-') else {
            if destination.replace(argument).is_some() {
                return None;
            }
            continue;
        };
        while let Some(flag) = flags.chars().next() {
            flags = flags.get(1..)?;
            if flag == 'q' {
                continue;
            }
            // The others have a value: the rest of the word, or the next one.
            let value = match std::mem::take(&mut flags) {
                "" => arguments.next()?,
                rest => rest,
            };
            match flag {
                'W' => passes_bytes = true,
                'l' => user = Some(value.to_owned()),
                'p' => port = Some(value.parse().ok()?),
                _ => return None,
            }
        }
    }
    let destination: Destination = destination?.parse().ok()?;
    passes_bytes.then_some(Jump {
        user: destination.user.or(user),
        host: destination.host,
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_line(line: &str) -> Option<String> {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let (program, arguments) = words.split_first().unwrap();
        read(program, arguments).map(|jump| jump.to_string())
    }

    #[test]
    fn a_line_that_passes_bytes_is_a_jump_and_no_other_is() {
        for (line, expected) in [
            ("ssh -qWdb.internal:22 bastion", Some("bastion")),
            ("ssh -q -W db.internal:22 me@bastion", Some("me@bastion")),
            ("/usr/bin/ssh bastion -W db:22", Some("bastion")),
            (
                "ssh -p 2222 -l me -W db:22 bastion",
                Some("me@bastion:2222"),
            ),
            (
                "ssh -p2222 -lyou -Wdb:22 me@bastion",
                Some("me@bastion:2222"),
            ),
            ("ssh -q bastion", None),
            ("ssh -W db:22", None),
            ("ssh -W db:22 bastion nc", None),
            ("ssh -W db:22 -o User=me bastion", None),
            ("ssh -W db:22 -i key bastion", None),
            ("ssh -p port -W db:22 bastion", None),
            ("ssh bastion -W", None),
            ("nc -W db:22 bastion", None),
            ("ssh -W db:22 -F/x bastion", None),
            ("ssh -é -W db:22 bastion", None),
        ] {
            assert_eq!(read_line(line).as_deref(), expected, "{line}");
        }
    }

    #[test]
    fn where_the_program_is_it_is_run() {
        let words = |program: &str| [program, "-Wdb:22", "bastion"].map(str::to_owned);
        let folder = tempfile::tempdir().unwrap();
        let ssh = folder.path().join("ssh");
        let path = ssh.display().to_string();
        assert!(jump(&words(&path)).is_some());
        std::fs::write(&ssh, "").unwrap();
        assert!(jump(&words(&path)).is_none());
    }
}
