//! A tunnel under measurement: a server, a client, and the ports that visitors come to.

use std::collections::HashMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;

use super::kit::{Kit, Talker};
use super::pair::{Client, Pair, Server};
use crate::sshd::{self, Place, Setup, Sshd};

/// How a tunnel is to be set up.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) pair: Pair,
    /// Bytes after which both ends renew their keys.
    pub(super) rekey: Option<u64>,
    /// Where the server runs and listens.
    pub(super) server_place: Place,
    pub(super) server_addr: IpAddr,
    /// Where the client runs.
    pub(super) client_place: Place,
}

impl Plan {
    /// On this machine, without anything special.
    pub(super) fn usual(pair: Pair) -> Self {
        Self {
            pair,
            rekey: None,
            server_place: Place::Here,
            server_addr: Ipv4Addr::LOCALHOST.into(),
            client_place: Place::Here,
        }
    }
}

/// A running server of either kind.
#[derive(Debug)]
pub(super) struct Host {
    program: Program,
    addr: SocketAddr,
    user: String,
    key: PathBuf,
    folder: PathBuf,
}

#[derive(Debug)]
enum Program {
    Sshd(Sshd),
    Gateway(Talker),
    Serve(Talker),
}

/// A running tunnel.
#[derive(Debug)]
pub(super) struct Tunnel {
    host: Host,
    client: Talker,
    ports: HashMap<SocketAddr, u16>,
}

impl Host {
    /// Starts a server.
    pub(super) fn start(kit: &Kit, plan: &Plan) -> anyhow::Result<Self> {
        let folder = kit.folder()?;
        match plan.pair.server {
            Server::Sshd => Self::sshd(kit, plan, folder),
            Server::Gateway => Self::gateway(kit, plan, folder),
            Server::Serve => Self::serve(kit, plan, folder),
        }
    }

    fn sshd(kit: &Kit, plan: &Plan, folder: PathBuf) -> anyhow::Result<Self> {
        // Hundreds of logins come from one address.
        let mut lines = String::from("MaxStartups 1000\n");
        if let Some(bytes) = plan.rekey {
            lines = format!("{lines}RekeyLimit {bytes}\n");
        }
        let setup = Setup {
            addr: plan.server_addr,
            lines: &lines,
            place: &plan.server_place,
        };
        let sshd = Sshd::start(&folder, &setup, &kit.stop)?;
        Ok(Self {
            addr: (plan.server_addr, sshd.port()).into(),
            user: sshd.user().to_owned(),
            key: sshd.key().to_owned(),
            program: Program::Sshd(sshd),
            folder,
        })
    }

    fn gateway(kit: &Kit, plan: &Plan, folder: PathBuf) -> anyhow::Result<Self> {
        let host_key = sshd::make_key(&folder, "host_key")?;
        let key = sshd::make_key(&folder, "user_key")?;
        let mut command = plan.server_place.command(&kit.gateway);
        command.arg("--host-key").arg(host_key);
        command.arg("--authorized").arg(key.with_extension("pub"));
        command.arg("--listen").arg(plan.server_addr.to_string());
        if let Some(bytes) = plan.rekey {
            command.arg("--rekey").arg(bytes.to_string());
        }
        let mut talker = Talker::start(kit, &mut command)?;
        let port: u16 = talker.wait(kit, "our server", START_DEADLINE, |said| {
            said.split_once('\n')?.0.parse().ok()
        })?;
        Ok(Self {
            program: Program::Gateway(talker),
            addr: (plan.server_addr, port).into(),
            user: String::from("bench"),
            key,
            folder,
        })
    }

    fn serve(kit: &Kit, plan: &Plan, folder: PathBuf) -> anyhow::Result<Self> {
        let key = sshd::make_key(&folder, "user_key")?;
        let addr = SocketAddr::from((plan.server_addr, sshd::free_port()?));
        Ok(Self {
            program: Program::Serve(serve(kit, &plan.server_place, &folder, addr)?),
            addr,
            user: String::from("bench"),
            key,
            folder,
        })
    }

    /// Kills an `adit serve` and starts it again, as soon as it is gone, with what it keeps.
    pub(super) fn kill(self, kit: &Kit, plan: &Plan) -> anyhow::Result<Self> {
        // By SIGKILL; it returns when the kernel has taken the process down, which frees its files.
        drop(self.program);
        let again = serve(kit, &plan.server_place, &self.folder, self.addr)?;
        Ok(Self {
            program: Program::Serve(again),
            ..self
        })
    }

    /// Where it listens.
    pub(super) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Who may log in.
    pub(super) fn user(&self) -> &str {
        &self.user
    }

    /// The private key to log in with.
    pub(super) fn key(&self) -> &Path {
        &self.key
    }

    /// Its processes now.
    pub(super) fn processes(&self) -> Vec<Pid> {
        match &self.program {
            Program::Sshd(sshd) => sshd.group().tree(),
            Program::Gateway(talker) | Program::Serve(talker) => talker.group().tree(),
        }
    }
}

/// Starts `adit serve` for the owner of the folder's `user_key`, with all that it keeps in the folder, and waits
/// until it listens.
fn serve(kit: &Kit, place: &Place, folder: &Path, addr: SocketAddr) -> anyhow::Result<Talker> {
    let config = folder.join("gateway.yml");
    fs::write(&config, SERVE_CONFIG).context("cannot write a configuration")?;
    let mut command = place.command(&kit.adit);
    command
        .args(["serve", "--ports", SERVE_PORTS, "--ssh", &addr.to_string()])
        .arg("--config")
        .arg(config)
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--authorized-keys")
        .arg(folder.join("user_key.pub"))
        .env("ADIT_LOG", "warn");
    let mut talker = Talker::start(kit, &mut command)?;
    talker.wait(kit, "the gateway", START_DEADLINE, |said| {
        said.contains("try: ssh ").then_some(())
    })?;
    Ok(talker)
}

impl Tunnel {
    /// Starts a server and a client that forwards a port to each of the services, and waits until
    /// all forwards are up.
    pub(super) fn start(kit: &Kit, plan: &Plan, services: &[SocketAddr]) -> anyhow::Result<Self> {
        let host = Host::start(kit, plan)?;
        let addr = host.addr();
        Self::dial(kit, plan, host, addr, services)
    }

    /// As [`start`](Self::start), towards a server that is there, which is reached at `addr`.
    pub(super) fn dial(
        kit: &Kit,
        plan: &Plan,
        host: Host,
        addr: SocketAddr,
        services: &[SocketAddr],
    ) -> anyhow::Result<Self> {
        let program = match plan.pair.client {
            Client::Ssh => Path::new("ssh"),
            Client::Adit => &kit.adit,
        };
        let mut command = plan.client_place.command(program);
        match plan.pair.client {
            Client::Ssh => {
                command.args(["-F", "none", "-N", "-T"]);
                command.args(["-o", "ExitOnForwardFailure=yes", "-o", "BatchMode=yes"]);
                command.args(["-o", "IdentitiesOnly=yes", "-o", "LogLevel=INFO"]);
                if let Some(bytes) = plan.rekey {
                    command.arg("-o").arg(format!("RekeyLimit={bytes}"));
                }
            }
            Client::Adit => {
                command
                    .args(["forward", "-F", "none"])
                    .env("ADIT_LOG", LOG_FILTER);
            }
        }
        for service in services {
            command.arg("-R").arg(format!("127.0.0.1:0:{service}"));
        }
        let known_hosts = host.folder.join("known_hosts");
        command
            .args(["-o", &format!("Ciphers={CIPHER}")])
            .args(["-o", "StrictHostKeyChecking=accept-new", "-o"])
            .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
            .arg("-i")
            .arg(host.key())
            .arg("-p")
            .arg(addr.port().to_string())
            .arg(format!("{}@{}", host.user(), addr.ip()));
        let mut client = Talker::start(kit, &mut command)?;
        let ports = client.wait(kit, "the client", START_DEADLINE, |said| {
            let ports: HashMap<_, _> = said.lines().filter_map(forward_up).collect();
            let all = services.iter().all(|service| ports.contains_key(service));
            all.then_some(ports)
        })?;
        Ok(Self {
            host,
            client,
            ports,
        })
    }

    /// Where visitors of a service go.
    pub(super) fn visitors(&self, service: SocketAddr) -> anyhow::Result<SocketAddr> {
        let port = self.ports.get(&service).context("no such forward")?;
        Ok((Ipv4Addr::LOCALHOST, *port).into())
    }

    /// The server.
    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    /// The processes of both ends now.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let mut all = self.host.processes();
        all.extend(self.client.group().tree());
        all
    }

    /// Ends the client as Ctrl-C would and waits until both ends of ours have said what the connection
    /// has cost. Gives each end's name and all that it said.
    pub(super) fn finish(self, kit: &Kit) -> anyhow::Result<Vec<(&'static str, String)>> {
        let mut said = Vec::new();
        let words = self.client.stop(END_DEADLINE)?;
        if words.contains(TALLY) {
            said.push(("our client", words));
        }
        if let Program::Gateway(mut talker) = self.host.program {
            let words = talker.wait(kit, "our server", END_DEADLINE, |said| {
                said.contains(TALLY).then(|| said.to_owned())
            })?;
            said.push(("our server", words));
        }
        Ok(said)
    }

    /// What the client has said.
    pub(super) fn said(&self) -> anyhow::Result<String> {
        self.client.said()
    }
}

/// Our client is to say how long each renewal of keys took, and at the end what the connection cost.
const LOG_FILTER: &str = "info,adit_tunnel::transport::ssh::task=debug";

/// Stands in the words of either end of ours about the costs of a connection.
const TALLY: &str = "payload_bytes=";

/// The service and its port in adit's `forward up: 127.0.0.1:40321 -> 127.0.0.1:8080`, in what it says of a server
/// that lets it probe nothing, `forward bound, path not checked (…): 127.0.0.1:40321 -> 127.0.0.1:8080`, and in ssh's
/// `Allocated port 40321 for remote forward to 127.0.0.1:8080`.
fn forward_up(line: &str) -> Option<(SocketAddr, u16)> {
    let is_ours = ["forward up", "forward bound"]
        .iter()
        .any(|words| line.starts_with(words));
    let (port, service) = if is_ours {
        let (bind, service) = line.split_once(" -> ")?;
        (bind.rsplit_once(':')?.1, service)
    } else {
        line.strip_prefix("Allocated port ")?
            .split_once(" for remote forward to ")?
    };
    Some((service.trim().parse().ok()?, port.parse().ok()?))
}

/// The same for all: the fastest that both stock ends and ours have.
pub(super) const CIPHER: &str = "aes128-gcm@openssh.com";

/// Ports that `adit serve` gives: below those that the system gives to whoever connects.
const SERVE_PORTS: &str = "20000-29999";

/// All who log in have one key, and so are one principal.
const SERVE_CONFIG: &str = "limits: {connections: 20000, leases: 20000}\n";

/// A server listens and a client logs in within a second, or a few on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(30);

/// Both ends close at once; then a client is killed.
const END_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_are_read_from_what_either_client_says() {
        let service: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        for (line, expected) in [
            ("forward up: 127.0.0.1:40321 -> 127.0.0.1:8080", Some(40321)),
            (
                "forward bound, path not checked (PermitOpen): 127.0.0.1:40321 -> 127.0.0.1:8080",
                Some(40321),
            ),
            (
                "Allocated port 40321 for remote forward to 127.0.0.1:8080\r",
                Some(40321),
            ),
            (
                "Allocated port 99999 for remote forward to 127.0.0.1:8080",
                None,
            ),
            ("forward down: 127.0.0.1:40321 -> 127.0.0.1:8080", None),
            ("", None),
        ] {
            let expected = expected.map(|port| (service, port));
            assert_eq!(forward_up(line), expected, "{line:?}");
        }
    }
}
