//! The table as a page: one row a value, one column a pair.

use std::fmt::Write as _;

use anyhow::Context as _;

/// What the test left behind.
#[derive(Debug)]
pub(super) struct Table {
    /// Axis and value of each row, in order.
    rows: Vec<(String, String)>,
    outcomes: Vec<Outcome>,
}

/// One cell that was tried.
#[derive(Debug)]
struct Outcome {
    pair: String,
    axis: String,
    value: String,
    verdict: Verdict,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Good,
    /// It failed by the peer's doing, with the reason.
    TheirFault(String),
    /// It failed, and this is what was seen.
    Bad(String),
}

/// What stands where nothing could be tried.
const UNKNOWN: &str = "-";
/// The axis whose cells are counted in one row.
const RANDOM: &str = "random";

impl Table {
    /// Reads lines of pair, axis, value and verdict between tabs. A line without a pair is a row.
    pub(super) fn parse(lines: &str) -> anyhow::Result<Self> {
        let mut table = Self {
            rows: Vec::new(),
            outcomes: Vec::new(),
        };
        for line in lines.lines() {
            let mut fields = line.splitn(4, '\t').map(str::to_owned);
            let mut next = || fields.next().with_context(|| format!("cut short: {line}"));
            let (pair, axis, value, verdict) = (next()?, next()?, next()?, next()?);
            if pair.is_empty() {
                table.rows.push((axis, value));
                continue;
            }
            let verdict = match verdict.strip_prefix("their fault: ") {
                Some(reason) => Verdict::TheirFault(reason.to_owned()),
                None if verdict == "good" => Verdict::Good,
                None => Verdict::Bad(verdict),
            };
            table.outcomes.push(Outcome {
                pair,
                axis,
                value,
                verdict,
            });
        }
        Ok(table)
    }

    /// Whether nothing failed but by a peer's doing.
    pub(super) fn is_good(&self) -> bool {
        self.count(|verdict| matches!(verdict, Verdict::Bad(_))) == 0
    }

    /// How many came out how.
    pub(super) fn summary(&self) -> String {
        format!(
            "{} cells of {} pairs: {} good, {} failed by the peer's doing, {} failed",
            self.outcomes.len(),
            self.pairs(|_| true).len(),
            self.count(|verdict| *verdict == Verdict::Good),
            self.count(|verdict| matches!(verdict, Verdict::TheirFault(_))),
            self.count(|verdict| matches!(verdict, Verdict::Bad(_))),
        )
    }

    fn count(&self, wanted: impl Fn(&Verdict) -> bool) -> usize {
        let outcomes = self.outcomes.iter();
        outcomes.filter(|outcome| wanted(&outcome.verdict)).count()
    }

    /// The pairs in the order in which they were tried.
    fn pairs(&self, wanted: impl Fn(&str) -> bool) -> Vec<&str> {
        let mut pairs: Vec<&str> = Vec::new();
        for outcome in &self.outcomes {
            if wanted(&outcome.pair) && !pairs.contains(&outcome.pair.as_str()) {
                pairs.push(&outcome.pair);
            }
        }
        pairs
    }

    /// The whole page.
    pub(super) fn page(&self, today: &str, seed: u64) -> String {
        let mut notes = Vec::new();
        let head = HEAD
            .replace("DATE", today)
            .replace("SEED", &seed.to_string());
        let mut page = head.replace("SUMMARY", &self.summary());
        for (title, start, end) in [
            ("Our client at their servers", "our client at ", ""),
            ("Their clients at our server", "", " at our server"),
        ] {
            let pairs = self.pairs(|pair| pair.starts_with(start) && pair.ends_with(end));
            let names = pairs.iter().map(|pair| {
                let name = pair.strip_prefix(start).unwrap_or(pair);
                name.strip_suffix(end).unwrap_or(name)
            });
            let names: Vec<&str> = names.collect();
            let columns = "|---".repeat(names.len());
            let part = format!(
                "\n## {title}\n\n| | | {} |\n|---|---{columns}|\n",
                names.join(" | ")
            );
            page.push_str(&part);
            for (axis, value) in &self.rows {
                let cells = pairs
                    .iter()
                    .map(|pair| self.cell(pair, axis, value, &mut notes));
                let cells: Vec<String> = cells.collect();
                if cells.iter().all(|cell| cell == UNKNOWN) {
                    continue;
                }
                let row = format!("| {axis} | {value} | {} |\n", cells.join(" | "));
                page.push_str(&row);
            }
            let cells = pairs.iter().map(|pair| self.random(pair, &mut notes));
            let cells: Vec<String> = cells.collect();
            let row = format!("| {RANDOM} | combinations | {} |\n", cells.join(" | "));
            page.push_str(&row);
        }
        if !notes.is_empty() {
            page.push_str("\n## Notes\n\n");
        }
        for (number, note) in (1..).zip(&notes) {
            writeln!(page, "{number}. {note}.").ok();
        }
        page
    }

    fn cell(&self, pair: &str, axis: &str, value: &str, notes: &mut Vec<String>) -> String {
        let mut outcomes = self.outcomes.iter();
        let found = outcomes
            .find(|outcome| outcome.pair == pair && outcome.axis == axis && outcome.value == value);
        match found.map(|outcome| &outcome.verdict) {
            None => UNKNOWN.to_owned(),
            Some(Verdict::Good) => String::from("yes"),
            Some(Verdict::TheirFault(reason)) => format!("no ({})", note(notes, reason)),
            Some(Verdict::Bad(error)) => format!("**no** ({})", note(notes, error)),
        }
    }

    fn random(&self, pair: &str, notes: &mut Vec<String>) -> String {
        let outcomes = self.outcomes.iter();
        let tried = outcomes.filter(|outcome| outcome.pair == pair && outcome.axis == RANDOM);
        let tried: Vec<&Outcome> = tried.collect();
        let good = tried
            .iter()
            .filter(|outcome| outcome.verdict == Verdict::Good);
        let mut text = format!("{} of {}", good.count(), tried.len());
        for outcome in tried {
            if let Verdict::Bad(error) = &outcome.verdict {
                let number = note(notes, &format!("{}: {error}", outcome.value));
                write!(text, " ({number})").ok();
            }
        }
        text
    }
}

/// The number of a note, which is written once.
fn note(notes: &mut Vec<String>, text: &str) -> usize {
    let text = text.replace('|', "/");
    if let Some(index) = notes.iter().position(|known| *known == text) {
        return index.saturating_add(1);
    }
    notes.push(text);
    notes.len()
}

const HEAD: &str = "\
# Who our two ends agree with

Made by `cargo xtask interop` on DATE; do not edit it here. SUMMARY.

Each peer is asked what it speaks by its own KEXINIT, and every value that both ends know is tried,
one varied at a time around the first of everything in our client's order; then combinations are
drawn at random (seed SEED). A cell logs in, checks the host key, and forwards 256 KiB each way
through a stream of which one half ends first: the other half is sent when that end has arrived, and
both are compared byte by byte. The first two rows are 8 MiB each way while one end asks for new keys
after every MiB; the key exchanges are counted.

- **yes**: it was tried and everything was right.
- **-**: the peer does not know it, or cannot be made to do it.
- **no**: it was tried and failed by the peer's doing; the note says how we know. A bold one is ours
  to find out about, and none may stay.

Rows that nobody in a table has are left out. A peer whose KEXINIT has no marker of strict key exchange
is met with chacha20-poly1305 allowed by name; by default we refuse that cipher to it.
";

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = "\
\tcipher\taes128-ctr\t
\tlogin\tpassword\t
our client at Stone 1\tcipher\taes128-ctr\tgood
Stone 1 at our server\tcipher\taes128-ctr\ttheir fault: stones cannot count
Stone 1 at our server\trandom\tseed 7, number 0\tgood
Stone 1 at our server\trandom\tseed 7, number 1\tit rolled | away
";

    #[test]
    fn a_value_that_was_not_tried_is_a_dash_and_a_failure_has_a_note() {
        let lines = format!("{LINES}our client at Sand 2\tlogin\tpassword\tgood\n");
        let table = Table::parse(&lines).unwrap();
        let page = table.page("2026-11-22", 7);
        let (_, tables) = page.split_once("## Our client").unwrap();
        for line in [
            "| | | Stone 1 | Sand 2 |",
            "| cipher | aes128-ctr | yes | - |",
            "| login | password | - | yes |",
            "| random | combinations | 0 of 0 | 0 of 0 |",
            "| | | Stone 1 |",
            "| cipher | aes128-ctr | no (1) |",
            "| random | combinations | 1 of 2 (2) |",
            "1. stones cannot count.",
            "2. seed 7, number 1: it rolled / away.",
        ] {
            assert!(
                tables.lines().any(|written| written == line),
                "{line}\n{page}"
            );
        }
    }

    #[test]
    fn only_a_failure_that_is_not_the_peers_counts_against_us() {
        let table = Table::parse(LINES).unwrap();
        assert!(!table.is_good());
        let summary = "4 cells of 2 pairs: 2 good, 1 failed by the peer's doing, 1 failed";
        assert_eq!(table.summary(), summary);
        let (sound, _) = LINES.rsplit_once("Stone 1").unwrap();
        assert!(Table::parse(sound).unwrap().is_good());
        assert!(Table::parse("a line that is cut\tshort").is_err());
    }
}
