//! The programs that are compared, each as a person would start it for the same tunnel.

use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::super::kit::{Kit, Talker};
use super::super::promise::Contender;
use super::host::Host;
use super::lab;
use crate::sshd::Place;

/// A program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Program {
    /// `ssh -N`.
    Ssh,
    /// `autossh -M 0 -N`, with ssh as it is above.
    Autossh,
    /// `adit forward`.
    Adit,
}

impl Contender for Program {
    const COLUMNS: &'static [Self] = &Self::ALL;
    const OURS: Self = Self::Adit;
}

impl Program {
    /// All, in the order in which they take their turns.
    pub(super) const ALL: [Self; 3] = [Self::Ssh, Self::Autossh, Self::Adit];
    /// Those that differ once the tunnel is up: autossh is ssh then.
    pub(super) const CARRIERS: [Self; 2] = [Self::Ssh, Self::Adit];
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ssh => "ssh",
            Self::Autossh => "autossh",
            Self::Adit => "adit",
        })
    }
}

/// A tunnel with one remote forward.
#[derive(Debug, Clone)]
pub(super) struct Tunnel<'a> {
    pub(super) program: Program,
    /// Where the program runs.
    pub(super) place: &'a Place,
    /// The port that visitors come to, on the loopback of the host.
    pub(super) port: u16,
    /// Where they are led.
    pub(super) service: SocketAddr,
    pub(super) cipher: &'a str,
    /// More options as ssh_config(5) has them: `ServerAliveInterval=1`.
    pub(super) options: &'a [&'a str],
}

impl Tunnel<'_> {
    /// The command that opens the tunnel to a host.
    pub(super) fn command(&self, kit: &Kit, host: &Host) -> anyhow::Result<Command> {
        let sshd = host.sshd()?;
        let addr = host.addr()?;
        let mut command = self.to(kit, addr, sshd.key());
        command
            .arg("-o")
            .arg(format!(
                "UserKnownHostsFile={}",
                host.known_hosts().display()
            ))
            .arg(format!("{}@{}", sshd.user(), addr.ip()));
        Ok(command)
    }

    /// All of the command but its known hosts and its destination.
    pub(super) fn to(&self, kit: &Kit, addr: SocketAddr, key: &Path) -> Command {
        let mut command = match self.program {
            Program::Ssh => self.place.command("ssh"),
            Program::Autossh => self.place.command("autossh"),
            Program::Adit => self.place.command(&kit.adit),
        };
        match self.program {
            Program::Ssh => {}
            Program::Autossh => {
                // Whatever becomes of the first start, it goes on.
                command.env("AUTOSSH_GATETIME", "0").args(["-M", "0"]);
            }
            Program::Adit => {
                command.arg("forward").env_remove("ADIT_LOG");
            }
        }
        if self.program != Program::Adit {
            command.args([
                "-N",
                "-T",
                "-o",
                "BatchMode=yes",
                "-o",
                "IdentitiesOnly=yes",
            ]);
            // Without it ssh stays and forwards nothing when the port is held, and autossh never knows.
            command.args(["-o", "ExitOnForwardFailure=yes"]);
        }
        command.args(["-F", "none", "-o", "StrictHostKeyChecking=accept-new"]);
        command.arg("-o").arg(format!("Ciphers={}", self.cipher));
        for option in self.options {
            command.args(["-o", option]);
        }
        command
            .arg("-R")
            .arg(format!("127.0.0.1:{}:{}", self.port, self.service))
            .arg("-i")
            .arg(key)
            .arg("-p")
            .arg(addr.port().to_string())
            .env_remove("SSH_AUTH_SOCK");
        command
    }

    /// Opens it.
    pub(super) fn start(&self, kit: &Kit, host: &Host) -> anyhow::Result<Talker> {
        Talker::start(kit, &mut self.command(kit, host)?)
    }

    /// Where visitors go, seen from the host.
    pub(super) fn visitors(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

/// Lets visitors come from a place, one after the other, until one is served, and gives the time since
/// then; `None` when none is in time.
pub(super) fn until_served(
    kit: &Kit,
    place: &Place,
    addr: SocketAddr,
    since: Instant,
    deadline: Duration,
) -> anyhow::Result<Option<Duration>> {
    lab::within(place, || {
        loop {
            if exchange(addr).is_ok() {
                return Ok(Some(since.elapsed()));
            }
            if since.elapsed() > deadline {
                return Ok(None);
            }
            if kit.stop.wait(PAUSE) {
                anyhow::bail!("stopped by a signal");
            }
        }
    })
}

/// How a forward came back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Back {
    /// When its old listener was gone.
    pub(super) freed: Duration,
    /// When a visitor was served.
    pub(super) served: Duration,
}

/// Which socket of a place listens at a port of its loopback.
pub(super) fn listener(place: &Place, port: u16) -> anyhow::Result<Option<u64>> {
    lab::within(place, || listener_here(port))
}

/// Waits until another socket listens at the port than before and serves a visitor. Nobody visits
/// the old one: an sshd whose client is gone asks after it only when nothing else happens on
/// the connection for its ClientAliveInterval (OpenSSH 9.2, `wait_until_can_do_something`), so
/// visitors who come all the time would keep it for ever.
pub(super) fn until_back(
    kit: &Kit,
    place: &Place,
    addr: SocketAddr,
    before: Option<u64>,
    since: Instant,
) -> anyhow::Result<Option<Back>> {
    lab::within(place, || {
        let mut freed = None;
        while since.elapsed() < GIVEN_UP {
            let now = listener_here(addr.port())?;
            if now != before {
                let freed = *freed.get_or_insert_with(|| since.elapsed());
                if now.is_some() && exchange(addr).is_ok() {
                    return Ok(Some(Back {
                        freed,
                        served: since.elapsed(),
                    }));
                }
            }
            if kit.stop.wait(PAUSE) {
                anyhow::bail!("stopped by a signal");
            }
        }
        Ok(None)
    })
}

/// The inode of the listener in the network of this thread (proc(5), `/proc/net/tcp`).
fn listener_here(port: u16) -> anyhow::Result<Option<u64>> {
    let text = fs::read_to_string("/proc/thread-self/net/tcp").context("no list of sockets")?;
    Ok(listener_in(&text, port))
}

fn listener_in(text: &str, port: u16) -> Option<u64> {
    let local = format!(":{port:04X}");
    text.lines().find_map(|line| {
        let mut fields = line.split_whitespace();
        let is_its = fields.nth(1)?.ends_with(&local) && fields.nth(1)? == LISTENING;
        fields.nth(5).filter(|_| is_its)?.parse().ok()
    })
}

/// One byte there and back.
fn exchange(addr: SocketAddr) -> std::io::Result<()> {
    let mut visitor = TcpStream::connect_timeout(&addr, PATIENCE)?;
    visitor.set_nodelay(true)?;
    visitor.set_read_timeout(Some(PATIENCE))?;
    visitor.write_all(&[7])?;
    visitor.read_exact(&mut [0])
}

/// The state of a socket that listens, as the kernel writes it.
const LISTENING: &str = "0A";

/// What is not back after so long is not waited for.
pub(super) const GIVEN_UP: Duration = Duration::from_mins(2);

/// Between two visitors who are not let in.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a visitor waits for his byte before the next one comes: ten times what it takes.
const PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_of_a_port_is_told_by_its_number() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = super::listener(&Place::Here, port).unwrap();
        assert!(found.is_some_and(|inode| inode > 0), "{found:?}");
        drop(listener);
        assert_eq!(super::listener(&Place::Here, port).unwrap(), None);
    }

    #[test]
    fn a_socket_that_does_not_listen_is_passed_over() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode\n\
            0: 0100007F:1F90 0100007F:A0B0 01 00000000:00000000 00:00000000 00000000 0 0 77 1\n\
            1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 78 1\n";
        assert_eq!(listener_in(text, 8080), Some(78));
        assert_eq!(listener_in(text, 8081), None);
    }
}
