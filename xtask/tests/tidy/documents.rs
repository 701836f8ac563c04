//! What holds for every page.

use std::collections::BTreeSet;

use crate::tree::{self, TextFile, assert_none};

fn pages() -> Vec<TextFile> {
    let pages = tree::files("", &[".md"]);
    assert!(pages.len() >= 12, "{} pages", pages.len());
    pages
}

/// The targets of `[text](target)` in a page, code blocks left out.
fn links(page: &TextFile) -> Vec<(usize, String)> {
    let mut is_code = false;
    let mut links = Vec::new();
    for (at, line) in page.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        }
        let mut rest = line;
        while let Some((_, after)) = rest.split_once("](") {
            rest = after;
            if let Some((target, _)) = after.split_once(')')
                && !is_code
            {
                links.push((at, target.to_owned()));
            }
        }
    }
    links
}

#[test]
fn every_link_to_a_file_leads_to_one() {
    let mut count = 0_usize;
    let mut findings = Vec::new();
    for page in pages() {
        let place = tree::root().join(&page.path);
        for (at, target) in links(&page) {
            let is_elsewhere = target.contains("://") || target.starts_with('#');
            let file = target.split('#').next().unwrap_or_default();
            count += 1;
            if !is_elsewhere && !place.parent().unwrap().join(file).exists() {
                findings.push(format!("{}:{at}: {target}", page.path));
            }
        }
    }
    assert!(count >= 10, "{count} links");
    assert_none(findings, "no such file");
}

#[test]
fn decisions_are_numbered_without_gaps_and_all_listed() {
    let folder = tree::files("docs/decision", &[".md"]);
    let names: Vec<&str> = folder
        .iter()
        .filter_map(|page| page.path.strip_prefix("docs/decision/"))
        .filter(|name| *name != "README.md")
        .collect();
    assert!(names.len() >= 5, "{names:?}");
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("{number:04}-")), "{name}");
    }
    let list = tree::file("docs/decision/README.md");
    let listed: BTreeSet<String> = links(&list).into_iter().map(|(_, target)| target).collect();
    for name in names {
        assert!(listed.contains(name), "{name} is not in the list");
    }
}

#[test]
fn every_decision_says_when_what_why_and_what_was_turned_down() {
    let decisions = tree::files("docs/decision", &[".md"]);
    for page in decisions
        .iter()
        .filter(|page| !page.path.ends_with("README.md"))
    {
        for part in [
            "\nDate: 20",
            "\n## Decision\n",
            "\n## Why\n",
            "\n## Turned down\n",
        ] {
            assert!(
                page.text.contains(part),
                "{}: no {}",
                page.path,
                part.trim()
            );
        }
    }
}

#[test]
fn every_folder_and_file_in_the_architecture_exists() {
    let text = tree::file("ARCHITECTURE.md").text;
    let (_, list) = text
        .split_once("```folders\n")
        .expect("no ```folders block");
    let (list, _) = list.split_once("```").unwrap();
    let mut count = 0_usize;
    for line in list.lines() {
        let path = line.split_whitespace().next().unwrap_or_default();
        assert!(tree::root().join(path).exists(), "{path}");
        count += 1;
    }
    assert!(count >= 8, "{count} entries");
    let written: BTreeSet<&str> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    for entry in tree::root().join("crates").read_dir().unwrap() {
        let name = format!("crates/{}/", entry.unwrap().file_name().to_str().unwrap());
        assert!(
            written.contains(name.as_str()),
            "{name} is not written down"
        );
    }
}

#[test]
fn every_module_of_the_engine_has_its_place_in_the_architecture() {
    let text = tree::file("ARCHITECTURE.md").text;
    let (_, table) = text.split_once("| Modules of `ssh` |").expect("no table");
    let (table, _) = table.split_once("\n\n").unwrap();
    let written: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once(" | "))
        .flat_map(|(names, _)| names.split(", "))
        .map(|name| name.trim_matches('`'))
        .collect();
    let files = tree::sources_of("ssh");
    let real: BTreeSet<&str> = files
        .iter()
        .filter_map(|file| file.path.strip_prefix("crates/ssh/src/"))
        .filter_map(|path| path.split(['/', '.']).next())
        .filter(|name| *name != "lib" && !name.ends_with("tests"))
        .collect();
    assert_eq!(written, real);
}
