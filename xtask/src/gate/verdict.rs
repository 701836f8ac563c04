//! How the gate came out: a line for each stage, what is wrong, and the count of tests.

use std::fmt;
use std::time::Duration;

use super::count::Count;
use super::{Stage, TOTAL_BUDGET};

/// How one stage came out.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) stage: &'static Stage,
    pub(super) took: Duration,
    pub(super) failure: Option<anyhow::Error>,
}

impl Report {
    /// `stage fmt: 0.4 s of 20 s`, with what is wrong with it behind.
    pub(super) fn line(&self) -> String {
        let took = self.took.as_secs_f64();
        let budget = self.stage.budget.as_secs();
        let name = self.stage.name;
        let over = if self.took > self.stage.budget {
            " !!! OVER ITS BUDGET"
        } else {
            ""
        };
        let failed = if self.failure.is_some() {
            " FAILED"
        } else {
            ""
        };
        format!("stage {name}: {took:.1} s of {budget} s{over}{failed}")
    }
}

/// How the whole gate came out.
#[derive(Debug)]
pub(super) struct Verdict {
    lines: Vec<String>,
    wrong: Vec<String>,
    tests: Count,
}

impl Verdict {
    /// Adds up what the stages said.
    pub(super) fn of(reports: &[Report], took: Duration, tests: Count) -> Self {
        let mut lines: Vec<String> = reports.iter().map(Report::line).collect();
        lines.push(format!(
            "total: {:.1} s of {} s",
            took.as_secs_f64(),
            TOTAL_BUDGET.as_secs()
        ));
        let failed = reports.iter().filter(|report| report.failure.is_some());
        let mut wrong: Vec<String> = failed
            .map(|report| format!("stage {} failed", report.stage.name))
            .collect();
        if took > TOTAL_BUDGET {
            wrong.push("the gate took longer than its total budget".to_owned());
        }
        Self {
            lines,
            wrong,
            tests,
        }
    }

    /// Whether nothing is wrong.
    pub(super) fn is_good(&self) -> bool {
        self.wrong.is_empty()
    }
}

/// The table, what is wrong with each stage and test, and last of all, alone on its line,
/// `N passed, N failed`.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines.iter().chain(&self.wrong) {
            writeln!(f, "{line}")?;
        }
        write!(f, "{}", self.tests)
    }
}

#[cfg(test)]
mod tests {
    use super::super::STAGES;
    use super::*;

    #[test]
    fn a_stage_over_its_budget_is_loud_and_does_not_fail_by_itself() {
        let stage = STAGES.iter().find(|stage| stage.name == "fmt").unwrap();
        let report = Report {
            stage,
            took: stage.budget * 2,
            failure: None,
        };
        assert_eq!(
            report.line(),
            "stage fmt: 40.0 s of 20 s !!! OVER ITS BUDGET"
        );
        let verdict = Verdict::of(&[report], Duration::from_secs(40), Count::default());
        assert_eq!(verdict.wrong, Vec::<String>::new());
    }

    #[test]
    fn a_failed_stage_and_a_total_over_the_budget_are_wrong_and_the_count_comes_last() {
        let failed = Report {
            stage: STAGES.first().unwrap(),
            took: Duration::ZERO,
            failure: Some(anyhow::anyhow!("no network")),
        };
        let verdict = Verdict::of(&[failed], TOTAL_BUDGET * 2, Count::default());
        let wrong = [
            "stage setup failed",
            "the gate took longer than its total budget",
        ];
        assert_eq!(verdict.wrong, wrong);
        let text = verdict.to_string();
        assert!(text.starts_with("stage setup: 0.0 s of 480 s FAILED\ntotal: 6600.0 s"));
        assert!(text.ends_with("\n0 passed, 0 failed"), "{text}");
    }
}
