//! Sockets that whoever started this program has bound for it, as systemd does (sd_listen_fds(3)): a gateway has
//! port 22 or 443 that way without any right to it.

use std::net::TcpListener;

use adit_model::port::PortSet;
use anyhow::{Context as _, bail, ensure};
use listenfd::ListenFd;
use rustix::net::sockopt::socket_acceptconn;

/// How many there are, for whom, and what each is called.
const COUNT: &str = "LISTEN_FDS";
const FOR: &str = "LISTEN_PID";
const NAMES: &str = "LISTEN_FDNAMES";
/// Sockets at the most.
const MOST: usize = 64;
/// What a socket for ssh is called, if it is called anything but its unit.
const SSH: &str = "ssh";

/// The sockets that were given to this process, all for ssh; none if it was given none. To be called once, while
/// there is one thread, and before anything is opened.
///
/// # Errors
///
/// One is for something else, or is no TCP socket that listens.
pub(super) fn sockets() -> anyhow::Result<Vec<TcpListener>> {
    let is_for_us = std::env::var(FOR).is_ok_and(|pid| pid.parse() == Ok(std::process::id()));
    let Some(count) = std::env::var(COUNT).ok().filter(|_| is_for_us) else {
        return Ok(Vec::new());
    };
    let count: usize = count
        .parse()
        .with_context(|| format!("{COUNT} is no number"))?;
    ensure!(count <= MOST, "{COUNT} is more than {MOST}");
    let names = std::env::var(NAMES).unwrap_or_default();
    let mut given = ListenFd::from_env();
    let mut sockets = Vec::with_capacity(count);
    for index in 0..count {
        let name = names.split(':').nth(index).unwrap_or_default();
        if !is_ssh(name) {
            bail!(
                "a socket was given that is called {name:?}: FileDescriptorName={SSH} is what can be served"
            );
        }
        let what = || format!("socket {index} that was given cannot be used");
        let socket = given.take_tcp_listener(index).with_context(what)?;
        let socket = socket.with_context(what)?;
        let listens = socket_acceptconn(&socket).with_context(what)?;
        ensure!(listens, "{}: it does not listen", what());
        socket.set_nonblocking(true).with_context(what)?;
        sockets.push(socket);
    }
    Ok(sockets)
}

/// Refuses sockets at ports that are kept for forwards.
///
/// # Errors
///
/// One is.
pub(super) fn check(sockets: &[TcpListener], forwards: &PortSet) -> anyhow::Result<()> {
    for socket in sockets {
        let port = socket.local_addr()?.port();
        ensure!(
            !forwards.contains(port),
            "a socket was given at port {port}, which is one of the ports of forwards ({forwards}): one of both has to \
             give way"
        );
    }
    Ok(())
}

/// Whether that is the name of a socket for ssh: the word, its unit's name, or what stands for none
/// (sd_listen_fds_with_names(3)).
fn is_ssh(name: &str) -> bool {
    ["", SSH, "unknown"].contains(&name) || name.ends_with(".socket")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_for_ssh_unless_it_is_called_otherwise() {
        for name in ["", "ssh", "unknown", "adit-gateway.socket"] {
            assert!(is_ssh(name), "{name}");
        }
        for name in ["http", "ssh2", "socket"] {
            assert!(!is_ssh(name), "{name}");
        }
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let sockets = [socket];
        assert!(check(&sockets, &PortSet::from_ranges([(port, port)])).is_err());
        assert!(check(&sockets, &PortSet::from_ranges([(1, 1)])).is_ok());
    }
}
