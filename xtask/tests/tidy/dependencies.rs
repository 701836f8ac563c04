//! Every dependency has a line in the decision page, and every line a dependency.

use std::collections::BTreeSet;

use crate::edges;
use crate::tree::{self, assert_none};

const PAGE: &str = "docs/decision/0002-dependencies.md";

/// The names in `[workspace.dependencies]` that are not ours.
fn named_in_the_workspace() -> BTreeSet<String> {
    let manifest: toml::Table = tree::file("Cargo.toml").text.parse().unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let foreign: BTreeSet<String> = dependencies
        .iter()
        .filter(|(_, value)| value.get("path").is_none())
        .map(|(name, _)| name.clone())
        .collect();
    assert!(foreign.len() >= 10, "{foreign:?}");
    foreign
}

#[test]
fn every_dependency_has_its_line_and_every_line_its_dependency() {
    let page = tree::file(PAGE);
    let explained: BTreeSet<String> = page
        .lines()
        .filter_map(|(_, line)| line.strip_prefix("| `"))
        .filter_map(|line| line.split_once('`'))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert_eq!(named_in_the_workspace(), explained);
}

#[test]
fn every_line_says_what_for_what_was_weighed_who_keeps_it_and_its_tree() {
    let page = tree::file(PAGE);
    let rows: Vec<_> = page
        .lines()
        .filter(|(_, line)| line.starts_with("| `"))
        .collect();
    assert!(rows.len() >= 10, "{} rows", rows.len());
    let unfinished = rows.iter().filter(|(_, row)| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        cells.len() != 5 || cells.iter().any(|cell| cell.is_empty())
    });
    assert_none(
        unfinished.map(|(at, row)| format!("{PAGE}:{at}: {row}")),
        "five cells, none empty",
    );
}

#[test]
fn every_dependency_of_the_workspace_is_used_by_a_member() {
    let used: BTreeSet<String> = edges::packages()
        .into_iter()
        .flat_map(|package| package.dependencies)
        .map(|dependency| dependency.name)
        .collect();
    let unused: Vec<String> = named_in_the_workspace()
        .into_iter()
        .filter(|name| !used.contains(name))
        .collect();
    assert_none(unused, "no member uses");
}

#[test]
fn every_dependency_of_a_member_is_named_in_its_sources() {
    let mut findings = Vec::new();
    for package in edges::packages() {
        let files = tree::files(&package.folder, &[".rs"]);
        assert!(!files.is_empty(), "no sources in {}", package.folder);
        for dependency in &package.dependencies {
            let name = dependency.name.replace('-', "_");
            if !files.iter().any(|file| file.text.contains(&name)) {
                findings.push(format!("{}: {}", package.name, dependency.name));
            }
        }
    }
    assert_none(findings, "in the manifest, in no source file");
}

#[test]
fn members_take_versions_from_the_workspace_alone() {
    let manifests: Vec<_> = tree::files("", &["Cargo.toml"])
        .into_iter()
        .filter(|file| file.path.starts_with("crates/") || file.path.starts_with("xtask/"))
        .collect();
    assert!(manifests.len() >= 5, "{} manifests", manifests.len());
    let mut findings = Vec::new();
    for manifest in &manifests {
        let table: toml::Table = manifest.text.parse().unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let Some(dependencies) = table.get(section).and_then(toml::Value::as_table) else {
                continue;
            };
            for (name, value) in dependencies {
                if value.get("workspace") != Some(&toml::Value::Boolean(true)) {
                    findings.push(format!("{}: {name}", manifest.path));
                }
            }
        }
    }
    assert_none(findings, "versions are only in [workspace.dependencies]");
}

#[test]
fn foreign_features_are_listed_and_never_the_default_ones() {
    let manifest: toml::Table = tree::file("Cargo.toml").text.parse().unwrap();
    let dependencies = manifest["workspace"]["dependencies"].as_table().unwrap();
    let findings = dependencies
        .iter()
        .filter(|(_, value)| value.get("path").is_none())
        .filter(|(_, value)| value.get("default-features") != Some(&toml::Value::Boolean(false)))
        .map(|(name, _)| name.clone());
    assert_none(findings, "default-features = false is missing");
}

#[test]
fn the_lock_file_has_no_peer_of_the_tests_in_it() {
    let lock = tree::file("Cargo.lock").text;
    assert!(lock.contains("name = \"adit-ssh\""));
    // ring stands there as an option of rustls that nobody takes; deny.toml bans it from what is built.
    for peer in ["russh", "ssh2", "libssh-rs", "thrussh", "openssl"] {
        assert!(!lock.contains(&format!("name = \"{peer}\"")), "{peer}");
    }
}
