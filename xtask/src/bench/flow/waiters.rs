//! What each of ten thousand runs costs that wait for callbacks.

use std::sync::Mutex;
use std::time::Duration;

use super::super::number::float;
use super::super::page::Work as _;
use super::super::promise::{Measure, Wanted};
use super::crowd::{call_back, start};
use super::program::Up;
use super::{Bench, End, KIB_IN_MIB, SETTLE};

const EACH: Measure = Measure {
    name: "memory for each of 10,000 waiting runs, KiB (RSS beyond idle)",
    wanted: Wanted::AtMost(4.0),
};
const HELD: Measure = Measure {
    name: "memory while 10,000 runs wait, MiB (RSS)",
    wanted: Wanted::Nothing,
};
const MOST: Measure = Measure {
    name: "memory at its most, 10,000 runs, MiB (VmHWM)",
    wanted: Wanted::Nothing,
};
const AFTER: Measure = Measure {
    name: "memory 30 s after 10,000 runs have ended, MiB (RSS)",
    wanted: Wanted::Nothing,
};
const STARTS: Measure = Measure {
    name: "runs started a second, one after the other, each with its request",
    wanted: Wanted::Nothing,
};

/// Starts them, looks, and calls them all back.
pub(super) fn waiters(bench: &mut Bench) -> anyhow::Result<()> {
    for round in 1..=bench.scale.rounds {
        eprintln!("  round {round} of {}", bench.scale.rounds);
        let outcome = once(bench);
        bench.settle("waiters", outcome)?;
    }
    Ok(())
}

fn once(bench: &mut Bench) -> anyhow::Result<()> {
    let up = Up::start(&bench.kit)?;
    bench.kit.stop.wait(SETTLE);
    let idle = up.memory()?;
    let began = crate::clock::now();
    start(up.site, 0..RUNS)?;
    let owed = up.owed(&bench.kit, RUNS)?;
    let took = began.elapsed();
    bench.kit.stop.wait(SETTLE);
    let held = up.memory()?;
    call_back(up.site, &bench.kit.stop, SENDERS, owed, &Mutex::default())?;
    up.completed(&bench.kit, RUNS.saturating_add(1))?;
    bench.kit.stop.wait(REST);
    let after = up.memory()?;
    let runs = float(RUNS.into());
    let results = &mut bench.results;
    let each = (held.resident - idle.resident) / runs;
    results.add(&STARTS, End::Adit, runs / took.as_secs_f64());
    results.add(&EACH, End::Adit, each);
    results.add(&HELD, End::Adit, held.resident / KIB_IN_MIB);
    results.add(&MOST, End::Adit, after.most / KIB_IN_MIB);
    results.add(&AFTER, End::Adit, after.resident / KIB_IN_MIB);
    up.stop()
}

/// As many as the promise speaks of.
const RUNS: u32 = 10_000;

/// Longer than jemalloc keeps pages that nobody wants: ten seconds (`dirty_decay_ms`; `muzzy_decay_ms` is 0).
/// A thread of its own looks, also when nobody asks for memory, as here.
const REST: Duration = Duration::from_secs(30);

/// Who calls back at once.
const SENDERS: u32 = 16;
