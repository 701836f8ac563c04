//! What was wanted, and whether it came true.

use std::fmt::Write as _;

use super::number::short;
use super::pair::Pair;
use super::table::{Measure, Results};

/// One promise. Where several pairs or measures are named, the worst of them counts.
struct Target {
    what: &'static str,
    measures: &'static [Measure],
    pairs: &'static [Pair],
    wanted: Wanted,
    stretch: &'static str,
}

/// What a value must be.
#[derive(Clone, Copy)]
enum Wanted {
    /// So many times the baseline's, or more.
    RatioAtLeast(f64),
    /// So many times the baseline's, or less.
    RatioAtMost(f64),
    /// So much, or less.
    AtMost(f64),
    /// More than nothing: it did not stop.
    Passes,
    /// Two of the pair's idle pings and so many ms, or less; the value is in ms.
    TwoRoundTripsAnd(f64),
}

const ONE_OF_OURS: &[Pair] = &[Pair::OUR_CLIENT, Pair::OUR_SERVER];
const ANY_OF_OURS: &[Pair] = &[Pair::OUR_CLIENT, Pair::OUR_SERVER, Pair::OURS];
const OURS: &[Pair] = &[Pair::OURS];

/// Set on 2026-11-22 by what prototypes reached (docs/reference/bench.md).
const TARGETS: &[Target] = &[
    Target {
        what: "one stream up, adit at both ends",
        measures: &[Measure::Up1],
        pairs: OURS,
        wanted: Wanted::RatioAtLeast(1.4),
        stretch: "1.7x",
    },
    Target {
        what: "one stream down, adit at both ends",
        measures: &[Measure::Down1],
        pairs: OURS,
        wanted: Wanted::RatioAtLeast(1.4),
        stretch: "1.7x",
    },
    Target {
        what: "one stream up, adit at one end",
        measures: &[Measure::Up1],
        pairs: ONE_OF_OURS,
        wanted: Wanted::RatioAtLeast(1.15),
        stretch: "1.4x",
    },
    Target {
        what: "one stream down, adit at one end",
        measures: &[Measure::Down1],
        pairs: ONE_OF_OURS,
        wanted: Wanted::RatioAtLeast(1.15),
        stretch: "1.4x",
    },
    Target {
        what: "CPU seconds per GiB, adit at both ends",
        measures: &[Measure::UpCpu, Measure::DownCpu],
        pairs: OURS,
        wanted: Wanted::RatioAtMost(0.6),
        stretch: "0.45x",
    },
    Target {
        what: "copies of a byte in memory besides the cipher, at each end of ours",
        measures: &[Measure::UpCopies, Measure::DownCopies],
        pairs: ANY_OF_OURS,
        wanted: Wanted::AtMost(1.0),
        stretch: "",
    },
    Target {
        what: "wakes a stream and turn, at each end of ours",
        measures: &[Measure::UpWakes, Measure::DownWakes],
        pairs: ANY_OF_OURS,
        wanted: Wanted::AtMost(1.0),
        stretch: "",
    },
    Target {
        what: "both ways, 8 streams each",
        measures: &[Measure::Bidir],
        pairs: ANY_OF_OURS,
        wanted: Wanted::Passes,
        stretch: "",
    },
    Target {
        what: "ping p50 under bulk, adit at both ends",
        measures: &[Measure::UpPingP50, Measure::DownPingP50],
        pairs: OURS,
        wanted: Wanted::RatioAtMost(1.0),
        stretch: "0.5x",
    },
    Target {
        what: "ping p99 under bulk, adit at both ends",
        measures: &[Measure::UpPingP99, Measure::DownPingP99],
        pairs: OURS,
        wanted: Wanted::RatioAtMost(1.5),
        stretch: "0.75x",
    },
    Target {
        what: "ping p50 under bulk, adit at one end",
        measures: &[Measure::UpPingP50, Measure::DownPingP50],
        pairs: ONE_OF_OURS,
        wanted: Wanted::RatioAtMost(1.0),
        stretch: "0.5x",
    },
    Target {
        what: "ping p99 under bulk, adit at one end",
        measures: &[Measure::UpPingP99, Measure::DownPingP99],
        pairs: ONE_OF_OURS,
        wanted: Wanted::RatioAtMost(1.5),
        stretch: "0.75x",
    },
    Target {
        what: "ping p99 beside a stream that is not read, us",
        measures: &[Measure::StallUpP99, Measure::StallDownP99],
        pairs: ANY_OF_OURS,
        wanted: Wanted::AtMost(10_000.0),
        stretch: "1,000",
    },
    Target {
        what: "bulk with rekeys",
        measures: &[Measure::RekeyUp, Measure::RekeyDown],
        pairs: ANY_OF_OURS,
        wanted: Wanted::Passes,
        stretch: "",
    },
    Target {
        what: "pause of a rekey, ms",
        measures: &[Measure::RekeyPause],
        pairs: &[Pair::OUR_CLIENT, Pair::OURS],
        wanted: Wanted::TwoRoundTripsAnd(5.0),
        stretch: "",
    },
    Target {
        what: "new connections a second, our client at a stock sshd",
        measures: &[Measure::Visits],
        pairs: &[Pair::OUR_CLIENT],
        wanted: Wanted::RatioAtLeast(5.0),
        stretch: "10x",
    },
    Target {
        what: "logins with a forward a second, our server",
        measures: &[Measure::Logins],
        pairs: OURS,
        wanted: Wanted::RatioAtLeast(40.0),
        stretch: "70x",
    },
    Target {
        what: "memory per idle connection, our server, KiB",
        measures: &[Measure::Memory],
        pairs: OURS,
        wanted: Wanted::AtMost(32.0),
        stretch: "20",
    },
    Target {
        what: "50 ms at 1 Gbit/s, up",
        measures: &[Measure::Link50Up],
        pairs: OURS,
        wanted: Wanted::RatioAtLeast(1.3),
        stretch: "the link's rate with tcp_wmem 32 MiB",
    },
    Target {
        what: "50 ms at 1 Gbit/s, down",
        measures: &[Measure::Link50Down],
        pairs: OURS,
        wanted: Wanted::RatioAtLeast(2.0),
        stretch: "the link's rate with tcp_wmem 32 MiB",
    },
    Target {
        what: "50 ms by a delaying proxy, up",
        measures: &[Measure::ProxyUp],
        pairs: OURS,
        wanted: Wanted::RatioAtLeast(2.2),
        stretch: "5x",
    },
    Target {
        what: "50 ms by a delaying proxy, down",
        measures: &[Measure::ProxyDown],
        pairs: OURS,
        wanted: Wanted::RatioAtLeast(8.0),
        stretch: "12x",
    },
];

/// A value that was seen, and by how much it is on the right side: 1 is just so.
#[derive(Clone, Copy)]
struct Seen {
    value: f64,
    margin: f64,
    is_ratio: bool,
}

/// One line for each target: what was wanted, what was seen, `met` or `missed`.
pub(super) fn markdown(results: &Results) -> String {
    let mut text = String::from("| Target | wanted | stretch | seen | |\n|---|---|---|---|---|\n");
    for target in TARGETS {
        let worst = worst(target, results);
        let seen = worst.map_or_else(|| String::from("-"), written);
        let verdict = match worst {
            None => "-",
            Some(seen) if seen.margin >= 1.0 => "met",
            Some(_) => "missed",
        };
        let (what, stretch) = (target.what, target.stretch);
        let wanted = wanted(target.wanted);
        writeln!(
            text,
            "| {what} | {wanted} | {stretch} | {seen} | {verdict} |"
        )
        .ok();
    }
    text
}

/// The value with the least margin; `None` when one of them was not seen at all.
fn worst(target: &Target, results: &Results) -> Option<Seen> {
    let mut worst: Option<Seen> = None;
    for measure in target.measures {
        for pair in target.pairs {
            let seen = see(target.wanted, *measure, *pair, results)?;
            if worst.is_none_or(|worst| seen.margin < worst.margin) {
                worst = Some(seen);
            }
        }
    }
    worst
}

fn see(wanted: Wanted, measure: Measure, pair: Pair, results: &Results) -> Option<Seen> {
    let (value, margin, is_ratio) = match wanted {
        Wanted::RatioAtLeast(least) => {
            let ratio = results.ratio(measure, pair)?;
            (ratio, ratio / least, true)
        }
        Wanted::RatioAtMost(most) => {
            let ratio = results.ratio(measure, pair)?;
            (ratio, most / ratio, true)
        }
        Wanted::AtMost(most) => {
            let value = results.median(measure, pair)?;
            (value, most / value, false)
        }
        Wanted::Passes => {
            let value = results.median(measure, pair)?;
            (value, if value > 0.0 { f64::INFINITY } else { 0.0 }, false)
        }
        Wanted::TwoRoundTripsAnd(more) => {
            let value = results.median(measure, pair)?;
            let ping = results.median(Measure::PingP50, pair).unwrap_or(0.0);
            (value, (2.0 * ping / 1e3 + more) / value, false)
        }
    };
    Some(Seen {
        value,
        margin,
        is_ratio,
    })
}

fn wanted(wanted: Wanted) -> String {
    match wanted {
        Wanted::RatioAtLeast(least) => format!(">= {least}x"),
        Wanted::RatioAtMost(most) => format!("<= {most}x"),
        Wanted::AtMost(most) => format!("<= {most}"),
        Wanted::Passes => String::from("passes"),
        Wanted::TwoRoundTripsAnd(more) => format!("<= 2 round trips + {more}"),
    }
}

fn written(seen: Seen) -> String {
    if seen.is_ratio {
        format!("{:.2}x", seen.value)
    } else {
        short(seen.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row<'a>(text: &'a str, what: &str) -> &'a str {
        let row = text.lines().find(|line| line.contains(what));
        row.unwrap_or_else(|| panic!("no {what} in {text}"))
    }

    #[test]
    fn a_target_is_met_or_missed_by_the_worst_of_its_values() {
        let mut results = Results::default();
        for (measure, stock, ours) in [
            (Measure::Up1, 1.0, 1.5),
            (Measure::Down1, 1.0, 1.3),
            (Measure::UpCpu, 1.0, 0.5),
            (Measure::DownCpu, 1.0, 0.7),
        ] {
            results.add(measure, Pair::STOCK, stock);
            results.add(measure, Pair::OURS, ours);
        }
        let text = markdown(&results);
        assert!(row(&text, "stream up, adit at both").ends_with("| 1.50x | met |"));
        assert!(row(&text, "stream down, adit at both").ends_with("| 1.30x | missed |"));
        assert!(row(&text, "CPU").ends_with("| 0.70x | missed |"), "{text}");
    }

    #[test]
    fn what_was_not_seen_is_neither_met_nor_missed() {
        let text = markdown(&Results::default());
        assert_eq!(text.lines().count(), TARGETS.len() + 2);
        assert!(text.lines().skip(2).all(|line| line.ends_with("| - | - |")));
    }

    #[test]
    fn a_rekey_may_take_two_round_trips_and_five_milliseconds() {
        let mut results = Results::default();
        for pair in [Pair::OUR_CLIENT, Pair::OURS] {
            results.add(Measure::RekeyPause, pair, 5.5);
        }
        assert!(row(&markdown(&results), "pause").ends_with("missed |"));
        for pair in [Pair::OUR_CLIENT, Pair::OURS] {
            results.add(Measure::PingP50, pair, 300.0);
        }
        assert!(row(&markdown(&results), "pause").ends_with("met |"));
    }
}
