//! How many tests passed, and which failed and why, as nextest's `JUnit` file has it.
//!
//! `<testsuites>` holds a `<testsuite>` for each binary and that a `<testcase>` for each test that
//! ran; one that failed holds a `<failure>` or an `<error>` with the panic's words. A test that was
//! filtered out is not in the file.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use roxmltree::Node;

use crate::workspace::Workspace;

/// How many lines of why a test failed are shown again at the end.
const MOST: usize = 30;
/// What stands above a panic's backtrace, which is not shown again.
const BACKTRACE: &str = "stack backtrace:";

/// Tests that ran, summed over the stages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    passed: usize,
    failed: Vec<Failed>,
}

/// A test that failed.
#[derive(Debug, PartialEq, Eq)]
struct Failed {
    /// `BINARY NAME`, as nextest prints it.
    name: String,
    /// Why, in its own words.
    said: Vec<String>,
}

impl Count {
    pub(super) fn add(&mut self, other: Self) {
        self.passed = self.passed.saturating_add(other.passed);
        self.failed.extend(other.failed);
    }
}

/// Each failed test and why, then `N passed, N failed` alone on its line: whoever sees
/// no more than the end of a log sees what to mend.
impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Failed { name, said } in &self.failed {
            writeln!(f, "failed: {name}")?;
            for line in said {
                writeln!(f, "    {line}")?;
            }
        }
        write!(f, "{} passed, {} failed", self.passed, self.failed.len())
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

fn parse(report: &str) -> anyhow::Result<Count> {
    let document = roxmltree::Document::parse(report)?;
    if !document.root_element().has_tag_name("testsuites") {
        bail!("it is no report of tests");
    }
    let mut count = Count::default();
    let tests = document.descendants();
    for test in tests.filter(|node| node.has_tag_name("testcase")) {
        let is_wrong =
            |part: Node<'_, '_>| part.has_tag_name("failure") || part.has_tag_name("error");
        if !test.children().any(is_wrong) {
            count.passed = count.passed.saturating_add(1);
            continue;
        }
        let wrong = test.children().find(|part| is_wrong(*part));
        let words = wrong.and_then(|part| part.text()).unwrap_or_default();
        let lines = words.lines().take_while(|line| *line != BACKTRACE);
        let word = |name| test.attribute(name).unwrap_or("?");
        count.failed.push(Failed {
            name: format!("{} {}", word("classname"), word("name")),
            said: lines.take(MOST).map(str::to_owned).collect(),
        });
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="nextest-run" tests="3" failures="1" errors="0">
    <testsuite name="adit::real_serve" tests="3" failures="1">
        <testcase name="a" classname="adit::real_serve" time="0.1"/>
        <testcase name="b" classname="adit::real_serve" time="0.1">
            <failure message="thread panicked" type="test failure">thread panicked
at b.rs:5:
left &lt; right
stack backtrace:
   0: core::panicking::panic_fmt</failure>
            <system-out>running 1 test</system-out>
        </testcase>
        <testcase name="c" classname="adit::real_serve" time="0.1"><system-out>x</system-out></testcase>
    </testsuite>
</testsuites>"#;

    #[test]
    fn what_failed_is_named_with_its_words_before_the_counts() {
        let count = parse(REPORT).unwrap();
        let wanted = "\
failed: adit::real_serve b
    thread panicked
    at b.rs:5:
    left < right
2 passed, 1 failed";
        assert_eq!(count.to_string(), wanted);
    }

    #[test]
    fn of_long_words_the_first_are_kept() {
        let lines: Vec<String> = (0..100).map(|line| format!("line {line}")).collect();
        let report = REPORT.replace("left &lt; right", &lines.join("\n"));
        let count = parse(&report).unwrap();
        let said = &count.failed.first().unwrap().said;
        assert_eq!(said.len(), MOST);
        assert_eq!(said.first().unwrap(), "thread panicked");
    }

    #[test]
    fn what_is_no_report_is_refused() {
        for report in ["", "<testsuites ", "<html/>"] {
            parse(report).unwrap_err();
        }
    }

    #[test]
    fn counts_of_several_runs_are_summed() {
        let mut count = parse(REPORT).unwrap();
        count.add(parse(REPORT).unwrap());
        assert!(count.to_string().ends_with("\n4 passed, 2 failed"));
    }
}
