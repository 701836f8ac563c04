//! `cargo xtask bench gateway`: `adit serve` under thousands of agents, beside a stock sshd under some.
//!
//! The agents are one process of the example `gateway_load`, each with one forward; what is measured is the
//! gateway itself.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Pid;

use super::kit::{Kit, Talker};
use super::number::float;
use super::plan::{Case, Plan, Suite};
use super::promise::{Contender, Measure, Results, Wanted};
use super::usage::{Memory, memory as memory_of};
use super::{Title, forward, head, load_average, plan, publish};
use crate::clock;
use crate::sshd::{self, Place, Setup, Sshd};
use crate::workspace::Workspace;

/// Where agents log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Server {
    /// The machine's `sshd`.
    Sshd,
    /// `adit serve`.
    Adit,
}

impl Contender for Server {
    const COLUMNS: &'static [Self] = &[Self::Sshd, Self::Adit];
    const OURS: Self = Self::Adit;
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sshd => "sshd",
            Self::Adit => "adit",
        })
    }
}

/// What the cases work with.
#[derive(Debug)]
struct Bench {
    kit: Kit,
    scale: Scale,
    results: Results<Server>,
}

impl Suite for Bench {
    type Scale = Scale;
    const NAME: &'static str = "gateway";
    const CASES: &'static [Case<Self>] = CASES;
}

/// How much of everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scale {
    /// Measurements of logins and of reconnections.
    rounds: u32,
    /// How long agents come and go in one.
    time: Duration,
    /// Idle agents at the gateway.
    idle: u32,
    /// Agents that come back after a kill.
    agents: u32,
}

impl plan::Scale for Scale {
    const QUICK: Self = Self {
        rounds: 1,
        time: Duration::from_secs(3),
        idle: 1_000,
        agents: 500,
    };
    const USUAL: Self = Self {
        rounds: 3,
        time: Duration::from_secs(10),
        idle: 5_000,
        agents: 2_000,
    };
    const FULL: Self = Self {
        rounds: 5,
        time: Duration::from_secs(30),
        idle: 5_000,
        agents: 2_000,
    };

    fn with_rounds(self, rounds: u32) -> Self {
        Self { rounds, ..self }
    }
}

/// All of them, in the order in which they run.
const CASES: &[Case<Bench>] = &[
    Case {
        name: "memory",
        about: "idle tunnels that are held, and what each costs",
        run: memory,
    },
    Case {
        name: "reconnect",
        about: "agents that come back after kill -9 of the gateway",
        run: reconnect,
    },
    Case {
        name: "logins",
        about: "agents that log in, ask for a forward and leave",
        run: logins,
    },
];

const MEMORY: Measure = Measure {
    name: "memory for each idle tunnel, KiB (PSS)",
    wanted: Wanted::AtMost(40.0),
};
const DIRTY: Measure = Measure {
    name: "memory for each idle tunnel, KiB (private dirty)",
    wanted: Wanted::Nothing,
};
const DESCRIPTORS: Measure = Measure {
    name: "open files for each idle tunnel",
    wanted: Wanted::AtMost(3.0),
};
const BACK: Measure = Measure {
    name: "until every agent has its forward after kill -9, s",
    wanted: Wanted::AtMost(10.0),
};
const LOGINS: Measure = Measure {
    name: "logins a second, 16 at a time",
    wanted: Wanted::RatioAtLeast(5.0),
};

/// `cargo xtask bench gateway`.
pub(super) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::<Bench>::parse(words)?;
    let workspace = Workspace::find()?;
    let mut bench = Bench {
        kit: Kit::build(&workspace, &["gateway_load"])?,
        scale: plan.scale,
        results: Results::default(),
    };
    forward::raise_limits()?;
    let Scale {
        rounds,
        time,
        idle,
        agents,
    } = plan.scale;
    let title = Title {
        name: Bench::NAME,
        words: &plan.words,
        scale: format!(
            "{idle} idle tunnels; {rounds} rounds of {agents} agents that come back and of {} s of logins",
            time.as_secs()
        ),
    };
    let head = head(&workspace, &title)?;
    let started = clock::now();
    for case in &plan.cases {
        eprintln!("{}: {}", case.name, case.about);
        let outcome = (case.run)(&mut bench);
        bench.settle(case.name, outcome)?;
    }
    let text = format!(
        "{head}- Load average at the end: {}; took {:.0} minutes\n\n\
         ## Medians\n\nIn brackets: times sshd's.\n\n{}",
        load_average()?,
        started.elapsed().as_secs_f64() / 60.0,
        bench.results.markdown(),
    );
    publish(&workspace, Bench::NAME, &text, plan.record)
}

/// Idle tunnels: a few at sshd, which has two processes for each, and all at ours.
fn memory(bench: &mut Bench) -> anyhow::Result<()> {
    for (server, count) in [(Server::Sshd, SSHD_IDLE), (Server::Adit, bench.scale.idle)] {
        let outcome = hold(bench, server, count);
        bench.settle(&format!("memory, {server}"), outcome)?;
    }
    let note = format!(
        "idle: {SSHD_IDLE} tunnels at sshd, {} at adit; all of its memory is theirs",
        bench.scale.idle
    );
    bench.results.note(note);
    Ok(())
}

fn hold(bench: &mut Bench, server: Server, count: u32) -> anyhow::Result<()> {
    let host = Host::start(&bench.kit, server)?;
    let started = clock::now();
    let mut load = host.hold(&bench.kit, count)?;
    load.wait(&bench.kit, "the load", crowd_deadline(count), |said| {
        said.contains(" up after ").then_some(())
    })?;
    let took = started.elapsed().as_secs_f64();
    bench.kit.stop.wait(SETTLE);
    let processes = host.processes();
    let Memory {
        proportional,
        private_dirty,
        ..
    } = memory_of(&processes);
    let files: usize = processes.iter().map(|pid| open_files(*pid)).sum();
    let each = f64::from(count);
    let results = &mut bench.results;
    results.add(&MEMORY, server, proportional / each);
    results.add(&DIRTY, server, private_dirty / each);
    results.add(&DESCRIPTORS, server, float(u64::try_from(files)?) / each);
    results.note(format!(
        "idle, {server}: all {count} were up after {took:.1} s"
    ));
    load.finish(&bench.kit, SLACK)
}

fn open_files(pid: Pid) -> usize {
    let folder = format!("/proc/{}/fd", pid.as_raw_nonzero());
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Agents whose gateway is killed and started again at once.
fn reconnect(bench: &mut Bench) -> anyhow::Result<()> {
    let count = bench.scale.agents;
    let mut host = Host::start(&bench.kit, Server::Adit)?;
    let mut load = host.hold(&bench.kit, count)?;
    for round in 0..=bench.scale.rounds {
        if round > 0 {
            host.kill(&bench.kit)?;
        }
        // One line for each time that all are up; the first is not of a return.
        let line = usize::try_from(round)?;
        let seconds: f64 = load.wait(&bench.kit, "the load", crowd_deadline(count), |said| {
            let mut ups = said
                .lines()
                .filter_map(|line| line.split_once(" up after "));
            ups.nth(line)?.1.parse().ok()
        })?;
        if round > 0 {
            bench.results.add(&BACK, Server::Adit, seconds);
        }
        bench.kit.stop.wait(SETTLE);
    }
    bench.results.note(format!(
        "reconnect: {count} agents, from the first end until the last forward"
    ));
    load.finish(&bench.kit, SLACK)
}

fn logins(bench: &mut Bench) -> anyhow::Result<()> {
    let time = bench.scale.time;
    let sshd = Host::start(&bench.kit, Server::Sshd)?;
    let adit = Host::start(&bench.kit, Server::Adit)?;
    for _ in 0..bench.scale.rounds {
        for (server, host) in [(Server::Sshd, &sshd), (Server::Adit, &adit)] {
            let mut command = host.load(&bench.kit, "logins", AT_A_TIME);
            command.arg("--seconds").arg(time.as_secs().to_string());
            let said = bench.kit.output(&mut command, time + SLACK + SLACK)?;
            let (count, seconds) = said
                .trim()
                .split_once(" logins in ")
                .context(said.clone())?;
            let (count, seconds): (f64, f64) = (count.parse()?, seconds.parse()?);
            bench.results.add(&LOGINS, server, count / seconds);
        }
    }
    Ok(())
}

impl Bench {
    /// Notes an error, unless it is the wish to stop.
    fn settle(&mut self, what: &str, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
        if self.kit.stop.is_asked() {
            bail!("stopped by a signal");
        }
        if let Err(error) = outcome {
            self.results.note(format!("{what}: {error:#}"));
        }
        Ok(())
    }
}

/// A running server of either kind.
struct Host {
    program: Program,
    addr: SocketAddr,
    user: String,
    key: PathBuf,
    folder: PathBuf,
}

enum Program {
    Sshd(Sshd),
    Adit(Talker),
}

impl Host {
    fn start(kit: &Kit, server: Server) -> anyhow::Result<Self> {
        let folder = kit.folder()?;
        if server == Server::Sshd {
            let setup = Setup {
                addr: Ipv4Addr::LOCALHOST.into(),
                lines: "MaxStartups 1000\n",
                place: &Place::Here,
            };
            let sshd = Sshd::start(&folder, &setup, &kit.stop)?;
            return Ok(Self {
                addr: (Ipv4Addr::LOCALHOST, sshd.port()).into(),
                user: sshd.user().to_owned(),
                key: sshd.key().to_owned(),
                program: Program::Sshd(sshd),
                folder,
            });
        }
        let key = sshd::make_key(&folder, "user_key")?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, sshd::free_port()?));
        Ok(Self {
            program: Program::Adit(serve(kit, &folder, &key, addr)?),
            addr,
            user: String::from("bench"),
            key,
            folder,
        })
    }

    /// Kills it and starts it again with what it keeps.
    fn kill(&mut self, kit: &Kit) -> anyhow::Result<()> {
        for pid in self.processes() {
            rustix::process::kill_process(pid, rustix::process::Signal::KILL)?;
        }
        self.program = Program::Adit(serve(kit, &self.folder, &self.key, self.addr)?);
        Ok(())
    }

    fn processes(&self) -> Vec<Pid> {
        match &self.program {
            Program::Sshd(sshd) => sshd.group().tree(),
            Program::Adit(talker) => talker.group().tree(),
        }
    }

    fn load(&self, kit: &Kit, mode: &str, count: u32) -> Command {
        let mut command = Command::new(kit.adit.with_file_name("examples/gateway_load"));
        command.args(["--mode", mode, "--addr", &self.addr.to_string()]);
        command.args(["--user", &self.user, "--count", &count.to_string()]);
        command.arg("--key").arg(&self.key);
        command
    }

    fn hold(&self, kit: &Kit, count: u32) -> anyhow::Result<Talker> {
        Talker::start(kit, &mut self.load(kit, "hold", count))
    }
}

/// Starts `adit serve` and waits until it listens.
fn serve(
    kit: &Kit,
    folder: &std::path::Path,
    key: &std::path::Path,
    addr: SocketAddr,
) -> anyhow::Result<Talker> {
    let mut command = Command::new(&kit.adit);
    command
        .args(["serve", "--ports", PORTS, "--ssh", &addr.to_string()])
        .arg("--data")
        .arg(folder.join("data"))
        .arg("--authorized-keys")
        .arg(key.with_extension("pub"))
        .env("ADIT_LOG", "warn");
    let mut talker = Talker::start(kit, &mut command)?;
    talker.wait(kit, "the gateway", SLACK, |said| {
        said.contains("try: ssh ").then_some(())
    })?;
    Ok(talker)
}

/// A stock sshd on a busy machine does five a second, and ours more.
fn crowd_deadline(count: u32) -> Duration {
    SLACK + Duration::from_millis(200).saturating_mul(count)
}

/// Idle tunnels at sshd.
const SSHD_IDLE: u32 = 50;

/// Agents that log in at the same time.
const AT_A_TIME: u32 = 16;

/// Below the ports that the system gives to whoever connects.
const PORTS: &str = "20000-29999";

/// Until what a login needed has been given back.
const SETTLE: Duration = Duration::from_secs(2);

/// What a run may take beyond its time: the machine is busy.
const SLACK: Duration = Duration::from_secs(30);
