//! What was measured, and how it is shown.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::number::{median, short};
use super::pair::Pair;

/// A quantity that is measured once a round for a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Measure {
    Up1,
    Down1,
    Up8,
    Down8,
    UpCpu,
    DownCpu,
    Bidir,
    UpCopies,
    DownCopies,
    UpWakes,
    DownWakes,
    PingP50,
    PingP99,
    UpPingP50,
    UpPingP99,
    DownPingP50,
    DownPingP99,
    StallUpP99,
    StallDownP99,
    RekeyUp,
    RekeyDown,
    RekeyPause,
    RekeyPingMost,
    Visits,
    Logins,
    LoginCpu,
    Memory,
    MemoryDirty,
    Link50Up,
    Link50Down,
    LinkLossUp,
    LinkLossDown,
    LinkWideUp,
    LinkWideDown,
    ProxyUp,
    ProxyDown,
}

impl Measure {
    const ALL: [Self; 36] = [
        Self::Up1,
        Self::Down1,
        Self::Up8,
        Self::Down8,
        Self::UpCpu,
        Self::DownCpu,
        Self::Bidir,
        Self::UpCopies,
        Self::DownCopies,
        Self::UpWakes,
        Self::DownWakes,
        Self::PingP50,
        Self::PingP99,
        Self::UpPingP50,
        Self::UpPingP99,
        Self::DownPingP50,
        Self::DownPingP99,
        Self::StallUpP99,
        Self::StallDownP99,
        Self::RekeyUp,
        Self::RekeyDown,
        Self::RekeyPause,
        Self::RekeyPingMost,
        Self::Visits,
        Self::Logins,
        Self::LoginCpu,
        Self::Memory,
        Self::MemoryDirty,
        Self::Link50Up,
        Self::Link50Down,
        Self::LinkLossUp,
        Self::LinkLossDown,
        Self::LinkWideUp,
        Self::LinkWideDown,
        Self::ProxyUp,
        Self::ProxyDown,
    ];

    /// What it is, with its unit.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Up1 => "up, 1 stream, Gbit/s",
            Self::Down1 => "down, 1 stream, Gbit/s",
            Self::Up8 => "up, 8 streams, Gbit/s",
            Self::Down8 => "down, 8 streams, Gbit/s",
            Self::UpCpu => "up, 1 stream, CPU s/GiB of both ends",
            Self::DownCpu => "down, 1 stream, CPU s/GiB of both ends",
            Self::Bidir => "both ways, 8 streams each, the slower way, Gbit/s",
            Self::UpCopies => "up, 8 streams, copies of a byte in memory, our worse end",
            Self::DownCopies => "down, 8 streams, copies of a byte in memory, our worse end",
            Self::UpWakes => "up, 8 streams, wakes a stream and turn, our worse end",
            Self::DownWakes => "down, 8 streams, wakes a stream and turn, our worse end",
            Self::PingP50 => "ping idle, p50, us",
            Self::PingP99 => "ping idle, p99, us",
            Self::UpPingP50 => "ping under bulk up, p50, us",
            Self::UpPingP99 => "ping under bulk up, p99, us",
            Self::DownPingP50 => "ping under bulk down, p50, us",
            Self::DownPingP99 => "ping under bulk down, p99, us",
            Self::StallUpP99 => "ping beside a service that does not read, p99, us",
            Self::StallDownP99 => "ping beside a visitor that does not read, p99, us",
            Self::RekeyUp => "up, 1 stream with rekeys, Gbit/s",
            Self::RekeyDown => "down, 1 stream with rekeys, Gbit/s",
            Self::RekeyPause => "longest key exchange of a rekey as our client sees it, ms",
            Self::RekeyPingMost => "ping beside bulk with rekeys, longest, ms",
            Self::Visits => "new connections a second, 16 at a time",
            Self::Logins => "logins with a forward a second, our client",
            Self::LoginCpu => "login with a forward, CPU ms of the server",
            Self::Memory => "idle connection with a forward, KiB of the server (PSS)",
            Self::MemoryDirty => {
                "idle connection with a forward, KiB of the server (private dirty)"
            }
            Self::Link50Up => "50 ms, 1 Gbit/s, up, Mbit/s",
            Self::Link50Down => "50 ms, 1 Gbit/s, down, Mbit/s",
            Self::LinkLossUp => "50 ms, 1 Gbit/s, 1 % loss, up, Mbit/s",
            Self::LinkLossDown => "50 ms, 1 Gbit/s, 1 % loss, down, Mbit/s",
            Self::LinkWideUp => "50 ms, 1 Gbit/s, tcp_wmem 32 MiB, up, Mbit/s",
            Self::LinkWideDown => "50 ms, 1 Gbit/s, tcp_wmem 32 MiB, down, Mbit/s",
            Self::ProxyUp => "50 ms by a delaying proxy, up, Mbit/s",
            Self::ProxyDown => "50 ms by a delaying proxy, down, Mbit/s",
        }
    }

    /// What it is compared with. Servers are compared under the same client, ours.
    pub(super) const fn baseline(self) -> Pair {
        if matches!(
            self,
            Self::Logins | Self::LoginCpu | Self::Memory | Self::MemoryDirty
        ) {
            Pair::OUR_CLIENT
        } else {
            Pair::STOCK
        }
    }
}

/// All values of a run.
#[derive(Debug, Default)]
pub(super) struct Results {
    values: BTreeMap<(Measure, Pair), Vec<f64>>,
    notes: Vec<String>,
}

impl Results {
    /// A value of one round.
    pub(super) fn add(&mut self, measure: Measure, pair: Pair, value: f64) {
        eprintln!("  {pair}: {}: {}", measure.name(), short(value));
        self.values.entry((measure, pair)).or_default().push(value);
    }

    /// Something to know about the values, or why one is missing.
    pub(super) fn note(&mut self, note: String) {
        eprintln!("  note: {note}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// The median over the rounds.
    pub(super) fn median(&self, measure: Measure, pair: Pair) -> Option<f64> {
        median(self.values.get(&(measure, pair))?)
    }

    /// The median over that of the baseline.
    pub(super) fn ratio(&self, measure: Measure, pair: Pair) -> Option<f64> {
        let baseline = self.median(measure, measure.baseline())?;
        (baseline > 0.0).then_some(self.median(measure, pair)? / baseline)
    }

    /// One line for each quantity that was measured, and the notes.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::from("| What |");
        for pair in Pair::ALL {
            write!(text, " {pair} |").ok();
        }
        text.push_str("\n|---|---|---|---|---|\n");
        let is_measured = |measure: &Measure| {
            let mut pairs = Pair::ALL.iter();
            pairs.any(|pair| self.values.contains_key(&(*measure, *pair)))
        };
        for measure in Measure::ALL.into_iter().filter(is_measured) {
            write!(text, "| {} |", measure.name()).ok();
            for pair in Pair::ALL {
                write!(text, " {} |", self.cell(measure, pair)).ok();
            }
            text.push('\n');
        }
        if !self.notes.is_empty() {
            text.push_str("\nNotes:\n\n");
        }
        for note in &self.notes {
            writeln!(text, "- {note}").ok();
        }
        text
    }

    /// `5.04 (1.12x)`, or `-` where nothing was seen.
    fn cell(&self, measure: Measure, pair: Pair) -> String {
        let Some(value) = self.median(measure, pair) else {
            return String::from("-");
        };
        match self.ratio(measure, pair) {
            Some(ratio) if pair != measure.baseline() => {
                format!("{} ({ratio:.2}x)", short(value))
            }
            _ => short(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_medians_ratios_and_a_dash_for_what_was_not_seen() {
        let mut results = Results::default();
        for value in [1.0, 2.0, 9.0] {
            results.add(Measure::Up1, Pair::STOCK, value);
        }
        results.add(Measure::Up1, Pair::OURS, 3.0);
        results.note(String::from("one was missing"));
        let text = results.markdown();
        let row = "| up, 1 stream, Gbit/s | 2.00 | - | - | 3.00 (1.50x) |";
        assert!(text.contains(row), "{text}");
        assert!(text.ends_with("\n- one was missing\n"), "{text}");
        assert!(!text.contains("down"), "{text}");
    }

    #[test]
    fn the_list_of_measures_is_complete_and_in_order() {
        let mut sorted = Measure::ALL;
        sorted.sort();
        assert_eq!(sorted, Measure::ALL);
        let last = Measure::ALL.last();
        assert_eq!(last, Some(&Measure::ProxyDown));
    }
}
