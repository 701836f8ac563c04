//! What a run of one target came to, from what libFuzzer prints.

use std::fmt;

/// Executions, coverage and what was found; each unknown where libFuzzer did not get so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Score<'a> {
    executions: Option<u64>,
    /// Edges of the program that some input has reached.
    coverage: Option<u64>,
    /// The file of an input that crashes, takes too long or too much memory.
    found: Option<&'a str>,
}

impl<'a> Score<'a> {
    /// Reads the whole output of a run. A line of progress is `#1024 NEW cov: 310 ft: 900 ...`.
    pub(super) fn of(output: &'a str) -> Self {
        let mut score = Self {
            executions: None,
            coverage: None,
            found: None,
        };
        for line in output.lines() {
            if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
                score.executions = count.trim().parse().ok();
            } else if let Some((_, file)) = line.split_once("Test unit written to ") {
                score.found = Some(file.trim());
            } else if let Some((_, rest)) = line.split_once(" cov: ") {
                let edges = rest.split_whitespace().next();
                score.coverage = edges.and_then(|edges| edges.parse().ok());
            }
        }
        score
    }
}

impl fmt::Display for Score<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number =
            |number: Option<u64>| number.map_or_else(|| "?".to_owned(), |count| count.to_string());
        writeln!(f, "executions: {}", number(self.executions))?;
        writeln!(f, "coverage: {}", number(self.coverage))?;
        write!(f, "found: {}", self.found.unwrap_or("nothing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: &str = "\
INFO: Loaded 1 modules   (21934 inline 8-bit counters)
#79\tINITED cov: 811 ft: 2201 corp: 70/3402b exec/s: 0 rss: 44Mb
#4096\tNEW    cov: 902 ft: 2519 corp: 92/4801b lim: 48 exec/s: 2048 rss: 61Mb L: 40/48 MS: 1 ChangeBit-
#161000\tDONE   cov: 915 ft: 2600 corp: 99/5001b lim: 214 exec/s: 26833 rss: 70Mb
Done 161000 runs in 6 second(s)
stat::number_of_executed_units: 161000
stat::average_exec_per_sec:     26833
";

    #[test]
    fn a_quiet_run_ends_with_its_last_counts() {
        assert_eq!(
            Score::of(QUIET).to_string(),
            "executions: 161000\ncoverage: 915\nfound: nothing"
        );
    }

    #[test]
    fn what_was_found_is_named() {
        let output = "\
#79\tINITED cov: 811 ft: 2201 corp: 70/3402b exec/s: 0 rss: 44Mb
==7== ERROR: libFuzzer: deadly signal
artifact_prefix='fuzz/artifacts/packet/'; Test unit written to fuzz/artifacts/packet/crash-86f7
stat::number_of_executed_units: 80
";
        assert_eq!(
            Score::of(output).to_string(),
            "executions: 80\ncoverage: 811\nfound: fuzz/artifacts/packet/crash-86f7"
        );
    }

    #[test]
    fn a_target_that_was_not_built_has_no_counts() {
        let score = Score::of("error: could not compile `adit-fuzz`\n").to_string();
        assert_eq!(score, "executions: ?\ncoverage: ?\nfound: nothing");
    }
}
