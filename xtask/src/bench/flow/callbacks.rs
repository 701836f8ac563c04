//! Callbacks for a thousand runs that wait at once: how long until a result is seen, and what they cost.

use super::super::number::float;
use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::crowd::{Crowd, Outcome, PATIENCE, Site};
use super::direct::{self, Direct};
use super::program::Up;
use super::{Bench, End, KIB_IN_MIB, SETTLE};

const ALONE: Times = Times {
    p50: Measure {
        name: "callback to result, one after the other, p50, ms",
        wanted: Wanted::Nothing,
    },
    p99: Measure {
        name: "callback to result, one after the other, p99, ms",
        wanted: Wanted::AtMostOver(20.0),
    },
    answer: Measure {
        name: "callback to its answer, one after the other, p99, ms",
        wanted: Wanted::Nothing,
    },
    rate: Measure {
        name: "callbacks a second, one after the other",
        wanted: Wanted::Nothing,
    },
};
const TOGETHER: Times = Times {
    p50: Measure {
        name: "callback to result, 16 at a time, p50, ms",
        wanted: Wanted::Nothing,
    },
    p99: Measure {
        name: "callback to result, 16 at a time, p99, ms",
        wanted: Wanted::AtMostOver(20.0),
    },
    answer: Measure {
        name: "callback to its answer, 16 at a time, p99, ms",
        wanted: Wanted::Nothing,
    },
    rate: Measure {
        name: "callbacks a second, 16 at a time",
        wanted: Wanted::Nothing,
    },
};
const LOST: Measure = Measure {
    name: "of 1,000 runs, those that did not complete, once, with their own result",
    wanted: Wanted::AtMost(0.0),
};
const IDLE: Measure = Measure {
    name: "memory of `up`, one run done, MiB (RSS)",
    wanted: Wanted::Nothing,
};
const HELD: Measure = Measure {
    name: "memory while 1,000 runs wait, MiB (RSS)",
    wanted: Wanted::Nothing,
};
const MOST: Measure = Measure {
    name: "memory at its most, with their starts and callbacks, MiB (VmHWM)",
    wanted: Wanted::AtMost(64.0),
};

/// What is measured of one way to call back.
struct Times {
    p50: Measure,
    p99: Measure,
    answer: Measure,
    rate: Measure,
}

/// Both ends take turns, with callbacks one after the other and 16 at a time.
pub(super) fn callbacks(bench: &mut Bench) -> anyhow::Result<()> {
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        for (times, senders) in [(&ALONE, 1), (&TOGETHER, 16)] {
            let crowd = Crowd {
                runs: RUNS,
                watched: WATCHED,
                senders,
            };
            let outcome = without(bench, crowd).and_then(|it| note(bench, times, End::Direct, &it));
            bench.settle("callbacks, direct", outcome)?;
            let outcome = with(bench, crowd).and_then(|it| note(bench, times, End::Adit, &it));
            bench.settle("callbacks, adit", outcome)?;
        }
    }
    Ok(())
}

fn note(
    bench: &mut Bench,
    times: &'static Times,
    end: End,
    outcome: &Outcome,
) -> anyhow::Result<()> {
    let results = &mut bench.results;
    results.add(&times.p50, end, outcome.result(0.5)?);
    results.add(&times.p99, end, outcome.result(0.99)?);
    results.add(&times.answer, end, outcome.answer(0.99)?);
    let rate = float(RUNS.into()) / outcome.took.as_secs_f64();
    results.add(&times.rate, end, rate);
    Ok(())
}

fn without(bench: &Bench, crowd: Crowd) -> anyhow::Result<Outcome> {
    let direct = Direct::start()?;
    let site = Site {
        api: direct.addr(),
        callbacks: direct.addr(),
    };
    crowd.pass(site, &bench.kit.stop, || {
        direct.until(&bench.kit.stop, crowd.watched, PATIENCE)?;
        Ok(direct::owed(crowd.runs))
    })
}

fn with(bench: &mut Bench, crowd: Crowd) -> anyhow::Result<Outcome> {
    let up = Up::start(&bench.kit)?;
    bench.kit.stop.wait(SETTLE);
    let idle = up.memory()?;
    let mut held = None;
    let outcome = crowd.pass(up.site, &bench.kit.stop, || {
        let owed = up.owed(&bench.kit, crowd.runs)?;
        bench.kit.stop.wait(SETTLE);
        held = Some(up.memory()?);
        Ok(owed)
    });
    let results = &mut bench.results;
    results.add(&IDLE, End::Adit, idle.resident / KIB_IN_MIB);
    if let Some(held) = held {
        results.add(&HELD, End::Adit, held.resident / KIB_IN_MIB);
    }
    results.add(&MOST, End::Adit, up.memory()?.most / KIB_IN_MIB);
    let outcome = outcome?;
    // The warm-up was a run too.
    let ended = up.completed(&bench.kit, crowd.runs.saturating_add(1));
    ended.and_then(|()| up.check(&bench.kit, &outcome.tasks))?;
    bench.results.add(&LOST, End::Adit, 0.0);
    up.stop()?;
    Ok(outcome)
}

/// As many as the promise speaks of.
pub(super) const RUNS: u32 = 1_000;

/// A controller takes 256 connections, and these are held until their runs have ended.
pub(super) const WATCHED: u32 = 200;
