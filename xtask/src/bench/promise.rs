//! What was measured, what was wanted, and whether that came true.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use super::number::{median, short};

/// Who is compared: a column of the table. Earlier ones are what later ones are compared with.
pub(super) trait Contender: Copy + Ord + Display + 'static {
    /// All, in their order.
    const COLUMNS: &'static [Self];
    /// Whose promises they are.
    const OURS: Self;
    /// Ours at both ends of what is compared, where that is a column of its own.
    const BOTH: Option<Self> = None;
}

/// A quantity.
#[derive(Debug, PartialEq)]
pub(super) struct Measure {
    /// With its unit.
    pub(super) name: &'static str,
    /// What ours must be.
    pub(super) wanted: Wanted,
}

/// A promise, of the issue that asked for the program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wanted {
    /// None: it is there to be known.
    Nothing,
    /// So many times the baseline's, or more.
    RatioAtLeast(f64),
    /// So many times the baseline's, or less.
    RatioAtMost(f64),
    /// So much, or less.
    AtMost(f64),
    /// So much more than the baseline, or less.
    AtMostOver(f64),
    /// So many times the baseline's or more, with ours at one end and at both.
    EndsAtLeast(Ends),
    /// So many times the baseline's or less, with ours at one end and at both.
    EndsAtMost(Ends),
}

/// What is promised of ours at one end of what is compared, if anything is, and at both.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Ends {
    pub(super) one: Option<f64>,
    pub(super) both: f64,
}

impl Ends {
    /// `>= 1.15x, both ends >= 1.4x`
    fn wanted(self, sign: &str) -> String {
        let one = self.one.map(|one| format!("{sign} {one}x"));
        let both = format!("both ends {sign} {}x", self.both);
        one.into_iter().chain([both]).collect::<Vec<_>>().join(", ")
    }
}

/// All values of a run.
#[derive(Debug)]
pub(super) struct Results<P> {
    /// In the order in which they were first measured.
    rows: Vec<Row<P>>,
    notes: Vec<String>,
}

impl<P> Default for Results<P> {
    fn default() -> Self {
        Self {
            rows: Vec::new(),
            notes: Vec::new(),
        }
    }
}

#[derive(Debug)]
struct Row<P> {
    measure: &'static Measure,
    values: BTreeMap<P, Vec<f64>>,
}

impl<P: Contender> Row<P> {
    /// The median over all that was seen; infinite where it never happened.
    fn median(&self, program: P) -> Option<f64> {
        median(self.values.get(&program)?)
    }

    /// The first program of the line that was measured.
    fn baseline(&self) -> Option<P> {
        self.values.keys().next().copied()
    }

    fn ratio(&self, program: P) -> Option<f64> {
        let baseline = self.baseline().filter(|baseline| *baseline != program)?;
        let (value, baseline) = (self.median(program)?, self.median(baseline)?);
        (baseline > 0.0 && baseline.is_finite() && value.is_finite()).then(|| value / baseline)
    }

    /// How much more ours is than the baseline.
    fn over(&self) -> Option<f64> {
        let baseline = self.baseline().filter(|baseline| *baseline != P::OURS)?;
        Some(self.median(P::OURS)? - self.median(baseline)?)
    }

    fn cell(&self, program: P) -> String {
        let Some(value) = self.median(program) else {
            return String::from("-");
        };
        if value.is_infinite() {
            return String::from("never");
        }
        match self.ratio(program) {
            Some(ratio) => format!("{} ({ratio:.2}x)", short(value)),
            None => short(value),
        }
    }

    fn verdict(&self) -> String {
        let (value, ratio) = (self.median(P::OURS), self.ratio(P::OURS));
        let is_met = match self.measure.wanted {
            Wanted::Nothing => return String::new(),
            Wanted::RatioAtLeast(least) => ratio.map(|ratio| ratio >= least),
            Wanted::RatioAtMost(most) => ratio.map(|ratio| ratio <= most),
            Wanted::AtMost(most) => value.map(|value| value <= most),
            Wanted::AtMostOver(most) => self.over().map(|over| over <= most),
            Wanted::EndsAtLeast(ends) => {
                return self.verdicts(ends, |ratio, least| ratio >= least);
            }
            Wanted::EndsAtMost(ends) => return self.verdicts(ends, |ratio, most| ratio <= most),
        };
        met(is_met).to_owned()
    }

    /// `met, both ends missed`
    fn verdicts(&self, ends: Ends, is_met: fn(f64, f64) -> bool) -> String {
        let judge =
            |program: P, bound: f64| met(self.ratio(program).map(|ratio| is_met(ratio, bound)));
        let one = ends.one.map(|bound| judge(P::OURS, bound).to_owned());
        let both = P::BOTH.map(|both| format!("both ends {}", judge(both, ends.both)));
        one.into_iter().chain(both).collect::<Vec<_>>().join(", ")
    }
}

fn met(is_met: Option<bool>) -> &'static str {
    match is_met {
        Some(true) => "met",
        Some(false) => "missed",
        None => "-",
    }
}

impl<P: Contender> Results<P> {
    /// A value of one round.
    pub(super) fn add(&mut self, measure: &'static Measure, program: P, value: f64) {
        eprintln!("  {program}: {}: {}", measure.name, short(value));
        let at = self.rows.iter().position(|row| row.measure == measure);
        let at = at.unwrap_or(self.rows.len());
        if at == self.rows.len() {
            self.rows.push(Row {
                measure,
                values: BTreeMap::new(),
            });
        }
        if let Some(row) = self.rows.get_mut(at) {
            row.values.entry(program).or_default().push(value);
        }
    }

    /// Something to know about the values, or why one is missing.
    pub(super) fn note(&mut self, note: String) {
        eprintln!("  note: {note}");
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// One line for each quantity, and the notes.
    pub(super) fn markdown(&self) -> String {
        let mut text = String::from("| What |");
        for program in P::COLUMNS {
            write!(text, " {program} |").ok();
        }
        text.push_str(" wanted | |\n|---|---|---|");
        text.push_str(&"---|".repeat(P::COLUMNS.len()));
        text.push('\n');
        for row in &self.rows {
            write!(text, "| {} |", row.measure.name).ok();
            for program in P::COLUMNS {
                write!(text, " {} |", row.cell(*program)).ok();
            }
            let wanted = match row.measure.wanted {
                Wanted::Nothing => String::new(),
                Wanted::RatioAtLeast(least) => format!(">= {least}x"),
                Wanted::RatioAtMost(most) => format!("<= {most}x"),
                Wanted::AtMost(most) => format!("<= {most}"),
                Wanted::AtMostOver(most) => format!("<= {most} over {}", baseline(row)),
                Wanted::EndsAtLeast(ends) => ends.wanted(">="),
                Wanted::EndsAtMost(ends) => ends.wanted("<="),
            };
            writeln!(text, " {wanted} | {} |", row.verdict()).ok();
        }
        if !self.notes.is_empty() {
            text.push_str("\nNotes:\n\n");
        }
        for note in &self.notes {
            writeln!(text, "- {note}").ok();
        }
        text
    }
}

/// What a row is compared with, by its name.
fn baseline<P: Contender>(row: &Row<P>) -> String {
    let baseline = row.baseline();
    baseline.map_or_else(String::new, |baseline| baseline.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    enum Program {
        Ssh,
        Autossh,
        Adit,
    }

    impl Contender for Program {
        const COLUMNS: &'static [Self] = &[Self::Ssh, Self::Autossh, Self::Adit];
        const OURS: Self = Self::Adit;
        const BOTH: Option<Self> = Some(Self::Autossh);
    }

    impl Display for Program {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{self:?}")
        }
    }

    const RATE: Measure = Measure {
        name: "rate",
        wanted: Wanted::RatioAtLeast(1.5),
    };
    const TIME: Measure = Measure {
        name: "time",
        wanted: Wanted::AtMost(3.0),
    };

    const DELAY: Measure = Measure {
        name: "delay",
        wanted: Wanted::AtMostOver(20.0),
    };
    const LATE: Measure = Measure {
        name: "late",
        wanted: Wanted::AtMostOver(20.0),
    };

    const ENDS: Measure = Measure {
        name: "ends",
        wanted: Wanted::EndsAtLeast(Ends {
            one: Some(1.5),
            both: 2.0,
        }),
    };
    const COST: Measure = Measure {
        name: "cost",
        wanted: Wanted::EndsAtMost(Ends {
            one: None,
            both: 0.5,
        }),
    };

    const CHEAP: Measure = Measure {
        name: "cheap",
        wanted: Wanted::RatioAtMost(0.6),
    };

    const RARE: Measure = Measure {
        name: "rare",
        wanted: Wanted::RatioAtLeast(1.5),
    };

    #[test]
    fn a_line_has_medians_ratios_the_promise_and_whether_it_was_kept() {
        let mut results = Results::default();
        for value in [1.0, 2.0, 9.0] {
            results.add(&RATE, Program::Ssh, value);
        }
        results.add(&RATE, Program::Adit, 3.0);
        results.add(&TIME, Program::Autossh, f64::INFINITY);
        results.add(&TIME, Program::Adit, 4.0);
        results.add(&RARE, Program::Adit, 4.0);
        for (measure, ours) in [(&DELAY, 23.0), (&LATE, 25.0)] {
            results.add(measure, Program::Ssh, 4.0);
            results.add(measure, Program::Adit, ours);
        }
        for (measure, both, ours) in [(&ENDS, 1.5, 1.5), (&COST, 0.5, 0.9)] {
            results.add(measure, Program::Ssh, 1.0);
            results.add(measure, Program::Autossh, both);
            results.add(measure, Program::Adit, ours);
        }
        results.add(&CHEAP, Program::Ssh, 2.0);
        results.add(&CHEAP, Program::Adit, 1.0);
        results.note(String::from("one was missing"));
        let text = results.markdown();
        for line in [
            "| rate | 2.00 | - | 3.00 (1.50x) | >= 1.5x | met |",
            "| time | - | never | 4.00 | <= 3 | missed |",
            "| rare | - | - | 4.00 | >= 1.5x | - |",
            "| delay | 4.00 | - | 23.0 (5.75x) | <= 20 over Ssh | met |",
            "| late | 4.00 | - | 25.0 (6.25x) | <= 20 over Ssh | missed |",
            "| ends | 1.00 | 1.50 (1.50x) | 1.50 (1.50x) | >= 1.5x, both ends >= 2x | met, both ends missed |",
            "| cost | 1.00 | 0.500 (0.50x) | 0.900 (0.90x) | both ends <= 0.5x | both ends met |",
            "| cheap | 2.00 | - | 1.00 (0.50x) | <= 0.6x | met |",
            "| What | Ssh | Autossh | Adit | wanted | |",
            "|---|---|---|---|---|---|",
            "- one was missing",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
