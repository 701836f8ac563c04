//! How long an owner is away after a line was cut silently and is back, and what visitors notice of it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use adit_testkit::namespace::Namespace;
use adit_testkit::process::Process;
use adit_testkit::seeded::SeededRandom;
use adit_testkit::{require, wait};

use crate::lab::{
    Gateway, Machine, Plan, Visitors, forward, hello, now, pass, percentile, print, read,
};

/// Which program holds the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Client {
    Ssh,
    Agent,
}

impl Client {
    fn command(self, gateway: &Gateway, machine: &Machine) -> Command {
        let words = ["-R", &forward(PORT)];
        match self {
            Self::Ssh => gateway.looped(machine, 0, &words),
            Self::Agent => gateway.agent(machine, 0, &words),
        }
    }

    /// What it says when it has noticed that its connection is dead.
    fn ended(self) -> &'static str {
        match self {
            Self::Ssh => "ssh has ended",
            Self::Agent => "connection ended",
        }
    }

    /// Seconds that ninety-nine of a hundred returns may take.
    fn target(self) -> f64 {
        match self {
            Self::Ssh => 2.0,
            Self::Agent => 1.0,
        }
    }
}

const PORT: u16 = 10_001;
/// Beyond the length of the gap for which visitors are held, one more or less is no promise.
const HELD: Duration = Duration::from_secs(5);

/// What a row of cuts has come to.
struct Cuts {
    /// From the line's return to the next answer, in seconds.
    back: Vec<f64>,
    /// The same from the start of the `ssh` that got through, where the client is one: what is the gateway's.
    asked: Vec<f64>,
    /// Visitors who came in gaps that were short enough, and those of them who got no answer.
    visitors: usize,
    refused: Vec<String>,
    long_gaps: usize,
}

/// Cuts the line silently, so often; each time both ends of the old connection are left in the dark.
fn cut(client: Client, times: u32) -> Cuts {
    let public = Namespace::new();
    let (machine, link) = Machine::behind_line(&public, "box");
    let plan = Plan {
        owners: 1,
        ..Plan::default()
    };
    let gateway = Gateway::start(&public, &plan);
    let process = Process::spawn(&mut client.command(&gateway, &machine));
    gateway.answers(PORT, &hello("box"));
    let mut dice = SeededRandom::new(0x0ad1_7005);
    let mut cuts = Cuts {
        back: Vec::new(),
        asked: Vec::new(),
        visitors: 0,
        refused: Vec::new(),
        long_gaps: 0,
    };
    for _ in 0..times {
        let ends = ends(client, &process);
        link.blackout_both();
        let dark = now();
        let visitors = Visitors::come(&gateway, PORT);
        wait::until("the client gives its connection up", || {
            match self::ends(client, &process) {
                more if more > ends => Ok(()),
                same => Err((same, process.stderr())),
            }
        });
        pass(Duration::from_millis(dice.below(800)));
        link.restore();
        let (light, light_at) = (now(), SystemTime::now());
        gateway.answers(PORT, &hello("box"));
        let visits = visitors.end();
        let answered = visits.iter().filter(|visit| visit.answer.is_ok());
        let first = answered
            .map(|visit| visit.ended)
            .filter(|ended| *ended > light)
            .min();
        let back = first.unwrap();
        let took = (back - light).as_secs_f64();
        cuts.back.push(took);
        if client == Client::Ssh {
            let started =
                started(&process) - light_at.duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
            cuts.asked.push(took - started.max(0.0));
        }
        if back - dark > HELD {
            cuts.long_gaps += 1;
            continue;
        }
        cuts.visitors += visits.len();
        let refused = visits.iter().filter_map(|visit| {
            let answer = visit
                .answer
                .as_ref()
                .map_or_else(Clone::clone, Clone::clone);
            (answer != hello("box")).then(|| {
                said(
                    answer.as_str(),
                    visit.came - dark,
                    visit.ended - dark,
                    back - dark,
                )
            })
        });
        let before = cuts.refused.len();
        cuts.refused.extend(refused);
        if cuts.refused.len() > before {
            let log = gateway.process.stderr();
            let lines = log.lines().filter(|line| !line.contains("end=served"));
            cuts.refused.extend(lines.map(str::to_owned));
        }
    }
    cuts
}

fn said(answer: &str, came: Duration, ended: Duration, gap: Duration) -> String {
    format!("{answer:?}: came {came:.2?} after the cut, left {ended:.2?} after it, gap {gap:.2?}")
}

/// When the loop started its last `ssh`, in seconds since 1970.
fn started(process: &Process) -> f64 {
    let stderr = process.stderr();
    let mut lines = stderr.lines().rev();
    let said = lines.find_map(|line| line.strip_prefix("ssh starts: "));
    said.and_then(|at| at.parse().ok()).unwrap()
}

fn ends(client: Client, process: &Process) -> usize {
    process.stderr().matches(client.ended()).count()
}

fn report(client: Client, cuts: &mut Cuts) -> f64 {
    let (p50, p99) = (
        percentile(&mut cuts.back, 50),
        percentile(&mut cuts.back, 99),
    );
    print(&format!(
        "{client:?}: {} cuts: back after {p50:.2} s (p50), {p99:.2} s (p99, wanted {:.0} s); {} visitors in gaps \
         of 5 s or less, {} of them without an answer; {} longer gaps",
        cuts.back.len(),
        client.target(),
        cuts.visitors,
        cuts.refused.len(),
        cuts.long_gaps,
    ));
    if !cuts.asked.is_empty() {
        let (p50, p99) = (
            percentile(&mut cuts.asked, 50),
            percentile(&mut cuts.asked, 99),
        );
        print(&format!(
            "{client:?}: of that, from the start of the client that got through: {p50:.2} s (p50), {p99:.2} s (p99)"
        ));
    }
    let load = read(Path::new("/proc/loadavg"));
    print(&format!(
        "{client:?}: load of the machine at the end: {}",
        load.trim()
    ));
    p99
}

/// Times are judged by the soak alone: whatever else a machine does is in them.
fn a_few(client: Client) {
    let start: Instant = now();
    let mut cuts = cut(client, 5);
    let p99 = report(client, &mut cuts);
    assert!(p99 < 10.0, "{p99} s");
    assert_eq!(cuts.refused, Vec::<String>::new());
    assert!(
        cuts.visitors > 0,
        "every gap was long, in {:?}",
        start.elapsed()
    );
}

fn a_hundred(client: Client) {
    let mut cuts = cut(client, 100);
    let p99 = report(client, &mut cuts);
    assert_eq!(cuts.refused, Vec::<String>::new());
    assert!(p99 <= client.target(), "{p99} s");
}

#[test]
fn a_stock_ssh_has_its_port_again_after_silent_cuts_and_no_visitor_is_refused() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    a_few(Client::Ssh);
}

#[test]
fn an_agent_has_its_port_again_after_silent_cuts_and_no_visitor_is_refused() {
    require!(root);
    require!("ip", "nsenter", "ssh-keygen");
    a_few(Client::Agent);
}

#[test]
#[ignore = "seven minutes: cargo xtask soak gateway-cuts"]
fn a_hundred_cuts_of_a_stock_ssh() {
    require!(root);
    require!("ip", "nsenter", "ssh", "ssh-keygen");
    a_hundred(Client::Ssh);
}

#[test]
#[ignore = "seven minutes: cargo xtask soak gateway-cuts"]
fn a_hundred_cuts_of_an_agent() {
    require!(root);
    require!("ip", "nsenter", "ssh-keygen");
    a_hundred(Client::Agent);
}
