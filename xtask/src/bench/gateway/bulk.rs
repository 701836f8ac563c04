//! One and eight streams, up and down, and the CPU time that one costs.

use std::net::{Ipv4Addr, SocketAddr};

use super::super::iperf::{Amount, Flow, Run, Way};
use super::super::promise::{Ends, Measure, Wanted};
use super::super::usage::cpu_seconds;
use super::turns::Contestant;
use super::{Bench, SLACK};
use crate::sshd::{self, Place};

/// What is measured of one stream one way.
#[derive(Debug)]
struct Stream {
    way: Way,
    rate: Measure,
    server_cpu: Measure,
    cpu: Measure,
}

/// One way with one stream: what prototypes made one hope for.
const FASTER: Wanted = Wanted::EndsAtLeast(Ends {
    one: Some(1.15),
    both: 1.4,
});

/// CPU time of both ends.
const CHEAPER: Wanted = Wanted::EndsAtMost(Ends {
    one: None,
    both: 0.6,
});

static STREAMS: [Stream; 2] = [
    Stream {
        way: Way::Up,
        rate: Measure {
            name: "1 stream up, Gbit/s",
            wanted: FASTER,
        },
        server_cpu: Measure {
            name: "up, CPU s/GiB of the server",
            wanted: Wanted::Nothing,
        },
        cpu: Measure {
            name: "up, CPU s/GiB of server and client",
            wanted: CHEAPER,
        },
    },
    Stream {
        way: Way::Down,
        rate: Measure {
            name: "1 stream down, Gbit/s",
            wanted: FASTER,
        },
        server_cpu: Measure {
            name: "down, CPU s/GiB of the server",
            wanted: Wanted::Nothing,
        },
        cpu: Measure {
            name: "down, CPU s/GiB of server and client",
            wanted: CHEAPER,
        },
    },
];

static EIGHT: [(Way, Measure); 2] = [
    (
        Way::Up,
        Measure {
            name: "8 streams up, Gbit/s",
            wanted: Wanted::Nothing,
        },
    ),
    (
        Way::Down,
        Measure {
            name: "8 streams down, Gbit/s",
            wanted: Wanted::Nothing,
        },
    ),
];

/// All contenders, each with a tunnel that stays up all the time.
pub(super) fn bulk(bench: &mut Bench) -> anyhow::Result<()> {
    let service = iperf_service()?;
    bench.in_turns("bulk", &[service], |bench, server, contestant| {
        for stream in &STREAMS {
            let used = || {
                let both = cpu_seconds(&contestant.processes());
                (cpu_seconds(&contestant.server()), both)
            };
            let before = used();
            let flow = bench.flow(contestant, service, stream.way, 1)?;
            let after = used();
            let gibibytes = flow.bytes / GIB;
            let results = &mut bench.results;
            results.add(&stream.rate, server, flow.gigabits);
            let server_cpu = (after.0 - before.0) / gibibytes;
            results.add(&stream.server_cpu, server, server_cpu);
            results.add(&stream.cpu, server, (after.1 - before.1) / gibibytes);
        }
        for (way, rate) in &EIGHT {
            let flow = bench.flow(contestant, service, *way, 8)?;
            bench.results.add(rate, server, flow.gigabits);
        }
        Ok(())
    })
}

impl Bench {
    /// Bulk through a tunnel.
    pub(super) fn flow(
        &self,
        contestant: &Contestant,
        service: SocketAddr,
        way: Way,
        streams: u32,
    ) -> anyhow::Result<Flow> {
        let run = Run {
            service,
            service_place: &Place::Here,
            visitors: contestant.visitors(service)?,
            visitors_place: &Place::Here,
            way,
            streams,
            amount: Amount::Time(self.scale.bulk),
            deadline: self.scale.bulk + SLACK,
        };
        run.run(&self.kit)
    }
}

/// A port for iperf3's server, free a moment ago.
pub(super) fn iperf_service() -> anyhow::Result<SocketAddr> {
    Ok((Ipv4Addr::LOCALHOST, sshd::free_port()?).into())
}

/// A GiB, in bytes.
const GIB: f64 = 1_073_741_824.0;
