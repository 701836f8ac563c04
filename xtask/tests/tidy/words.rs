//! Words that do not belong in the tree.

use std::collections::BTreeSet;

use crate::tree::{self, assert_none};

#[test]
fn no_name_is_a_getter_a_manager_or_a_drawer() {
    let files = tree::files("", &[".rs"]);
    assert!(files.len() >= 20, "{} files", files.len());
    let items = ["struct ", "enum ", "trait ", "type "];
    let empty_words = ["Manager", "Helper", "Helpers", "Util", "Utils"];
    let drawers = [
        "common", "types", "util", "utils", "helper", "helpers", "misc",
    ];
    let mut findings = Vec::new();
    for file in &files {
        let stem = file
            .path
            .trim_end_matches("/mod.rs")
            .trim_end_matches(".rs");
        if drawers
            .iter()
            .any(|drawer| stem.ends_with(&format!("/{drawer}")))
        {
            findings.push(file.path.clone());
        }
        for (at, line) in file.lines() {
            let code = line.split("//").next().unwrap_or_default();
            let names = items.iter().filter_map(|item| code.split_once(item));
            let mut names = names.map(|(_, rest)| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                &rest[..end.unwrap_or(rest.len())]
            });
            if code.contains(&["fn ge", "t_"].concat())
                || names.any(|name| empty_words.iter().any(|word| name.ends_with(word)))
            {
                findings.push(format!("{}:{at}: {}", file.path, line.trim()));
            }
        }
    }
    assert_none(findings, "a name that says nothing");
}

#[test]
fn no_file_names_a_place_of_one_machine() {
    let endings = [
        ".rs",
        ".md",
        ".toml",
        ".sh",
        ".txt",
        ".yml",
        ".yaml",
        ".json",
        ".ci/run",
        "LICENSE-MIT",
    ];
    let files = tree::files("", &endings);
    assert!(files.len() >= 30, "{} files", files.len());
    let places = [["/wo", "rk/"], ["/ro", "ot/"], ["/tmp/", "bash"]].map(|parts| parts.concat());
    let mut findings = Vec::new();
    for file in &files {
        for (at, line) in file.lines() {
            if places.iter().any(|place| line.contains(place.as_str())) {
                findings.push(format!("{}:{at}: {}", file.path, line.trim()));
            }
        }
    }
    assert_none(findings, "a path of one machine");
}

#[test]
fn every_word_of_the_lexicon_has_one_meaning() {
    let lexicon = tree::file("docs/lexicon.md");
    let words: Vec<String> = lexicon
        .lines()
        .filter_map(|(_, line)| line.strip_prefix("| **"))
        .filter_map(|line| line.split_once("**"))
        .map(|(word, _)| word.to_lowercase())
        .collect();
    assert!(words.len() >= 25, "{} words", words.len());
    let once: BTreeSet<&String> = words.iter().collect();
    assert_eq!(once.len(), words.len(), "a word is there twice");
}
