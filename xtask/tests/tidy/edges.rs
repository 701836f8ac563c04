//! Who may import whom: `ARCHITECTURE.md` against `cargo metadata`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::tree;

/// A package of ours and what its manifest names.
pub(crate) struct Package {
    pub(crate) name: String,
    /// Its folder, from the root.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
}

pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) is_dev: bool,
}

/// The workspace's packages as cargo sees them.
pub(crate) fn packages() -> Vec<Package> {
    let output = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(tree::root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata failed");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() >= 5, "{} packages", packages.len());
    packages
        .iter()
        .map(|package| Package {
            name: text(&package["name"]),
            folder: Path::new(&text(&package["manifest_path"]))
                .parent()
                .and_then(|folder| folder.strip_prefix(tree::root()).ok())
                .and_then(Path::to_str)
                .unwrap()
                .to_owned(),
            dependencies: package["dependencies"]
                .as_array()
                .unwrap()
                .iter()
                .map(|dependency| Dependency {
                    name: text(&dependency["name"]),
                    is_dev: dependency["kind"] == "dev",
                })
                .collect(),
        })
        .collect()
}

fn is_ours(name: &str) -> bool {
    name == "adit" || name == "xtask" || name.starts_with("adit-")
}

#[test]
fn the_edges_in_the_architecture_are_those_of_the_manifests() {
    let text = tree::file("ARCHITECTURE.md").text;
    let (_, list) = text.split_once("```edges\n").expect("no ```edges block");
    let (list, _) = list.split_once("```").unwrap();
    let written: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    let real: BTreeSet<String> = packages()
        .iter()
        .flat_map(|package| {
            let edges = package.dependencies.iter();
            edges
                .filter(|to| !to.is_dev && is_ours(&to.name))
                .map(|to| format!("{} -> {}", package.name, to.name))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(real.len() >= 2, "{} edges", real.len());
    assert_eq!(written, real);
}

#[test]
fn tests_add_no_edge_but_to_the_testkit_which_has_none_itself() {
    for package in packages() {
        let ours: Vec<_> = package
            .dependencies
            .iter()
            .filter(|to| is_ours(&to.name))
            .collect();
        for to in ours.iter().filter(|to| to.is_dev) {
            let is_real_edge = ours.iter().any(|edge| !edge.is_dev && edge.name == to.name);
            assert!(
                to.name == "adit-testkit" || is_real_edge,
                "{} -> {}",
                package.name,
                to.name
            );
        }
        if ["adit-testkit", "xtask", "adit-ssh"].contains(&package.name.as_str()) {
            let edges = ours.iter().filter(|to| to.name != "adit-testkit").count();
            assert_eq!(edges, 0, "{} depends on ours", package.name);
        }
    }
}

#[test]
fn every_member_of_the_workspace_has_a_reason() {
    let text = tree::file("Cargo.toml").text;
    let (_, members) = text.split_once("members = [\n").unwrap();
    let (members, _) = members.split_once("\n]").unwrap();
    let lines: Vec<&str> = members.lines().map(str::trim).collect();
    assert_eq!(lines.len(), packages().len());
    for line in lines {
        let (_, reason) = line.split_once('#').unwrap_or_default();
        assert!(reason.trim().len() > 5, "no reason: {line}");
    }
}
