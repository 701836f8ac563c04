//! What our ends count themselves: copies of a byte, wakes of a stream.

use std::net::SocketAddr;

use anyhow::Context as _;

use super::super::iperf::Way;
use super::super::number::float;
use super::super::page::Work as _;
use super::super::pair::Pair;
use super::super::table::Measure;
use super::super::tunnel::{Plan, Tunnel};
use super::{Bench, iperf_service};

/// Eight streams up, then down, over a connection of its own each, which is then closed so that both
/// ends say what it has cost.
pub(super) fn costs(bench: &mut Bench) -> anyhow::Result<()> {
    let service = iperf_service()?;
    for pair in [Pair::OUR_CLIENT, Pair::OUR_SERVER, Pair::OURS] {
        let outcome = one(bench, pair, service);
        bench.settle(&format!("costs, {pair}"), outcome)?;
    }
    Ok(())
}

fn one(bench: &mut Bench, pair: Pair, service: SocketAddr) -> anyhow::Result<()> {
    for (way, name, copies, wakes) in [
        (Way::Up, "up", Measure::UpCopies, Measure::UpWakes),
        (Way::Down, "down", Measure::DownCopies, Measure::DownWakes),
    ] {
        let tunnel = Tunnel::start(&bench.kit, &Plan::usual(pair), &[service])?;
        bench.flow(&tunnel, service, way, 8)?;
        let said = tunnel.finish(&bench.kit)?;
        let mut worst = (0.0_f64, 0.0_f64);
        for (end, said) in said {
            let tally = Tally::read(&said).with_context(|| format!("{end} counted nothing"))?;
            worst.0 = worst.0.max(tally.copies());
            worst.1 = worst.1.max(tally.wakes());
            bench.results.note(format!(
                "costs of {pair}, {name}, {end}: {:.0} KiB a turn, {:.2} streams served a turn, \
                 {:.2} wakes a turn",
                tally.payload / tally.turns.max(1.0) / 1024.0,
                tally.stream_turns / tally.turns.max(1.0),
                tally.wakes / tally.turns.max(1.0),
            ));
        }
        bench.results.add(copies, pair, worst.0);
        bench.results.add(wakes, pair, worst.1);
    }
    Ok(())
}

/// What an end of ours says of a connection at its end.
#[derive(Debug, PartialEq)]
struct Tally {
    payload: f64,
    copied: f64,
    turns: f64,
    stream_turns: f64,
    wakes: f64,
}

impl Tally {
    /// The last in what was said.
    fn read(said: &str) -> Option<Self> {
        let line = said.lines().rfind(|line| line.contains("payload_bytes="))?;
        let number = |name: &str| -> Option<f64> {
            let mut words = line.split(|letter: char| letter.is_whitespace());
            let word = words.find_map(|word| {
                let (before, number) = word.rsplit_once('=')?;
                let (_, last) = before.rsplit_once('=').unwrap_or(("", before));
                (last == name).then_some(number)
            })?;
            Some(float(word.parse().ok()?))
        };
        Some(Self {
            payload: number("payload_bytes")?,
            copied: number("copied_bytes")?,
            turns: number("turns")?,
            stream_turns: number("stream_turns")?,
            wakes: number("wakes")?,
        })
    }

    /// Copies of a byte.
    fn copies(&self) -> f64 {
        self.copied / self.payload.max(1.0)
    }

    /// Wakes of a stream in a turn in which it is served.
    fn wakes(&self) -> f64 {
        self.wakes / self.stream_turns.max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tally_is_read_from_a_log_and_from_a_bare_line() {
        let counted = "payload_bytes=2000 copied_bytes=500 turns=10 stream_turns=40 wakes=30";
        let expected = Tally {
            payload: 2000.0,
            copied: 500.0,
            turns: 10.0,
            stream_turns: 40.0,
            wakes: 30.0,
        };
        for said in [
            format!("40321\n{counted}\n"),
            format!("DEBUG connection's costs tally={counted}\nend\n"),
            format!("payload_bytes=1 copied_bytes=1 turns=1 stream_turns=1 wakes=1\n{counted}"),
        ] {
            let tally = Tally::read(&said).unwrap();
            assert_eq!(tally, expected, "{said}");
            assert!((tally.copies() - 0.25).abs() < 1e-9);
            assert!((tally.wakes() - 0.75).abs() < 1e-9);
        }
        assert_eq!(Tally::read("payload_bytes=1 copied_bytes=x"), None);
        assert_eq!(Tally::read(""), None);
    }
}
