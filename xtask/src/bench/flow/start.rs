//! From exec to the first request of the first job.

use std::process::Stdio;

use anyhow::{Context as _, bail};

use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::crowd::{self, PATIENCE, milliseconds};
use super::program::{Up, command, run_file};
use super::service::Service;
use super::{Bench, End};
use crate::clock;
use crate::workspace::words;

const FIRST_JOB: Measure = Measure {
    name: "`run`: exec to the request of its first job, ms",
    wanted: Wanted::AtMost(150.0),
};
const LAST: Measure = Measure {
    name: "`run`: exec to its end, ms",
    wanted: Wanted::Nothing,
};
const UP: Measure = Measure {
    name: "`up`: exec to the request of the first job of its first run, ms",
    wanted: Wanted::Nothing,
};

/// Some starts a round.
pub(super) fn start(bench: &mut Bench) -> anyhow::Result<()> {
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for _ in 0..bench.scale.starts {
            let outcome = run(bench);
            bench.settle("start of run", outcome)?;
            let outcome = up(bench);
            bench.settle("start of up", outcome)?;
        }
    }
    Ok(())
}

fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let service = Service::start()?;
    let mut command = command(&bench.kit, "run", &run_file(service.addr()))?;
    command
        .args(["--input", r#"{"number": 0}"#])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let began = clock::now();
    let status = command.status().context("it does not start")?;
    let took = began.elapsed();
    if !status.success() {
        bail!("`{}`: {status}", words(&command));
    }
    let seen = service.until(&bench.kit.stop, 1, PATIENCE)?;
    let request = seen.values().flatten().next().context("no request")?;
    let first = request.came.saturating_duration_since(began);
    bench
        .results
        .add(&FIRST_JOB, End::Adit, milliseconds(first));
    bench.results.add(&LAST, End::Adit, milliseconds(took));
    Ok(())
}

fn up(bench: &mut Bench) -> anyhow::Result<()> {
    let began = clock::now();
    let up = Up::begin(&bench.kit)?;
    crowd::start(up.site, 0..1)?;
    let seen = up.service.until(&bench.kit.stop, 1, PATIENCE)?;
    let request = seen.values().flatten().next().context("no request")?;
    let first = request.came.saturating_duration_since(began);
    bench.results.add(&UP, End::Adit, milliseconds(first));
    Ok(())
}
