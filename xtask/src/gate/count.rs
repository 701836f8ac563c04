//! How many tests passed and failed, as nextest's `JUnit` file has it.
//!
//! The file's root element is `<testsuites name=".." tests="12" failures="1" errors="0" ..>`; only
//! these three numbers are read. A test that was filtered out is not in the file.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::workspace::Workspace;

/// Tests that ran, summed over the stages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    passed: u64,
    failed: u64,
}

impl Count {
    pub(super) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed = self.failed.saturating_add(other.failed);
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)
    }
}

/// Where nextest's profile `gate` writes its report: under the workspace, whatever
/// `CARGO_TARGET_DIR` says (nextest's `store.dir`).
pub(super) fn junit_file(workspace: &Workspace) -> PathBuf {
    workspace
        .root()
        .join("target")
        .join("nextest")
        .join("gate")
        .join("junit.xml")
}

/// Removes the report of an earlier run, so that it cannot be counted again.
pub(super) fn forget(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Reads the report of the run that has just ended.
pub(super) fn read(file: &Path) -> anyhow::Result<Count> {
    let text = fs::read_to_string(file)
        .with_context(|| format!("nextest left no report at {}", file.display()))?;
    parse(&text).with_context(|| format!("cannot read the counts in {}", file.display()))
}

fn parse(report: &str) -> Option<Count> {
    let (_, root) = report.split_once("<testsuites ")?;
    let (root, _) = root.split_once('>')?;
    let number = |name: &str| -> Option<u64> {
        let (_, value) = root.split_once(&format!("{name}=\""))?;
        let (value, _) = value.split_once('"')?;
        value.parse().ok()
    };
    let failed = number("failures")?.checked_add(number("errors")?)?;
    Some(Count {
        passed: number("tests")?.checked_sub(failed)?,
        failed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_element_gives_the_counts() {
        let report = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="12" failures="2" errors="1" uuid="x" time="0.5">
    <testsuite name="xtask" tests="5" disabled="0" errors="0" failures="0">"#;
        let count = parse(report).unwrap();
        assert_eq!(count.to_string(), "9 passed, 3 failed");
    }

    #[test]
    fn a_report_without_counts_is_refused() {
        for report in [
            "",
            "<testsuites ",
            "<testsuites name=\"x\">",
            "<testsuites tests=\"1\" failures=\"2\" errors=\"0\">",
        ] {
            assert_eq!(parse(report), None, "{report}");
        }
    }

    #[test]
    fn counts_of_several_runs_are_summed() {
        let mut count = Count::default();
        count.add(Count {
            passed: 2,
            failed: 0,
        });
        count.add(Count {
            passed: 3,
            failed: 1,
        });
        assert_eq!(count.to_string(), "5 passed, 1 failed");
    }
}
