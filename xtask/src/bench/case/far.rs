//! Tunnels to hosts that are far away.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;

use super::super::delay::DelayProxy;
use super::super::iperf::{Amount, Run, Way};
use super::super::kit::Talker;
use super::super::page::Work as _;
use super::super::pair::Pair;
use super::super::table::Measure;
use super::super::tunnel::{Host, Plan, Tunnel};
use super::{Bench, SLACK, iperf_service};
use crate::sshd::Place;

/// One line of the lab.
struct Line {
    what: &'static str,
    loss_per_million: u32,
    /// The most that TCP keeps to send, where it is not left as it is.
    tcp_wmem: Option<u32>,
    up: Measure,
    down: Measure,
}

const LINES: &[Line] = &[
    Line {
        what: "50 ms",
        loss_per_million: 0,
        tcp_wmem: None,
        up: Measure::Link50Up,
        down: Measure::Link50Down,
    },
    Line {
        what: "50 ms, 1 % loss",
        loss_per_million: 10_000,
        tcp_wmem: None,
        up: Measure::LinkLossUp,
        down: Measure::LinkLossDown,
    },
    Line {
        what: "50 ms, tcp_wmem 32 MiB",
        loss_per_million: 0,
        tcp_wmem: Some(32 << 20),
        up: Measure::LinkWideUp,
        down: Measure::LinkWideDown,
    },
];

/// One stream over each of the lines: the agent at one end, the gateway and its visitor at the other.
pub(super) fn link(bench: &mut Bench) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bench
            .results
            .note(String::from("link: only root can make networks"));
        return Ok(());
    }
    for line in LINES {
        eprintln!("  {}", line.what);
        over(bench, line).context(line.what)?;
    }
    Ok(())
}

fn over(bench: &mut Bench, line: &Line) -> anyhow::Result<()> {
    let mut command = Command::new(&bench.kit.link);
    command.args(["--delay-ms", ONE_WAY_MS]);
    command.arg("--loss-per-million");
    command.arg(line.loss_per_million.to_string());
    command.args(["--bytes-per-second", BYTES_PER_SECOND]);
    command.args(["--queue-bytes", QUEUE_BYTES]);
    if let Some(bytes) = line.tcp_wmem {
        command.arg("--tcp-wmem").arg(bytes.to_string());
    }
    let mut lab = Talker::start(&bench.kit, &mut command)?;
    let [agent, _, gateway, gateway_addr] = lab.wait(&bench.kit, "the link", SLACK, names)?;
    let (agent, gateway) = (Place::Namespace(agent), Place::Namespace(gateway));
    let gateway_addr = gateway_addr.parse().context("the link has no address")?;
    let service = iperf_service()?;
    let plan = |pair| Plan {
        server_place: gateway.clone(),
        server_addr: gateway_addr,
        client_place: agent.clone(),
        ..Plan::usual(pair)
    };
    bench.in_turns(line.what, &[service], plan, |bench, pair, tunnel| {
        for (way, measure) in [(Way::Up, line.up), (Way::Down, line.down)] {
            let run = Run {
                service,
                service_place: &agent,
                visitors: tunnel.visitors(service)?,
                visitors_place: &gateway,
                way,
                streams: 1,
                amount: Amount::Time(bench.scale.time.saturating_mul(2)),
                deadline: bench.scale.time.saturating_mul(2) + SLACK,
            };
            let flow = run.run(&bench.kit)?;
            bench.results.add(measure, pair, flow.gigabits * 1e3);
        }
        Ok(())
    })?;
    lab.finish(&bench.kit, SLACK)
}

/// The four words of the lab's first line.
fn names(said: &str) -> Option<[String; 4]> {
    let (line, _) = said.split_once('\n')?;
    let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
    words.try_into().ok()
}

/// One stream through a proxy that keeps every byte for a while. TCP sees none of the delay, so what
/// bounds a stream are SSH's windows alone.
pub(super) fn proxy(bench: &mut Bench) -> anyhow::Result<()> {
    let service = iperf_service()?;
    let mut tunnels = Vec::new();
    for pair in Pair::ALL {
        let outcome = behind_a_proxy(bench, pair, service);
        match outcome {
            Ok(tunnel) => tunnels.push((pair, tunnel)),
            Err(error) => bench.settle(&format!("proxy, {pair}"), Err(error))?,
        }
    }
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for (pair, (tunnel, _proxy)) in &tunnels {
            let outcome = (|| {
                for (way, measure) in [(Way::Up, Measure::ProxyUp), (Way::Down, Measure::ProxyDown)]
                {
                    let flow = bench.flow(tunnel, service, way, 1)?;
                    bench.results.add(measure, *pair, flow.gigabits * 1e3);
                }
                Ok(())
            })();
            bench.settle(&format!("proxy, {pair}"), outcome)?;
        }
    }
    Ok(())
}

fn behind_a_proxy(
    bench: &Bench,
    pair: Pair,
    service: SocketAddr,
) -> anyhow::Result<(Tunnel, DelayProxy)> {
    let plan = Plan::usual(pair);
    let host = Host::start(&bench.kit, &plan)?;
    let proxy = DelayProxy::start(host.addr(), ONE_WAY)?;
    let addr = (Ipv4Addr::LOCALHOST, proxy.port()).into();
    let tunnel = Tunnel::dial(&bench.kit, &plan, host, addr, &[service])?;
    Ok((tunnel, proxy))
}

/// Half of 50 ms.
const ONE_WAY_MS: &str = "25";

/// The same for the proxy.
const ONE_WAY: Duration = Duration::from_millis(25);

/// 1 Gbit/s.
const BYTES_PER_SECOND: &str = "125000000";

/// What the line holds in 50 ms, as a usual router queues.
const QUEUE_BYTES: &str = "6250000";
