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
    /// How long the tunnel is left in peace before each cut.
    rest: Duration,
    /// The longest that the page may be away after a cut; without it only the program's own
    /// deadlines count.
    within: Option<Duration>,
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
            rest: Duration::ZERO,
            within: None,
            ending: Ending::CtrlC,
        };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            let mut number = || {
                let text = words
                    .next()
                    .with_context(|| format!("{word} needs a number"))?;
                let number: u32 = text
                    .parse()
                    .with_context(|| format!("{word} needs a number, not {text}"))?;
                anyhow::Ok(number)
            };
            match word.as_str() {
                "--once" => plan.ending = Ending::WhenBack,
                "--cuts" => plan.cuts = number()?,
                "--rest" => plan.rest = Duration::from_secs(number()?.into()),
                "--within" => plan.within = Some(Duration::from_secs(number()?.into())),
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

    let mut away = Vec::new();
    for cut in 1..=plan.cuts {
        if !plan.rest.is_zero() {
            println!("left in peace for {} s", plan.rest.as_secs());
            forward.stay_up(plan.rest, &stop)?;
        }
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
        let fetched = started.elapsed();
        if again != public {
            bail!("the tunnel came back at {again} instead of {public}");
        }
        println!(
            "  back at the same address: up {up:.2} s, page {:.2} s after the cut",
            fetched.as_secs_f64()
        );
        println!("  {body}");
        if plan.within.is_some_and(|within| fetched > within) {
            bail!("the page was away for longer than it may be");
        }
        away.push(fetched);
    }
    if let Some(summary) = summary(&mut away) {
        println!("{summary}");
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

/// How long the page was away, over all cuts; nothing is to be said of a single one.
fn summary(away: &mut [Duration]) -> Option<String> {
    away.sort_unstable();
    let median = away.get(away.len() / 2)?;
    let ([least, .., most], count) = (&*away, away.len()) else {
        return None;
    };
    Some(format!(
        "{count} cuts; the page was away for {:.2} s at least, {:.2} s in the median, {:.2} s at most",
        least.as_secs_f64(),
        median.as_secs_f64(),
        most.as_secs_f64()
    ))
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
            rest: Duration::from_secs(61),
            within: Some(Duration::from_secs(5)),
            ending: Ending::WhenBack,
        };
        assert_eq!(plan("--cuts 3 --rest 61 --once --within 5"), once);
        let usual = Plan {
            cuts: 1,
            rest: Duration::ZERO,
            within: None,
            ending: Ending::CtrlC,
        };
        assert_eq!(plan(""), usual);
    }

    #[test]
    fn the_summary_tells_least_median_and_most() {
        let mut away = [5, 1, 30].map(Duration::from_secs);
        assert_eq!(
            summary(&mut away).unwrap(),
            "3 cuts; the page was away for 1.00 s at least, 5.00 s in the median, 30.00 s at most"
        );
        assert_eq!(summary(&mut away[..1]), None);
        assert_eq!(summary(&mut []), None);
    }
}
