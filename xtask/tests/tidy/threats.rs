//! `docs/reference/threats.md` names tests that are there.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{self, assert_none};

/// The rows of the review, by their numbers.
const ROWS: [(u32, u32); 10] = [
    (1, 18),
    (20, 24),
    (30, 34),
    (40, 47),
    (50, 53),
    (55, 59),
    (60, 74),
    (100, 108),
    (110, 112),
    (120, 130),
];

/// The tests of each crate: functions right below a `#[test]`, and those of a contract suite.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut tests: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in ["crates", "xtask"] {
        for file in tree::files(folder, &[".rs"]) {
            let of = match file.path.strip_prefix("crates/") {
                Some(path) => path.split('/').next().unwrap(),
                None => "xtask",
            };
            let names = tests.entry(of.to_owned()).or_default();
            let mut is_test = false;
            let is_suite = file.path.contains("/contract/suite/");
            for line in file.text.lines().map(str::trim) {
                if line == "#[test]" || line.starts_with("#[tokio::test") {
                    is_test = true;
                }
                let promise = line.strip_prefix("pub(crate) async ").filter(|_| is_suite);
                is_test |= promise.is_some();
                let line = promise.unwrap_or(line);
                let line = line.strip_prefix("async ").unwrap_or(line);
                if let Some(name) = line.strip_prefix("fn ")
                    && std::mem::take(&mut is_test)
                {
                    names.insert(name.split(['(', '<']).next().unwrap().to_owned());
                }
            }
        }
    }
    tests
}

#[test]
fn every_threat_has_its_tests_or_the_work_that_it_waits_for() {
    let tests = tests();
    let page = tree::file("docs/reference/threats.md");
    let mut rows = Vec::new();
    let mut findings = Vec::new();
    for (at, line) in page.lines().filter(|(_, line)| line.starts_with("| G")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, rule, _, proof] = cells[..] else {
            panic!("{at}: {} cells", cells.len());
        };
        rows.push(number[1..].parse::<u32>().unwrap());
        assert!(!rule.is_empty(), "{number}");
        let named: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if named.is_empty() && !proof.contains("later: ") {
            findings.push(format!("{number}: neither a test nor later work"));
        }
        for test in named {
            let (of, name) = test.split_once("::").unwrap_or_default();
            if !tests.get(of).is_some_and(|names| names.contains(name)) {
                findings.push(format!("{number}: {test}"));
            }
        }
    }
    let all: Vec<u32> = ROWS
        .iter()
        .flat_map(|(first, last)| *first..=*last)
        .collect();
    assert_eq!(rows, all);
    assert_none(findings, "no such test");
}
