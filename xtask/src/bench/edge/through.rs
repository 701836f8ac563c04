//! A request through a tunnel: nginx in front of a port that stock `ssh -R` forwards from sshd, and `adit serve` with
//! a name that `adit forward` serves. Both ends are counted, the origin is not.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use rustix::process::Pid;

use super::super::kit::Talker;
use super::super::page::Work as _;
use super::super::pair::Pair;
use super::super::promise::{Measure, Wanted};
use super::super::tunnel::{CIPHER, Plan, Tunnel};
use super::super::usage::cpu_seconds;
use super::load::{How, ask};
use super::{Bench, Server, front};
use crate::sshd;

const RATE: Measure = Measure {
    name: "through a tunnel, 2 bytes, requests a second",
    wanted: Wanted::RatioAtLeast(2.0),
};
const COST: Measure = Measure {
    name: "through a tunnel, 2 bytes, CPU us of both ends",
    wanted: Wanted::RatioAtMost(0.6),
};
const RATE_64K: Measure = Measure {
    name: "through a tunnel, 64 KiB, requests a second",
    wanted: Wanted::RatioAtLeast(2.0),
};
const COST_64K: Measure = Measure {
    name: "through a tunnel, 64 KiB, CPU us of both ends",
    wanted: Wanted::RatioAtMost(0.6),
};

const START_DEADLINE: Duration = Duration::from_secs(30);

pub(super) fn tunnel(bench: &mut Bench) -> anyhow::Result<()> {
    for _ in 0..bench.scale.rounds {
        for (server, run) in [
            (Server::Nginx, stock as fn(&mut Bench) -> anyhow::Result<()>),
            (Server::Adit, ours),
        ] {
            let outcome = run(bench);
            bench.settle(&format!("tunnel, {server}"), outcome)?;
        }
    }
    Ok(())
}

fn stock(bench: &mut Bench) -> anyhow::Result<()> {
    let origin = bench.ground.origin;
    let tunnel = Tunnel::start(&bench.kit, &Plan::usual(Pair::STOCK), &[origin])?;
    let forwarded = tunnel.visitors(origin)?;
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, sshd::free_port()?));
    let config = bench.ground.before(forwarded, at, None);
    let nginx = front::nginx(&bench.kit, &config, at)?;
    measure(bench, Server::Nginx, (at, front::HOST), || {
        let mut all = tunnel.processes();
        all.extend(nginx.group().tree());
        all
    })
}

fn ours(bench: &mut Bench) -> anyhow::Result<()> {
    let kit = &bench.kit;
    let folder = kit.folder()?;
    let key = sshd::make_key(&folder, "user_key")?;
    let public = fs::read_to_string(key.with_extension("pub")).context("cannot read a key")?;
    let keys = folder.join("keys");
    fs::write(&keys, format!("adit-names=\"app\" {public}")).context("cannot write a file")?;
    let at = |port: u16| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let (ssh, http) = (at(sshd::free_port()?), at(sshd::free_port()?));
    let mut serve = Command::new(&kit.adit);
    serve
        .args(["serve", "--domain", "gw.test", "--ports", "20000-29999"])
        .args(["--ssh", &ssh.to_string(), "--http", &http.to_string()])
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--authorized-keys")
        .arg(&keys)
        .env("ADIT_LOG", "warn");
    let mut gateway = Talker::start(kit, &mut serve)?;
    gateway.wait(kit, "the gateway", START_DEADLINE, |said| {
        said.contains("try: ").then_some(())
    })?;
    let mut forward = Command::new(&kit.adit);
    forward
        .args(["forward", "-F", "none", "-R"])
        .arg(format!("app:80:{}", bench.ground.origin))
        .args(["-o", &format!("Ciphers={CIPHER}")])
        .args(["-o", "StrictHostKeyChecking=accept-new", "-o"])
        .arg(format!(
            "UserKnownHostsFile={}",
            folder.join("known").display()
        ))
        .arg("-i")
        .arg(&key)
        .args(["-p", &ssh.port().to_string(), "bench@127.0.0.1"])
        .env("ADIT_LOG", "warn");
    let mut agent = Talker::start(kit, &mut forward)?;
    agent.wait(kit, "the agent", START_DEADLINE, |said| {
        said.contains("forward ").then_some(())
    })?;
    measure(bench, Server::Adit, (http, "app.gw.test"), || {
        let mut all = gateway.group().tree();
        all.extend(agent.group().tree());
        all
    })
}

fn measure(
    bench: &mut Bench,
    server: Server,
    to: (SocketAddr, &str),
    processes: impl Fn() -> Vec<Pid>,
) -> anyhow::Result<()> {
    for (path, rate, cost) in [("/small", &RATE, &COST), ("/64k", &RATE_64K, &COST_64K)] {
        let before = cpu_seconds(&processes());
        let seen = ask(&bench.kit, to, false, How::Kept, path, bench.scale.time)?;
        let spent = cpu_seconds(&processes()) - before;
        bench.results.add(rate, server, seen.each_second);
        let each = spent * 1e6 / seen.requests.max(1.0);
        bench.results.add(cost, server, each);
    }
    Ok(())
}
