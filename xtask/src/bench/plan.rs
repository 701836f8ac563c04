//! What a bench is asked for: which of its cases, how much of everything, and where the table goes.

use anyhow::{Context as _, bail};

/// A bench: its name, its cases and their scales.
pub(super) trait Suite: Sized + 'static {
    /// How much of everything.
    type Scale: Scale;
    /// The word behind `cargo xtask bench`.
    const NAME: &'static str;
    /// All cases, in the order in which they run.
    const CASES: &'static [Case<Self>];
}

/// How much of everything a bench does.
pub(super) trait Scale: Copy {
    /// To see whether all works.
    const QUICK: Self;
    /// To see where one is.
    const USUAL: Self;
    /// What is written down.
    const FULL: Self;

    /// The same with so many rounds.
    fn with_rounds(self, rounds: u32) -> Self;
}

/// One case of a bench.
#[derive(Debug)]
pub(super) struct Case<B> {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) run: fn(&mut B) -> anyhow::Result<()>,
}

/// Where the table goes besides stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Record {
    Nowhere,
    /// A file of docs/measured/.
    Written,
}

/// What is asked for.
#[derive(Debug)]
pub(super) struct Plan<B: Suite> {
    pub(super) scale: B::Scale,
    /// In the order in which they were named; all if none was.
    pub(super) cases: Vec<&'static Case<B>>,
    pub(super) record: Record,
    /// As it was asked.
    pub(super) words: String,
}

impl<B: Suite> Plan<B> {
    /// Reads the words behind the bench's name.
    pub(super) fn parse(words: &[String]) -> anyhow::Result<Self> {
        let mut plan = Self {
            scale: B::Scale::USUAL,
            cases: Vec::new(),
            record: Record::Nowhere,
            words: format!("{} {}", B::NAME, words.join(" "))
                .trim_end()
                .to_owned(),
        };
        let mut rounds = None;
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--quick" => plan.scale = B::Scale::QUICK,
                "--full" => plan.scale = B::Scale::FULL,
                "--write" => plan.record = Record::Written,
                "--only" => {
                    let name = words.next().context("--only needs a case")?;
                    let case = B::CASES.iter().find(|case| case.name == name);
                    let case =
                        case.with_context(|| format!("no case {name}; {}", list(B::CASES)))?;
                    plan.cases.push(case);
                }
                "--rounds" => {
                    let count = words.next().context("--rounds needs a number")?;
                    let count = count.parse::<u32>().ok().filter(|count| *count > 0);
                    rounds = Some(count.context("--rounds needs a number, 1 or more")?);
                }
                _ => bail!("unknown argument: {word}"),
            }
        }
        if let Some(rounds) = rounds {
            plan.scale = plan.scale.with_rounds(rounds);
        }
        if plan.cases.is_empty() {
            plan.cases = B::CASES.iter().collect();
        }
        Ok(plan)
    }
}

/// The cases in one line.
fn list<B>(cases: &[Case<B>]) -> String {
    let names = cases
        .iter()
        .map(|case| format!("{} ({})", case.name, case.about));
    format!("there are: {}", names.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Sums;

    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Much {
        rounds: u32,
        sums: u32,
    }

    impl Suite for Sums {
        type Scale = Much;
        const NAME: &'static str = "sums";
        const CASES: &'static [Case<Self>] = &[
            Case {
                name: "add",
                about: "one more",
                run: |_| Ok(()),
            },
            Case {
                name: "take",
                about: "one less",
                run: |_| Ok(()),
            },
        ];
    }

    impl Scale for Much {
        const QUICK: Self = Self { rounds: 1, sums: 1 };
        const USUAL: Self = Self { rounds: 3, sums: 5 };
        const FULL: Self = Self { rounds: 5, sums: 9 };

        fn with_rounds(self, rounds: u32) -> Self {
            Self { rounds, ..self }
        }
    }

    fn plan(line: &str) -> anyhow::Result<Plan<Sums>> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Plan::parse(&words)
    }

    #[test]
    fn a_plan_is_a_scale_cases_and_a_place_for_the_table() {
        let usual = plan("").unwrap();
        assert_eq!(usual.scale, Much::USUAL);
        assert_eq!(usual.cases.len(), 2);
        assert_eq!((usual.record, &*usual.words), (Record::Nowhere, "sums"));
        assert_eq!(plan("--quick").unwrap().scale, Much::QUICK);
        // The rounds hold wherever they stand.
        let some = plan("--rounds 7 --full --only take --only add --write").unwrap();
        assert_eq!(some.scale, Much { rounds: 7, sums: 9 });
        let names: Vec<&str> = some.cases.iter().map(|case| case.name).collect();
        assert_eq!(names, ["take", "add"]);
        assert_eq!(some.record, Record::Written);
        assert_eq!(
            some.words,
            "sums --rounds 7 --full --only take --only add --write"
        );
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, part) in [
            ("--only nothing", "add (one more), take (one less)"),
            ("--only", "--only"),
            ("--rounds", "--rounds"),
            ("--rounds 0", "1 or more"),
            ("--slow", "--slow"),
        ] {
            let error = plan(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
