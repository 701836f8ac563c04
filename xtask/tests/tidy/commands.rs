//! What the documents tell people to type exists.

use std::process::Command;

use crate::tree;

fn help() -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("--help")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The word after `cargo xtask` in a line, if there is one.
fn xtask_command(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("cargo xtask ")?;
    let end = rest.find(|c: char| !c.is_ascii_lowercase());
    let word = &rest[..end.unwrap_or(rest.len())];
    (!word.is_empty()).then_some(word)
}

#[test]
fn every_xtask_command_in_a_document_is_in_the_help() {
    let help = help();
    let (commands, _stages) = help.split_once("stages of test").unwrap();
    let known: Vec<&str> = commands
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|line| !line.starts_with(' '))
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    let mut count = 0_usize;
    for page in tree::files("", &[".md"]) {
        for (at, line) in page.lines() {
            if let Some(word) = xtask_command(line) {
                assert!(known.contains(&word), "{}:{at}: {word}", page.path);
                count += 1;
            }
        }
    }
    assert!(count >= 4, "{count} commands");
}

#[test]
fn the_first_screen_of_the_readme_sets_up_a_fresh_machine() {
    let readme = tree::file("README.md");
    let first_screen: Vec<&str> = readme.text.lines().take(40).collect();
    for command in ["cargo xtask demo", "cargo xtask test"] {
        assert!(
            first_screen.iter().any(|line| line.starts_with(command)),
            "{command}"
        );
    }
}

#[test]
fn ci_runs_the_same_command_as_people_do() {
    let script = tree::file(".ci/run").text;
    let commands: Vec<&str> = script
        .lines()
        .filter(|line| line.contains("cargo"))
        .collect();
    assert_eq!(commands, ["exec cargo xtask test </dev/null"]);
}
