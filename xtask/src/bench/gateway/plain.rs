//! rathole and bore: programs of crates.io that do a gateway's job over plain TCP.
//!
//! Each is built once, at one version, below `interop` in the build directory. They run as they come, but
//! on the loopback alone: rathole with one control connection for each service and connections that it holds
//! ready, bore with a client for each service and a connection for each visitor. Neither encrypts here, and
//! bore cannot.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;

use super::super::kit::{Kit, Talker};
use crate::sshd;
use crate::workspace::{Workspace, run_quietly};

/// A program, and how it is had and run.
#[derive(Debug)]
pub(super) struct Peer {
    program: &'static str,
    /// What `cargo install` is asked for.
    package: &'static [&'static str],
    start: fn(&Kit, &Path, &[SocketAddr]) -> anyhow::Result<PlainTunnel>,
}

/// A running server and its clients.
#[derive(Debug)]
pub(super) struct PlainTunnel {
    server: Talker,
    clients: Vec<Talker>,
    visitors: HashMap<SocketAddr, SocketAddr>,
}

impl Peer {
    /// Its features are those of plain TCP: TLS and Noise are left out. It is built without its own lock file,
    /// which has a release of `time` that Rust refuses since 1.80.
    pub(super) const RATHOLE: Self = Self {
        program: "rathole",
        package: &[
            "rathole",
            "--version",
            "0.5.0",
            "--no-default-features",
            "--features",
            "server,client",
        ],
        start: rathole,
    };
    pub(super) const BORE: Self = Self {
        program: "bore",
        package: &["bore-cli", "--version", "0.6.0", "--locked"],
        start: bore,
    };

    /// Where the program is, which is built if it is not there.
    fn make_ready(&self) -> anyhow::Result<PathBuf> {
        let workspace = Workspace::find()?;
        let root = workspace.target().join("interop").join("plain");
        let program = root.join("bin").join(self.program);
        if !program.is_file() {
            let mut cargo = workspace.cargo();
            cargo.args(["install", "--quiet", "--root"]);
            run_quietly(cargo.arg(&root).args(self.package))?;
        }
        Ok(program)
    }
}

impl PlainTunnel {
    /// Starts a server, and clients for the services.
    ///
    /// # Errors
    /// The program cannot be had, or it does not start.
    pub(super) fn start(kit: &Kit, peer: &Peer, services: &[SocketAddr]) -> anyhow::Result<Self> {
        let program = peer.make_ready().context("it cannot be had")?;
        (peer.start)(kit, &program, services)
    }

    /// Where visitors of a service go.
    pub(super) fn visitors(&self, service: SocketAddr) -> anyhow::Result<SocketAddr> {
        let visitors = self.visitors.get(&service).copied();
        visitors.context("no such forward")
    }

    /// The processes of the server now.
    pub(super) fn server(&self) -> Vec<Pid> {
        self.server.group().tree()
    }

    /// The processes of both ends now.
    pub(super) fn processes(&self) -> Vec<Pid> {
        let clients = self.clients.iter();
        let mut all: Vec<Pid> = clients.flat_map(|client| client.group().tree()).collect();
        all.extend(self.server());
        all
    }
}

fn rathole(kit: &Kit, program: &Path, services: &[SocketAddr]) -> anyhow::Result<PlainTunnel> {
    let local = || anyhow::Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, sshd::free_port()?)));
    let addr = local()?;
    let mut visitors = HashMap::new();
    let mut server = format!("[server]\nbind_addr = \"{addr}\"\n{RATHOLE_TOKEN}");
    let mut client = format!("[client]\nremote_addr = \"{addr}\"\n{RATHOLE_TOKEN}");
    for (number, service) in services.iter().enumerate() {
        let bind = local()?;
        visitors.insert(*service, bind);
        writeln!(
            server,
            "[server.services.s{number}]\nbind_addr = \"{bind}\""
        )?;
        writeln!(
            client,
            "[client.services.s{number}]\nlocal_addr = \"{service}\""
        )?;
    }
    let folder = kit.folder()?;
    let start = |role: &str, text: &str| -> anyhow::Result<Talker> {
        let config = folder.join(format!("{role}.toml"));
        fs::write(&config, text).context("cannot write a configuration")?;
        let mut command = quiet(program);
        Talker::start(kit, command.arg(format!("--{role}")).arg(config))
    };
    let mut server = start("server", &server)?;
    server.wait(kit, "rathole's server", START_DEADLINE, |said| {
        said.contains("Listening at").then_some(())
    })?;
    let mut client = start("client", &client)?;
    client.wait(kit, "rathole's client", START_DEADLINE, |said| {
        let up = said.matches("Control channel established").count();
        (up >= services.len()).then_some(())
    })?;
    Ok(PlainTunnel {
        server,
        clients: vec![client],
        visitors,
    })
}

fn bore(kit: &Kit, program: &Path, services: &[SocketAddr]) -> anyhow::Result<PlainTunnel> {
    let mut command = quiet(program);
    command.args(["server", "--bind-addr", BORE_ADDR]);
    let mut server = Talker::start(kit, &mut command)?;
    server.wait(kit, "bore's server", START_DEADLINE, |said| {
        said.contains("server listening").then_some(())
    })?;
    let (mut clients, mut visitors) = (Vec::new(), HashMap::new());
    for service in services {
        let (ip, port) = (service.ip().to_string(), service.port().to_string());
        let mut command = quiet(program);
        command.args(["local", &port, "--local-host", &ip, "--to", BORE_ADDR]);
        let mut client = Talker::start(kit, &mut command)?;
        let addr = client.wait(kit, "bore's client", START_DEADLINE, |said| {
            let (_, addr) = said.split_once("listening at ")?;
            addr.split_whitespace().next()?.parse().ok()
        })?;
        visitors.insert(*service, addr);
        clients.push(client);
    }
    Ok(PlainTunnel {
        server,
        clients,
        visitors,
    })
}

/// Both speak in colours, even to a file.
fn quiet(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("NO_COLOR", "1").env_remove("RUST_LOG");
    command
}

const RATHOLE_TOKEN: &str = "default_token = \"bench\"\n";

/// Its port is always 7835, so that it gets an address of the loopback that nobody else has.
const BORE_ADDR: &str = "127.7.83.5";

/// Either is up within milliseconds.
const START_DEADLINE: Duration = Duration::from_secs(30);
