//! The programs that are compared, each as a person would start it for the same tunnel.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use super::super::kit::{Kit, Talker};
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

impl Program {
    /// All, in the order in which they take their turns; earlier ones are what later ones are compared with.
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

/// One byte there and back.
fn exchange(addr: SocketAddr) -> std::io::Result<()> {
    let mut visitor = TcpStream::connect_timeout(&addr, PATIENCE)?;
    visitor.set_nodelay(true)?;
    visitor.set_read_timeout(Some(PATIENCE))?;
    visitor.write_all(&[7])?;
    visitor.read_exact(&mut [0])
}

/// Between two visitors who are not let in.
const PAUSE: Duration = Duration::from_millis(1);

/// How long a visitor waits for his byte before the next one comes: ten times what it takes. What is
/// behind a dead connection takes visitors in and answers none, so this bounds how exact a time is.
const PATIENCE: Duration = Duration::from_millis(200);
