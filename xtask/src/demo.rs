//! `cargo xtask demo`: the main job, here and now, with real programs.
//!
//! ```text
//! visitor (this demo) --> sshd, a "public host" --> adit --> a web page, the "private service"
//!            127.0.0.1:PUBLIC        one SSH connection        127.0.0.1:PRIVATE
//! ```
//!
//! It shows the page through the tunnel, cuts the connection by killing the sshd process that
//! serves it, shows with times how the same public address comes back, and serves until Ctrl-C.
//! Everything it starts lives in a temporary folder and in process groups that end with it.

mod forward;
mod page;

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::clock;
use crate::programs::{self, Found};
use crate::sshd::{Place, Setup, Sshd};
use crate::stop::Stop;
use crate::workspace::Workspace;
use forward::Forward;
use page::Page;

/// What the demo is asked to do.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// How many times the tunnel is cut.
    cuts: u32,
    ending: Ending,
}

/// When the demo ends.
#[derive(Debug, PartialEq, Eq)]
enum Ending {
    /// When a signal asks for it.
    CtrlC,
    /// When the tunnel has come back from its last cut.
    WhenBack,
}

impl Plan {
    fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut plan = Self {
            cuts: 1,
            ending: Ending::CtrlC,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--once" => plan.ending = Ending::WhenBack,
                "--cuts" => {
                    let count = words.next().context("--cuts needs a number")?;
                    plan.cuts = count
                        .parse()
                        .with_context(|| format!("--cuts needs a number, not {count}"))?;
                }
                _ => bail!("unknown argument: {word}"),
            }
        }
        Ok(plan)
    }
}

/// `cargo xtask demo`.
pub(crate) fn command(words: &[String]) -> anyhow::Result<ExitCode> {
    let plan = Plan::parse(words)?;
    run(&Workspace::find()?, &plan)?;
    Ok(ExitCode::SUCCESS)
}

/// Builds the program and shows it.
fn run(workspace: &Workspace, plan: &Plan) -> anyhow::Result<()> {
    if let Found::Without(packages) = programs::ensure(programs::DEMO)? {
        bail!("the demo needs {}", packages.join(" and "));
    }
    let program = workspace.build_release()?;
    let stop = Stop::on_signals()?;
    let folder = tempfile::Builder::new()
        .prefix("adit-demo-")
        .tempdir()
        .context("cannot make a temporary folder")?;

    let page = Page::start()?;
    println!("private service: a web page at http://{}/", page.addr());
    let setup = Setup {
        addr: Ipv4Addr::LOCALHOST.into(),
        lines: "",
        place: &Place::Here,
    };
    let sshd = Sshd::start(folder.path(), &setup, &stop)?;
    println!("public host: a stock sshd at 127.0.0.1:{}", sshd.port());

    let started = clock::now();
    let mut forward = Forward::start(&program, &sshd, page.addr(), folder.path())?;
    let public = forward.wait_until_up(UP_DEADLINE, &stop)?;
    let body = page::fetch(public, FETCH_DEADLINE, &stop)?;
    page.check(&body)?;
    println!("up after {:.2} s; the page came through:", seconds(started));
    println!("  {body}");
    println!("public URL: http://{public}/");

    for cut in 1..=plan.cuts {
        println!(
            "cut {cut} of {}: killing the sshd process of the connection",
            plan.cuts
        );
        let started = clock::now();
        sshd.cut()?;
        let again = forward.wait_until_up(UP_DEADLINE, &stop)?;
        let up = seconds(started);
        let body = page::fetch(again, FETCH_DEADLINE, &stop)?;
        page.check(&body)?;
        let fetched = seconds(started);
        if again != public {
            bail!("the tunnel came back at {again} instead of {public}");
        }
        println!("  back at the same address: up {up:.2} s, page {fetched:.2} s after the cut");
        println!("  {body}");
    }

    if plan.ending == Ending::CtrlC {
        println!("serving http://{public}/ until Ctrl-C");
        forward.serve(&stop)?;
        println!("stopping");
    }
    forward.stop()?;
    sshd.stop()?;
    page.stop()?;
    println!("stopped; nothing is left behind");
    Ok(())
}

fn seconds(since: std::time::Instant) -> f64 {
    since.elapsed().as_secs_f64()
}

/// A login takes well under a second; coming back waits for adit's own backoff in addition.
const UP_DEADLINE: Duration = Duration::from_mins(1);

/// The page is one small answer on the loopback.
const FETCH_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_is_a_number_of_cuts_and_an_ending() {
        let plan = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            Plan::parse(&words).unwrap()
        };
        let once = Plan {
            cuts: 3,
            ending: Ending::WhenBack,
        };
        assert_eq!(plan("--cuts 3 --once"), once);
        let usual = Plan {
            cuts: 1,
            ending: Ending::CtrlC,
        };
        assert_eq!(plan(""), usual);
    }
}
