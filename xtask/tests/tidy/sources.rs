//! What holds for every source file.

use crate::tree::{self, TextFile, assert_none};

/// Longer than this is listed.
const LONG: usize = 400;

/// Longer than this fails.
const TOO_LONG: usize = 800;

fn rust_files() -> Vec<TextFile> {
    let files = tree::files("", &[".rs"]);
    assert!(files.len() >= 20, "{} files", files.len());
    files
}

#[test]
fn no_file_is_too_long() {
    let files = tree::files("", &[".rs", ".ts", ".tsx", ".sh", ".ci/run"]);
    assert!(files.len() >= 20, "{} files", files.len());
    let length = |file: &TextFile| file.text.lines().count();
    for file in files.iter().filter(|file| length(file) > LONG) {
        println!("{}: {} lines, over {LONG}", file.path, length(file));
    }
    let too_long = files.iter().filter(|file| length(file) > TOO_LONG);
    assert_none(
        too_long.map(|file| format!("{}: {}", file.path, length(file))),
        "longer than 800 lines",
    );
}

#[test]
fn every_crate_root_forbids_unsafe_code() {
    let roots: Vec<_> = rust_files()
        .into_iter()
        .filter(|file| file.path.ends_with("/src/lib.rs") || file.path.ends_with("/src/main.rs"))
        .collect();
    assert!(roots.len() >= 5, "{} roots", roots.len());
    let findings = roots.iter().filter(|file| {
        // The lab may need what only unsafe code gives; the workspace's lint still denies it there
        // unless one place says why.
        let is_lab = file.path.starts_with("crates/testkit/");
        !is_lab && !file.text.contains("\n#![forbid(unsafe_code)]\n")
    });
    assert_none(
        findings.map(|file| file.path.clone()),
        "no #![forbid(unsafe_code)]",
    );
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let findings = rust_files()
        .into_iter()
        .filter(|file| !file.path.ends_with("tests.rs"))
        .filter(|file| !file.text.starts_with("//! "));
    assert_none(
        findings.map(|file| file.path),
        "the first line is not a module sentence",
    );
}

/// There is no other machine to build on: docs/scope.md says what keeps the way to 32-bit ARM open.
/// Here is what a lint does not see: that the product converts numbers by checked calls alone, even
/// where a cast would be right on this machine, and asks for the processor in one file.
#[test]
fn the_product_depends_on_no_kind_or_width_of_processor() {
    const NUMBERS: [&str; 12] = [
        "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize",
    ];
    const PROCESSORS: [&str; 5] = [
        "target_arch",
        "target_pointer_width",
        "target_feature",
        "std::arch",
        "core::arch",
    ];
    let mut seen = 0;
    let mut findings = Vec::new();
    for krate in ["text", "ssh", "tunnel", "flow", "adit"] {
        for file in tree::sources_of(krate) {
            seen += 1;
            let asks_for_it = file.path == "crates/ssh/src/provider/aws_lc/processor.rs";
            for (number, line) in file.without_tests().lines().enumerate() {
                let line = line.trim_start();
                if line.starts_with("//") || line.starts_with("use ") {
                    continue;
                }
                let mut words = line.split(" as ").skip(1).map(|rest| {
                    let end = rest.find(|letter: char| !letter.is_alphanumeric());
                    rest.get(..end.unwrap_or(rest.len())).unwrap_or_default()
                });
                let casts = words.any(|word| NUMBERS.contains(&word));
                let asks = PROCESSORS.iter().any(|word| line.contains(word));
                if casts || (asks && !asks_for_it) {
                    findings.push(format!("{}:{}: {line}", file.path, number + 1));
                }
            }
        }
    }
    assert!(seen >= 100, "{seen} files");
    assert_none(findings, "depends on the processor");
}

#[test]
fn every_to_do_has_a_kind_and_an_issue() {
    let mark = ["TO", "DO"].concat();
    let others = [
        ["FIX", "ME"].concat(),
        ["XX", "X:"].concat(),
        ["HA", "CK:"].concat(),
    ];
    let kinds = ["correctness", "security", "limit"].map(|kind| format!("{mark}-{kind} #"));
    let mut findings = Vec::new();
    for file in rust_files() {
        for (at, line) in file.lines() {
            let place = format!("{}:{at}: {}", file.path, line.trim());
            if others.iter().any(|other| line.contains(other.as_str())) {
                findings.push(place);
            } else if line.contains(&mark) {
                let issue = kinds.iter().find_map(|kind| line.split_once(kind.as_str()));
                if issue.is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit())) {
                    println!("{place}");
                } else {
                    findings.push(place);
                }
            }
        }
    }
    assert_none(
        findings,
        "correctness, security or limit, and an issue's number",
    );
}

#[test]
fn no_lint_is_allowed_but_expected_with_a_reason() {
    let allow = ["#[all", "ow("].concat();
    let findings = rust_files().into_iter().flat_map(|file| {
        let lines = file
            .lines()
            .filter(|(_, line)| line.trim().starts_with(&allow));
        lines
            .map(|(at, _)| format!("{}:{at}", file.path))
            .collect::<Vec<_>>()
    });
    assert_none(findings, "expect, with a reason");
}
