//! Visitors who come and go, what somebody feels beside bulk, and the memory that the server has then.

use std::time::Duration;

use super::super::iperf::Way;
use super::super::ping::{come_and_go, ping_beside};
use super::super::promise::{Ends, Measure, Wanted};
use super::super::usage::{memory, most_resident};
use super::Bench;
use super::bulk::iperf_service;

/// What is measured of pings beside one stream of bulk one way.
#[derive(Debug)]
struct Pings {
    way: Way,
    p50: Measure,
    p99: Measure,
}

static PINGS: [Pings; 2] = [
    Pings {
        way: Way::Up,
        p50: Measure {
            name: "ping p50 beside bulk up, us",
            wanted: NO_SLOWER,
        },
        p99: Measure {
            name: "ping p99 beside bulk up, us",
            wanted: HARDLY_SLOWER,
        },
    },
    Pings {
        way: Way::Down,
        p50: Measure {
            name: "ping p50 beside bulk down, us",
            wanted: NO_SLOWER,
        },
        p99: Measure {
            name: "ping p99 beside bulk down, us",
            wanted: HARDLY_SLOWER,
        },
    },
];

const NO_SLOWER: Wanted = Wanted::EndsAtMost(Ends {
    one: Some(1.0),
    both: 1.0,
});
const HARDLY_SLOWER: Wanted = Wanted::EndsAtMost(Ends {
    one: Some(1.5),
    both: 1.5,
});
const VISITS: Measure = Measure {
    name: "new connections a second, 16 at a time",
    wanted: Wanted::EndsAtLeast(Ends {
        one: Some(5.0),
        both: 5.0,
    }),
};
const MEMORY: Measure = Measure {
    name: "memory of the server after a crowd, MiB (PSS)",
    wanted: Wanted::Nothing,
};
const MOST: Measure = Measure {
    name: "the most that it ever had, MiB (RSS)",
    wanted: Wanted::Nothing,
};

/// All contenders, each with a tunnel that stays up all the time.
pub(super) fn crowd(bench: &mut Bench) -> anyhow::Result<()> {
    let (service, echo) = (iperf_service()?, bench.services.echo());
    bench.in_turns("crowd", &[service, echo], |bench, server, contestant| {
        let (addr, time) = (contestant.visitors(echo)?, bench.scale.bulk);
        let rate = come_and_go(addr, time)?;
        bench.results.add(&VISITS, server, rate);
        for pings in &PINGS {
            let bulk = || bench.flow(contestant, service, pings.way, 1);
            let (latency, _) = ping_beside(addr, time, &bench.kit.stop, bulk)?;
            bench.results.add(&pings.p50, server, latency.p50);
            bench.results.add(&pings.p99, server, latency.p99);
        }
        bench.kit.stop.wait(SETTLE);
        let processes = contestant.server();
        let now = memory(&processes).proportional;
        bench.results.add(&MEMORY, server, now / KIB_IN_MIB);
        if let Some(most) = most_resident(&processes) {
            bench.results.add(&MOST, server, most / KIB_IN_MIB);
        }
        Ok(())
    })
}

/// `/proc` counts in KiB.
const KIB_IN_MIB: f64 = 1_024.0;

/// Until what visitors needed has been given back.
const SETTLE: Duration = Duration::from_secs(2);
