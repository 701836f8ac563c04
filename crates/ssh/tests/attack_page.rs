//! Holds `docs/reference/attacks.md` to the tree: every test that it names is there, and every test
//! with a number is on it.
#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// The names of all functions in the sources below a folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            names.extend(source.lines().filter_map(name_of).map(str::to_owned));
        }
    }
}

/// The name in a line that begins a function.
fn name_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("async ").unwrap_or(line);
    line.strip_prefix("fn ")?.split(['(', '<']).next()
}

/// Whether a name begins with the number of an attack: `s12_`.
fn is_numbered(name: &str) -> bool {
    let digits = name
        .strip_prefix('s')
        .and_then(|rest| rest.split('_').next());
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// The number of a row.
fn number_of(row: &[&str]) -> Option<u32> {
    row.first()?.trim().strip_prefix('S')?.parse().ok()
}

/// The last attack that has tests.
const LAST: u32 = 111;

#[test]
fn the_page_of_attacks_is_that_of_the_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = fs::read_to_string(root.join("docs/reference/attacks.md")).unwrap();
    let mut names = BTreeSet::new();
    functions(&root.join("crates"), &mut names);
    functions(&root.join("xtask"), &mut names);
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|line| line.starts_with("| S"))
        .map(|line| line.trim_matches('|').split(" | ").collect())
        .collect();
    let numbers: BTreeSet<u32> = rows.iter().filter_map(|row| number_of(row)).collect();
    let missing: Vec<u32> = (1..=LAST)
        .filter(|number| !numbers.contains(number))
        .collect();
    assert!(missing.is_empty(), "no rows for S{missing:?}");
    let mut on_page = BTreeSet::new();
    for row in &rows {
        let tests = row.last().unwrap().split('`').skip(1).step_by(2);
        for test in tests {
            assert!(names.contains(test), "{}: there is no test {test}", row[0]);
            on_page.insert(test);
        }
    }
    let numbered: Vec<&String> = names.iter().filter(|name| is_numbered(name)).collect();
    assert!(numbered.len() >= 60, "{} tests", numbered.len());
    for test in numbered {
        assert!(on_page.contains(test.as_str()), "{test} is not on the page");
    }
}
